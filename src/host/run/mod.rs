//! A run: one project's suites on one image, in the phases fetch, install and test.

mod junit;
mod scripts;
mod wheels;
mod work;

use super::image::{self, layers};
use super::log::Log;
use super::phase::{self, End, Plan, Ran};
use super::{Host, Stop};
use crate::domain::job::{Facts, Report, RunSpec};
use crate::domain::outcome::{Outcome, of_test_exit};
use crate::recipe::Suite;
use crate::recipe::modes;
use work::Work;

/// What `fetch.py` ends with when the recipe is at fault.
const FETCH_RECIPE: i64 = 10;

/// Runs all phases and fills the report; the first that does not succeed decides, but that after a suite which failed
/// the others still run.
pub async fn run(host: &Host, attempt: &str, spec: &RunSpec, log: &Log, report: &mut Report) -> Result<(), Stop> {
    let facts = prepare(host, attempt, spec, log).await?;
    let image = layers::ensure_project(host, spec, log).await?;
    let work = Work::open(host, attempt, spec, &image).await?;

    let mut wheels = None;
    if scripts::needs_fetch(spec) {
        let ran = execute(host, log, report, work.fetch().await?, spec, "fetch").await?;
        fetched(&ran, spec)?;
        report.lock = work.read("lock.json").await?;
        let lock = report.lock.as_deref().unwrap_or_default();
        wheels = wheels::plan(&host.id, spec, &facts, lock);
    }
    let install = work.install(wheels.as_ref()).await?;
    let ran = execute(host, log, report, install, spec, "install").await?;
    installed(&ran, spec)?;
    let mut failed = None;
    for suite in &spec.suites {
        let name = format!("test {}", suite.name);
        if !suite.modes.is_empty() {
            let line = modes::line(&suite.modes);
            log.say(&format!(
                "suite {} runs with {line}: {}",
                suite.name,
                scripts::modes(suite)
            ))
            .await;
            report.modes.insert(name.clone(), line);
        }
        let ran = execute(host, log, report, work.test(suite), spec, &name).await?;
        let seen = work
            .read(&scripts::witness_file(suite))
            .await?
            .map(|text| one_line(&text));
        report.interpreter = seen.clone();
        let outcome = tested(&ran);
        report_of(&work, suite, log, report).await?;
        // a suite that fails may have failed before it came to start its Python
        if outcome.is_none() || seen.is_some() {
            on_interpreter(seen.as_deref(), &facts, &suite.name).map_err(Stop::Ended)?;
        }
        match outcome {
            None => {}
            // what the others say of their tests is wanted all the same
            Some(outcome @ Outcome::Failed { .. }) => failed = failed.or(Some(outcome)),
            Some(outcome) => return Err(Stop::Ended(outcome)),
        }
    }
    failed.map_or(Ok(()), |outcome| Err(Stop::Ended(outcome)))
}

/// Adds what a suite says of each of its tests. A report that can't be read costs nothing but itself.
async fn report_of(work: &Work<'_>, suite: &Suite, log: &Log, report: &mut Report) -> Result<(), Stop> {
    let found = match work.read_report(suite).await? {
        Some(bytes) => {
            let name = suite.name.clone();
            tokio::task::spawn_blocking(move || junit::read(&name, &bytes))
                .await
                .map_err(anyhow::Error::from)?
        }
        None if suite.report.is_none() => return Ok(()),
        None => Err("there is none".to_owned()),
    };
    match found {
        Ok(tests) => report.tests.get_or_insert_default().extend(tests),
        Err(reason) => {
            let file = suite.report.as_deref().unwrap_or("that pytest wrote");
            log.say(&format!("the report {file} can't be used: {reason}")).await;
        }
    }
    Ok(())
}

/// The images that a run needs; a host pulls or builds what it lacks. Returns the facts of the CPython that
/// is there: one that was built again says another revision if their trees are equal.
async fn prepare(host: &Host, attempt: &str, spec: &RunSpec, log: &Log) -> Result<Facts, Stop> {
    layers::ensure_toolchain(host, &spec.distribution, log).await?;
    if host.runtime.image(&spec.image.reference).await?.is_some() {
        return Ok(spec.image.facts.clone());
    }
    log.say(&format!("image {} is not on this engine", spec.image.reference))
        .await;
    let mut build = Report::of(Outcome::Passed);
    match image::ensure(host, attempt, &spec.image.build, log, &mut build).await {
        Ok(built) => Ok(built.facts),
        Err(stop) => Err(anyhow::anyhow!("there is no image to run on: {}", stop.outcome()).into()),
    }
}

async fn execute(
    host: &Host,
    log: &Log,
    report: &mut Report,
    container: crate::runtime::Container,
    spec: &RunSpec,
    name: &str,
) -> Result<Ran, Stop> {
    let plan = Plan {
        name,
        timeout: spec.limits.timeout,
        silence: spec.limits.silence,
        log: spec.limits.log,
    };
    let ran = phase::run(host.runtime.as_ref(), log, &plan, container).await?;
    report.phases.push(ran.phase.clone());
    Ok(ran)
}

/// A fetch runs no project code: what fails is the recipe or the machinery, never CPython.
fn fetched(ran: &Ran, spec: &RunSpec) -> Result<(), Stop> {
    let last = || last_line(&ran.output);
    match ran.end {
        end if end.succeeded() => Ok(()),
        End::Exited(exit) if exit.code == FETCH_RECIPE => Err(Stop::Ended(Outcome::RecipeError { reason: last() })),
        End::Exited(exit) if exit.out_of_memory => Err(Stop::Ended(Outcome::RecipeError {
            reason: format!("fetching needs more memory than {}", spec.limits.memory),
        })),
        End::Exited(exit) => Err(anyhow::anyhow!("fetch ended with exit code {}: {}", exit.code, last()).into()),
        End::TimedOut(_) => {
            Err(anyhow::anyhow!("fetch did not end in time; is the package index slow or out of reach?").into())
        }
    }
}

/// What does not build or install on a new CPython is a signal about CPython.
fn installed(ran: &Ran, spec: &RunSpec) -> Result<(), Stop> {
    let (reason, exit_code) = match ran.end {
        end if end.succeeded() => return Ok(()),
        End::Exited(exit) if exit.out_of_memory => (
            format!("install needs more memory than {}", spec.limits.memory),
            Some(exit.code),
        ),
        End::Exited(exit) => (format!("install ended with exit code {}", exit.code), Some(exit.code)),
        End::TimedOut(_) => ("install did not end in time".to_owned(), None),
    };
    Err(Stop::Ended(Outcome::SetupFailed { reason, exit_code }))
}

/// None: the suite passed.
fn tested(ran: &Ran) -> Option<Outcome> {
    match ran.end {
        end if end.succeeded() => None,
        End::TimedOut(which) => Some(Outcome::TimedOut { which }),
        End::Exited(exit) if exit.out_of_memory => Some(Outcome::OutOfMemory),
        End::Exited(exit) => Some(of_test_exit(exit.code)),
    }
}

/// The classic trap: a suite that passes on some other Python. Every interpreter that the suite
/// starts leaves its name; one of them must be the one under test.
fn on_interpreter(seen: Option<&str>, facts: &Facts, suite: &str) -> Result<(), Outcome> {
    let expected = &facts.sys_version;
    match seen {
        Some(version) if version == expected => Ok(()),
        Some(other) => Err(Outcome::RecipeError {
            reason: format!("suite `{suite}` ran on another Python, {other}, instead of {expected}"),
        }),
        None => Err(Outcome::RecipeError {
            reason: format!("suite `{suite}` never started the Python under test; run it by `python`"),
        }),
    }
}

/// What a project left, fit for a report: it may be anything.
fn one_line(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(300).collect()
}

fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    one_line(line.unwrap_or("it said nothing"))
}
