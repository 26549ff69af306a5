//! `pybots try RECIPE`: one project, here and now, without a server.

use super::progress::Progress;
use super::up::platform;
use crate::config::{Kind, Settings};
use crate::domain::DEFAULT_VARIANT;
use crate::domain::job::{BuildSpec, Facts, JobSpec, Report};
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::place::{Place, number};
use crate::domain::tree::{Change, Wanted};
use crate::host::log::{Log, MARK, Sink};
use crate::host::{Host, Supply};
use crate::logfile::Chunk;
use crate::plan;
use crate::profile::Profiles;
use crate::recipe::{Registered, register};
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
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Args)]
pub struct Trial {
    /// The recipe file.
    recipe: PathBuf,
    /// A watched branch (its newest check-in), or a check-in; one of Subversion as `r45321`.
    #[arg(long, default_value = "trunk", value_name = "BRANCH|CHECK-IN")]
    on: String,
    /// How CPython is built.
    #[arg(long, default_value = DEFAULT_VARIANT, value_name = "NAME")]
    variant: String,
}

impl Trial {
    /// Exit code 0: passed; 1: the project failed; 2: it could not be tried.
    pub async fn run(&self, settings: Settings) -> Result<ExitCode> {
        let project = self.project()?;
        let profiles = Profiles::load(settings.images_folder())?;
        profiles.knows_variant(&self.variant).map_err(anyhow::Error::msg)?;
        let runtime = Arc::new(DockerRuntime::connect(&settings.engine.socket()).await?);
        let sources = Sources::open(&settings.data, &settings.source).await?;
        let revision = self.revision(&settings, &sources).await?;
        eprintln!(
            "{} {} ({})",
            revision.branch,
            revision.name(),
            revision.version.as_deref().unwrap_or("no version")
        );

        let profile = plan::profile(&revision, &profiles, &self.variant).map_err(anyhow::Error::msg)?;
        let inputs = sources.mirror.inputs(&revision.sha, &profile.ignore).await?;
        let build = plan::build(
            &revision,
            profile,
            &profiles.distribution,
            &inputs,
            &self.variant,
            platform(),
        )
        .map_err(anyhow::Error::msg)?;
        // whether it is skipped there depends on nothing that only a build can tell
        plan::run(&project, &revision, &build, &Facts::default(), &settings.limits).map_err(skipped)?;
        let supply = Arc::new(Local {
            mirror: sources.mirror,
            folders: project.tars.clone(),
        });
        let (id, held) = trial_id(&settings.data, runtime.as_ref()).await?;
        let host = Host::new(
            id,
            runtime,
            supply,
            &Settings {
                slots: 1,
                ..settings.clone()
            },
        );

        let tried = try_on(&host, &project, &revision, build, &settings).await;
        if held.is_none() {
            // nobody will build on what an id of a moment leaves
            host.runtime.reap(LANE_LABEL, &host.id).await?;
        }
        tried
    }

    fn project(&self) -> Result<Registered> {
        let shown = self.recipe.display().to_string();
        let text =
            std::fs::read_to_string(&self.recipe).with_context(|| format!("failed to read the recipe {shown}"))?;
        // a bare file name has an empty parent, which is no folder's name
        let folder = self.recipe.parent().map(|folder| Path::new(".").join(folder));
        register(&shown, text, folder.as_deref()).map_err(|message| anyhow!("the recipe can't be used\n{message}"))
    }

    /// The check-in to test on, copied into the mirror if need be.
    async fn revision(&self, settings: &Settings, sources: &Sources) -> Result<Revision> {
        let mirror = &sources.mirror;
        let mut progress = Progress::new();
        let (branch, sha) = match settings.branch.iter().find(|branch| branch.name == self.on) {
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
            None if number(&self.on).is_some() => self.numbered(settings, sources, &mut progress).await?,
            None => {
                if !mirror.holds(&self.on).await {
                    progress.at(0, 0, &format!("copying the watched branches from {}", mirror.url()));
                    copy_all(settings, sources).await?;
                }
                let sha = mirror.commit(&self.on).await.with_context(|| {
                    let names: Vec<&str> = settings.branch.iter().map(|branch| branch.name.as_str()).collect();
                    format!(
                        "{:?} is neither a watched branch ({}) nor a check-in on one",
                        self.on,
                        names.join(", ")
                    )
                })?;
                (branch_of(settings, sources, &sha).await?, sha)
            }
        };
        progress.end();
        let check_in = mirror.check_in(&sha).await?;
        Ok(Revision {
            id: String::new(),
            branch_id: String::new(),
            branch,
            seq: 0,
            sha: check_in.sha,
            tree: check_in.tree,
            author: check_in.author,
            subject: check_in.subject,
            committed_at: check_in.committed_at,
            version: check_in.version,
            left_at: None,
            label: check_in.place.as_ref().map(Place::label),
        })
    }

    /// The check-in of Subversion that has a label, on the first watched branch that it touched.
    async fn numbered(
        &self,
        settings: &Settings,
        sources: &Sources,
        progress: &mut Progress,
    ) -> Result<(String, String)> {
        let in_svn = settings
            .branch
            .iter()
            .filter(|branch| sources.kind(branch) == Kind::Svn);
        for branch in in_svn {
            progress.at(0, 0, &format!("looking for {} on {}", self.on, branch.name));
            let wanted = number(&self.on).unwrap_or_default();
            if let Some(sha) = sources.fetch_number(branch, wanted).await? {
                return Ok((branch.name.clone(), sha));
            }
        }
        bail!("{} touches no watched branch of a Subversion repository", self.on)
    }
}

fn skipped(reason: String) -> anyhow::Error {
    anyhow!("skipped: {reason}")
}

/// Makes the image and runs the project on it.
async fn try_on(
    host: &Host,
    project: &Registered,
    revision: &Revision,
    build: BuildSpec,
    settings: &Settings,
) -> Result<ExitCode> {
    let image = perform(host, &JobSpec::Image(Box::new(build.clone()))).await?;
    let Some(built) = image.image else {
        bail!("there is no image to test on: {}", image.outcome);
    };
    let run = plan::run(project, revision, &build, &built.facts, &settings.limits).map_err(skipped)?;
    let report = perform(host, &JobSpec::Run(Box::new(run))).await?;
    for phase in &report.phases {
        let code = phase
            .exit_code
            .map_or("killed".to_owned(), |code| format!("exit code {code}"));
        eprintln!("{:20} {:8.1} s  {code}", phase.name, phase.seconds);
    }
    outln!("{}: {}", project.recipe.name.get_ref(), report.outcome);
    Ok(match (&report.outcome, report.outcome.blame()) {
        (Outcome::Passed, _) => ExitCode::SUCCESS,
        (_, Blame::Code) => ExitCode::FAILURE,
        _ => ExitCode::from(2),
    })
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

/// Does one job with its log on stderr; Ctrl-C leaves nothing behind.
async fn perform(host: &Host, spec: &JobSpec) -> Result<Report> {
    let attempt = new_id();
    let steps = match spec {
        JobSpec::Image(_) => 4, // configure, make, install, probe
        JobSpec::Run(run) => 2 + run.suites.len() as u64,
    };
    let terminal = Terminal {
        title: spec.title(),
        steps,
        shown: Mutex::new((Progress::new(), 0)),
    };
    let (log, delivered) = Log::start(Arc::new(terminal));
    let report = tokio::select! {
        report = host.perform(&attempt, spec, &log) => report,
        signal = super::up::signal() => {
            host.runtime.reap(crate::runtime::ATTEMPT_LABEL, &attempt).await?;
            bail!("stopped by {signal}");
        }
    };
    drop(log);
    delivered.await??;
    Ok(report)
}

/// The log as it comes, above a bar of the phases.
struct Terminal {
    title: String,
    steps: u64,
    /// The bar, and how many phases have ended.
    shown: Mutex<(Progress, u64)>,
}

impl Terminal {
    /// The phase that the last of our own lines in these bytes says has begun or ended.
    fn follow(&self, text: &str, progress: &mut Progress, done: &mut u64) {
        for line in text.split(MARK).skip(1).filter_map(|line| line.strip_prefix("phase ")) {
            let line = line.split('\u{1b}').next().unwrap_or(line);
            *done += u64::from(line.contains(" ended after "));
            progress.at(*done, self.steps, &format!("{}: {line}", self.title));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).0.end();
    }
}

#[async_trait]
impl Sink for Terminal {
    async fn write(&self, chunk: Chunk) -> Result<()> {
        let bytes = chunk.text;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let (progress, done) = &mut *shown;
        progress.aside(|| {
            // a terminal that is gone must not end the trial
            let _ = std::io::stderr().write_all(&bytes);
        });
        if progress.shows() {
            self.follow(&String::from_utf8_lossy(&bytes), progress, done);
        }
        Ok(())
    }
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
