//! `pybots images`: lists the images and volumes on this machine's engine, and prunes, pins or unpins them.

mod rows;

use super::host::host_id;
use crate::clock::now;
use crate::config::Settings;
use crate::coordinator::keep::Keeper;
use crate::domain::retention::{Decisions, Inventory, RetentionDecision};
use crate::host::janitor;
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
    /// Print JSON, with images and volumes.
    #[arg(long)]
    json: bool,
    /// List volumes instead of images: build trees, caches and wheels.
    #[arg(long)]
    volumes: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Remove the images and volumes that `[retention]` does not keep. `pybots up` does the same automatically.
    Prune {
        /// Print what would be removed, and why, without removing it.
        #[arg(long)]
        dry_run: bool,
    },
    /// Keep the images of a revision, whatever their age.
    Pin {
        /// The revision: at least 7 digits of its id, or `r45321`.
        revision: String,
        /// Why the images are kept.
        #[arg(long)]
        reason: String,
    },
    /// Remove the pins of a revision's images.
    Unpin {
        /// The revision: at least 7 digits of its id, or `r45321`.
        revision: String,
        /// Remove only the pin with this reason.
        #[arg(long)]
        reason: Option<String>,
    },
}

impl Images {
    pub async fn run(self, settings: &Settings) -> Result<ExitCode> {
        let store = super::open::store(settings).await?;
        match self.action {
            Some(Action::Pin { revision, reason }) => pin(&store, &revision, &reason).await?,
            Some(Action::Unpin { revision, reason }) => unpin(&store, &revision, reason.as_deref()).await?,
            Some(Action::Prune { dry_run }) => prune(settings, &store, dry_run).await?,
            None => list(settings, &store, self.json, self.volumes).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the label or id of a revision, and the build keys of its images.
async fn keys(store: &Store, revision: &str) -> Result<(String, Vec<String>)> {
    let Some(found) = store.revision_by_sha(revision).await? else {
        bail!("there is no revision {revision:?}; write at least 7 digits of its id, or its number as `r45321`");
    };
    let keys = store.build_keys_of(&found.sha).await?;
    if keys.is_empty() {
        bail!("{} has no image", found.name());
    }
    Ok((found.name().to_owned(), keys))
}

async fn pin(store: &Store, revision: &str, reason: &str) -> Result<()> {
    if reason.trim().is_empty() {
        bail!("the reason is empty; write `--reason TEXT`");
    }
    let (name, keys) = keys(store, revision).await?;
    for key in &keys {
        store.pin_image(key, reason.trim(), now()).await?;
    }
    outln!("pinned {} images of {name}: {}", keys.len(), reason.trim());
    Ok(())
}

async fn unpin(store: &Store, revision: &str, reason: Option<&str>) -> Result<()> {
    let (name, keys) = keys(store, revision).await?;
    let mut removed = 0;
    for key in &keys {
        removed += store.unpin_image(key, reason.map(str::trim)).await?;
    }
    outln!("removed {removed} pins from the images of {name}");
    Ok(())
}

/// Returns the images and volumes on this machine's engine, with the decision which ones stay.
async fn survey(settings: &Settings, store: &Store) -> Result<(DockerRuntime, Inventory, Decisions)> {
    let profiles = Profiles::load(settings.images_folder())?;
    let keeper = Keeper::new(store, settings, &profiles.distribution);
    let runtime = DockerRuntime::connect(&settings.engine.socket()).await?;
    let inventory = janitor::survey(&runtime, &host_id(&settings.data)?)
        .await
        .context("failed to list the images and volumes on the engine")?;
    let decisions = keeper.decide(&inventory, now()).await?;
    Ok((runtime, inventory, decisions))
}

async fn list(settings: &Settings, store: &Store, json: bool, volumes: bool) -> Result<()> {
    let (runtime, mut inventory, decisions) = survey(settings, store).await?;
    let usage = runtime.disk_usage().await.unwrap_or_else(|error| {
        errln!("the engine reports neither shared sizes nor sizes of volumes: {error}");
        Default::default()
    });
    for volume in &mut inventory.volumes {
        volume.size = usage.volumes.get(&volume.name).copied();
    }
    let rows = Rows::gather(store, &inventory, &decisions, &usage.shared).await?;
    if json {
        crate::cli::output::json(&rows)?;
        return Ok(());
    }
    out!(
        "{}",
        if volumes {
            rows.volumes(now())
        } else {
            rows.images(now())
        }
    );
    if let Some(disk) = runtime.disk().await? {
        outln!("disk: {} of {} free", size(disk.free), size(disk.total));
    }
    Ok(())
}

async fn prune(settings: &Settings, store: &Store, dry_run: bool) -> Result<()> {
    let (runtime, inventory, decisions) = survey(settings, store).await?;
    let removable = |decisions: &[RetentionDecision]| -> Vec<RetentionDecision> {
        let removable = decisions.iter().filter(|decision| !decision.reason.stays());
        removable.cloned().collect()
    };
    let removed = if dry_run {
        [removable(&decisions.images), removable(&decisions.volumes)].concat()
    } else {
        janitor::sweep(&runtime, None, &inventory, &decisions).await
    };
    let rows = Rows::gather(store, &inventory, &decisions, &Default::default()).await?;
    let names = rows.names();
    for decision in &removed {
        let name = names.get(&decision.name).unwrap_or(&decision.name);
        outln!("{name}: {}; frees {}", decision.reason, size(decision.frees));
    }
    let freed: u64 = removed.iter().map(|decision| decision.frees).sum();
    let expected = removable(&decisions.images).len() + removable(&decisions.volumes).len();
    let verb = if dry_run { "would be removed" } else { "removed" };
    outln!(
        "{} of {} {verb}",
        removed.len(),
        inventory.images.len() + inventory.volumes.len()
    );
    outln!(
        "this frees {} of images, by the sizes in their labels; volumes are not counted",
        size(freed)
    );
    if removed.len() < expected {
        outln!(
            "{} could not be removed because they are in use",
            expected - removed.len()
        );
    }
    Ok(())
}
