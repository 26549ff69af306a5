//! A host: its engine, its settings, and the locks that its jobs share.

use super::image_locks::ImageLocks;
use super::instances::Instances;
use super::leftovers::Leftovers;
use super::name_locks::NameLocks;
use super::policy::HostPolicy;
use super::stop::Stop;
use super::supply::Supply;
use crate::config::{BuildLimits, EngineSettings, NetworkSettings, RegistrySettings, RetentionSettings, Settings};
use crate::domain::address::Secrets;
use crate::domain::host::Capabilities;
use crate::runtime::{Runtime, platform};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

/// A host: its engine, and the settings and secrets that it gives to containers.
#[derive(Clone)]
pub struct Host {
    /// The host's id, a label on everything that it creates.
    pub id: String,
    pub runtime: Arc<dyn Runtime>,
    pub supply: Arc<dyn Supply>,
    pub engine: EngineSettings,
    pub retention: RetentionSettings,
    pub network: NetworkSettings,
    /// The secrets that no log shows: the logins of the network's settings.
    pub(super) secrets: Secrets,
    /// The host's login at the registry.
    pub registry: RegistrySettings,
    /// Limits of image builds.
    pub build: BuildLimits,
    /// The constant part of the host's capabilities.
    pub capabilities: Capabilities,
    pub policy: Arc<HostPolicy>,
    /// The bytes of the engine's disk that Pybots used when they were last measured. They are measured only if the
    /// owner limits them.
    pub(super) disk_used: Arc<AtomicU64>,
    /// How many jobs the host does at the same time.
    pub slots: usize,
    /// Whether the host may build images.
    pub builds: bool,
    /// Locks on references of images and on build trees: the first job makes the image, and the others wait for it.
    pub(super) images: NameLocks,
    /// Locks on the images that jobs work with, by build key.
    pub(super) image_locks: ImageLocks,
    pub(super) leftovers: Leftovers,
    /// This instance of the daemon, and earlier ones.
    pub instances: Arc<Instances>,
}

impl Host {
    pub fn new(id: String, runtime: Arc<dyn Runtime>, supply: Arc<dyn Supply>, settings: &Settings) -> Self {
        Self {
            id,
            runtime,
            supply,
            engine: settings.engine.clone(),
            retention: settings.retention.clone(),
            network: settings.network.clone(),
            secrets: settings.network.secrets(),
            registry: settings.registry.clone(),
            build: settings.build.clone(),
            capabilities: Capabilities {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                platform: platform().to_owned(),
                slots: u32::try_from(settings.slots).unwrap_or(u32::MAX),
                ..Capabilities::default()
            },
            policy: Arc::new(HostPolicy::fixed(settings.host.clone())),
            disk_used: Arc::default(),
            slots: settings.slots,
            builds: true,
            images: NameLocks::default(),
            image_locks: ImageLocks::default(),
            leftovers: Leftovers::default(),
            instances: Arc::default(),
        }
    }

    /// Locks an image for a job, so that it is not removed during the job.
    pub(super) async fn share_image(&self, build_key: &str) -> OwnedRwLockReadGuard<()> {
        self.image_locks.share(build_key).await
    }

    /// Returns how many bytes remained of the disk space that the owner grants, when it was last measured. Returns
    /// `None` if the owner sets no limit.
    pub(super) fn disk_left(&self) -> Option<u64> {
        let given = self.policy.current().disk?;
        Some(given.0.saturating_sub(self.disk_used.load(Ordering::SeqCst)))
    }

    pub(super) fn set_disk_used(&self, bytes: u64) {
        self.disk_used.store(bytes, Ordering::SeqCst);
    }

    /// Locks an image for its removal, so that no job can begin to use it. Returns `None` if a job uses it.
    pub(super) fn lock_unused_image(&self, build_key: &str) -> Option<OwnedRwLockWriteGuard<()>> {
        self.image_locks.alone(build_key)
    }

    /// Locks a build tree for its removal, so that no build can open it. Returns `None` if a build has it open.
    pub(super) fn lock_idle_build_tree(&self, build_tree: &str) -> Option<OwnedMutexGuard<()>> {
        self.images.hold_if_free(build_tree)
    }

    /// Returns the number of parallel processes for one `make`. The slots share the processors.
    pub(super) fn build_jobs(&self) -> usize {
        ((self.build.cpus / self.slots.max(1) as f64).ceil() as usize).max(1)
    }

    pub(super) fn labels(&self, attempt: &str) -> BTreeMap<String, String> {
        crate::runtime::labels(&self.id, self.instances.own(), attempt)
    }

    /// Reads the CA bundle for containers. Returns `None` if the settings name none.
    pub(super) async fn ca(&self) -> Result<Option<Vec<u8>>, Stop> {
        if self.network.ca.as_os_str().is_empty() {
            return Ok(None);
        }
        let read = tokio::fs::read(&self.network.ca).await;
        let explained = |error| {
            anyhow::anyhow!(
                "failed to read the CA bundle {}: {error}; correct `network.ca`",
                self.network.ca.display()
            )
        };
        Ok(Some(read.map_err(explained)?))
    }
}
