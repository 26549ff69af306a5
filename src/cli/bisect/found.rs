//! What a search has found, for people and for programs.

use crate::cli::local::{Runs, Workshop, short};
use crate::verdict::{Answer, Change, Finding, LogDifference, Subject};
use anyhow::Result;
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
        let said = |answer| Said::new(answer, &finding.subjects);
        self.answers.push(match finding.answer {
            Answer::Culprit { place, rate } => Said {
                culprit: Some(revisions[place].clone()),
                rate,
                log: log.lines,
                ..said("culprit")
            },
            Answer::Range { good, bad, why, rate } => Said {
                range: revisions[good + 1..=bad].to_vec(),
                reason: Some(why.told(self.change)),
                rate,
                ..said("range")
            },
            Answer::NotCpython(what) => Said {
                reason: Some(what.told(self.change)),
                ..said("not_cpython")
            },
            Answer::Inconclusive(reason) => Said {
                reason: Some(reason),
                ..said("inconclusive")
            },
        });
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
                    self.subject.as_deref().unwrap_or_default(),
                    self.author.as_deref().unwrap_or_default()
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
