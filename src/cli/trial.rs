//! `pybots try RECIPE`: one project, here and now, without a server.

use super::local::{self, Workshop};
use crate::config::Settings;
use crate::domain::DEFAULT_VARIANT;
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
    /// A watched branch (its newest check-in), or a check-in; one of Subversion as `r45321`.
    #[arg(long, default_value = "trunk", value_name = "BRANCH|CHECK-IN")]
    on: String,
    /// How CPython is built.
    #[arg(long, default_value = DEFAULT_VARIANT, value_name = "NAME")]
    variant: String,
}

impl Trial {
    /// Exit code 0: passed; 1: the project failed; 2: it could not be tried.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let one_at_a_time = Settings {
            slots: 1,
            ..settings.clone()
        };
        let workshop = Workshop::open(&one_at_a_time, vec![local::recipe(&self.recipe)?], &self.variant).await?;
        let revision = workshop.revision(&self.on).await?;
        eprintln!(
            "{} {} ({})",
            revision.branch,
            revision.name(),
            revision.version.as_deref().unwrap_or("no version")
        );
        let build = workshop.build(&revision, &self.variant).await?;
        // whether it is skipped there depends on nothing that only a build can tell
        plan::run(
            workshop.project(),
            &revision,
            &build,
            &Facts::default(),
            &settings.limits,
        )
        .map_err(skipped)?;
        let tried = try_on(&workshop, &revision, build).await;
        workshop.close().await?;
        tried
    }
}

fn skipped(reason: String) -> anyhow::Error {
    anyhow!("skipped: {reason}")
}

/// Makes the image and runs the project on it.
async fn try_on(workshop: &Workshop, revision: &Revision, build: BuildSpec) -> Result<ExitCode> {
    let (image, _) = workshop.perform(&JobSpec::Image(Box::new(build.clone())), true).await?;
    let Some(built) = image.image else {
        bail!("there is no image to test on: {}", image.outcome);
    };
    let limits = &workshop.settings.limits;
    let run = plan::run(workshop.project(), revision, &build, &built.facts, limits).map_err(skipped)?;
    let (report, _) = workshop.perform(&JobSpec::Run(Box::new(run)), true).await?;
    for phase in &report.phases {
        let code = phase
            .exit_code
            .map_or("killed".to_owned(), |code| format!("exit code {code}"));
        eprintln!("{:20} {:8.1} s  {code}", phase.name, phase.seconds);
    }
    for failure in report.tests.iter().flat_map(|tests| &tests.failed) {
        eprintln!("failed: {} ({})", failure.test, failure.message);
    }
    outln!("{}: {}", workshop.project().recipe.name.get_ref(), report.outcome);
    Ok(match (&report.outcome, report.outcome.blame()) {
        (Outcome::Passed, _) => ExitCode::SUCCESS,
        (_, Blame::Code) => ExitCode::FAILURE,
        _ => ExitCode::from(2),
    })
}
