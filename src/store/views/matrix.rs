//! Check-ins x projects, as the pages and the commands read them.

use crate::domain::DEFAULT_VARIANT;
use crate::domain::outcome::Outcome;
use crate::verdict::{Cell, Meaning, meaning};
use serde::Serialize;

/// Check-ins x projects.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    pub columns: Vec<Column>,
    /// Newest first.
    pub rows: Vec<Row>,
    /// What to ask for to get the rows that follow, if there are any.
    pub older: Option<String>,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    pub name: String,
    /// False: only its past runs are shown.
    pub registered: bool,
}

/// One check-in on one branch, as one variant on one platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub revision_id: String,
    pub branch: String,
    pub sha: String,
    /// What people call it, `r45321`, if it is a check-in of Subversion.
    pub label: Option<String>,
    pub subject: String,
    pub author: String,
    /// Milliseconds UTC.
    pub committed_at: i64,
    pub version: Option<String>,
    /// When a force-push took it off the branch; milliseconds UTC.
    pub left_at: Option<i64>,
    pub variant: String,
    /// Empty until an image is planned.
    pub platform: String,
    pub image_id: Option<String>,
    pub image: ImageState,
    /// The check-in that its image was built from, where it is another one.
    pub built_from: Option<Other>,
    /// Whether the check-in has rows of other variants as well.
    pub several: bool,
    /// One a column; None where the project came after the check-in was planned.
    pub cells: Vec<Option<RunCell>>,
}

/// Another check-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    pub sha: String,
    pub label: Option<String>,
}

impl Other {
    /// Its label, or else the id.
    pub fn name(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.sha)
    }
}

impl Matrix {
    /// What a row means, by the rows below it of the same branch, variant and platform.
    pub fn meaning(&self, place: usize) -> Meaning {
        let Some(row) = self.rows.get(place) else {
            return Meaning::Plain;
        };
        let alike = |other: &&Row| {
            (&other.branch, &other.variant, &other.platform) == (&row.branch, &row.variant, &row.platform)
        };
        let below: Vec<&Row> = self.rows.iter().skip(place + 1).filter(alike).collect();
        let cells = row.cells.iter().enumerate().filter_map(|(column, cell)| {
            let decided = |cell: &&RunCell| cell.state.is_decided();
            let mut before = below.iter().filter_map(|row| row.cells.get(column)?.as_ref());
            Some((before.find(decided).map(|before| before.state), cell.as_ref()?.state))
        });
        meaning(&cells.collect::<Vec<_>>())
    }

    /// Leaves the rows of one variant.
    pub fn keep_variant(&mut self, variant: &str) {
        self.rows.retain(|row| row.variant == variant);
    }
}

impl Row {
    /// The variant, where it has to be told: it is another than the default, or one of several.
    pub fn told_variant(&self) -> Option<&str> {
        (self.several || self.variant != DEFAULT_VARIANT).then_some(self.variant.as_str())
    }

    /// Its label, or else the id.
    pub fn name(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.sha)
    }
}

/// How far the image of a check-in is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageState {
    Unplanned,
    Queued,
    Building,
    /// The machinery failed as often as it is tried.
    GaveUp,
    Ready,
    Failed,
    /// No profile builds this check-in, and why.
    Impossible(String),
}

/// A cell, with the attempt that explains it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunCell {
    pub state: Cell,
    pub running: bool,
    /// Id of its newest run, once planned.
    pub run: Option<String>,
    /// Id of the attempt that explains the state.
    pub attempt: Option<String>,
    /// How that attempt ended.
    pub outcome: Option<Outcome>,
    /// Wall-clock time of that attempt.
    pub seconds: Option<f64>,
    /// The phase of it that went wrong.
    pub failed_in: Option<String>,
    /// How many attempts have ended.
    pub attempts: usize,
}

impl RunCell {
    /// Why nothing runs: what the recipe says, or what keeps the image from being there.
    pub fn reason(&self, image: &ImageState) -> Option<String> {
        match (self.state, &self.outcome, image) {
            (Cell::Skipped, Some(Outcome::Skipped { reason }), _) => Some(reason.clone()),
            (Cell::NoImage, _, ImageState::Impossible(reason)) => Some(reason.clone()),
            (Cell::NoImage, _, ImageState::Failed) => Some("its build failed".to_owned()),
            _ => None,
        }
    }
}
