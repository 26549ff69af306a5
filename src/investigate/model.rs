//! The data that the steps of an investigation pass to each other.

use crate::domain::DEFAULT_VARIANT;
use crate::domain::id::{AttemptId, InvestigationId};
use crate::domain::incident::ProbedRevision;
use crate::domain::series::Series;
use crate::store::Store;
use crate::store::investigations::InvestigationRow;
use crate::store::regressions::FixedBy;
use crate::store::revisions::Revision;
use crate::verdict::{LogDifference, Subject};
use anyhow::{Context as _, Result};

/// The results of one pass.
#[derive(Debug, Default)]
pub struct Pass {
    /// How many jobs the pass added to the queue.
    pub jobs: usize,
    /// Images without which an investigation can't go on. They are to be built before all others.
    pub images: Vec<WantedImage>,
    /// How many investigations the pass answered. Another pass should follow soon, because others may have waited for
    /// the answers.
    pub answers: usize,
}

/// An image that an investigation needs.
#[derive(Clone, Debug)]
pub struct WantedImage {
    /// The revision. Its `branch` names the watched branch, even if the revision is part of a merge.
    pub revision: Revision,
    pub variant: String,
    pub platform: String,
}

/// An investigation in progress, with the investigation in whose merge it searches.
pub struct Investigated {
    pub row: InvestigationRow,
    /// The investigation whose culprit is a merge, if `row` searches inside that merge.
    pub outer: Option<InvestigationRow>,
}

impl Investigated {
    pub async fn read(store: &Store, row: InvestigationRow) -> Result<Self> {
        let outer = match &row.parent {
            Some(id) => Some(store.investigation(id).await?.context("no such outer investigation")?),
            None => None,
        };
        Ok(Self { row, outer })
    }

    /// Returns the investigation about the watched branch: itself, or the outer one.
    pub fn watched(&self) -> &InvestigationRow {
        self.outer.as_ref().unwrap_or(&self.row)
    }

    /// Returns the series whose results an answer concerns.
    pub fn affected(&self) -> Affected {
        let watched = self.watched();
        Affected {
            investigation: Some(self.row.id.clone()),
            series: watched.series.clone(),
            branch: watched.branch.clone(),
        }
    }
}

/// A change that Pybots found, and the revision that caused it or the range that holds this revision.
pub struct Found {
    pub subjects: Vec<Subject>,
    /// The revision before the change.
    pub good: Revision,
    /// The culprit, or the end of the range.
    pub bad: Revision,
    /// The positions of both on the watched branch. If a merge brought the culprit, these are the positions of the merge
    /// and of the revision before it.
    pub good_seq: i64,
    pub bad_seq: i64,
    /// Whether `bad` is the culprit.
    pub exact: bool,
    /// Why the answer is a range, or why the culprit is a merge.
    pub reason: Option<String>,
    /// The part of runs that fail, from 0 to 1. `None` stands for all.
    pub rate: Option<f64>,
}

/// The evidence of a change: an attempt on either side, and how their logs differ.
#[derive(Default)]
pub struct Evidence {
    pub good: Option<AttemptId>,
    pub bad: Option<AttemptId>,
    /// Lines that the log of `bad` has and the log of `good` lacks.
    pub difference: LogDifference,
    /// The differences between the two attempts besides CPython.
    pub conditions: Vec<String>,
    /// The first error.
    pub error: Option<String>,
    /// What the probes showed at each revision of the searched range, in its order.
    pub probed: Vec<ProbedRevision>,
}

/// The series in which something changed, with the names that notes about it use.
#[derive(Clone, Debug)]
pub struct Affected {
    /// `None` if no investigation found the change.
    pub investigation: Option<InvestigationId>,
    pub series: Series,
    /// The name of the branch.
    pub branch: String,
}

impl Affected {
    /// Returns a name for people, such as `attrs on trunk (debug)`.
    pub fn name(&self) -> String {
        let variant = match self.series.variant.as_str() {
            DEFAULT_VARIANT => String::new(),
            variant => format!(" ({variant})"),
        };
        format!("{} on {}{variant}", self.series.project, self.branch)
    }
}

/// Subjects that no longer fail, and the reason.
pub struct Fix<'a> {
    pub subjects: &'a [Subject],
    /// Only regressions that began before this position of the branch are fixed.
    pub before: i64,
    pub by: FixedBy<'a>,
    /// The text of the note about the fix.
    pub note: &'a str,
}
