//! A strict stand-in for an engine: it plays the phases that a test expects, refuses all others, and checks at the
//! end that its caller left nothing behind.

mod expect;
mod files;
mod inventory;
mod registry;
mod rules;

pub use expect::Expect;
pub use registry::FakeRegistry;

use super::{
    Container, Disk, DiskUsage, Engine, EngineImage, Exit, ImageBuild, Layered, Output, PHASE_LABEL, PROJECT_LABEL,
    Result, Runtime, RuntimeError, StoredImage, StoredVolume, Traits, Transfer, Usage, Users, Volume,
};
use async_trait::async_trait;
use bytes::Bytes;
use files::Files;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// The behaviour of an expected container.
#[derive(Clone, Debug, PartialEq)]
enum Behaviour {
    Exits(i64),
    OutOfMemory,
    /// Runs until it is killed, and uses no CPU.
    Hangs,
    /// Loses its engine, which goes away while the container runs.
    LosesEngine,
}

struct Expectation {
    project: String,
    phase: String,
    behaviour: Behaviour,
    prints: Vec<u8>,
    complains: Vec<u8>,
}

struct CreatedContainer {
    spec: Container,
    started: bool,
    behaviour: Behaviour,
    killed: Arc<Notify>,
}

#[derive(Default)]
struct FakeState {
    executed: Vec<String>,
    images: BTreeMap<String, EngineImage>,
    volumes: BTreeMap<String, Volume>,
    containers: BTreeMap<String, CreatedContainer>,
    /// The last container of each phase, even after its removal.
    phases: BTreeMap<String, Container>,
    /// Containers that are no phase, in the order in which they were created.
    served: Vec<Container>,
    expected: Vec<Expectation>,
    /// The files that [`Runtime::get`] returns.
    files: Files,
    violations: Vec<String>,
    made: usize,
    disk: Option<Disk>,
    registry: Option<FakeRegistry>,
    away: bool,
}

/// The engine of a test. Clones share its state.
#[derive(Clone, Default)]
pub struct FakeRuntime {
    state: Arc<Mutex<FakeState>>,
}

impl FakeRuntime {
    fn state(&self) -> MutexGuard<'_, FakeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the content of files whose path ends with `end`.
    pub fn with_file(self, end: &str, content: &str) -> Self {
        self.state().files.insert(end.to_owned(), Some(content.to_owned()));
        self
    }

    /// Refuses to read files whose path ends with `end`.
    pub fn with_unreadable(self, end: &str) -> Self {
        self.state().files.insert(end.to_owned(), None);
        self
    }

    /// Expects one start of a project's phase. It succeeds unless the expectation changes that. Several expectations of
    /// one phase are used in their order.
    pub fn expect(&self, project: &str, phase: &str) -> Expect<'_> {
        let mut state = self.state();
        state.expected.push(Expectation {
            project: project.to_owned(),
            phase: phase.to_owned(),
            behaviour: Behaviour::Exits(0),
            prints: Vec::new(),
            complains: Vec::new(),
        });
        Expect {
            runtime: self,
            at: state.expected.len() - 1,
        }
    }

    /// Returns the violations of the contract by the caller. The list is empty for a caller that kept the contract.
    pub fn complaints(&self) -> Vec<String> {
        let state = self.state();
        let mut complaints = state.violations.clone();
        complaints.extend(
            state
                .expected
                .iter()
                .map(|e| format!("{} {} was expected and never started", e.project, e.phase)),
        );
        complaints.extend(state.containers.keys().map(|id| format!("container {id} was left")));
        let left = state
            .volumes
            .values()
            .filter(|volume| rules::is_of_attempt(&volume.labels));
        complaints.extend(left.map(|volume| format!("volume {} was left", volume.name)));
        complaints
    }

    fn violation(state: &mut FakeState, text: String) -> RuntimeError {
        state.violations.push(text.clone());
        RuntimeError::Refused(text)
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn engine(&self) -> Result<Engine> {
        Ok(Engine {
            version: "fake".into(),
            api: "1.41".into(),
            platform: "linux/amd64".into(),
            free_gib: None,
            traits: Traits::default(),
        })
    }

    async fn image(&self, reference: &str) -> Result<Option<EngineImage>> {
        Ok(self.state().images.get(reference).cloned())
    }

    async fn pull(&self, transfer: &Transfer, _log: mpsc::Sender<String>) -> Result<()> {
        registry::pull(self, transfer).await
    }

    async fn push(&self, transfer: &Transfer, _log: mpsc::Sender<String>) -> Result<String> {
        registry::push(self, transfer).await
    }

    async fn build(&self, build: ImageBuild, _log: mpsc::Sender<Bytes>) -> Result<EngineImage> {
        let mut context = build.context;
        while context.next().await.is_some() {}
        let image = EngineImage {
            id: format!("sha256:{}", build.tag),
            size: 1,
            labels: BTreeMap::new(),
        };
        self.state().images.insert(build.tag, image.clone());
        Ok(image)
    }

    async fn layer(&self, layered: Layered) -> Result<EngineImage> {
        let mut layer = layered.layer;
        while layer.next().await.is_some() {}
        let mut state = self.state();
        if !state.images.contains_key(&layered.base) {
            return Err(RuntimeError::NoImage(layered.base));
        }
        let image = EngineImage {
            id: format!("sha256:{}", layered.digest),
            size: 1,
            labels: layered.labels,
        };
        state.images.insert(layered.tag, image.clone());
        Ok(image)
    }

    async fn tag(&self, reference: &str, name: &str) -> Result<()> {
        let mut state = self.state();
        let image = state
            .images
            .get(reference)
            .cloned()
            .ok_or_else(|| RuntimeError::NoImage(reference.to_owned()))?;
        state.images.insert(name.to_owned(), image);
        Ok(())
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        inventory::remove_image(&mut self.state(), reference)
    }

    async fn prune_images(&self, _label: &str) -> Result<()> {
        Ok(())
    }

    async fn create_volume(&self, volume: &Volume) -> Result<()> {
        self.state().volumes.insert(volume.name.clone(), volume.clone());
        Ok(())
    }

    async fn remove_volume(&self, name: &str) -> Result<()> {
        let mut state = self.state();
        let used = state
            .containers
            .values()
            .any(|made| made.spec.volumes.iter().any(|(volume, _)| volume == name));
        if used {
            return Err(Self::violation(
                &mut state,
                format!("volume {name} was removed while in use"),
            ));
        }
        state.volumes.remove(name);
        Ok(())
    }

    async fn create(&self, container: &Container) -> Result<String> {
        let mut state = self.state();
        if !state.images.contains_key(&container.image) {
            return Err(RuntimeError::NoImage(container.image.clone()));
        }
        if let Some(what) = rules::unsafe_about(container, &state.volumes) {
            return Err(Self::violation(&mut state, format!("a container {what}")));
        }
        if let Some((volume, _)) = container
            .volumes
            .iter()
            .find(|(name, _)| !state.volumes.contains_key(name))
        {
            let text = format!("volume {volume} was used before it was made");
            return Err(Self::violation(&mut state, text));
        }
        state.made += 1;
        let id = format!("c{}", state.made);
        let made = CreatedContainer {
            spec: container.clone(),
            started: false,
            behaviour: Behaviour::Exits(0),
            killed: Arc::default(),
        };
        state.containers.insert(id.clone(), made);
        match container.labels.get(PHASE_LABEL) {
            Some(phase) => drop(state.phases.insert(phase.clone(), container.clone())),
            None => state.served.push(container.clone()),
        }
        Ok(id)
    }

    async fn put(&self, id: &str, _path: &str, tar: BoxStream<'static, std::io::Result<Bytes>>) -> Result<()> {
        let mut tar = tar;
        while let Some(chunk) = tar.next().await {
            chunk.map_err(|error| RuntimeError::Refused(error.to_string()))?;
        }
        let mut state = self.state();
        if !state.containers.contains_key(id) {
            return Err(Self::violation(&mut state, format!("put into no container {id}")));
        }
        Ok(())
    }

    async fn get(&self, id: &str, path: &str) -> Result<BoxStream<'static, std::io::Result<Bytes>>> {
        let mut state = self.state();
        if !state.containers.contains_key(id) {
            return Err(Self::violation(&mut state, format!("get from no container {id}")));
        }
        files::read(&state.files, path)
    }

    async fn start(&self, id: &str) -> Result<BoxStream<'static, std::io::Result<Output>>> {
        let mut state = self.state();
        let Some(made) = state.containers.get(id) else {
            return Err(Self::violation(&mut state, format!("start of no container {id}")));
        };
        if made.started {
            return Err(Self::violation(&mut state, format!("container {id} was started twice")));
        }
        let label = |name: &str| made.spec.labels.get(name).cloned().unwrap_or_default();
        let (project, phase) = (label(PROJECT_LABEL), label(PHASE_LABEL));
        let (behaviour, prints, complains) = if phase.is_empty() {
            expect::serving(&made.spec)
        } else {
            match state
                .expected
                .iter()
                .position(|e| e.project == project && e.phase == phase)
            {
                Some(at) => {
                    let expected = state.expected.remove(at);
                    (expected.behaviour, expected.prints, expected.complains)
                }
                None => {
                    return Err(Self::violation(
                        &mut state,
                        format!("unexpected start of {project:?} {phase:?}"),
                    ));
                }
            }
        };
        let mut killed = None;
        if let Some(made) = state.containers.get_mut(id) {
            made.started = true;
            made.behaviour = behaviour.clone();
            killed = Some(made.killed.clone());
        }
        let output = expect::output(prints, complains);
        match (behaviour, killed) {
            (Behaviour::Hangs, Some(killed)) => {
                let end = stream::once(async move { killed.notified().await }).filter_map(|()| async { None });
                Ok(output.chain(end).boxed())
            }
            (Behaviour::LosesEngine, _) => {
                let broken = stream::once(async { Err(std::io::Error::other("connection reset")) });
                Ok(output.chain(broken).boxed())
            }
            _ => Ok(output.boxed()),
        }
    }

    async fn wait(&self, id: &str) -> Result<Exit> {
        let mut state = self.state();
        let behaviour = state.containers.get(id).map(|made| made.behaviour.clone());
        match behaviour {
            Some(Behaviour::Exits(code)) => Ok(Exit {
                code,
                out_of_memory: false,
            }),
            Some(Behaviour::OutOfMemory) => Ok(Exit {
                code: 137,
                out_of_memory: true,
            }),
            Some(Behaviour::Hangs) => Ok(Exit {
                code: 137,
                out_of_memory: false,
            }),
            Some(Behaviour::LosesEngine) | None => {
                Err(Self::violation(&mut state, format!("wait for no container {id}")))
            }
        }
    }

    async fn usage(&self, _id: &str) -> Result<Usage> {
        Ok(Usage::default())
    }

    async fn exec(&self, id: &str, command: &[&str]) -> Result<()> {
        self.state().executed.push(format!("{id}: {}", command.join(" ")));
        Ok(())
    }

    async fn kill(&self, id: &str) -> Result<()> {
        if let Some(made) = self.state().containers.get(id) {
            made.killed.notify_one();
        }
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let removed = self.state().containers.remove(id);
        drop(removed.inspect(|made| made.killed.notify_one()));
        Ok(())
    }

    async fn reap(&self, label: &str, value: &str) -> Result<usize> {
        inventory::reap(&mut self.state(), label, value)
    }

    async fn images(&self, label: &str) -> Result<Vec<StoredImage>> {
        Ok(inventory::images(&self.state(), label))
    }

    async fn volumes(&self, label: &str) -> Result<Vec<StoredVolume>> {
        Ok(inventory::volumes(&self.state(), label))
    }

    async fn users(&self) -> Result<Users> {
        Ok(inventory::users(&self.state()))
    }

    async fn disk(&self) -> Result<Option<Disk>> {
        Ok(self.state().disk)
    }

    async fn disk_usage(&self) -> Result<DiskUsage> {
        Ok(inventory::disk_usage(&self.state()))
    }
}
