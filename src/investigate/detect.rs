//! Evaluates runs that have ended: compares each with the history of its series, and opens investigations of the
//! changes.

use super::context::{Context, recipe_in_force};
use super::dependency_locks::{expire_lock, pin_lock};
use super::evidence::failure_message;
use super::first_results;
use super::flakiness::repeat;
use super::history::{Delivered, HistoryReader};
use super::known_regressions::{CHANCE_OF_FIX, FailingSubjects, KnownRegressions};
use super::suppression::{EarlierInvestigations, Suspected};
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::domain::series::Series;
use crate::recipe::{KnownFailure, Registered};
use crate::store::incidents::PYBOTS;
use crate::store::investigations::{NewInvestigation, Position};
use crate::store::results::UnevaluatedRun;
use crate::verdict::{Change, HistoryEntry, Observation, Subject, Suspicion, signature, suspicions};
use anyhow::Result;
use std::collections::BTreeMap;

/// How many runs are evaluated in one pass.
const AT_ONCE: i64 = 200;
/// How many results are evaluated at most when one arrives: the result itself and later ones.
const LATER_MOST: usize = 50;

/// Evaluates runs that have ended, oldest revision first, and repeats some of them to see how flaky they are. A run
/// whose results are awaited, or whose evaluation fails, is evaluated in the next pass.
pub async fn tick(context: &Context<'_>, projects: &[Registered]) -> Result<()> {
    let mut detectors = BTreeMap::new();
    for run in context.store.unevaluated(AT_ONCE).await? {
        match evaluate(context, projects, &mut detectors, &run).await {
            Ok(Delivered::Complete(report)) => {
                context
                    .store
                    .mark_evaluated(&run, report.is_some(), context.now)
                    .await?;
                // only now: if the repetition ended before the mark was set, nothing would evaluate it
                if let Some(report) = report {
                    repeat(context, &run, &report).await?;
                }
            }
            Ok(Delivered::Awaited) => {}
            // a run that can't be evaluated must not keep others from their evaluation
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(run = run.id.as_str(), error, "failed to evaluate a run");
            }
        }
    }
    Ok(())
}

async fn evaluate<'a>(
    context: &'a Context<'a>,
    projects: &'a [Registered],
    detectors: &mut BTreeMap<Series, Detector<'a>>,
    run: &UnevaluatedRun,
) -> Result<Delivered<Option<Report>>> {
    let results = HistoryReader {
        store: context.store,
        objects: context.objects,
    };
    if let Delivered::Awaited = first_results::check(context, run).await? {
        return Ok(Delivered::Awaited);
    }
    let Some(report) = results.report(&run.series, run.seq).await? else {
        // none of its attempts is valid
        expire_lock(context, run).await?;
        return Ok(Delivered::Complete(None));
    };
    pin_lock(context, run).await?;
    // the run may be by an earlier recipe; investigations of its changes use the recipe in force
    if let Some(project) = recipe_in_force(projects, &run.series.project) {
        if !detectors.contains_key(&run.series) {
            let detector = Detector::read(context, project, run.series.clone()).await?;
            detectors.insert(run.series.clone(), detector);
        }
        if let Some(detector) = detectors.get_mut(&run.series)
            && let Delivered::Awaited = detector.evaluate_from(run.seq).await?
        {
            return Ok(Delivered::Awaited);
        }
    }
    Ok(Delivered::Complete(Some(report)))
}

/// Looks for changes in one series. It reads the regressions and earlier investigations of the series once.
pub struct Detector<'a> {
    context: &'a Context<'a>,
    project: &'a Registered,
    series: Series,
    regressions: KnownRegressions,
    earlier: EarlierInvestigations,
    /// Tests that the recipe declares to fail at the time of the pass.
    excused: Vec<Subject>,
}

impl<'a> Detector<'a> {
    pub async fn read(context: &'a Context<'a>, project: &'a Registered, series: Series) -> Result<Self> {
        Ok(Self {
            regressions: KnownRegressions::read(context.store, &series).await?,
            earlier: EarlierInvestigations::read(context.store, &series).await?,
            excused: declared_failures(project, |declared| declared.holds(context.now)),
            context,
            project,
            series,
        })
    }

    /// Returns the history up to `seq`, back to the baselines. See [`HistoryReader::entries_to_baseline`].
    pub async fn entries(&self, seq: i64, to_pass: &[Subject]) -> Result<Delivered<Vec<HistoryEntry>>> {
        let failing = self.regressions.failing();
        self.results()
            .entries_to_baseline(&self.series, seq, &failing, to_pass, self.context.now)
            .await
    }

    fn results(&self) -> HistoryReader<'a> {
        HistoryReader {
            store: self.context.store,
            objects: self.context.objects,
        }
    }

    /// Evaluates the result at `seq` and later results, up to the next one that has a result for every test: results
    /// arrive in any order, and a later failure may have begun here.
    async fn evaluate_from(&mut self, seq: i64) -> Result<Delivered<()>> {
        let failing = self.regressions.failing();
        let mut overdue = declared_failures(self.project, |declared| declared.is_over_lately(self.context.now));
        overdue.retain(|subject| failing.rate(subject).is_none());
        let mut next = Some(seq);
        for _ in 0..LATER_MOST {
            let Some(here) = next else { break };
            let report = self.results().report(&self.series, here).await?;
            // a pass changes nothing, unless a regression is unfixed or there are fewer tests
            let may_change = match &report {
                Some(report) if report.outcome == Outcome::Passed && failing.is_empty() => {
                    self.results().may_run_fewer_tests(&self.series, here, report).await?
                }
                report => report.is_some(),
            };
            if may_change {
                let Delivered::Complete(entries) = self.entries(here, &overdue).await? else {
                    return Ok(Delivered::Awaited);
                };
                let broken: Vec<Subject> = failing.subjects().cloned().collect();
                self.investigate(&entries, suspicions(&entries, &overdue, &broken))
                    .await?;
            }
            let has_all_tests = report.is_some_and(|report| match report.outcome {
                Outcome::Passed => true,
                Outcome::Failed { .. } => report.summary.is_some(),
                _ => false,
            });
            if here > seq && has_all_tests {
                break;
            }
            next = self.context.store.next_result(&self.series, here).await?;
        }
        Ok(Delivered::Complete(()))
    }

    /// Opens investigations of the suspicions about the last entry, unless a regression explains them, the recipe
    /// excuses them, or an earlier investigation covers them. First makes errors that wandered the subjects of their
    /// regressions.
    pub async fn investigate(&mut self, entries: &[HistoryEntry], suspicions: Vec<Suspicion>) -> Result<()> {
        let Some(last) = entries.last() else { return Ok(()) };
        self.follow_errors(last, &suspicions).await?;
        let failing = self.regressions.failing_at(last.seq);
        for suspicion in suspicions {
            let Some(base) = entries.get(suspicion.base) else {
                continue;
            };
            let change = suspicion.change;
            let is_new = |subject: &Subject| {
                self.is_news(entries, last, &failing, change, subject) && !self.is_covered(change, subject, base, last)
            };
            let subjects: Vec<Subject> = suspicion.subjects.into_iter().filter(is_new).collect();
            if !subjects.is_empty() {
                self.open(change, base, last, subjects).await?;
            }
        }
        Ok(())
    }

    /// Makes an error the subject of its regression if it shows in another test than before, and adds a note to the
    /// incident. The regression stays the same.
    async fn follow_errors(&mut self, last: &HistoryEntry, suspicions: &[Suspicion]) -> Result<()> {
        let broke = suspicions.iter().filter(|suspicion| suspicion.change == Change::Broke);
        let mut wandered = BTreeMap::new();
        for test in broke.flat_map(|suspicion| &suspicion.subjects) {
            if let Some((regression, error)) = self.regressions.wandered_to(test, last) {
                wandered.insert(regression.id.clone(), (regression, error, test));
            }
        }
        if wandered.is_empty() {
            return Ok(());
        }
        let Context { store, now, .. } = *self.context;
        let mut tx = store.begin().await?;
        for (regression, error, test) in wandered.values() {
            store.set_subject(&mut tx, &regression.id, error).await?;
            let note = format!("{}: the same error shows in {test} now", self.series.project);
            store.note(&mut tx, &regression.incident_id, PYBOTS, &note, now).await?;
        }
        tx.commit().await?;
        self.regressions = KnownRegressions::read(store, &self.series).await?;
        Ok(())
    }

    /// Returns whether a change of a subject needs an investigation. A break does if neither an unfixed regression nor
    /// the recipe explains it. A fix does if an unfixed regression has the subject, chance is unlikely, and the error
    /// does not show in another test.
    fn is_news(
        &self,
        entries: &[HistoryEntry],
        last: &HistoryEntry,
        failing: &FailingSubjects,
        change: Change,
        subject: &Subject,
    ) -> bool {
        if *subject == Subject::Build {
            return false; // builds have incidents of their own
        }
        match change {
            Change::Broke => {
                failing.rate(subject).is_none()
                    && !failing.has_error_of(subject, last)
                    && !self.is_excused(last, subject)
            }
            Change::Fixed => {
                let is_no_chance = |rate| chance_of_passes(entries, subject, rate) < CHANCE_OF_FIX;
                failing.rate(subject).is_some_and(is_no_chance) && !self.regressions.goes_on(subject, entries)
            }
        }
    }

    fn is_excused(&self, last: &HistoryEntry, subject: &Subject) -> bool {
        let all_excused = || last.end.failing().iter().all(|failing| self.excused.contains(failing));
        self.excused.contains(subject) || (*subject == Subject::Run && all_excused())
    }

    /// Returns whether a regression already explains a change, or an earlier investigation covers it.
    fn is_covered(&self, change: Change, subject: &Subject, base: &HistoryEntry, last: &HistoryEntry) -> bool {
        let range = (base.seq, last.seq);
        if change == Change::Broke && self.earlier.may_have_wandered(subject, (base, last)) {
            return true;
        }
        let suspected = Suspected {
            change,
            subject,
            recipe: &self.project.digest,
            range,
        };
        (change == Change::Broke && self.regressions.explains(subject, (base, last)))
            || self.earlier.cover(suspected, self.context.now)
    }

    async fn open(
        &mut self,
        change: Change,
        base: &HistoryEntry,
        last: &HistoryEntry,
        subjects: Vec<Subject>,
    ) -> Result<()> {
        // the recipe that is in force may need other versions than an earlier one
        let lock = |entry: &HistoryEntry| entry.lock.clone().filter(|_| entry.recipe == self.project.digest);
        // if the base installed nothing, the base lock is that of the last entry
        let base_lock = lock(base).or_else(|| lock(last));
        let now_lock = lock(last).filter(|lock| Some(lock) != base_lock.as_ref());
        let position = |entry: &HistoryEntry| Position {
            revision: entry.revision.as_str().into(),
            seq: entry.seq,
        };
        let new = NewInvestigation {
            series: self.series.clone(),
            recipe: self.project.digest.clone(),
            change,
            base: position(base),
            now: position(last),
            signature: failure_message(&last.end, &subjects).as_deref().and_then(signature),
            subjects,
            base_lock,
            now_lock,
            parent: None,
            manual: false,
        };
        let Context { store, now, .. } = *self.context;
        let mut tx = store.begin().await?;
        let id = store.insert_investigation(&mut tx, &new, now).await?;
        tx.commit().await?;
        tracing::info!(
            project = self.series.project,
            variant = self.series.variant,
            change = change.name(),
            subject = new.subjects.first().map(ToString::to_string),
            investigation = id.as_str(),
            "opened an investigation"
        );
        self.earlier.add(&new);
        Ok(())
    }
}

/// Returns the probability, from 0 to 1, that a subject that fails at a rate passes as often in a row as it did since
/// its last failure.
fn chance_of_passes(entries: &[HistoryEntry], subject: &Subject, rate: f64) -> f64 {
    let seen = entries.iter().rev().filter_map(|entry| entry.end.observe(subject));
    let passes = seen
        .take_while(|seen| *seen != Observation::Fail)
        .filter(|seen| *seen == Observation::Pass);
    (1.0 - rate).powi(i32::try_from(passes.count()).unwrap_or(i32::MAX))
}

/// Returns the tests that the recipe declares as known failures and that `which` selects.
fn declared_failures(project: &Registered, which: impl Fn(&KnownFailure) -> bool) -> Vec<Subject> {
    let declared = project.recipe.known_failure.iter().map(|declared| declared.get_ref());
    declared
        .filter(|declared| which(declared))
        .map(|declared| Subject::Test(declared.test.clone()))
        .collect()
}
