//! `pybots images`: what this machine's engine holds of ours, why, and what of it may go.

mod rows;

use super::host::host_id;
use crate::clock::now_ms;
use crate::config::Settings;
use crate::coordinator::keep::Keeper;
use crate::domain::retention::{Inventory, Verdict, Verdicts};
use crate::janitor;
use crate::profile::Profiles;
use crate::runtime::Runtime;
use crate::runtime::docker::DockerRuntime;
use crate::store::Store;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use rows::{Rows, size};
use std::process::ExitCode;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Images {
    /// For programs: images and volumes.
    #[arg(long)]
    json: bool,
    /// Volumes instead of images: lanes, caches and wheels.
    #[arg(long)]
    volumes: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Remove what the settings of `[retention]` let go, as `pybots up` does by itself.
    Prune {
        /// Only say what would go, and why.
        #[arg(long)]
        dry_run: bool,
    },
    /// Keep the images of a check-in, whatever their age.
    Pin {
        /// The check-in: its id (at least 7 digits), or `r45321`.
        revision: String,
        /// Why, for those who come later.
        #[arg(long)]
        reason: String,
    },
    /// Take pins off the images of a check-in.
    Unpin {
        revision: String,
        /// Only the pin with this reason.
        #[arg(long)]
        reason: Option<String>,
    },
}

impl Images {
    pub async fn run(self, settings: &Settings) -> Result<ExitCode> {
        let store = super::store(settings).await?;
        match self.action {
            Some(Action::Pin { revision, reason }) => pin(&store, &revision, &reason).await?,
            Some(Action::Unpin { revision, reason }) => unpin(&store, &revision, reason.as_deref()).await?,
            Some(Action::Prune { dry_run }) => prune(settings, &store, dry_run).await?,
            None => list(settings, &store, self.json, self.volumes).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The check-in as people call it, and the build keys of its images.
async fn keys(store: &Store, revision: &str) -> Result<(String, Vec<String>)> {
    let Some(found) = store.revision_by_sha(revision).await? else {
        bail!("there is no check-in {revision:?}; write at least 7 digits of its id, or its number as `r45321`");
    };
    let keys = store.build_keys_of(&found.sha).await?;
    if keys.is_empty() {
        bail!("no image stands for {}", found.name());
    }
    Ok((found.name().to_owned(), keys))
}

async fn pin(store: &Store, revision: &str, reason: &str) -> Result<()> {
    if reason.trim().is_empty() {
        bail!("say why: `--reason TEXT`");
    }
    let (name, keys) = keys(store, revision).await?;
    for key in &keys {
        store.pin_image(key, reason.trim(), now_ms()).await?;
    }
    outln!("{} images of {name} stay: {}", keys.len(), reason.trim());
    Ok(())
}

async fn unpin(store: &Store, revision: &str, reason: Option<&str>) -> Result<()> {
    let (name, keys) = keys(store, revision).await?;
    let mut removed = 0;
    for key in &keys {
        removed += store.unpin_image(key, reason.map(str::trim)).await?;
    }
    outln!("{removed} pins taken off {name}");
    Ok(())
}

/// What the engine of this machine holds, with a verdict on each.
async fn look(settings: &Settings, store: &Store) -> Result<(DockerRuntime, Inventory, Verdicts)> {
    let profiles = Profiles::load(settings.images_folder())?;
    let keeper = Keeper::new(store, settings, &profiles.distribution);
    let runtime = DockerRuntime::connect(&settings.engine.socket()).await?;
    let inventory = janitor::survey(&runtime, &host_id(&settings.data)?)
        .await
        .context("failed to list what the engine holds")?;
    let verdicts = keeper.judge(&inventory, now_ms()).await?;
    Ok((runtime, inventory, verdicts))
}

async fn list(settings: &Settings, store: &Store, json: bool, volumes: bool) -> Result<()> {
    let (runtime, mut inventory, verdicts) = look(settings, store).await?;
    let usage = runtime.disk_usage().await.unwrap_or_else(|error| {
        eprintln!("what images share, and the size of volumes, is not known: {error}");
        Default::default()
    });
    for volume in &mut inventory.volumes {
        volume.size = usage.volumes.get(&volume.name).copied();
    }
    let rows = Rows::gather(store, &inventory, &verdicts, &usage.shared).await?;
    if json {
        outln!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    out!(
        "{}",
        if volumes {
            rows.volumes(now_ms())
        } else {
            rows.images(now_ms())
        }
    );
    if let Some(disk) = runtime.disk().await? {
        outln!("disk: {} of {} free", size(disk.free), size(disk.total));
    }
    Ok(())
}

async fn prune(settings: &Settings, store: &Store, dry_run: bool) -> Result<()> {
    let (runtime, inventory, verdicts) = look(settings, store).await?;
    let goes = |verdicts: &[Verdict]| -> Vec<Verdict> {
        let going = verdicts.iter().filter(|verdict| !verdict.reason.stays());
        going.cloned().collect()
    };
    let gone = if dry_run {
        [goes(&verdicts.images), goes(&verdicts.volumes)].concat()
    } else {
        janitor::sweep(&runtime, None, &inventory, &verdicts).await
    };
    let rows = Rows::gather(store, &inventory, &verdicts, &Default::default()).await?;
    let names = rows.names();
    for verdict in &gone {
        let name = names.get(&verdict.name).unwrap_or(&verdict.name);
        outln!("{name}: {}; frees {}", verdict.reason, size(verdict.frees));
    }
    let images: u64 = gone.iter().map(|verdict| verdict.frees).sum();
    let asked = goes(&verdicts.images).len() + goes(&verdicts.volumes).len();
    let verb = if dry_run { "would go" } else { "went" };
    outln!(
        "{} of {} {verb}",
        gone.len(),
        inventory.images.len() + inventory.volumes.len()
    );
    outln!("images free {}, by their labels; volumes are not counted", size(images));
    if gone.len() < asked {
        outln!("{} could not be removed, since they are in use", asked - gone.len());
    }
    Ok(())
}
