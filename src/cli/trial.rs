//! `pybots try RECIPE`: runs one project on this machine, without a coordinator.

use super::local::{self, AsOf, LocalRunner, is_not_installed};
use crate::config::Settings;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::day::Day;
use crate::domain::job::{BuildSpec, Facts, JobSpec};
use crate::domain::outcome::{Blame, Outcome};
use crate::plan;
use crate::store::revisions::Revision;
use anyhow::{Result, anyhow, bail};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct Trial {
    /// The recipe file.
    recipe: PathBuf,
    /// A revision, or a watched branch (its newest revision). A Subversion revision is written `r45321`.
    #[arg(long, default_value = "trunk", value_name = "BRANCH|REVISION")]
    on: String,
    /// The variant of CPython to build.
    #[arg(long, default_value = DEFAULT_VARIANT, value_name = "NAME")]
    variant: String,
    /// Take dependencies from the package index as it was on a day. `auto` takes today's, and if the project does not
    /// install with them, those of the revision's day.
    #[arg(long, value_name = "YYYY-MM-DD|auto")]
    as_of: Option<AsOf>,
}

impl Trial {
    /// The exit code is 0 if the project passed, 1 if code made it fail, and 2 if it could not be run.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let one_at_a_time = Settings {
            slots: 1,
            ..settings.clone()
        };
        let runner = LocalRunner::open(&one_at_a_time, vec![local::recipe(&self.recipe)?], &self.variant).await?;
        let revision = runner.revision(&self.on).await?;
        errln!(
            "{} {} ({})",
            revision.branch,
            revision.name(),
            revision.version.as_deref().unwrap_or("no version")
        );
        let build = runner.build(&revision, &self.variant).await?;
        // this finds out before the build whether the recipe skips the revision: no fact of the image matters for that
        plan::run(runner.project(), &revision, &build, &Facts::default(), &settings.limits).map_err(skipped)?;
        let tried = self.try_on(&runner, &revision, build).await;
        runner.close().await?;
        tried
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
        let (mut report, _) = runner.perform(&JobSpec::Run(Box::new(run.clone())), true).await?;
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
            (report, _) = runner.perform(&JobSpec::Run(Box::new(run)), true).await?;
        }
        for phase in &report.phases {
            let code = phase
                .exit_code
                .map_or("killed".to_owned(), |code| format!("exit code {code}"));
            errln!("{:20} {:8.1} s  {code}", phase.name, phase.seconds);
        }
        for failure in report.tests.iter().flat_map(|tests| &tests.failed) {
            errln!("failed: {} ({})", failure.test, failure.message);
        }
        outln!("{}: {}", runner.project().recipe.name.get_ref(), report.outcome);
        Ok(match (&report.outcome, report.outcome.blame()) {
            (Outcome::Passed, _) => ExitCode::SUCCESS,
            (_, Blame::Code) => ExitCode::FAILURE,
            _ => ExitCode::from(2),
        })
    }
}

fn skipped(reason: String) -> anyhow::Error {
    anyhow!("skipped: {reason}")
}
