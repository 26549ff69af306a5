//! What was looked into before, read once for all that may be suspected again.

use super::quiet::silence_ms;
use crate::store::incidents::Breakage;
use crate::store::inquiries::InquiryRow;
use crate::verdict::{Answer, Change, NotCpython, Subject};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// An inquiry.
pub struct Earlier<'a> {
    inquiry: &'a InquiryRow,
    /// What it found is searched for within a merge.
    goes_on: bool,
    /// Each subject with its answer, if there is one.
    answers: BTreeMap<Subject, Option<Answer>>,
}

impl<'a> Earlier<'a> {
    /// `searched`: the inquiries within whose answers one goes on.
    pub fn read(inquiry: &'a InquiryRow, searched: &BTreeSet<String>) -> Result<Self> {
        let mut answers: BTreeMap<Subject, Option<Answer>> =
            inquiry.subjects()?.into_iter().map(|subject| (subject, None)).collect();
        for finding in inquiry.findings()? {
            for subject in finding.subjects {
                answers.insert(subject, Some(finding.answer.clone()));
            }
        }
        let goes_on = searched.contains(&inquiry.id);
        Ok(Self {
            inquiry,
            goes_on,
            answers,
        })
    }

    /// What it says of a subject; the outer None: it does not ask for it, or a person did.
    fn answer(&self, (change, subject): (Change, &Subject)) -> Option<Option<&Answer>> {
        let is_its = self.inquiry.by_hand == 0 && self.inquiry.change() == change;
        let answer = self.answers.get(subject).filter(|_| is_its)?;
        Some(answer.as_ref())
    }

    fn is_quiet(&self, now: i64) -> bool {
        self.inquiry.quiet_until.is_some_and(|until| now < until)
    }

    /// Whether it looks into the same already, or its answer holds for it.
    pub fn covers(&self, recipe: &str, asked: (Change, &Subject), (base, last): (i64, i64), now: i64) -> bool {
        let Some(answer) = self.answer(asked) else { return false };
        let overlaps = self.inquiry.base_seq < last && base < self.inquiry.now_seq;
        match answer {
            // what comes of it may hold for all; else it is looked at again
            None => self.inquiry.ended_at.is_none(),
            // what fails seldom may have passed by chance: elsewhere it is asked once more
            Some(Answer::NotCpython(NotCpython::NotSeenAgain)) => overlaps && self.is_quiet(now),
            // what it found is known to have broken, see `Broke`
            Some(Answer::Culprit { .. } | Answer::Range { .. }) if asked.0 == Change::Broke => self.goes_on && overlaps,
            Some(answer) if silence_ms(answer).is_none() => overlaps,
            // a recipe that was changed may have mended what was nobody's
            Some(_) => self.inquiry.recipe == recipe && self.is_quiet(now),
        }
    }

    /// Whether it waited in vain for the same to fail again, not long ago.
    pub fn was_not_seen_again(&self, asked: (Change, &Subject), now: i64) -> bool {
        self.is_quiet(now) && self.answer(asked) == Some(Some(&Answer::NotCpython(NotCpython::NotSeenAgain)))
    }
}

/// What broke, be it mended or not.
pub struct Broke {
    subjects: Vec<Subject>,
    /// After the first place on the branch, up to the second.
    stretch: (i64, i64),
}

impl Broke {
    pub fn read(breakage: &Breakage) -> Result<Self> {
        Ok(Self {
            subjects: serde_json::from_str(&breakage.subjects)?,
            stretch: (breakage.good_seq, breakage.bad_seq),
        })
    }

    /// Whether it is why a subject passes at one place and fails at another.
    pub fn explains(&self, subject: &Subject, (base, last): (i64, i64)) -> bool {
        let (good, bad) = self.stretch;
        base < bad && good < last && self.subjects.contains(subject)
    }
}
