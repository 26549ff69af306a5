//! A run: one project's suites on one image, in the phases fetch, install and test.

mod budget;
pub mod course;
mod environment;
mod full;
mod imports;
mod interpreters;
mod missing;
mod remarks;
mod results;
mod scripts;
mod site;
mod suite;
pub mod survey;
mod wheels;
mod work;

use super::image::{self, layers};
use super::log::Log;
use super::phase::{self, PhaseEnd, PhaseLimits, PhaseResult};
use super::{Host, Stop};
use crate::domain::address::Secrets;
use crate::domain::job::{FETCH, Facts, Report, RunSpec};
use crate::domain::limits::Seconds;
use crate::domain::modes;
use crate::domain::outcome::{Outcome, Timeout, of_test_exit};
use crate::domain::suite::source_key;
use crate::runtime::{Container, image_label};
use budget::Budget;
use course::{Course, Since};
use interpreters::{Environments, on_interpreter};
use std::collections::BTreeMap;
use work::Work;

/// The least time limit of a fetch whose end says something about the package index.
const FETCH_LEAST: Seconds = Seconds(300);
/// The exit code of `fetch.py` for an error of the recipe.
const FETCH_RECIPE: i64 = 10;
/// The exit code of `fetch.py` for a source that does not answer.
const FETCH_UNANSWERED: i64 = 12;
/// The most bytes of the results of all suites in a report. The coordinator accepts reports of twice that size.
const TESTS_MOST: usize = 4 << 20;

/// Runs all phases and fills the report. The first phase that does not succeed decides the outcome. After a suite that
/// failed, the other suites still run; if one of them ends otherwise, such as by a crash, it decides, and no further
/// suite runs.
pub async fn run(
    host: &Host,
    attempt: &str,
    spec: &RunSpec,
    log: &Log,
    course: Course,
    report: &mut Report,
) -> Result<(), Stop> {
    if let Some(reason) = spec.limits.impossible() {
        let reason = format!("no container can have these limits: {reason}");
        return Err(Stop::Ended(Outcome::RecipeError { reason }));
    }
    let facts = prepare(host, attempt, spec, log).await?;
    let budget = Budget::of(&spec.limits, log);
    let image = layers::ensure_project(host, spec, log).await?;
    report.images = images(host, spec, &image).await?;
    let work = Work::open(host, attempt, spec, &image, course).await?;

    let mut wheels = None;
    if environment::needs_fetch(spec) {
        if course.since == Since::Fetch {
            let gateway = work.gateway(log).await?;
            let fetch = work.fetch(&gateway).await?;
            let ran = execute(host, log, report, fetch, (spec, &budget), FETCH).await?;
            gateway.close().await?;
            if is_unanswered(&ran) {
                report.unreachable = work.awaited_source().await?.as_deref().map(source_key);
            }
            let busy = work.busy_with(ran.end).await?;
            fetched(&ran, spec, report.unreachable.as_deref(), busy.as_deref())?;
        }
        report.lock = work.read("lock.json").await?;
        let lock = report.lock.as_deref().unwrap_or_default();
        wheels = wheels::plan(&host.id, spec, &facts, lock);
    }
    work.mark(Since::Install).await?;
    if course.since <= Since::Install {
        let gateway = match spec.install_network {
            true => Some(work.gateway(log).await?),
            false => None,
        };
        if let Some(wheels) = &wheels {
            work.take_wheels(wheels).await?;
        }
        let install = work.install(wheels.as_ref(), gateway.as_ref()).await?;
        let ran = execute(host, log, report, install, (spec, &budget), scripts::INSTALL).await?;
        if let Some(gateway) = gateway {
            gateway.close().await?;
        }
        if let Some(wheels) = &wheels {
            work.keep_wheels(wheels, log).await?;
        }
        note_limit(&ran, spec, log, report).await;
        installed(&ran, spec, report.limit.as_deref())?;
    }
    work.mark(Since::Test).await?;
    let mut failed = None;
    for suite in &spec.suites {
        let name = scripts::test_phase(suite);
        if !suite.modes.is_empty() {
            let line = modes::line(&suite.modes);
            log.say(&format!(
                "suite {} runs with {line}: {}",
                suite.name,
                environment::modes(suite)
            ))
            .await;
            report.modes.insert(name.clone(), line);
        }
        if budget.is_over() {
            let most = spec.limits.run_timeout;
            log.say(&format!(
                "suite {} is not run: the run has taken its {most}",
                suite.name
            ))
            .await;
            let which = Timeout::Total;
            return Err(Stop::Ended(failed.unwrap_or(Outcome::TimedOut { which })));
        }
        let ran = execute(host, log, report, work.test(suite), (spec, &budget), &name).await?;
        note_limit(&ran, spec, log, report).await;
        let seen = work
            .read(&environment::witness_file(suite))
            .await?
            .map(|text| one_line(&text));
        report.interpreter = seen.clone();
        let mut results = suite::read(&work, suite).await?;
        let outcome = suite::judge(tested(&ran), &mut results);
        remarks::write(&results, log).await;
        if let Some(text) = work.read(&environment::imports_file(suite)).await? {
            for remark in imports::remarks(&text, spec.fetch.project.as_str()) {
                log.say(&remark).await;
            }
        }
        if let Some(tests) = results.tests {
            let mut of_run = report.tests.take().unwrap_or_default();
            of_run.extend(tests);
            report.tests = Some(of_run.fit(TESTS_MOST));
        }
        // a suite that failed may have done so before it started Python
        if outcome.is_none() || seen.is_some() {
            on_interpreter(seen.as_deref(), &facts, &suite.name).map_err(Stop::Ended)?;
        }
        for python in &results.pythons {
            on_interpreter(Some(python), &facts, &suite.name).map_err(Stop::Ended)?;
        }
        let note = work.read(&environment::environments_file(suite)).await?;
        let environments = Environments::read(note.as_deref().unwrap_or_default());
        for remark in environments.remarks() {
            log.say(&remark).await;
        }
        // tests that ran outside of these environments are on the Python under test, as was checked above
        if results.pythons.is_empty() {
            environments.judge(&facts, &suite.name).map_err(Stop::Ended)?;
        }
        match outcome {
            None => {}
            // the test results of the other suites are wanted anyway
            Some(outcome @ Outcome::Failed { .. }) => failed = failed.or(Some(outcome)),
            Some(outcome) => return Err(Stop::Ended(outcome)),
        }
    }
    failed.map_or(Ok(()), |outcome| Err(Stop::Ended(outcome)))
}

/// Returns a container with a shell that sees the same as the first suite. Fails if the attempt kept no work folder.
pub async fn shell(host: &Host, attempt: &str, spec: &RunSpec, log: &Log) -> Result<Container, Stop> {
    let image = layers::ensure_project(host, spec, log).await?;
    let suite = spec
        .suites
        .first()
        .ok_or_else(|| anyhow::anyhow!("the recipe has no suite"))?;
    let course = Course {
        since: Since::Install,
        keeps: true,
    };
    let mut container = Work::open(host, attempt, spec, &image, course).await?.test(suite);
    container.command = ["/bin/sh", "-c", "exec bash 2>/dev/null || exec sh"]
        .map(str::to_owned)
        .into();
    container.workdir = environment::source_folder(spec);
    Ok(container)
}

/// Returns the content ids of the images that a run uses. `project` is the image from which its containers start.
async fn images(host: &Host, spec: &RunSpec, project: &str) -> Result<BTreeMap<String, String>, Stop> {
    let toolchain = spec.distribution.toolchain_reference();
    let named = [
        ("toolchain", toolchain.as_str()),
        ("cpython", &spec.image.reference),
        ("project", project),
    ];
    let mut ids = BTreeMap::new();
    for (kind, reference) in named {
        if kind == "project" && project == spec.image.reference {
            continue;
        }
        let Some(image) = host.runtime.image(reference).await? else {
            continue;
        };
        if kind == "cpython" {
            // an image that was pulled lies on images that this engine may not have
            for (below, label) in [("runtime", image_label::RUNTIME), ("base", image_label::BASE)] {
                let id = image.labels.get(label);
                ids.extend(id.map(|id| (below.to_owned(), id.clone())));
            }
        }
        ids.insert(kind.to_owned(), image.id);
    }
    Ok(ids)
}

/// Ensures that the images of a run are there: a host pulls or builds the images that it lacks. Returns the facts of
/// the CPython image. An image that was built again may name another revision with an equal tree.
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

/// Records the space limit that a phase hit, if it exited with an error for lack of space, in the log and the report.
/// The report keeps the first limit of a run.
async fn note_limit(ran: &PhaseResult, spec: &RunSpec, log: &Log, report: &mut Report) {
    if !matches!(ran.end, PhaseEnd::Exited(exit) if exit.code != 0 && !exit.out_of_memory) {
        return;
    }
    if let Some(limit) = full::limit_hit(&ran.output, &spec.limits) {
        log.say(&limit).await;
        report.limit.get_or_insert(limit);
    }
}

/// Runs a phase, whose script is [`scripts::guarded`]. Fails if the container was killed from outside: by a person, by
/// an engine that stops, or by another process with this host's id. Such an end says nothing about the project.
async fn execute(
    host: &Host,
    log: &Log,
    report: &mut Report,
    container: Container,
    (spec, budget): (&RunSpec, &Budget),
    name: &str,
) -> Result<PhaseResult, Stop> {
    // no secret is masked in the output of project code: it sees none, and a mask would confirm its guesses
    let none = Secrets::default();
    let plan = PhaseLimits {
        name,
        timeout: budget.time(spec.limits.timeout),
        silence: spec.limits.silence,
        log: budget.log(spec.limits.log, log),
        // the signal would end Pythons without our witness, which only suites have
        before_kill: (![FETCH, scripts::INSTALL].contains(&name)).then_some(scripts::DUMP_STACKS),
        secrets: if name == FETCH { &host.secrets } else { &none },
    };
    let mut ran = phase::run(host.runtime.as_ref(), log, &plan, container).await?;
    let mut was_killed = false;
    if let PhaseEnd::Exited(exit) = &mut ran.end {
        was_killed = exit.code == scripts::KILLED && !exit.out_of_memory;
        if scripts::was_killed(exit.code, &ran.output) {
            exit.code = scripts::KILLED;
            ran.phase.exit_code = Some(scripts::KILLED);
            let (code, killed) = (scripts::SCRIPT_KILLED, scripts::KILLED);
            log.say(&format!(
                "SIGKILL ended the script, so exit code {code} counts as {killed}"
            ))
            .await;
        }
    }
    report.phases.push(ran.phase.clone());
    if was_killed {
        let code = scripts::KILLED;
        return Err(anyhow::anyhow!("the container of phase {name} was killed from outside, exit code {code}").into());
    }
    Ok(ran)
}

/// Returns the outcome of a fetch. It runs no project code, so a failure is the recipe's or the machinery's, never
/// CPython's. `busy` is the work on a source that was under way at the end of the fetch. Such work waits for no server.
fn fetched(ran: &PhaseResult, spec: &RunSpec, unanswered: Option<&str>, busy: Option<&str>) -> Result<(), Stop> {
    let last = || last_line(&ran.output);
    match ran.end {
        end if end.succeeded() => Ok(()),
        PhaseEnd::TimedOut(_) if unanswered.is_some() => {
            let source = unanswered.map(source_key).unwrap_or_default();
            Err(anyhow::anyhow!("source unreachable: {source} did not answer in time").into())
        }
        PhaseEnd::Exited(exit) if exit.code == FETCH_UNANSWERED => Err(anyhow::anyhow!("{}", last()).into()),
        PhaseEnd::Exited(exit) if exit.code == FETCH_RECIPE => {
            Err(Stop::Ended(Outcome::RecipeError { reason: last() }))
        }
        PhaseEnd::Exited(exit) if exit.out_of_memory => Err(Stop::Ended(Outcome::RecipeError {
            reason: format!("fetching needs more memory than {}", spec.limits.memory),
        })),
        PhaseEnd::Exited(exit) => Err(anyhow::anyhow!("fetch ended with exit code {}: {}", exit.code, last()).into()),
        PhaseEnd::TimedOut(_) if spec.limits.timeout < FETCH_LEAST => {
            let reason = format!(
                "fetch did not end within the run's time limit of {}",
                spec.limits.timeout
            );
            Err(Stop::Ended(Outcome::RecipeError { reason }))
        }
        PhaseEnd::TimedOut(_) if let Some(doing) = busy => {
            let doing = one_line(doing);
            let reason = format!("fetch did not end in time: it was {doing}, which waits for no server");
            Err(Stop::Ended(Outcome::RecipeError { reason }))
        }
        PhaseEnd::TimedOut(_) => {
            Err(anyhow::anyhow!("fetch did not end in time; is the package index slow or out of reach?").into())
        }
    }
}

/// Returns whether a fetch ended because a source did not answer, or because its time was over, which may have the same
/// cause.
fn is_unanswered(ran: &PhaseResult) -> bool {
    match ran.end {
        PhaseEnd::Exited(exit) => exit.code == FETCH_UNANSWERED,
        PhaseEnd::TimedOut(_) => true,
    }
}

/// Returns the outcome of an install. A failure to build or install on a new CPython is evidence about CPython, unless
/// the recipe did not fetch everything that the install needs.
fn installed(ran: &PhaseResult, spec: &RunSpec, limit: Option<&str>) -> Result<(), Stop> {
    let (reason, exit_code) = match ran.end {
        end if end.succeeded() => return Ok(()),
        PhaseEnd::Exited(exit) if exit.out_of_memory => (
            format!("install needs more memory than {}", spec.limits.memory),
            Some(exit.code),
        ),
        PhaseEnd::Exited(exit) => {
            // whatever nobody fetched is missing on every revision, so it says nothing about CPython
            let names = spec
                .fetch
                .sources
                .iter()
                .flat_map(|source| [&source.name, &source.pypi]);
            let mut sources: Vec<&str> = names.filter_map(Option::as_deref).collect();
            sources.push(&spec.fetch.project);
            if let Some(reason) = missing::reason(exit.code, &String::from_utf8_lossy(&ran.output), &sources) {
                return Err(Stop::Ended(Outcome::RecipeError { reason }));
            }
            let limit = limit.map(|limit| format!(": {limit}")).unwrap_or_default();
            (
                format!("install ended with exit code {}{limit}", exit.code),
                Some(exit.code),
            )
        }
        PhaseEnd::TimedOut(_) => ("install did not end in time".to_owned(), None),
    };
    Err(Stop::Ended(Outcome::SetupFailed { reason, exit_code }))
}

/// Returns the outcome of a suite, or `None` if it passed.
fn tested(ran: &PhaseResult) -> Option<Outcome> {
    match ran.end {
        end if end.succeeded() => None,
        PhaseEnd::TimedOut(which) => Some(Outcome::TimedOut { which }),
        PhaseEnd::Exited(exit) if exit.out_of_memory => Some(Outcome::OutOfMemory),
        PhaseEnd::Exited(exit) => Some(of_test_exit(exit.code)),
    }
}

/// Makes a text of project code fit for a report.
fn one_line(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(300).collect()
}

fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    one_line(line.unwrap_or("it wrote nothing"))
}
