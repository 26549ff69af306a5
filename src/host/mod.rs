//! The daemon on a registered host: claims jobs, does them in containers, reports. It only dials out.

pub mod client;
mod daemon;
pub mod deliver;
pub mod doctor;
mod image;
mod leftovers;
pub mod log;
mod owner;
pub mod phase;
mod ready;
mod run;
pub mod spool;
mod uses;

pub use daemon::{Ending, reap, run as daemon};
pub(crate) use image::travel::offer;
pub use image::{from_scratch, quote, scratch};
pub use owner::Owner;

use crate::config::{BuildLimits, EngineSettings, NetworkSettings, RegistrySettings, RetentionSettings, Settings};
use crate::domain::host::Offer;
use crate::domain::job::{JobSpec, Report, RunSpec};
use crate::domain::outcome::Outcome;
use crate::domain::tree::{Change, Wanted};
use crate::runtime::{Runtime, RuntimeError, platform};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use leftovers::Leftovers;
use log::Log;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard};
use uses::Uses;

/// Where a host gets what a job needs.
#[async_trait]
pub trait Supply: Send + Sync {
    /// The tree of a check-in, or what is wanted of it, as a tar whose names begin with `src/`.
    async fn tree(&self, revision: &str, wanted: &Wanted)
    -> anyhow::Result<BoxStream<'static, std::io::Result<Bytes>>>;
    /// What differs between two check-ins; None where the first is not known any more.
    async fn changes(&self, from: &str, to: &str, ignore: &[String]) -> anyhow::Result<Option<Vec<Change>>>;
    /// The tar of a source folder that a recipe brought along.
    async fn folder(&self, digest: &str) -> anyhow::Result<Vec<u8>>;
}

/// A machine that works: its engine and what it may hand to containers.
#[derive(Clone)]
pub struct Host {
    /// Labels all that it makes.
    pub id: String,
    pub runtime: Arc<dyn Runtime>,
    pub supply: Arc<dyn Supply>,
    pub engine: EngineSettings,
    pub retention: RetentionSettings,
    pub network: NetworkSettings,
    /// Its own login at the registry.
    pub registry: RegistrySettings,
    /// Limits of image builds.
    pub build: BuildLimits,
    /// What does not change of what it offers.
    pub offer: Offer,
    pub owner: Arc<Owner>,
    /// Bytes that Pybots took of the engine's disk when that was last measured; only where its owner limits them.
    taken: Arc<AtomicU64>,
    /// Jobs that it works on at the same time.
    pub slots: usize,
    /// A maintainer trusts it with image builds.
    pub builds: bool,
    /// Of two jobs that need the same image, one makes it and the other waits.
    images: Locks,
    /// Build keys of the images that jobs work with.
    uses: Uses,
    leftovers: Leftovers,
}

/// A lock for each name.
#[derive(Clone, Default)]
struct Locks {
    names: Arc<Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Locks {
    /// Waits until nobody else holds the name.
    async fn hold(&self, name: &str) -> OwnedMutexGuard<()> {
        self.lock(name).lock_owned().await
    }

    /// None where somebody holds it.
    fn hold_if_free(&self, name: &str) -> Option<OwnedMutexGuard<()>> {
        self.lock(name).try_lock_owned().ok()
    }

    fn lock(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        // names that nobody holds or waits for are forgotten
        names.retain(|_, lock| Arc::strong_count(lock) > 1);
        names.entry(name.to_owned()).or_default().clone()
    }
}

/// Why a job went no further.
#[derive(Debug, thiserror::Error)]
enum Stop {
    /// The machinery failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("{0:#}")]
    Machinery(#[from] anyhow::Error),
    /// The job itself is decided.
    #[error("{0}")]
    Ended(Outcome),
}

impl Stop {
    fn outcome(self) -> Outcome {
        match self {
            Stop::Ended(outcome) => outcome,
            other => Outcome::Infra {
                reason: other.to_string(),
            },
        }
    }
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
            registry: settings.registry.clone(),
            build: settings.build.clone(),
            offer: Offer {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                platform: platform().to_owned(),
                slots: u32::try_from(settings.slots).unwrap_or(u32::MAX),
                ..Offer::default()
            },
            owner: Arc::new(Owner::fixed(settings.host.clone())),
            taken: Arc::default(),
            slots: settings.slots,
            builds: true,
            images: Locks::default(),
            uses: Uses::default(),
            leftovers: Leftovers::default(),
        }
    }

    /// Does one job to its end. Whatever happens, it leaves nothing behind and gives a report.
    pub async fn perform(&self, attempt: &str, spec: &JobSpec, log: &Log) -> Report {
        let say = self.owner.say();
        if let Some(reason) = say.refuses(spec) {
            log.say(&reason).await;
            // nothing failed: it goes elsewhere
            return Report {
                handed_back: true,
                ..Report::of(Outcome::Infra { reason })
            };
        }
        let at_work = self.leftovers.at_work(attempt);
        let _used = self.uses.share(spec.build_key()).await;
        let mut report = Report::of(Outcome::Passed);
        log.say(&spec.title()).await;
        let done = match spec {
            JobSpec::Image(build) => image::build(self, attempt, build, log, &mut report).await,
            JobSpec::Run(run) => {
                let here = say.cap(&run.limits);
                if here != run.limits {
                    log.say(&format!(
                        "the owner of this host gives a run {} processors, not {}",
                        here.cpus, run.limits.cpus
                    ))
                    .await;
                }
                let run = RunSpec {
                    limits: here,
                    ..(**run).clone()
                };
                run::run(self, attempt, &run, log, &mut report).await
            }
        };
        if let Err(stop) = done {
            report.outcome = stop.outcome();
        }
        self.clear(attempt).await;
        at_work.end();
        log.say(&format!("outcome: {}", report.outcome)).await;
        report
    }

    /// Works with an image: it is not removed meanwhile.
    pub(crate) async fn uses(&self, build_key: &str) -> OwnedRwLockReadGuard<()> {
        self.uses.share(build_key).await
    }

    /// What is left of what the owner gives of the disk, when that was last measured.
    pub(crate) fn left_of_share(&self) -> Option<u64> {
        let given = self.owner.say().disk?;
        Some(given.0.saturating_sub(self.taken.load(Ordering::SeqCst)))
    }

    pub(crate) fn has_taken(&self, bytes: u64) {
        self.taken.store(bytes, Ordering::SeqCst);
    }

    /// Lets no job begin to work with an image as long as it is held; None: one does already.
    pub(crate) fn nobody_uses(&self, build_key: &str) -> Option<OwnedRwLockWriteGuard<()>> {
        self.uses.alone(build_key)
    }

    /// Lets no build open a lane as long as it is held; None: one has it.
    pub(crate) fn nobody_builds_in(&self, lane: &str) -> Option<OwnedMutexGuard<()>> {
        self.images.hold_if_free(lane)
    }

    /// Processes of one `make`: the slots share the processors.
    fn build_jobs(&self) -> usize {
        ((self.build.cpus / self.slots.max(1) as f64).ceil() as usize).max(1)
    }

    fn labels(&self, attempt: &str) -> BTreeMap<String, String> {
        crate::runtime::labels(&self.id, attempt)
    }

    /// Variables for a container that may use the network; `ca` is the bundle's path in it.
    fn network_env(&self, ca: Option<&str>) -> BTreeMap<String, String> {
        self.network.environment(ca)
    }

    /// The CA bundle to hand out, if one is set.
    async fn ca(&self) -> Result<Option<Vec<u8>>, Stop> {
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
