//! The loops that drive watch, plan and queue. Each is a tick that rereads the store: a missed
//! event or a restart heals itself.

pub mod keep;
mod leases;
mod plan;
pub mod remote;
mod silent;
mod verdicts;

use crate::clock::now_ms;
use crate::config::Settings;
use crate::profile::Profiles;
use crate::queue::Queue;
use crate::recipe::{Registered, load_folder};
use crate::store::Store;
use crate::store::branches::Watched;
use crate::store::logs::Objects;
use crate::store::projects::Project;
use crate::watch::{self, git::Mirror, sources::Sources};
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Time between looks at recipes and plans.
const BEAT: Duration = Duration::from_secs(5);

/// What the coordinator is made of; cheap to clone.
#[derive(Clone)]
pub struct Coordinator {
    pub store: Store,
    pub objects: Objects,
    pub queue: Queue,
    /// Of `sources`, which everybody but the watcher needs no more of.
    pub mirror: Mirror,
    sources: Sources,
    pub settings: Arc<Settings>,
    profiles: Arc<Profiles>,
    platform: String,
    /// Told when there may be something to plan.
    news: Arc<Notify>,
    inputs: Arc<Mutex<Inputs>>,
}

/// Digests of build inputs, by check-in and what is ignored of it. Only a memory: each can be had again.
type Inputs = HashMap<(String, Vec<String>), String>;

/// So many digests are remembered; each is about 200 bytes.
const INPUTS_MOST: usize = 10_000;

impl Coordinator {
    /// Opens the store and the mirror. `platform` is what the hosts run, e.g. `linux/amd64`.
    pub async fn open(settings: Settings, platform: &str) -> Result<Self> {
        let profiles = Profiles::load(settings.images_folder())?;
        settings.buildable(&profiles)?;
        std::fs::create_dir_all(&settings.data)
            .with_context(|| format!("failed to make the data folder {}; set `data`", settings.data.display()))?;
        let store = Store::open(&settings.database_url()).await?;
        let watched = settings.branch.iter().map(|branch| Watched {
            name: branch.name.clone(),
            reference: branch.reference.clone(),
            source: settings.source.of(branch).to_owned(),
        });
        store.set_branches(&watched.collect::<Vec<_>>()).await?;
        let sources = Sources::open(&settings.data, &settings.source).await?;
        Ok(Self {
            objects: Objects::open(&settings.data)?,
            queue: Queue::new(store.clone()),
            mirror: sources.mirror.clone(),
            sources,
            profiles: Arc::new(profiles),
            platform: platform.to_owned(),
            news: Arc::new(Notify::new()),
            inputs: Arc::default(),
            settings: Arc::new(settings),
            store,
        })
    }

    /// Runs until the process ends. A tick that fails is said and repeated; nothing ends the loops.
    pub async fn run(&self) {
        tokio::join!(self.watch(), self.beat(), self.leases(), self.travel());
    }

    /// Plans soon instead of at the next beat.
    pub fn nudge(&self) {
        self.news.notify_one();
    }

    /// Who decides what hosts may let go.
    pub fn keeper(&self) -> keep::Keeper<'_> {
        keep::Keeper::new(&self.store, &self.settings, &self.profiles.distribution)
    }

    /// Digest of what a build of a check-in reads.
    async fn inputs(&self, sha: &str, ignore: &[String]) -> Result<String> {
        let key = (sha.to_owned(), ignore.to_vec());
        let known = self
            .inputs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
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
            match watch::tick(&self.store, &self.sources, &self.settings.branch, now_ms()).await {
                Ok(0) => {}
                Ok(_) => self.nudge(),
                Err(error) => tracing::error!(error = format!("{error:#}"), "failed to watch"),
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
                () = self.news.notified() => {}
                () = tokio::time::sleep(BEAT) => {}
            }
        }
    }

    async fn tick(&self) -> Result<()> {
        let projects = self.register().await?;
        let planned = plan::tick(self, &projects, now_ms()).await?;
        if planned > 0 {
            self.queue.announce();
        }
        if verdicts::tick(self, &projects, now_ms()).await? > 0 {
            self.queue.announce();
        }
        Ok(())
    }

    /// Rereads the recipes, so that a file that was added or corrected counts from now on.
    async fn register(&self) -> Result<Vec<Registered>> {
        let folder = self.settings.projects_folder().map(std::path::Path::to_owned);
        let (good, refused) = tokio::task::spawn_blocking(move || load_folder(folder.as_deref())).await??;
        let known: Vec<(String, String)> = self.store.refused_recipes().await?;
        let refused: Vec<(String, String)> = refused.into_iter().map(|bad| (bad.file, bad.message)).collect();
        for (file, message) in refused.iter().filter(|bad| !known.contains(bad)) {
            tracing::warn!(file, "a recipe is refused\n{message}");
        }
        let in_force = self.store.projects().await?;
        let same = refused == known
            && in_force.len() == good.len()
            && in_force
                .iter()
                .zip(&good)
                .all(|(a, b)| a.recipe == b.digest && a.name == *b.recipe.name.get_ref());
        if !same {
            let mut rows = Vec::new();
            for project in &good {
                for (digest, tar) in &project.tars {
                    self.objects.put_folder(digest, tar).await?;
                }
                let row = Project {
                    name: project.recipe.name.get_ref().clone(),
                    summary: project.recipe.summary.clone(),
                    homepage: project.recipe.homepage.clone(),
                    recipe: project.digest.clone(),
                };
                rows.push((row, project.text.clone()));
            }
            self.store.set_projects(&rows, &refused, now_ms()).await?;
            tracing::info!(registered = rows.len(), refused = refused.len(), "recipes were read");
        }
        Ok(good)
    }
}
