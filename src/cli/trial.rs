//! `pybots try RECIPE`: runs one project on this machine, without a coordinator.

use super::local::{self, AsOf, LocalRunner, is_not_installed};
use super::output::without_secrets;
use crate::config::Settings;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::day::Day;
use crate::domain::job::{BuildSpec, FETCH, Facts, JobSpec, Report, RunSpec};
use crate::domain::outcome::{Blame, Outcome};
use crate::host::{Course, Since};
use crate::plan;
use crate::runtime::Container;
use crate::runtime::docker::shell;
use crate::store::revisions::Revision;
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use futures_util::FutureExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Args)]
pub struct Trial {
    /// The recipe file.
    recipe: PathBuf,
    /// A revision, or a watched branch (its newest revision). A Subversion revision is written `r45321`. The default is the first
    /// branch of the settings.
    #[arg(long, value_name = "BRANCH|REVISION")]
    on: Option<String>,
    /// The variant of CPython to build.
    #[arg(long, default_value = DEFAULT_VARIANT, value_name = "NAME")]
    variant: String,
    /// Take dependencies from the package index as it was on a day. `auto` takes today's; if the project does not
    /// install with them, it takes those of the revision's day.
    #[arg(long, value_name = "YYYY-MM-DD|auto", conflicts_with = "since")]
    as_of: Option<AsOf>,
    /// Keep the work folder in memory, for `--since` in the next trial of this project.
    #[arg(long)]
    keep: bool,
    /// Begin with this phase, in the work folder that an earlier trial kept. The folder stays again.
    #[arg(long, value_name = "PHASE")]
    since: Option<First>,
    /// Open a shell after the trial, in a container like that of the first suite.
    #[arg(long)]
    shell: bool,
    /// Try again each time the recipe, or a folder that it names, is saved. A signal (Ctrl-C) ends the command.
    #[arg(long, conflicts_with_all = ["since", "shell"])]
    watch: bool,
}

/// The time between two looks for a change with `--watch`.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The phase with which a trial begins.
#[derive(Clone, Copy, ValueEnum)]
enum First {
    Install,
    Test,
}

impl Trial {
    /// Runs the command. The exit code is 0 if the project passed, 1 if code made it fail, and 2 if it could not be
    /// run. With `--watch`, it is the code of the last trial.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        match self.watch {
            true => self.watch(settings).await,
            false => self.once(settings).await,
        }
    }

    /// Makes a trial, and another one each time the recipe changes. An error is printed, and ends only its trial.
    async fn watch(&self, settings: &Settings) -> Result<ExitCode> {
        let mut stop = std::pin::pin!(crate::signal::stop_signal());
        // registers the signal now: the trial during which it arrives is the last
        let _ = stop.as_mut().now_or_never();
        let mut code = ExitCode::from(2);
        loop {
            let tried = self.version();
            match self.once(settings).await {
                Ok(ended) => code = ended,
                Err(error) => errln!("error: {}", without_secrets(&format!("{error:#}"))),
            }
            errln!(
                "waiting until {} is saved again; Ctrl-C ends this",
                self.recipe.display()
            );
            tokio::select! {
                _ = &mut stop => return Ok(code),
                () = self.changes(&tried) => {}
            }
        }
    }

    /// Waits until the recipe differs from `tried`, and its files are completely written.
    async fn changes(&self, tried: &str) {
        let mut last = tried.to_owned();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.version();
            if now == last && now != *tried {
                return;
            }
            last = now;
        }
    }

    /// Returns the digest of the recipe and its folders, or the error if the recipe can't be used.
    fn version(&self) -> String {
        local::recipe(&self.recipe).map_or_else(|error| format!("{error:#}"), |recipe| recipe.digest)
    }

    async fn once(&self, settings: &Settings) -> Result<ExitCode> {
        let one_at_a_time = Settings {
            slots: 1,
            ..settings.clone()
        };
        let runner = LocalRunner::open(&one_at_a_time, vec![local::recipe(&self.recipe)?], &self.variant).await?;
        let revision = runner.revision_or_first(self.on.as_deref()).await?;
        errln!(
            "{} {} ({})",
            revision.branch,
            revision.name(),
            revision.version.as_deref().unwrap_or("no version")
        );
        let build = runner.build(&revision, &self.variant).await?;
        // finds out before the build whether the recipe skips the revision, which does not depend on facts of the image
        plan::run(runner.project(), &revision, &build, &Facts::default(), &settings.limits).map_err(skipped)?;
        let tried = self.try_on(&runner, &revision, build).await;
        runner.close().await?;
        tried
    }

    fn course(&self) -> Course {
        Course {
            since: match self.since {
                None => Since::Fetch,
                Some(First::Install) => Since::Install,
                Some(First::Test) => Since::Test,
            },
            keeps: self.keep || self.since.is_some() || self.shell,
        }
    }

    /// Builds the image and runs the project on it.
    async fn try_on(&self, runner: &LocalRunner, revision: &Revision, build: BuildSpec) -> Result<ExitCode> {
        let (image, _) = runner.perform(&JobSpec::Image(Box::new(build.clone())), true).await?;
        let Some(built) = image.image else {
            bail!("the image could not be built: {}", image.outcome);
        };
        let limits = &runner.settings.limits;
        let mut run = plan::run(runner.project(), revision, &build, &built.facts, limits).map_err(skipped)?;
        run.fetch.as_of = self.as_of.and_then(AsOf::first).or(run.fetch.as_of);
        let (mut report, mut entered) = self.perform(runner, &run).await?;
        if let (Some(AsOf::Auto), true, Some(day)) = (
            self.as_of,
            is_not_installed(&report.outcome),
            Day::of(revision.committed_at),
        ) {
            errln!(
                "{}; trying the dependencies of {day}, the day of the revision",
                report.outcome
            );
            run.fetch.as_of = Some(day);
            (report, entered) = self.perform(runner, &run).await?;
        }
        if !self.course().keeps {
            return Ok(show(runner, &report));
        }
        let code = show(runner, &report);
        let shell = match entered {
            Some(container) => enter(&runner.settings, &container).await,
            None => Ok(()),
        };
        // a trial that ended in its fetch left no work folder to continue in
        let can_go_on = report.phases.iter().any(|phase| phase.name != FETCH);
        if can_go_on && (self.keep || self.since.is_some()) {
            errln!(
                "the work folder stays in memory: go on in it by `--since install` or `--since test`; the next trial of this project \
                 without both removes it"
            );
        } else {
            runner.forget(&run.project).await?;
        }
        shell?;
        Ok(code)
    }

    /// Makes a run, or the requested part of it. Returns the container for the shell, if `--shell` is set.
    async fn perform(&self, runner: &LocalRunner, run: &RunSpec) -> Result<(Report, Option<Container>)> {
        let course = self.course();
        if course.keeps {
            return runner.perform_part(run, course, self.shell).await;
        }
        runner.forget(&run.project).await?;
        let (report, _) = runner.perform(&JobSpec::Run(Box::new(run.clone())), true).await?;
        Ok((report, None))
    }
}

/// Runs a container on this terminal, through the engine's command line program.
async fn enter(settings: &Settings, container: &Container) -> Result<()> {
    let socket = settings.engine.socket().display().to_string();
    let host = if socket.contains("://") {
        socket
    } else {
        format!("unix://{socket}")
    };
    let mut docker = tokio::process::Command::new("docker");
    docker.arg("--host").arg(host).args(shell::arguments(container));
    let ended = docker.status().await;
    ended.context("failed to start `docker`, which `--shell` needs")?;
    Ok(())
}

fn skipped(reason: String) -> anyhow::Error {
    anyhow!("skipped: {reason}")
}

/// Prints the outcome of a run. Returns its exit code.
fn show(runner: &LocalRunner, report: &Report) -> ExitCode {
    for phase in &report.phases {
        let code = phase
            .exit_code
            .map_or("killed".to_owned(), |code| format!("exit code {code}"));
        errln!("{:20} {:8.1} s  {code}", phase.name, phase.seconds);
    }
    if let Some(tests) = &report.tests {
        let (passed, failed, skipped) = (tests.passed.len(), tests.failed.len(), tests.skipped.len());
        errln!("tests: {passed} passed, {failed} failed, {skipped} skipped");
    } else if report.phases.iter().any(|phase| phase.name.starts_with("test ")) {
        errln!("tests: none was recorded; docs/recipes.md, \"Test reports\", says which runners are");
    }
    for failure in report.tests.iter().flat_map(|tests| &tests.failed) {
        errln!("failed: {} ({})", failure.test, failure.message);
    }
    outln!("{}: {}", runner.project().recipe.name.get_ref(), report.outcome);
    match (&report.outcome, report.outcome.blame()) {
        (Outcome::Passed, _) => ExitCode::SUCCESS,
        (_, Blame::Code) => ExitCode::FAILURE,
        _ => ExitCode::from(2),
    }
}
