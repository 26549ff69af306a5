//! Builds and runs on this machine, with the parts of a host and of a coordinator that one command needs.

use super::supply::LocalSupply;
use super::terminal::{LogTail, Terminal};
use crate::cli::host::host_id;
use crate::cli::progress::Progress;
use crate::config::{Settings, SourceKind};
use crate::domain::job::{BuildSpec, JobSpec, Report, RunSpec};
use crate::domain::outcome::Outcome;
use crate::domain::svn::number;
use crate::host::log::Log;
use crate::host::{Course, Host, Since, SourceSurvey};
use crate::plan;
use crate::profile::Profiles;
use crate::recipe::Registered;
use crate::runtime::docker::DockerRuntime;
use crate::runtime::{ATTEMPT_LABEL, BUILD_TREE_LABEL, Container, HOST_LABEL, Runtime, platform};
use crate::store::new_id;
use crate::store::revisions::Revision;
use crate::watch::sources::Sources;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A container engine, a mirror of CPython, and the projects to run.
pub struct LocalRunner {
    pub settings: Settings,
    /// Never empty.
    pub projects: Vec<Registered>,
    pub sources: Sources,
    profiles: Profiles,
    host: Host,
    /// The lock on the id of the data folder, which labels containers and volumes. `None` if another command holds it;
    /// this command then has an id of its own.
    lock: Option<File>,
}

impl LocalRunner {
    /// Connects to the engine and opens the mirror. Fails if there are no projects, or if no build profile has the
    /// variant.
    pub async fn open(settings: &Settings, projects: Vec<Registered>, variant: &str) -> Result<Self> {
        if projects.is_empty() {
            bail!("there is no project to run");
        }
        let profiles = Profiles::load(settings.images_folder())?;
        profiles.knows_variant(variant).map_err(anyhow::Error::msg)?;
        let runtime = Arc::new(DockerRuntime::connect(&settings.engine.socket()).await?);
        let sources = Sources::open(&settings.data, &settings.source).await?;
        let supply = Arc::new(LocalSupply {
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

    /// Returns the first project.
    pub fn project(&self) -> &Registered {
        &self.projects[0]
    }

    /// Removes the build tree if no later command would use it.
    pub async fn close(&self) -> Result<()> {
        if self.lock.is_none() {
            // its label is an id that only this command uses
            self.host.runtime.reap(BUILD_TREE_LABEL, &self.host.id).await?;
        }
        Ok(())
    }

    /// Plans the build of a revision. The error says why it can't be built.
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

    /// Finds a revision by its id, its Subversion label or the name of its branch (the newest revision). Copies it into
    /// the mirror if it is not there.
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
                let tip = tips.into_iter().next().context("the repository reported no tip")?;
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
                        "{on:?} is neither a watched branch ({}) nor a revision on one",
                        names.join(", ")
                    )
                })?;
                (branch_of(settings, sources, &sha).await?, sha)
            }
        };
        progress.end();
        self.revision_on(&branch, &sha).await
    }

    /// Finds a Subversion revision by its label, such as `r45321`. Returns the first watched branch that it touched,
    /// and its id in the mirror.
    async fn numbered(&self, on: &str, progress: &mut Progress) -> Result<(String, String)> {
        let Self { settings, sources, .. } = self;
        let in_svn = settings
            .branch
            .iter()
            .filter(|branch| sources.kind(branch) == SourceKind::Svn);
        for branch in in_svn {
            progress.at(0, 0, &format!("looking for {on} on {}", branch.name));
            let wanted = number(on).unwrap_or_default();
            if let Some(sha) = sources.fetch_number(branch, wanted).await? {
                return Ok((branch.name.clone(), sha));
            }
        }
        bail!("{on} touches no watched branch of a Subversion repository")
    }

    /// Finds a revision as [`Self::revision`] does. Without a name, returns the newest revision of the first branch in
    /// the settings.
    pub async fn revision_or_first(&self, on: Option<&str>) -> Result<Revision> {
        let first = self.settings.branch.first().map(|branch| branch.name.as_str());
        let on = on.or(first).context("the settings name no branch; name a revision")?;
        self.revision(on).await
    }

    /// Reads a revision from the mirror, as a revision of the given branch.
    pub async fn revision_on(&self, branch: &str, sha: &str) -> Result<Revision> {
        Ok(Revision::of(branch, self.sources.mirror.revision(sha).await?))
    }

    /// Does a part of a run in a work folder that can stay for the next command. Returns its report and, if `enters` is
    /// set, the container for a shell in that folder. Fails if another command builds or runs in this data folder.
    pub async fn perform_part(
        &self,
        run: &RunSpec,
        course: Course,
        enters: bool,
    ) -> Result<(Report, Option<Container>)> {
        if self.lock.is_none() {
            bail!("another command builds or runs in this data folder; try again when it has ended");
        }
        // a separate id, so that the next command does not remove the folder as a leftover
        let mut host = self.host.clone();
        host.id = format!("{}-kept", host.id);
        let attempt = format!("{}-{}", host.id, run.project);
        if course.since == Since::Fetch {
            host.runtime.reap(ATTEMPT_LABEL, &attempt).await?;
        }
        let spec = JobSpec::Run(Box::new(run.clone()));
        let tail = Arc::new(LogTail::new(Some(Terminal::new(
            spec.title(),
            2 + run.suites.len() as u64,
        ))));
        let (log, delivered) = Log::start(tail.clone());
        // the folder stays for the shell, and is removed with the project's next trial
        let report = tokio::select! {
            report = host.perform_part(&attempt, &spec, &log, course) => report,
            signal = crate::signal::stop_signal() => {
                host.runtime.reap(ATTEMPT_LABEL, &attempt).await?;
                bail!("stopped by {signal}");
            }
        };
        let entered = match enters {
            true => Some(host.shell(&attempt, run, &log).await),
            false => None,
        };
        drop(log);
        delivered.await??;
        // without a folder to enter, the report is still returned
        let entered = entered.and_then(|shell| shell.inspect_err(|error| errln!("{error:#}")).ok());
        Ok((report, entered))
    }

    /// Fetches the source of a run and surveys it, without running code of the project. Returns the survey, or the
    /// outcome of a failure. Also writes the log to stderr if `shows_log` is set.
    pub async fn survey(&self, run: &RunSpec, shows_log: bool) -> Result<Result<SourceSurvey, Outcome>> {
        let attempt = new_id();
        let title = format!("source of {}", run.project);
        let tail = Arc::new(LogTail::new(shows_log.then(|| Terminal::new(title, 2))));
        let (log, delivered) = Log::start(tail);
        let read = tokio::select! {
            read = self.host.survey(&attempt, run, &log) => read,
            signal = crate::signal::stop_signal() => {
                self.host.runtime.reap(ATTEMPT_LABEL, &attempt).await?;
                bail!("stopped by {signal}");
            }
        };
        drop(log);
        delivered.await??;
        Ok(read)
    }

    /// Removes the work folder that an earlier trial of the project kept.
    pub async fn forget(&self, project: &str) -> Result<()> {
        let attempt = format!("{}-kept-{project}", self.host.id);
        self.host.runtime.reap(ATTEMPT_LABEL, &attempt).await?;
        Ok(())
    }

    /// Does one job. Returns its report and the tail of its log. Also writes the log to stderr if `shows_log` is set. A
    /// signal ends the job and removes its containers.
    pub async fn perform(&self, spec: &JobSpec, shows_log: bool) -> Result<(Report, String)> {
        let attempt = new_id();
        let phases = match spec {
            JobSpec::Image(_) => 4, // configure, make, install, probe
            JobSpec::Run(run) => 2 + run.suites.len() as u64,
        };
        let tail = Arc::new(LogTail::new(shows_log.then(|| Terminal::new(spec.title(), phases))));
        let (log, delivered) = Log::start(tail.clone());
        let report = tokio::select! {
            report = self.host.perform(&attempt, spec, &log) => report,
            signal = crate::signal::stop_signal() => {
                self.host.runtime.reap(crate::runtime::ATTEMPT_LABEL, &attempt).await?;
                bail!("stopped by {signal}");
            }
        };
        drop(log);
        delivered.await??;
        Ok((report, tail.text()))
    }
}

/// Returns the first watched branch that has the revision, for recipes that depend on the branch. Returns the
/// revision's id if no watched branch has it.
async fn branch_of(settings: &Settings, sources: &Sources, sha: &str) -> Result<String> {
    let revision = sources.mirror.revision(sha).await?;
    for branch in &settings.branch {
        if sources.is_on(sha, revision.svn.as_ref(), branch).await {
            return Ok(branch.name.clone());
        }
    }
    Ok(sha.to_owned())
}

/// Returns the id that labels containers and volumes. One command at a time uses the id of its data folder, and first
/// removes the leftovers of a command that was killed. A second command at the same time gets a new id.
async fn trial_id(data: &Path, runtime: &dyn Runtime) -> Result<(String, Option<File>)> {
    let file = File::create(data.join("try.lock")).context("failed to write to the data folder")?;
    if file.try_lock().is_err() {
        return Ok((format!("try-{}", new_id()), None));
    }
    let id = format!("try-{}", host_id(data)?);
    let reaped = runtime.reap(HOST_LABEL, &id).await?;
    if reaped > 0 {
        errln!("removed {reaped} containers and volumes that an earlier command left");
    }
    Ok((id, Some(file)))
}

/// Copies the watched branches that are in git. Subversion branches are not needed: only the mirror assigns ids to
/// their revisions, so an unknown id is not one of them.
async fn copy_all(settings: &Settings, sources: &Sources) -> Result<()> {
    let in_git = settings
        .branch
        .iter()
        .filter(|branch| sources.kind(branch) == SourceKind::Git);
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
