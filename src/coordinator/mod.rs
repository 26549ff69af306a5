//! The loops that drive watching, planning, the queue and the verdicts. Each pass rereads the store, so that nothing is
//! lost by a missed event or a restart.

pub mod keep;
mod leases;
mod plan;
mod recipes;
pub mod remote;
mod silent;
mod trials;

use crate::access;
use crate::clock::now;
use crate::config::Settings;
use crate::domain::time::{HOUR_MS, Timestamp};
use crate::investigate::{self, WantedImage};
use crate::profile::Profiles;
use crate::queue::Queue;
use crate::recipe::Registered;
use crate::recipe::reader::RecipeReader;
use crate::store::Store;
use crate::store::branches::Watched;
use crate::store::logs::Objects;
use crate::watch::{self, git::Mirror, recipes::RecipeRepository, sources::Sources};
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::os::unix::fs::DirBuilderExt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The longest time between two passes over recipes and plans.
const BEAT: Duration = Duration::from_secs(5);

/// The parts of the coordinator; cheap to clone.
#[derive(Clone)]
pub struct Coordinator {
    pub store: Store,
    pub objects: Objects,
    pub queue: Queue,
    /// The mirror of `sources`. Other parts of the coordinator need only the mirror.
    pub mirror: Mirror,
    sources: Sources,
    /// `None` if recipes come from a folder, or are built in.
    recipe_repository: Option<RecipeRepository>,
    pub settings: Arc<Settings>,
    profiles: Arc<Profiles>,
    platform: String,
    /// Notified when there may be new work to plan.
    changed: Arc<Notify>,
    inputs: Arc<Mutex<Inputs>>,
    recipes: Arc<Mutex<RecipeReader>>,
    /// A cache of submitted recipes, by file name.
    submitted: Arc<Mutex<HashMap<String, Registered>>>,
    /// Whether the queue may have jobs of recipes that are no longer in force.
    has_past_recipes: Arc<AtomicBool>,
    /// The time of the last [`Coordinator::sweep`], in milliseconds UTC.
    swept_at: Arc<AtomicI64>,
}

/// A cache of the digests of build inputs, by revision and ignored paths.
type Inputs = HashMap<(String, Vec<String>), String>;

/// The most digests in the cache. Each takes about 200 bytes.
const INPUTS_MOST: usize = 10_000;

impl Coordinator {
    /// Opens the store and the mirror, and watches exactly the branches of the settings. `platform` is the platform of
    /// the images, such as `linux/amd64`. Fails if a branch has a variant without a profile.
    pub async fn open(settings: Settings, platform: &str) -> Result<Self> {
        let profiles = Profiles::load(settings.images_folder())?;
        settings.buildable(&profiles)?;
        // other users of the machine must not read tokens and logs
        let mut folder = std::fs::DirBuilder::new();
        folder
            .recursive(true)
            .mode(0o700)
            .create(&settings.data)
            .with_context(|| format!("failed to make the data folder {}; set `data`", settings.data.display()))?;
        let store = Store::open(settings.database_url().with_login()).await?;
        let watched = settings.branch.iter().map(|branch| Watched {
            name: branch.name.clone(),
            reference: branch.reference.clone(),
            source: settings.source.of(branch).clone(),
        });
        store.set_branches(&watched.collect::<Vec<_>>()).await?;
        let sources = Sources::open(&settings.data, &settings.source).await?;
        let checkouts = settings.data.join("recipes");
        Ok(Self {
            objects: Objects::open(&settings.data)?.with_readers_of_one(settings.http.log_readers_per_address),
            queue: Queue::with_trust(store.clone(), settings.trust()),
            mirror: sources.mirror.clone(),
            sources,
            recipe_repository: RecipeRepository::open(&settings.data, &settings.recipes, checkouts).await?,
            profiles: Arc::new(profiles),
            platform: platform.to_owned(),
            changed: Arc::new(Notify::new()),
            inputs: Arc::default(),
            recipes: Arc::default(),
            submitted: Arc::default(),
            // an earlier process may have stopped after it read the recipes
            has_past_recipes: Arc::new(AtomicBool::new(true)),
            swept_at: Arc::default(),
            settings: Arc::new(settings),
            store,
        })
    }

    /// Runs all loops until the process ends. Logs a pass that fails, and goes on with the next one.
    pub async fn run(&self) {
        tokio::join!(
            self.watch(),
            self.watch_recipes(),
            self.beat(),
            self.leases(),
            self.travel()
        );
    }

    /// Starts the next planning pass at once, or after the present one.
    pub fn nudge(&self) {
        self.changed.notify_one();
    }

    /// Returns the keeper, which decides about the images and volumes of hosts.
    pub fn keeper(&self) -> keep::Keeper<'_> {
        keep::Keeper::new(&self.store, &self.settings, &self.profiles.distribution)
    }

    /// Returns the digest of the files that a build of a revision reads.
    async fn inputs(&self, sha: &str, ignore: &[String]) -> Result<String> {
        let key = (sha.to_owned(), ignore.to_vec());
        let cached = self
            .inputs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if let Some(cached) = cached {
            return Ok(cached);
        }
        let digest = self.mirror.inputs(sha, ignore).await?;
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        if inputs.len() >= INPUTS_MOST {
            inputs.clear();
        }
        inputs.insert(key, digest.clone());
        Ok(digest)
    }

    async fn watch(&self) {
        loop {
            match watch::tick(&self.store, &self.sources, &self.settings.branch, now()).await {
                Ok(0) => {}
                Ok(_) => self.nudge(),
                Err(error) => tracing::error!(error = format!("{error:#}"), "failed to watch"),
            }
            tokio::time::sleep(Duration::from_secs(self.settings.poll.0)).await;
        }
    }

    /// Fetches the repository of recipes. A loop of its own, because the first fetch of CPython takes long.
    async fn watch_recipes(&self) {
        let Some(repository) = &self.recipe_repository else {
            return;
        };
        loop {
            if repository.fetch().await {
                self.nudge();
            }
            tokio::time::sleep(Duration::from_secs(self.settings.poll.0)).await;
        }
    }

    async fn beat(&self) {
        loop {
            if let Err(error) = self.tick().await {
                tracing::error!(error = format!("{error:#}"), "failed to plan");
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(BEAT) => {}
            }
        }
    }

    async fn tick(&self) -> Result<()> {
        let Some(projects) = recipes::register(self, now()).await? else {
            return Ok(());
        };
        let replaced = recipes::replace(self, &projects, now()).await?;
        self.sweep(&projects, now()).await;
        let planned = plan::tick(self, &projects, now()).await?;
        let tried = trials::tick(self, now()).await?;
        // also without followers of events, because this deletes the oldest ones
        self.store.number_events().await?;
        if planned + replaced + tried > 0 {
            self.queue.announce();
        }
        let investigated = self.investigate(&projects, now()).await;
        self.index().await;
        investigated
    }

    /// Makes new revisions and incidents searchable, some in each pass.
    async fn index(&self) {
        if let Err(error) = self.store.index_words().await {
            tracing::error!(error = format!("{error:#}"), "failed to make revisions searchable");
        }
    }

    /// Once an hour, removes source folders that no recipe and no job needs any more, tokens that ended long ago, and
    /// old entries of the audit log.
    async fn sweep(&self, projects: &[Registered], now: Timestamp) {
        let last = self.swept_at.load(Ordering::SeqCst);
        if (0..HOUR_MS).contains(&(now.as_millis() - last)) {
            return;
        }
        self.swept_at.store(now.as_millis(), Ordering::SeqCst);
        let days = self.settings.policy().longest();
        match keep::remove_folders(&self.store, &self.objects, projects, days, now).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed source folders that nobody needs"),
            Err(error) => tracing::error!(error = format!("{error:#}"), "failed to remove source folders"),
        }
        match access::remove_old(&self.store, self.settings.retention.audit_days.get(), now).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed ended tokens and old entries of the audit log"),
            Err(error) => tracing::error!(error = format!("{error:#}"), "failed to remove old rows of accounts"),
        }
    }

    async fn investigate(&self, projects: &[Registered], now: Timestamp) -> Result<()> {
        let trust = self.settings.trust();
        let context = investigate::Context {
            store: &self.store,
            objects: &self.objects,
            queue: &self.queue,
            mirror: &self.mirror,
            settings: &self.settings.verdicts,
            trust: &trust,
            profiles: &self.profiles,
            limits: &self.settings.limits,
            has_registry: self.settings.registry.repository().is_some(),
            now,
        };
        let pass = investigate::tick(&context, projects).await?;
        let mut jobs = pass.jobs;
        for image in &pass.images {
            match self.build_soon(image, now).await {
                Ok(builds) => jobs += builds,
                Err(error) => {
                    let revision = &image.revision.sha;
                    tracing::error!(revision, error = format!("{error:#}"), "failed to plan an image");
                }
            }
        }
        if jobs > 0 {
            self.queue.announce();
        }
        if pass.answers > 0 {
            self.nudge();
        }
        Ok(())
    }

    /// Plans an image for which an investigation waits, if it is not planned yet, and moves its build before the
    /// backlog. Returns how many jobs it added.
    async fn build_soon(&self, image: &WantedImage, now: Timestamp) -> Result<usize> {
        let WantedImage {
            revision,
            variant,
            platform,
        } = image;
        let added = plan::image_of(self, revision, variant, now).await?;
        self.store.hasten_build(&revision.id, variant, platform, now).await?;
        Ok(added)
    }
}
