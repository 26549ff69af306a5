//! The regressions of a series that are already proved. They raise no new suspicion, and only they can be fixed.

use crate::domain::series::Series;
use crate::store::Store;
use crate::store::regressions::Regression;
use crate::verdict::{HistoryEntry, Observation, RunEnd, Subject, may_wander, reports, signature};
use anyhow::Result;
use std::collections::BTreeMap;

/// An intermittent failure counts as fixed once the probability of so many passes by chance is below this.
pub const CHANCE_OF_FIX: f64 = 0.01;

/// The regressions of one series, read once per pass.
pub struct KnownRegressions {
    /// Regressions that still fail, oldest first.
    unfixed: Vec<Regression>,
    /// Regressions whose culprit is on the branch, fixed or not.
    on_branch: Vec<Regression>,
}

impl KnownRegressions {
    pub async fn read(store: &Store, series: &Series) -> Result<Self> {
        Ok(Self {
            unfixed: store.unfixed_regressions(store.pool(), series).await?,
            on_branch: store.regressions_on(series).await?,
        })
    }

    /// Returns the subjects that fail because of unfixed regressions.
    pub fn failing(&self) -> FailingSubjects {
        FailingSubjects::of(self.unfixed.iter())
    }

    /// Returns the subjects that fail because of unfixed regressions that began at or before `seq`, or whose revision
    /// is only narrowed down to a range.
    pub fn failing_at(&self, seq: i64) -> FailingSubjects {
        let unfixed = self.unfixed.iter();
        FailingSubjects::of(unfixed.filter(|regression| regression.bad_seq <= seq || !regression.exact))
    }

    /// Returns whether a known regression is the reason why a subject passes at `base` and fails at `last`. A fixed
    /// regression explains its subjects too, but only an unfixed one explains other tests with its error.
    pub fn explains(&self, subject: &Subject, (base, last): (&HistoryEntry, &HistoryEntry)) -> bool {
        let is_between = |regression: &&Regression| base.seq < regression.bad_seq && regression.good_seq < last.seq;
        let is_subject = |regression: &Regression| regression.subjects.iter().any(|one| one.is_same(subject));
        let mut errors = self
            .unfixed
            .iter()
            .filter(is_between)
            .flat_map(|regression| &regression.subjects);
        self.on_branch.iter().filter(is_between).any(is_subject)
            || wandering_error_of(subject, last)
                .is_some_and(|error| errors.any(|one| *one == Subject::Error(error.clone())))
    }

    /// Returns whether the error of a regression shows in another test, now that `subject` passes. A test that failed
    /// beside the subject does not count, because it fails for a reason of its own.
    pub fn goes_on(&self, subject: &Subject, entries: &[HistoryEntry]) -> bool {
        let fails = |entry: &HistoryEntry, subject: &Subject| entry.end.observe(subject) == Some(Observation::Fail);
        let Some(failed) = entries.iter().rev().find(|entry| fails(entry, subject)) else {
            return false;
        };
        let Some(RunEnd::Run(_, Some(tests))) = entries.last().map(|last| &last.end) else {
            return false;
        };
        let of_subject = self
            .unfixed
            .iter()
            .filter(|regression| regression.subjects.contains(subject));
        let mut errors = of_subject
            .filter_map(|regression| regression.signature.as_ref())
            .filter(|error| may_wander(error));
        errors.any(|error| {
            tests
                .failed
                .iter()
                .any(|failure| reports(failure, error) && !fails(failed, &Subject::Test(failure.test.clone())))
        })
    }

    /// Returns the regression whose error wandered to a test, and the error as a subject. All subjects of the
    /// regression are tests. At least one of them passes now, and none fails.
    pub fn wandered_to(&self, test: &Subject, last: &HistoryEntry) -> Option<(&Regression, Subject)> {
        let error = wandering_error_of(test, last)?;
        let regression = self.unfixed.iter().find(|regression| {
            let results = || {
                regression
                    .subjects
                    .iter()
                    .filter_map(|subject| last.end.observe(subject))
            };
            regression.signature.as_ref() == Some(&error)
                && (regression.bad_seq <= last.seq || !regression.exact)
                && regression.subjects.iter().all(|subject| subject.test().is_some())
                && results().all(|result| result != Observation::Fail)
                && results().any(|result| result == Observation::Pass)
        })?;
        Some((regression, Subject::Error(error)))
    }
}

/// The subjects that fail because of known regressions, each with the part of runs that fail, from 0 to 1.
pub struct FailingSubjects(BTreeMap<Subject, f64>);

impl FailingSubjects {
    fn of<'a>(regressions: impl Iterator<Item = &'a Regression>) -> Self {
        let mut rates = BTreeMap::new();
        for regression in regressions {
            for subject in &regression.subjects {
                // if two regressions have one subject, the older one counts
                rates
                    .entry(subject.clone())
                    .or_insert_with(|| regression.rate.unwrap_or(1.0));
            }
        }
        Self(rates)
    }

    /// Returns whether a test reports the error of a known regression.
    pub fn has_error_of(&self, test: &Subject, last: &HistoryEntry) -> bool {
        wandering_error_of(test, last).is_some_and(|error| self.0.contains_key(&Subject::Error(error)))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.0.keys()
    }

    /// Returns the part of runs in which a subject fails: 1.0 if it always fails. Returns `None` if no regression
    /// concerns it.
    pub fn rate(&self, subject: &Subject) -> Option<f64> {
        subject.find_in(&self.0).copied()
    }

    /// Returns how many passes in a row prove the fix of the subject that fails most rarely, or 0 if every subject
    /// always fails.
    pub fn passes_for_fix(&self) -> i64 {
        let rarest = self.0.values().copied().fold(1.0, f64::min);
        (CHANCE_OF_FIX.ln() / (1.0 - rarest).ln()).ceil() as i64
    }
}

/// Returns the signature of the error that a test reports, if such an error may wander from test to test; see
/// [`may_wander`].
pub fn wandering_error_of(test: &Subject, entry: &HistoryEntry) -> Option<String> {
    let (RunEnd::Run(_, Some(tests)), Some(test)) = (&entry.end, test.test()) else {
        return None;
    };
    signature(&tests.failure(test)?.message).filter(|error| may_wander(error))
}
