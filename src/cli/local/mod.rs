//! What a person's machine needs to build and run without a server: `pybots try`, `pybots bisect`.

mod runs;
mod terminal;

pub use runs::{Runs, short};

use super::progress::Progress;
use super::up::platform;
use crate::config::{Kind, Settings};
use crate::domain::DEFAULT_VARIANT;
use crate::domain::job::{BuildSpec, JobSpec, Report};
use crate::domain::place::number;
use crate::domain::tree::{Change, Wanted};
use crate::host::log::Log;
use crate::host::{Host, Supply};
use crate::plan;
use crate::profile::Profiles;
use crate::recipe::{Registered, load_folder, register};
use crate::runtime::docker::DockerRuntime;
use crate::runtime::{HOST_LABEL, LANE_LABEL, Runtime};
use crate::store::new_id;
use crate::store::revisions::Revision;
use crate::watch::git::Mirror;
use crate::watch::sources::Sources;
use anyhow::{Context, Result, anyhow, bail};
use async_trait::async_trait;
use bytes::Bytes;
use clap::Args;
use futures_util::stream::{BoxStream, StreamExt};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use terminal::{Kept, Terminal};

/// How builds and runs are made and told of.
#[derive(Args)]
pub struct How {
    /// How CPython is built.
    #[arg(long, default_value = DEFAULT_VARIANT, value_name = "NAME")]
    pub variant: String,
    /// For programs.
    #[arg(long)]
    pub json: bool,
    /// Show the logs of builds and runs.
    #[arg(long, short)]
    pub verbose: bool,
}

/// An engine, a copy of CPython's history, and projects.
pub struct Workshop {
    pub settings: Settings,
    /// At least one.
    pub projects: Vec<Registered>,
    pub sources: Sources,
    profiles: Profiles,
    host: Host,
    /// Held as long as what this makes is labelled with the id of the data folder.
    lock: Option<File>,
}

impl Workshop {
    pub async fn open(settings: &Settings, projects: Vec<Registered>, variant: &str) -> Result<Self> {
        if projects.is_empty() {
            bail!("there is no project to run");
        }
        let profiles = Profiles::load(settings.images_folder())?;
        profiles.knows_variant(variant).map_err(anyhow::Error::msg)?;
        let runtime = Arc::new(DockerRuntime::connect(&settings.engine.socket()).await?);
        let sources = Sources::open(&settings.data, &settings.source).await?;
        let supply = Arc::new(Local {
            mirror: sources.mirror.clone(),
            folders: projects.iter().flat_map(|project| project.tars.clone()).collect(),
        });
        let (id, lock) = trial_id(&settings.data, runtime.as_ref()).await?;
        Ok(Self {
            host: Host::new(id, runtime, supply, settings),
            settings: settings.clone(),
            projects,
            sources,
            profiles,
            lock,
        })
    }

    /// The first one.
    pub fn project(&self) -> &Registered {
        &self.projects[0]
    }

    /// Leaves nothing that nobody will use.
    pub async fn close(&self) -> Result<()> {
        if self.lock.is_none() {
            // nobody will build on what an id of a moment leaves
            self.host.runtime.reap(LANE_LABEL, &self.host.id).await?;
        }
        Ok(())
    }

    /// How a check-in is built; an error says why it is not.
    pub async fn build(&self, revision: &Revision, variant: &str) -> Result<BuildSpec> {
        let profile = plan::profile(revision, &self.profiles, variant).map_err(anyhow::Error::msg)?;
        let inputs = self.sources.mirror.inputs(&revision.sha, &profile.ignore).await?;
        plan::build(
            revision,
            profile,
            &self.profiles.distribution,
            &inputs,
            variant,
            platform(),
        )
        .map_err(anyhow::Error::msg)
    }

    /// The check-in to test on, copied into the mirror if need be.
    pub async fn revision(&self, on: &str) -> Result<Revision> {
        let Self { settings, sources, .. } = self;
        let mirror = &sources.mirror;
        let mut progress = Progress::new();
        let (branch, sha) = match settings.branch.iter().find(|branch| branch.name == on) {
            Some(branch) => {
                progress.at(
                    0,
                    0,
                    &format!("copying {} from {}", branch.reference, sources.url(branch)),
                );
                let tips = sources.tips(&[(sources.kind(branch), &branch.reference)]).await;
                let tip = tips.into_iter().next().context("no branch was looked for")?;
                let tip = tip.map_err(anyhow::Error::msg)?;
                (branch.name.clone(), sources.fetch(&branch.name, &tip).await?)
            }
            None if number(on).is_some() => self.numbered(on, &mut progress).await?,
            None => {
                if !mirror.holds(on).await {
                    progress.at(0, 0, &format!("copying the watched branches from {}", mirror.url()));
                    copy_all(settings, sources).await?;
                }
                let sha = mirror.commit(on).await.with_context(|| {
                    let names: Vec<&str> = settings.branch.iter().map(|branch| branch.name.as_str()).collect();
                    format!(
                        "{on:?} is neither a watched branch ({}) nor a check-in on one",
                        names.join(", ")
                    )
                })?;
                (branch_of(settings, sources, &sha).await?, sha)
            }
        };
        progress.end();
        self.check_in(&branch, &sha).await
    }

    /// The check-in of Subversion that has a label, on the first watched branch that it touched.
    async fn numbered(&self, on: &str, progress: &mut Progress) -> Result<(String, String)> {
        let Self { settings, sources, .. } = self;
        let in_svn = settings
            .branch
            .iter()
            .filter(|branch| sources.kind(branch) == Kind::Svn);
        for branch in in_svn {
            progress.at(0, 0, &format!("looking for {on} on {}", branch.name));
            let wanted = number(on).unwrap_or_default();
            if let Some(sha) = sources.fetch_number(branch, wanted).await? {
                return Ok((branch.name.clone(), sha));
            }
        }
        bail!("{on} touches no watched branch of a Subversion repository")
    }

    /// A check-in of a branch.
    pub async fn check_in(&self, branch: &str, sha: &str) -> Result<Revision> {
        Ok(Revision::of(branch, self.sources.mirror.check_in(sha).await?))
    }

    /// Does one job, with its log on stderr if that is wanted; Ctrl-C leaves nothing behind. Returns the end of the log
    /// too.
    pub async fn perform(&self, spec: &JobSpec, tells: bool) -> Result<(Report, String)> {
        let attempt = new_id();
        let steps = match spec {
            JobSpec::Image(_) => 4, // configure, make, install, probe
            JobSpec::Run(run) => 2 + run.suites.len() as u64,
        };
        let kept = Arc::new(Kept::new(tells.then(|| Terminal::new(spec.title(), steps))));
        let (log, delivered) = Log::start(kept.clone());
        let report = tokio::select! {
            report = self.host.perform(&attempt, spec, &log) => report,
            signal = super::up::signal() => {
                self.host.runtime.reap(crate::runtime::ATTEMPT_LABEL, &attempt).await?;
                bail!("stopped by {signal}");
            }
        };
        drop(log);
        delivered.await??;
        Ok((report, kept.text()))
    }
}

/// A recipe file, or a registered project by its name.
pub fn project(settings: &Settings, name: &str) -> Result<Registered> {
    if Path::new(name).is_file() {
        return recipe(Path::new(name));
    }
    let (known, refused) = load_folder(settings.projects_folder())?;
    if let Some(found) = known.into_iter().find(|project| project.recipe.name.get_ref() == name) {
        return Ok(found);
    }
    if let Some(refused) = refused
        .into_iter()
        .find(|refused| refused.file.ends_with(&format!("{name}.toml")))
    {
        bail!("the recipe can't be used\n{}", refused.message);
    }
    bail!("{name:?} is neither a recipe file nor a registered project")
}

/// Reads a recipe file.
pub fn recipe(file: &Path) -> Result<Registered> {
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read the recipe {shown}"))?;
    // a bare file name has an empty parent, which is no folder's name
    let folder = file.parent().map(|folder| Path::new(".").join(folder));
    register(&shown, text, folder.as_deref()).map_err(|message| anyhow!("the recipe can't be used\n{message}"))
}

/// The first watched branch that has a check-in; recipes may ask for it.
async fn branch_of(settings: &Settings, sources: &Sources, sha: &str) -> Result<String> {
    let check_in = sources.mirror.check_in(sha).await?;
    for branch in &settings.branch {
        if sources.is_on(sha, check_in.place.as_ref(), branch).await {
            return Ok(branch.name.clone());
        }
    }
    Ok(sha.to_owned())
}

/// The id that labels what a trial makes. One trial at a time has the id of its data folder, and
/// begins by removing what a dead one left; a second at the same time has one of its own.
async fn trial_id(data: &Path, runtime: &dyn Runtime) -> Result<(String, Option<File>)> {
    let file = File::create(data.join("try.lock")).context("failed to write to the data folder")?;
    if file.try_lock().is_err() {
        return Ok((format!("try-{}", new_id()), None));
    }
    let id = format!("try-{}", super::host::host_id(data)?);
    let reaped = runtime.reap(HOST_LABEL, &id).await?;
    if reaped > 0 {
        eprintln!("removed {reaped} things that an earlier trial had left");
    }
    Ok((id, Some(file)))
}

/// Of Subversion nobody knows an id that is not in the mirror: only git is copied.
async fn copy_all(settings: &Settings, sources: &Sources) -> Result<()> {
    let in_git = settings
        .branch
        .iter()
        .filter(|branch| sources.kind(branch) == Kind::Git);
    let branches: Vec<_> = in_git.collect();
    let references: Vec<String> = branches.iter().map(|branch| branch.reference.clone()).collect();
    if references.is_empty() {
        return Ok(());
    }
    let tips = sources.mirror.tips(&references).await?;
    for (branch, tip) in branches.iter().zip(tips) {
        if let Some(tip) = tip {
            sources.mirror.fetch(&branch.name, &tip).await?;
        }
    }
    Ok(())
}

/// Sources from this machine.
struct Local {
    mirror: Mirror,
    folders: BTreeMap<String, Vec<u8>>,
}

#[async_trait]
impl Supply for Local {
    async fn tree(&self, revision: &str, wanted: &Wanted) -> Result<BoxStream<'static, std::io::Result<Bytes>>> {
        Ok(self.mirror.archive(revision, wanted)?.boxed())
    }

    async fn changes(&self, from: &str, to: &str, ignore: &[String]) -> Result<Option<Vec<Change>>> {
        if !self.mirror.holds(from).await {
            return Ok(None);
        }
        Ok(Some(self.mirror.changes(from, to, ignore).await?))
    }

    async fn folder(&self, digest: &str) -> Result<Vec<u8>> {
        self.folders
            .get(digest)
            .cloned()
            .context("the recipe names no such folder")
    }
}
