//! The answers of a bisection, printed for people and for programs.

use super::ends::Ends;
use crate::cli::local::{LocalRunner, Runs, short};
use crate::domain::day::Day;
use crate::domain::text::plain;
use crate::investigate::merged_line;
use crate::store::Store;
use crate::store::investigations::InvestigationRow;
use crate::verdict::{Answer, Change, Finding, LogDifference, Subject};
use anyhow::{Context, Result};
use serde::Serialize;

/// The most lines of the log's difference that are printed for people; `--json` prints all.
const LOG_LINES: usize = 12;

/// The answers of a bisection, and the rounds and builds that it took.
pub struct Answers {
    pub change: Change,
    ends: Ends,
    answers: Vec<AnswerView>,
    /// The day of the dependencies that the runs installed. `None` means the day in the recipe, or else the day of the
    /// search.
    as_of: Option<Day>,
    rounds: usize,
    builds: usize,
}

/// One answer, as `--json` prints it.
#[derive(Debug, Serialize)]
struct AnswerView {
    /// `culprit`, `range`, `not_cpython` or `inconclusive`.
    answer: &'static str,
    /// The id of the revision that caused the change.
    culprit: Option<String>,
    /// The revisions that may have caused the change, oldest first.
    range: Vec<String>,
    reason: Option<String>,
    /// The merge that brought the culprit or the range, or that is the culprit. `None` for a revision of the branch itself.
    merge: Option<MergeView>,
    /// The tests that failed, or the other subjects (a suite, the build) by their names.
    tests: Vec<String>,
    /// The fraction of runs in which the tests fail, from 0 to 1. `None` if they always fail.
    rate: Option<f64>,
    author: Option<String>,
    subject: Option<String>,
    /// The lines that are in the log of the culprit and not in the log of the revision before it.
    log: Vec<String>,
}

/// A merge, and the line of history by which it brought a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MergeView {
    /// The id of the merge.
    pub revision: String,
    /// The parent to which that line leads, counted from 1. `None` means that no line shows the change by itself.
    pub parent: Option<usize>,
}

/// Why a merge is the culprit itself.
const BY_ITSELF: &str = "no revision that it merged shows the change by itself";

impl Answers {
    pub fn new(change: Change, ends: Ends) -> Self {
        Self {
            change,
            ends,
            answers: Vec::new(),
            as_of: None,
            rounds: 0,
            builds: 0,
        }
    }

    /// Adds an inconclusive answer, with the reason.
    pub fn add_inconclusive(&mut self, reason: &str) {
        self.answers.push(AnswerView {
            reason: Some(reason.to_owned()),
            ..AnswerView::new("inconclusive", &[])
        });
    }

    /// Adds a finding of a search on this machine. `revisions` are the ids that the finding's indexes refer to, and `merge` is the one
    /// that brought them.
    pub async fn add(&mut self, runs: &Runs<'_>, finding: Finding, revisions: &[String], merge: Option<MergeView>) {
        let log = match finding.answer {
            Answer::Culprit { index, .. } => runs.difference(&revisions[index - 1], &revisions[index]).await,
            _ => LogDifference::default(),
        };
        let answer = AnswerView::of(self.change, &finding, revisions);
        self.answers.push(AnswerView {
            log: log.lines,
            ..answer.of_merge(merge)
        });
    }

    /// Adds the findings of one of the coordinator's investigations, those that search inside a merge after the one that found it.
    pub async fn add_investigation(&mut self, store: &Store, investigation: &InvestigationRow) -> Result<()> {
        let range = (investigation.base.seq, investigation.now.seq);
        let candidates = store.candidates(&investigation.series, range).await?;
        let mut revisions = Vec::new();
        for candidate in &candidates {
            let revision = store.revision(&candidate.revision_id).await?;
            revisions.push(revision.context("a candidate without its revision")?);
        }
        let shas: Vec<String> = revisions.iter().map(|revision| revision.sha.clone()).collect();
        for finding in &investigation.findings {
            let mut answer = AnswerView::of(self.change, finding, &shas);
            if let Answer::Culprit { index, .. } = finding.answer
                && let Some(culprit) = revisions.get(index)
            {
                answer.author = Some(culprit.author.clone());
                answer.subject = Some(culprit.subject.clone());
            }
            let branch = revisions.first().map(|revision| revision.branch.as_str());
            match branch.and_then(merged_line).filter(|_| investigation.parent.is_some()) {
                Some((merge, parent)) => self.add_inside_merge(answer, merge, parent),
                None => self.answers.push(answer),
            }
        }
        self.rounds += usize::try_from(investigation.rounds).unwrap_or_default();
        Ok(())
    }

    /// Adds the answer of a search inside a merge. If it names revisions, it replaces the one that named the merge; otherwise the merge
    /// stays the answer, unless the search of another line finds more.
    fn add_inside_merge(&mut self, answer: AnswerView, merge: &str, parent: usize) {
        let view = |parent| MergeView {
            revision: merge.to_owned(),
            parent,
        };
        let is_of_merge = |earlier: &AnswerView| earlier.culprit.as_deref() == Some(merge);
        let is_found = |test: &String| answer.tests.contains(test);
        if answer.culprit.is_none() && answer.range.is_empty() {
            let marked = |earlier: AnswerView| match is_of_merge(&earlier) && earlier.tests.iter().any(is_found) {
                true => earlier.of_merge(Some(view(None))),
                false => earlier,
            };
            self.answers = std::mem::take(&mut self.answers).into_iter().map(marked).collect();
            return;
        }
        for earlier in self.answers.iter_mut().filter(|earlier| is_of_merge(earlier)) {
            earlier.tests.retain(|test| !is_found(test));
        }
        self.answers
            .retain(|earlier| !is_of_merge(earlier) || !earlier.tests.is_empty());
        self.answers.push(answer.of_merge(Some(view(Some(parent)))));
    }

    /// Removes the authors of culprits, and gives the reason: only a project in probation names them.
    pub fn leave_out_authors(&mut self) {
        for answer in self.answers.iter_mut().filter(|answer| answer.culprit.is_some()) {
            answer.author = None;
            let unconfirmed = "unconfirmed by others: the project is in probation";
            answer.reason = Some(match answer.reason.take() {
                Some(reason) => format!("{reason}; {unconfirmed}"),
                None => unconfirmed.to_owned(),
            });
        }
    }

    /// Records how many rounds and builds a search on this machine took, and the day of its dependencies.
    pub fn count(&mut self, runs: &Runs<'_>) {
        self.as_of = runs.as_of();
        (self.rounds, self.builds) = (runs.rounds, runs.builds());
    }

    /// Sorts the answers: first culprits, then ranges, then the rest. Adds the author and subject of each culprit.
    pub async fn describe(&mut self, runner: &LocalRunner) -> Result<()> {
        self.answers
            .sort_by_key(|answer| (answer.culprit.is_none(), answer.range.is_empty()));
        for answer in &mut self.answers {
            if let Some(culprit) = &answer.culprit {
                let revision = runner.sources.mirror.revision(culprit).await?;
                answer.author = Some(revision.author);
                answer.subject = Some(revision.subject);
            }
        }
        Ok(())
    }

    /// Returns whether the first answer is a culprit or a range.
    pub fn names_revisions(&self) -> bool {
        let first = self.answers.first();
        first.is_some_and(|answer| answer.culprit.is_some() || !answer.range.is_empty())
    }

    /// Returns the first answer as an object, with both ends, the day of the dependencies, and the numbers of rounds
    /// and builds. The other answers are under `others`.
    pub fn json(&self) -> serde_json::Value {
        let mut answers = self.answers.iter().map(|answer| serde_json::json!(answer));
        let mut first = answers.next().unwrap_or_default();
        first["ends"] = self.ends.json();
        first["as_of"] = serde_json::json!(self.as_of);
        first["rounds"] = self.rounds.into();
        first["builds"] = self.builds.into();
        first["others"] = answers.collect();
        first
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for answer in &self.answers {
            text += &answer.text(self.change);
        }
        text += &self.ends.text(!self.names_revisions());
        if let Some(day) = self.as_of {
            text += &format!("with the dependencies of {day}\n");
        }
        text + &format!("{} rounds, {} builds\n", self.rounds, self.builds)
    }
}

impl AnswerView {
    /// Builds an answer. The finding's indexes refer to `revisions`, a list of ids.
    fn of(change: Change, finding: &Finding, revisions: &[String]) -> Self {
        let view = |answer| AnswerView::new(answer, &finding.subjects);
        match &finding.answer {
            Answer::Culprit { index, rate } => AnswerView {
                culprit: revisions.get(*index).cloned(),
                rate: *rate,
                ..view("culprit")
            },
            Answer::Range { good, bad, why, rate } => AnswerView {
                range: revisions.get(good + 1..=*bad).unwrap_or_default().to_vec(),
                reason: Some(why.describe(change)),
                rate: *rate,
                ..view("range")
            },
            Answer::NotCpython(what) => AnswerView {
                reason: Some(what.describe(change)),
                ..view("not_cpython")
            },
            Answer::Inconclusive(reason) => AnswerView {
                reason: Some(reason.clone()),
                ..view("inconclusive")
            },
        }
    }

    /// Says that a merge brought what the answer names, or is the culprit.
    fn of_merge(self, merge: Option<MergeView>) -> Self {
        let is_culprit = merge.as_ref().is_some_and(|merge| merge.parent.is_none());
        Self {
            reason: match is_culprit {
                true => Some(BY_ITSELF.to_owned()),
                false => self.reason,
            },
            merge,
            ..self
        }
    }

    fn merge_text(&self) -> String {
        match &self.merge {
            Some(MergeView {
                revision,
                parent: Some(parent),
            }) => format!("  parent {parent} of the merge {} brought it\n", short(revision)),
            _ => String::new(),
        }
    }

    fn new(answer: &'static str, subjects: &[Subject]) -> Self {
        Self {
            answer,
            culprit: None,
            range: Vec::new(),
            reason: None,
            merge: None,
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
        let lines = self.log.iter().take(LOG_LINES).map(|line| format!("  | {line}\n"));
        let more = match self.log.len().saturating_sub(LOG_LINES) {
            0 => String::new(),
            more => format!("  | ({more} more)\n"),
        };
        lines.collect::<String>() + &more
    }

    fn text(&self, change: Change) -> String {
        let did = match change {
            Change::Broke => "broke",
            Change::Fixed => "fixed",
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
                    "{} {did} {what}{rate}\n  {}\n",
                    short(culprit),
                    plain(self.subject.as_deref().unwrap_or_default()),
                ) + &self
                    .author
                    .iter()
                    .map(|author| format!("  {}\n", plain(author)))
                    .collect::<String>()
                    + &self.merge_text()
                    + &self
                        .reason
                        .iter()
                        .map(|reason| format!("  {reason}\n"))
                        .collect::<String>()
                    + &self.log_text()
            }
            (None, [first, .., last]) => {
                format!(
                    "one of {} revisions, {} to {}, {did} {what}{rate}: {reason}\n",
                    self.range.len(),
                    short(first),
                    short(last)
                ) + &self.merge_text()
            }
            (None, [only]) => format!("{} {did} {what}{rate}: {reason}\n", short(only)) + &self.merge_text(),
            (None, []) if self.answer == "not_cpython" => format!("no revision {did} {what}: {reason}\n"),
            (None, []) if self.tests.is_empty() => format!("no answer: {reason}\n"),
            (None, []) => format!("no answer to what {did} {what}: {reason}\n"),
        }
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
