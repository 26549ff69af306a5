//! A registry that several stand-ins share.

use super::FakeRuntime;
use crate::runtime::{EngineImage, Result, Runtime, RuntimeError, Transfer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct RegistryState {
    images: BTreeMap<String, EngineImage>,
    down: bool,
    pulls: usize,
    pushes: usize,
}

/// The registry. Clones share its state.
#[derive(Clone, Default)]
pub struct FakeRegistry {
    state: Arc<Mutex<RegistryState>>,
}

impl FakeRegistry {
    fn state(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets whether the registry refuses connections.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// Returns the references of all images by digest.
    pub fn references(&self) -> Vec<String> {
        self.state().images.keys().cloned().collect()
    }

    /// Returns how often images were pulled and pushed.
    pub fn traffic(&self) -> (usize, usize) {
        let state = self.state();
        (state.pulls, state.pushes)
    }

    fn up(&self) -> Result<MutexGuard<'_, RegistryState>> {
        let state = self.state();
        match state.down {
            true => Err(RuntimeError::Refused("the registry: connection refused".to_owned())),
            false => Ok(state),
        }
    }
}

impl FakeRuntime {
    /// Connects the engine to this registry.
    pub fn with_registry(self, registry: &FakeRegistry) -> Self {
        self.state().registry = Some(registry.clone());
        self
    }

    fn registry(&self) -> Option<FakeRegistry> {
        self.state().registry.clone()
    }
}

pub async fn pull(engine: &FakeRuntime, transfer: &Transfer) -> Result<()> {
    let none = || RuntimeError::NoImage(transfer.reference.clone());
    let registry = engine.registry().ok_or_else(none)?;
    // let other tasks run meanwhile
    tokio::task::yield_now().await;
    let mut there = registry.up()?;
    let image = there.images.get(&transfer.reference).cloned().ok_or_else(none)?;
    there.pulls += 1;
    engine.state().images.insert(transfer.reference.clone(), image);
    Ok(())
}

pub async fn push(engine: &FakeRuntime, transfer: &Transfer) -> Result<String> {
    let none = || RuntimeError::NoImage(transfer.reference.clone());
    let image = engine.image(&transfer.reference).await?.ok_or_else(none)?;
    let registry = engine.registry().ok_or_else(none)?;
    let mut there = registry.up()?;
    there.pushes += 1;
    let (repository, _) = transfer.reference.rsplit_once(':').unwrap_or_default();
    let digest = crate::domain::digest::digest(&[image.id.as_bytes()]);
    let reference = format!("{repository}@sha256:{digest}");
    there.images.insert(reference.clone(), image);
    Ok(reference)
}
