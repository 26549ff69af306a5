//! Fetches the source of a project and reads how it is tested, for `pybots init`. No code of the project runs.

use super::budget::Budget;
use super::course::Course;
use super::work::Work;
use super::{execute, fetched, layers};
use crate::domain::job::{FETCH, Report, RunSpec};
use crate::domain::limits::Seconds;
use crate::domain::outcome::Outcome;
use crate::host::log::Log;
use crate::host::phase::PhaseEnd;
use crate::host::{Host, Stop};

/// How long reading a source may take. The program gives up parts of the work before.
const WITHIN: Seconds = Seconds(180);

/// The survey of a project's source.
#[derive(Clone, Debug)]
pub struct SourceSurvey {
    /// The answer of `survey.py`, as JSON.
    pub survey: String,
    /// The lock of the fetch, as JSON, with the version and the digest of the project. `None` if there was nothing to
    /// fetch.
    pub lock: Option<String>,
}

impl Host {
    /// Fetches the source of a run and reads it. The engine need not hold the run's image, which is not used. Nothing
    /// stays on the engine.
    pub async fn survey(&self, attempt: &str, spec: &RunSpec, log: &Log) -> Result<SourceSurvey, Outcome> {
        let at_work = self.leftovers.at_work(attempt);
        let read = read(self, attempt, spec, log).await;
        self.clear(attempt).await;
        at_work.end();
        read.map_err(Stop::outcome)
    }
}

async fn read(host: &Host, attempt: &str, spec: &RunSpec, log: &Log) -> Result<SourceSurvey, Stop> {
    layers::ensure_toolchain(host, &spec.distribution, log).await?;
    let mut report = Report::of(Outcome::Passed);
    let budget = Budget::of(&spec.limits, log);
    let image = spec.distribution.toolchain_reference();
    let work = Work::open(host, attempt, spec, &image, Course::default()).await?;
    let mut lock = None;
    if spec.fetch.sources.iter().any(|source| source.path.is_none()) {
        let gateway = work.gateway(log).await?;
        let fetch = work.fetch_sources(&gateway).await?;
        let ran = execute(host, log, &mut report, fetch, (spec, &budget), FETCH).await?;
        gateway.close().await?;
        let busy = work.busy_with(ran.end).await?;
        fetched(&ran, spec, None, busy.as_deref())?;
        lock = work.read("lock.json").await?;
    }
    let container = work.survey().await?;
    let mut short = spec.clone();
    short.limits.timeout = short.limits.timeout.min(WITHIN);
    let ran = execute(host, log, &mut report, container, (&short, &budget), "survey").await?;
    let survey = work.read("survey.json").await?;
    match (why_unread(ran.end), survey) {
        (None, Some(survey)) => Ok(SourceSurvey { survey, lock }),
        (why, _) => {
            let why = why.unwrap_or_else(|| "there is no answer".to_owned());
            let reason = format!("the source could not be read: {why}");
            Err(Stop::Ended(Outcome::RecipeError { reason }))
        }
    }
}

/// Returns why the program that reads a source did not finish, or `None` if it did. The program waits for nobody, so
/// the source is at fault.
fn why_unread(end: PhaseEnd) -> Option<String> {
    match end {
        end if end.succeeded() => None,
        PhaseEnd::TimedOut(_) => Some("reading it does not end".to_owned()),
        PhaseEnd::Exited(exit) if exit.out_of_memory => Some("reading it takes too much memory".to_owned()),
        PhaseEnd::Exited(exit) => Some(format!(
            "the program that reads it ended early, with exit code {}",
            exit.code
        )),
    }
}
