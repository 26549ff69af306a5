//! Decides whether an earlier investigation makes a new one unnecessary. It does if it is under way, if its answer
//! still holds, or if its answer suppresses the subject for a while.

use super::known_regressions::wandering_error_of;
use crate::domain::series::Series;
use crate::domain::time::{HOUR_MS, Timestamp};
use crate::store::Store;
use crate::store::investigations::{InvestigationRow, NewInvestigation};
use crate::verdict::{Answer, Change, HistoryEntry, NotCpython, Observation, Subject};
use anyhow::Result;
use std::collections::BTreeMap;

/// After this many investigations that could not reproduce a failure, the failure opens no further one while their
/// answers suppress it.
const UNSEEN_MOST: usize = 2;

/// Returns for how many milliseconds an answer keeps its subjects from opening another investigation. Returns `None` if
/// the answer holds for its range permanently.
pub fn suppression_ms(answer: &Answer) -> Option<i64> {
    match answer {
        Answer::NotCpython(NotCpython::Flaky { .. } | NotCpython::HostSpecific(_) | NotCpython::NotSeenAgain) => {
            Some(7 * 24 * HOUR_MS)
        }
        Answer::Inconclusive(_) => Some(24 * HOUR_MS),
        Answer::NotCpython(
            NotCpython::FailsOnBoth
            | NotCpython::BaseImageChanged
            | NotCpython::DependencyChanged
            | NotCpython::ProjectChanged,
        )
        | Answer::Culprit { .. }
        | Answer::Range { .. } => None,
    }
}

/// A subject that changed between two positions of a branch.
#[derive(Clone, Copy)]
pub struct Suspected<'a> {
    pub change: Change,
    pub subject: &'a Subject,
    /// The digest of the recipe that is in force.
    pub recipe: &'a str,
    /// The position of the baseline, and the position of the entry where the change was seen.
    pub range: (i64, i64),
}

/// The investigations of one series, except those that a person asked for. Each detection pass reads them once.
pub struct EarlierInvestigations(Vec<Earlier>);

impl EarlierInvestigations {
    pub async fn read(store: &Store, series: &Series) -> Result<Self> {
        let searched_within = store.searched_within().await?;
        let rows = store.investigations_about(series).await?.into_iter();
        Ok(Self(
            rows.filter(|row| !row.manual)
                .map(|row| Earlier::of(&row, searched_within.contains(&row.id)))
                .collect(),
        ))
    }

    /// Adds an investigation that this pass has opened.
    pub fn add(&mut self, new: &NewInvestigation) {
        self.0.push(Earlier {
            change: new.change,
            signature: new.signature.clone(),
            recipe: new.recipe.clone(),
            range: (new.base.seq, new.now.seq),
            answers: new.subjects.iter().map(|subject| (subject.clone(), None)).collect(),
            has_ended: false,
            suppressed_until: None,
            is_searched_within: false,
        });
    }

    /// Returns whether an earlier investigation is about the error of a test. There are two cases:
    ///
    /// - The investigation is under way. It is about the error itself, or about tests with that error that do not fail
    ///   now. Its answer decides, and then the test is evaluated again.
    /// - It found the error on both ends of its range, and the baseline lies in that range. Before that range, the
    ///   error may be new.
    pub fn may_have_wandered(&self, test: &Subject, (base, last): (&HistoryEntry, &HistoryEntry)) -> bool {
        let fails = |subject: &Subject| last.end.observe(subject) == Some(Observation::Fail);
        let mut with_error = self
            .0
            .iter()
            .filter(|earlier| earlier.change == Change::Broke && earlier.signature.is_some())
            .peekable();
        if with_error.peek().is_none() {
            return false;
        }
        let Some(error) = wandering_error_of(test, last) else {
            return false;
        };
        let on_both = Answer::NotCpython(NotCpython::FailsOnBoth);
        with_error.any(|earlier| {
            let answer = earlier.answers.get(&Subject::Error(error.clone()));
            let is_open = !earlier.has_ended
                && (answer.is_some() || (earlier.range.1 < last.seq && !earlier.answers.keys().any(fails)));
            let is_on_both =
                answer == Some(&Some(on_both.clone())) && (earlier.range.0..=earlier.range.1).contains(&base.seq);
            earlier.signature.as_ref() == Some(&error) && (is_open || is_on_both)
        })
    }

    /// Returns whether a suspicion needs no investigation of its own.
    pub fn cover(&self, suspected: Suspected<'_>, now: Timestamp) -> bool {
        let unseen = self
            .0
            .iter()
            .filter(|earlier| earlier.was_not_seen_again(suspected, now));
        self.0.iter().any(|earlier| earlier.covers(suspected, now)) || unseen.count() >= UNSEEN_MOST
    }
}

/// An investigation that no person asked for.
struct Earlier {
    change: Change,
    /// The signature of the first error.
    signature: Option<String>,
    recipe: String,
    range: (i64, i64),
    /// The answer about each subject, or `None` if there is none yet.
    answers: BTreeMap<Subject, Option<Answer>>,
    has_ended: bool,
    suppressed_until: Option<Timestamp>,
    /// Whether its culprit is a merge inside which another investigation searches now.
    is_searched_within: bool,
}

/// The answer of an investigation about a subject.
enum Coverage<'a> {
    /// The investigation is not about that change of the subject.
    Unrelated,
    Unanswered,
    Answered(&'a Answer),
}

impl Earlier {
    fn of(row: &InvestigationRow, is_searched_within: bool) -> Self {
        let mut answers: BTreeMap<Subject, Option<Answer>> =
            row.subjects.iter().map(|subject| (subject.clone(), None)).collect();
        for finding in &row.findings {
            for subject in &finding.subjects {
                answers.insert(subject.clone(), Some(finding.answer.clone()));
            }
        }
        Self {
            change: row.change,
            signature: row.signature.clone(),
            recipe: row.recipe.clone(),
            range: (row.base.seq, row.now.seq),
            answers,
            has_ended: row.ended_at.is_some(),
            suppressed_until: row.suppressed_until,
            is_searched_within,
        }
    }

    fn coverage(&self, suspected: Suspected<'_>) -> Coverage<'_> {
        match suspected.subject.find_in(&self.answers) {
            Some(Some(answer)) if self.change == suspected.change => Coverage::Answered(answer),
            Some(None) if self.change == suspected.change => Coverage::Unanswered,
            _ => Coverage::Unrelated,
        }
    }

    fn is_suppressing(&self, now: Timestamp) -> bool {
        self.suppressed_until.is_some_and(|until| now < until)
    }

    /// Returns whether this investigation already examines the suspicion, or its answer holds for the suspicion.
    fn covers(&self, suspected: Suspected<'_>, now: Timestamp) -> bool {
        let overlaps = self.range.0 < suspected.range.1 && suspected.range.0 < self.range.1;
        let answer = match self.coverage(suspected) {
            Coverage::Unrelated => return false,
            // while it is open, its answer may hold for this range too; after that the suspicion is judged again
            Coverage::Unanswered => return !self.has_ended,
            Coverage::Answered(answer) => answer,
        };
        match answer {
            // a rare failure may have passed by chance, so another range is investigated once more
            Answer::NotCpython(NotCpython::NotSeenAgain) => overlaps && self.is_suppressing(now),
            // the regression that it proved explains the failure, see `KnownRegressions::explains`
            Answer::Culprit { .. } | Answer::Range { .. } if suspected.change == Change::Broke => {
                self.is_searched_within && overlaps
            }
            answer if suppression_ms(answer).is_none() => overlaps,
            // a changed recipe may behave differently
            _ => self.recipe == suspected.recipe && self.is_suppressing(now),
        }
    }

    /// Returns whether this investigation could not reproduce the failure and still suppresses it.
    fn was_not_seen_again(&self, suspected: Suspected<'_>, now: Timestamp) -> bool {
        let unseen = Answer::NotCpython(NotCpython::NotSeenAgain);
        self.is_suppressing(now) && matches!(self.coverage(suspected), Coverage::Answered(answer) if *answer == unseen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: (i64, i64) = (10, 20);

    fn cover(answers: &[Option<Answer>], change: Change, range: (i64, i64), recipe: &str, now: i64) -> bool {
        let earlier = answers.iter().map(|answer| Earlier {
            change: Change::Broke,
            signature: None,
            recipe: "r".to_owned(),
            range: RANGE,
            answers: [(Subject::Suite, answer.clone())].into(),
            has_ended: answer.is_some(),
            suppressed_until: answer.as_ref().and_then(suppression_ms).map(Timestamp::from_millis),
            is_searched_within: false,
        });
        let suspected = Suspected {
            change,
            subject: &Subject::Suite,
            recipe,
            range,
        };
        EarlierInvestigations(earlier.collect()).cover(suspected, Timestamp::from_millis(now))
    }

    #[test]
    fn an_answer_covers_as_long_as_it_holds() {
        let (near, far) = ((15, 25), (30, 40));
        let answered = |what: NotCpython| Some(Answer::NotCpython(what));
        let flaky = || answered(NotCpython::Flaky { rate: 0.5 });
        let week = 7 * 24 * HOUR_MS;
        for (answer, range, recipe, now, expected) in [
            (None, far, "r", 0, true),
            (flaky(), far, "r", 0, true),
            (flaky(), far, "another", 0, false),
            (flaky(), far, "r", week, false),
            (answered(NotCpython::DependencyChanged), near, "another", week, true),
            (answered(NotCpython::DependencyChanged), far, "r", 0, false),
            (answered(NotCpython::NotSeenAgain), near, "r", 0, true),
            (answered(NotCpython::NotSeenAgain), far, "r", 0, false),
            // the regression explains the failure, see `KnownRegressions::explains`
            (Some(Answer::Culprit { index: 1, rate: None }), near, "r", 0, false),
        ] {
            let covers = cover(std::slice::from_ref(&answer), Change::Broke, range, recipe, now);
            assert_eq!(covers, expected, "{answer:?} {range:?} {recipe} {now}");
        }
        assert!(!cover(&[None], Change::Fixed, RANGE, "r", 0), "another change");
    }

    #[test]
    fn a_failure_that_is_never_seen_again_is_left_alone() {
        let unseen = Some(Answer::NotCpython(NotCpython::NotSeenAgain));
        let far = (30, 40);
        assert!(!cover(std::slice::from_ref(&unseen), Change::Broke, far, "r", 0));
        assert!(cover(&[unseen.clone(), unseen], Change::Broke, far, "r", 0));
    }
}
