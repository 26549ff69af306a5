//! What a search has found, for people and for programs.

use crate::cli::local::{Runs, Workshop, short};
use crate::domain::text::plain;
use crate::store::Store;
use crate::store::inquiries::InquiryRow;
use crate::verdict::{Answer, Change, Finding, LogDifference, Subject};
use anyhow::{Context, Result};
use serde::Serialize;

/// Lines of a log that are printed for people.
const LOG: usize = 12;

pub struct Found {
    pub change: Change,
    answers: Vec<Said>,
    rounds: usize,
    builds: usize,
}

/// An answer, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Said {
    /// `culprit`, `range`, `not_cpython` or `inconclusive`.
    answer: &'static str,
    /// The check-in.
    culprit: Option<String>,
    /// Check-ins one of which it is, oldest first.
    range: Vec<String>,
    reason: Option<String>,
    /// What failed: tests by their names, else what it was.
    tests: Vec<String>,
    /// How often it fails, where not always.
    rate: Option<f64>,
    author: Option<String>,
    subject: Option<String>,
    /// Lines that its log has, and that of the check-in before has not.
    log: Vec<String>,
}

impl Found {
    pub fn new(change: Change) -> Self {
        Self {
            change,
            answers: Vec::new(),
            rounds: 0,
            builds: 0,
        }
    }

    pub fn nothing(&mut self, reason: &str) {
        self.answers.push(Said {
            reason: Some(reason.to_owned()),
            ..Said::new("inconclusive", &[])
        });
    }

    pub async fn add(&mut self, runs: &Runs<'_>, finding: Finding, revisions: &[String]) {
        let log = match finding.answer {
            Answer::Culprit { place, .. } => runs.difference(&revisions[place - 1], &revisions[place]).await,
            _ => LogDifference::default(),
        };
        self.answers.push(Said {
            log: log.lines,
            ..Said::of(self.change, &finding, revisions)
        });
    }

    /// What an inquiry of the coordinator has found; a culprit that is a merge, of which there are inner answers, is left
    /// to them.
    pub async fn take(&mut self, store: &Store, inquiry: &InquiryRow) -> Result<()> {
        let stretch = (inquiry.base_seq, inquiry.now_seq);
        let steps = store.steps(&inquiry.column(), stretch).await?;
        let mut revisions = Vec::new();
        for step in &steps {
            let revision = store.revision(&step.revision_id).await?;
            revisions.push(revision.context("a step without its check-in")?);
        }
        let shas: Vec<String> = revisions.iter().map(|revision| revision.sha.clone()).collect();
        for finding in inquiry.findings()? {
            let mut said = Said::of(self.change, &finding, &shas);
            if let Answer::Culprit { place, .. } = finding.answer
                && let Some(culprit) = revisions.get(place)
            {
                said.author = Some(culprit.author.clone());
                said.subject = Some(culprit.subject.clone());
            }
            // the answer among what a merge brought stands for the merge
            self.answers
                .retain(|known| inquiry.within.is_none() || known.tests != said.tests || said.culprit.is_none());
            self.answers.push(said);
        }
        self.rounds += usize::try_from(inquiry.rounds).unwrap_or_default();
        Ok(())
    }

    pub fn count(&mut self, runs: &Runs<'_>) {
        (self.rounds, self.builds) = (runs.rounds, runs.builds());
    }

    /// Adds whose check-in it was.
    pub async fn describe(&mut self, workshop: &Workshop) -> Result<()> {
        // check-ins first: that is what was asked for
        self.answers
            .sort_by_key(|said| (said.culprit.is_none(), said.range.is_empty()));
        for said in &mut self.answers {
            if let Some(culprit) = &said.culprit {
                let check_in = workshop.sources.mirror.check_in(culprit).await?;
                said.author = Some(check_in.author);
                said.subject = Some(check_in.subject);
            }
        }
        Ok(())
    }

    pub fn names_check_ins(&self) -> bool {
        let first = self.answers.first();
        first.is_some_and(|said| said.culprit.is_some() || !said.range.is_empty())
    }

    /// The first answer; the others of a project that broke in more than one way under `others`.
    pub fn json(&self) -> serde_json::Value {
        let mut answers = self.answers.iter().map(|said| serde_json::json!(said));
        let mut first = answers.next().unwrap_or_default();
        first["rounds"] = self.rounds.into();
        first["builds"] = self.builds.into();
        first["others"] = answers.collect();
        first
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for said in &self.answers {
            text += &said.text(self.change);
        }
        text + &format!("{} rounds, {} builds\n", self.rounds, self.builds)
    }
}

impl Said {
    /// `revisions`: the ids of the check-ins among which it was looked for.
    fn of(change: Change, finding: &Finding, revisions: &[String]) -> Self {
        let said = |answer| Said::new(answer, &finding.subjects);
        match &finding.answer {
            Answer::Culprit { place, rate } => Said {
                culprit: revisions.get(*place).cloned(),
                rate: *rate,
                ..said("culprit")
            },
            Answer::Range { good, bad, why, rate } => Said {
                range: revisions.get(good + 1..=*bad).unwrap_or_default().to_vec(),
                reason: Some(why.told(change)),
                rate: *rate,
                ..said("range")
            },
            Answer::NotCpython(what) => Said {
                reason: Some(what.told(change)),
                ..said("not_cpython")
            },
            Answer::Inconclusive(reason) => Said {
                reason: Some(reason.clone()),
                ..said("inconclusive")
            },
        }
    }

    fn new(answer: &'static str, subjects: &[Subject]) -> Self {
        Self {
            answer,
            culprit: None,
            range: Vec::new(),
            reason: None,
            tests: subjects
                .iter()
                .map(|subject| match subject {
                    Subject::Test(test) => test.clone(),
                    other => other.to_string(),
                })
                .collect(),
            rate: None,
            author: None,
            subject: None,
            log: Vec::new(),
        }
    }

    fn log_text(&self) -> String {
        let lines = self.log.iter().take(LOG).map(|line| format!("  | {line}\n"));
        let more = match self.log.len().saturating_sub(LOG) {
            0 => String::new(),
            more => format!("  | ({more} more)\n"),
        };
        lines.collect::<String>() + &more
    }

    fn text(&self, change: Change) -> String {
        let did = match change {
            Change::Broke => "broke",
            Change::Fixed => "mended",
        };
        let what = match self.tests.as_slice() {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [one, rest @ ..] => format!("{one} and {} more", rest.len()),
        };
        let reason = self.reason.as_deref().unwrap_or_default();
        let rate = self.rate.map_or(String::new(), |rate| {
            format!(", since then in {:.0} % of runs", rate * 100.0)
        });
        match (&self.culprit, self.range.as_slice()) {
            (Some(culprit), _) => {
                format!(
                    "{} {did} {what}{rate}\n  {}\n  {}\n",
                    short(culprit),
                    plain(self.subject.as_deref().unwrap_or_default()),
                    plain(self.author.as_deref().unwrap_or_default())
                ) + &self.log_text()
            }
            (None, [first, .., last]) => format!(
                "one of {} check-ins, {} to {}, {did} {what}{rate}: {reason}\n",
                self.range.len(),
                short(first),
                short(last)
            ),
            (None, [only]) => format!("{} {did} {what}{rate}: {reason}\n", short(only)),
            (None, []) if self.answer == "not_cpython" => format!("no check-in {did} {what}: {reason}\n"),
            (None, []) => format!("it can't be said what {did} {what}: {reason}\n"),
        }
    }
}
