//! `pybots init NAME|PATH|URL`: proposes a recipe for a project, tries it, corrects it and writes it.

mod location;
mod rounds;
mod target;

use super::local::LocalRunner;
use crate::config::Settings;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::job::Facts;
use crate::domain::outcome::Outcome;
use crate::domain::text::plain;
use crate::plan;
use crate::recipe::propose::{Survey, TrialResult, propose};
use anyhow::{Context, Result};
use clap::Args;
use location::RecipeLocation;
use rounds::{Rounds, say};
use std::path::PathBuf;
use std::process::ExitCode;
use target::Target;

#[derive(Args)]
pub struct Init {
    /// A name on the package index, a folder (`./NAME`), or the address of a git repository.
    #[arg(value_name = "NAME|PATH|URL")]
    target: String,
    /// A revision, or a watched branch (its newest revision), on which to try the recipe. The default is the first branch of the
    /// settings.
    #[arg(long, value_name = "BRANCH|REVISION")]
    on: Option<String>,
    /// Write the recipe without trying it.
    #[arg(long)]
    no_try: bool,
    /// Try the recipe even if install needs the network, as builds of Rust do. The code of the project and of its
    /// requirements can then reach public addresses.
    #[arg(long)]
    allow_network: bool,
    /// The file to write. Its name becomes the name of the recipe. The default is NAME.toml. For a folder it is
    /// NAME/NAME.toml, with a copy of the folder in NAME/src.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an existing recipe file.
    #[arg(long)]
    force: bool,
    /// Show the logs of builds and runs.
    #[arg(long, short)]
    verbose: bool,
}

/// The exit code if the source has no tests.
const NO_TESTS: u8 = 3;

impl Init {
    /// Runs the command. The exit code is 0 if the tests run, whether they pass or fail, 1 if they do not run, 2 if the
    /// infrastructure failed to read the source, and 3 if the source has no tests. With `--no-try`, it is 0 or 3.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let target = Target::parse(&self.target)?;
        let location = RecipeLocation::new(&target, self.output.as_deref(), self.force)?;
        let settings = Settings {
            slots: 1,
            ..settings.clone()
        };
        let first = location.register(&target.minimal(&location.name, location.path.as_deref()))?;
        let runner = LocalRunner::open(&settings, vec![first], DEFAULT_VARIANT).await?;
        let done = self.on(&runner, &target, location).await;
        runner.close().await?;
        done
    }

    async fn on(&self, runner: &LocalRunner, target: &Target, location: RecipeLocation) -> Result<ExitCode> {
        let revision = runner.revision_or_first(self.on.as_deref()).await?;
        let version = revision.version.as_deref().unwrap_or("no version");
        errln!(
            "reading the source of {} for {} ({version})",
            location.name,
            revision.branch
        );
        let build = runner.build(&revision, DEFAULT_VARIANT).await?;
        let limits = &runner.settings.limits;
        let spec = plan::run(runner.project(), &revision, &build, &Facts::default(), limits);
        let spec = spec.map_err(anyhow::Error::msg)?;
        let source = match runner.survey(&spec, self.verbose).await? {
            Ok(source) => source,
            Err(outcome) => return Ok(unread(&outcome)),
        };
        let survey: Survey = serde_json::from_str(&source.survey).context("failed to read what the source says")?;
        for note in &survey.notes {
            errln!("note: {}", plain(note));
        }
        let pinned = target.pinned(location.path.as_deref(), source.lock.as_deref())?;
        let (proposal, reasons) = propose(&survey, &location.name, pinned);
        say(&reasons);
        let mut rounds = Rounds {
            runner,
            revision: &revision,
            build,
            location: &location,
            survey: &survey,
            shows_log: self.verbose,
            allows_network: self.allow_network,
        };
        if self.no_try {
            let remarks = ["It was not tried.".to_owned()];
            let file = location.write(&with_schema(&runner.settings, &proposal.text(&remarks)))?;
            outln!("wrote {}, not tried", file.display());
            return Ok(code(match survey.has_tests() {
                true => None,
                false => Some(&TrialResult::NoTests),
            }));
        }
        let (proposal, result) = rounds.run(proposal).await?;
        let remarks = [format!(
            "Tried on {} ({}): {}.",
            revision.branch,
            revision.name(),
            result.sentence()
        )];
        let file = location.write(&with_schema(&runner.settings, &proposal.text(&remarks)))?;
        if let TrialResult::Red { first, .. } = &result {
            for failure in first {
                outln!("failed: {} ({})", plain(&failure.test), plain(&failure.message));
            }
        }
        outln!("{}: {}", proposal.name, result.sentence());
        outln!("wrote {}", file.display());
        Ok(code(Some(&result)))
    }
}

/// Adds the line before a recipe by which editors find the schema. Its address is `https://` and the first of
/// `http.names`, or else the URL of the coordinator's own server.
fn with_schema(settings: &Settings, text: &str) -> String {
    let coordinator = match (settings.http.url.as_str(), settings.http.names.first()) {
        ("", Some(name)) if settings.http.is_tls() => format!("https://{name}"),
        ("", _) => settings.http.own_url(settings.listen),
        (url, _) => url.trim_end_matches('/').to_owned(),
    };
    format!("#:schema {coordinator}/recipe.schema.json\n{text}")
}

/// Returns the exit code for a result. `None` stands for a recipe that was not tried.
fn code(result: Option<&TrialResult>) -> ExitCode {
    match result {
        None => ExitCode::SUCCESS,
        Some(result) if result.is_usable() => ExitCode::SUCCESS,
        Some(TrialResult::NoTests) => ExitCode::from(NO_TESTS),
        Some(_) => ExitCode::FAILURE,
    }
}

/// Reports a source that could not be read.
fn unread(outcome: &Outcome) -> ExitCode {
    let text = plain(&outcome.to_string());
    if text.contains("no final release with an sdist") {
        outln!("no tests to be had from the package index: {text}");
        return ExitCode::from(NO_TESTS);
    }
    outln!("failed: the source can't be read: {text}");
    match outcome {
        Outcome::Infra { .. } => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
