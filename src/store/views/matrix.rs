//! The matrix of revisions and projects that pages and commands show.

use super::waits::Waiting;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::id::{AttemptId, ImageId, RevisionId, RunId};
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::time::Timestamp;
use crate::domain::trust::Trust;
use crate::verdict::{Cell, RowCell, RowHealth, row_health, signature};
use serde::Serialize;

/// A row for each revision, and a column for each project.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    pub columns: Vec<Column>,
    /// The rows, newest first, or branch by branch and newest first in each.
    pub rows: Vec<Row>,
    /// The last revision of the matrix, if older ones follow it.
    pub older: Option<RevisionId>,
    /// Whether revisions between the rows are left out, so that no row can be compared with the one below it.
    pub has_gaps: bool,
}

/// A project of the matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    pub name: String,
    /// Whether the project is registered. A project that is no longer registered has a column if it has runs on these
    /// revisions.
    pub registered: bool,
}

/// One revision on one branch, as one variant on one platform.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    pub revision_id: RevisionId,
    pub branch: String,
    pub sha: String,
    /// The name of a Subversion revision: `r45321`.
    pub label: Option<String>,
    pub subject: String,
    pub author: String,
    pub committed_at: Timestamp,
    pub version: Option<String>,
    /// When a force-push took the revision off the branch.
    pub left_at: Option<Timestamp>,
    pub variant: String,
    /// The platform, or an empty text until an image is planned.
    pub platform: String,
    pub image_id: Option<ImageId>,
    pub image: ImageProgress,
    /// The build of the image, if it is queued.
    pub build: Option<Waiting>,
    /// The revision from which the image was built, if it is another one.
    pub built_from: Option<BuiltFrom>,
    /// Whether the revision also has rows of other variants.
    pub several: bool,
    /// A cell for each column, or `None` if the project has no run on the revision and none is to be planned.
    pub cells: Vec<Option<RunCell>>,
}

/// The revision that an image was built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltFrom {
    pub sha: String,
    pub label: Option<String>,
}

impl BuiltFrom {
    /// Returns the label if there is one, otherwise the id in git.
    pub fn name(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.sha)
    }
}

impl Matrix {
    /// Returns the health of the row at an index, compared with the rows below it of the same branch, variant and
    /// platform.
    pub fn meaning(&self, index: usize, trust: &Trust) -> RowHealth {
        let Some(row) = self.rows.get(index) else {
            return RowHealth::Plain;
        };
        let below: Vec<&Row> = self.below(index).collect();
        let columns = self.columns.iter().zip(&row.cells).enumerate();
        let cells = columns.filter_map(|(index, (column, cell))| {
            let cell = cell.as_ref()?;
            let decided = |cell: &&RunCell| cell.state.is_decided();
            let mut before = below.iter().filter_map(|row| row.cells.get(index)?.as_ref());
            Some(RowCell {
                voice: trust.voice(&column.name),
                before: before.find(decided).map(|before| before.state),
                now: cell.state,
                is_infra: cell
                    .outcome
                    .as_ref()
                    .is_none_or(|outcome| outcome.blame() == Blame::Operator),
            })
        });
        row_health(&cells.collect::<Vec<_>>())
    }

    /// The rows below the one at an index that have its branch, variant and platform, newest first.
    fn below(&self, index: usize) -> impl Iterator<Item = &Row> {
        let row = self.rows.get(index).filter(|_| !self.has_gaps);
        self.rows.iter().skip(index + 1).filter(move |other| {
            row.is_some_and(|row| {
                (&other.branch, &other.variant, &other.platform) == (&row.branch, &row.variant, &row.platform)
            })
        })
    }

    /// How many tests fewer a cell ran than the nearest one below it that says how many, by the same recipe. Returns `None` for a cell
    /// that ran as many, or more.
    pub fn fewer_tests(&self, row: usize, column: usize) -> Option<usize> {
        let now = self.rows.get(row)?.tests_run(column)?;
        let before = self.below(row).find_map(|row| row.tests_run(column))?;
        let fewer = before
            .count
            .checked_sub(now.count)
            .filter(|_| before.recipe == now.recipe);
        fewer.filter(|fewer| *fewer > 0)
    }

    /// Returns whether a cell says the same as the nearest decided cell below it: the same state and, if it fails, as
    /// many tests with the same names and the same first error. A run of fewer tests than before says something else.
    /// Returns `None` for a cell that is not decided, or has no decided one below it.
    pub fn is_same(&self, row: usize, column: usize) -> Option<bool> {
        let now = self.rows.get(row)?.result(column)?;
        let is_equal = self.below(row).find_map(|row| Some(row.result(column)? == now))?;
        Some(is_equal && self.fewer_tests(row, column).is_none())
    }

    /// Returns whether a result of a registered project changed at a row, or whether CPython can be built there and could
    /// not before, or the other way round. If older revisions follow, the oldest result of each project and
    /// the oldest build count as changes, because they may be. So does every row of a matrix with gaps.
    pub fn has_change(&self, row: usize) -> bool {
        if self.has_gaps {
            return true;
        }
        let mut columns = self.columns.iter().enumerate().filter(|(_, column)| column.registered);
        let has_result = |at| self.rows.get(row).is_some_and(|row| row.result(at).is_some());
        let result = columns.any(|(at, _)| match self.is_same(row, at) {
            Some(is_same) => !is_same,
            None => self.older.is_some() && has_result(at),
        });
        let builds = |row: &Row| match row.image {
            ImageProgress::Ready | ImageProgress::Degraded(_) => Some(true),
            ImageProgress::Failed => Some(false),
            _ => None,
        };
        let image = self.rows.get(row).and_then(builds);
        let before = self.below(row).find_map(builds);
        let image_changed = match (image, before) {
            (Some(now), Some(before)) => now != before,
            (Some(_), None) => self.older.is_some(),
            (None, _) => false,
        };
        result || image_changed
    }

    /// Returns whether a project has a cell in this state.
    pub fn has_state(&self, column: usize, state: Cell) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.cells.get(column)?.as_ref());
        cells.any(|cell| cell.state == state)
    }

    /// Drops the columns of all projects that a rule does not take, which gets their indexes and names.
    pub fn keep_projects(&mut self, takes: impl Fn(usize, &str) -> bool) {
        let names = self.columns.iter().enumerate();
        let kept: Vec<bool> = names.map(|(at, column)| takes(at, &column.name)).collect();
        let mut columns = kept.iter();
        self.columns.retain(|_| columns.next() == Some(&true));
        for row in &mut self.rows {
            let mut cells = kept.iter();
            row.cells.retain(|_| cells.next() == Some(&true));
        }
    }

    /// Drops the rows of all other variants.
    pub fn keep_variant(&mut self, variant: &str) {
        self.rows.retain(|row| row.variant == variant);
    }
}

/// The parts of a decided cell that stay the same as long as nothing changes.
#[derive(PartialEq)]
struct CellResult<'a> {
    state: Cell,
    outcome: Option<&'a str>,
    failed_tests: Option<usize>,
    failing: Option<&'a str>,
    error: Option<String>,
}

impl Row {
    /// Returns how many tests the cell in a column ran, if its attempt shows it.
    fn tests_run(&self, column: usize) -> Option<&TestsRun> {
        self.cells.get(column)?.as_ref()?.tests.as_ref()
    }

    /// Returns what a decided cell says. Returns `None` for one that is not decided.
    fn result(&self, column: usize) -> Option<CellResult<'_>> {
        let cell = self
            .cells
            .get(column)?
            .as_ref()
            .filter(|cell| cell.state.is_decided())?;
        let outcome = cell.outcome.as_ref().map(Outcome::name);
        // without addresses, times and the like, which differ from run to run
        let error = cell.first_error.as_deref().and_then(signature);
        Some(CellResult {
            state: cell.state,
            outcome,
            failed_tests: cell.failed_tests,
            failing: cell.failing.as_deref(),
            error,
        })
    }

    /// Returns the variant if a page has to show it: it is not the default, or it is one of several.
    pub fn shown_variant(&self) -> Option<&str> {
        (self.several || self.variant != DEFAULT_VARIANT).then_some(self.variant.as_str())
    }

    /// Returns the label if there is one, otherwise the id in git.
    pub fn name(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.sha)
    }
}

/// The progress of a revision's image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ImageProgress {
    #[default]
    Unplanned,
    Queued,
    Building,
    /// The image is not built, and no build is queued or leased: the infrastructure failed every attempt, or the build
    /// was cancelled.
    GaveUp,
    Ready,
    /// The image is ready, but these modules can't be imported.
    Degraded(Vec<String>),
    Failed,
    /// No image of the revision can be built, for this reason.
    Impossible(String),
}

impl ImageProgress {
    /// Returns whether projects run on the image.
    pub fn is_usable(&self) -> bool {
        matches!(self, ImageProgress::Ready | ImageProgress::Degraded(_))
    }
}

/// A cell, with the attempt that explains it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunCell {
    pub state: Cell,
    pub running: bool,
    /// The newest run of the cell, once it is planned.
    pub run: Option<RunId>,
    /// The attempt that explains the state or, if none has ended, the one in progress.
    pub attempt: Option<AttemptId>,
    /// How that attempt ended, or that the recipe skips the project.
    pub outcome: Option<Outcome>,
    /// The duration of that attempt, in seconds.
    pub seconds: Option<f64>,
    /// The phase in which that attempt failed.
    pub failed_in: Option<String>,
    /// The space limit that the attempt hit, as a sentence.
    pub limit: Option<String>,
    /// How many tests that attempt ran, if it says so.
    pub tests: Option<TestsRun>,
    /// How many of these tests failed.
    pub failed_tests: Option<usize>,
    /// The first test that failed, and the first line of its error.
    pub first_error: Option<String>,
    /// The digest of the names of the tests that failed.
    pub failing: Option<String>,
    /// How many attempts have ended.
    pub attempts: usize,
    /// The job of the cell, if it is queued.
    pub waits: Option<Waiting>,
}

/// How many tests a run had, and the recipe that chose them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestsRun {
    /// The digest of the recipe.
    pub recipe: String,
    pub count: usize,
}

impl RunCell {
    /// Creates a cell on which nothing has run.
    pub fn without_attempt(state: Cell) -> Self {
        Self {
            state,
            running: false,
            run: None,
            attempt: None,
            outcome: None,
            seconds: None,
            failed_in: None,
            limit: None,
            tests: None,
            failed_tests: None,
            first_error: None,
            failing: None,
            attempts: 0,
            waits: None,
        }
    }

    pub(super) fn waiting(&mut self) -> Option<&mut Waiting> {
        self.waits.as_mut()
    }

    /// Returns why the project does not run or fails: the reason in its recipe, why there is no image, why its job or
    /// its image waits, or which space limit it hit.
    pub fn reason(&self, row: &Row, now: Timestamp) -> Option<String> {
        match (self.state, &self.outcome, &row.image) {
            (Cell::Pending, ..) if !self.running => self.wait_reason(row, now),
            (Cell::Fail | Cell::Flaky, ..) => self.limit.clone(),
            (Cell::Skipped, Some(Outcome::Skipped { reason }), _) => Some(reason.clone()),
            (Cell::NoImage, _, ImageProgress::Impossible(reason)) => Some(reason.clone()),
            (Cell::NoImage, _, ImageProgress::Failed) => Some("its build failed".to_owned()),
            _ => None,
        }
    }

    /// Returns why the job of a pending cell waits at `now`, or why its image does. Returns `None` if nothing holds it
    /// up.
    fn wait_reason(&self, row: &Row, now: Timestamp) -> Option<String> {
        if let Some(waits) = &self.waits {
            return Some(waits.reason(now).to_string());
        }
        match (&row.image, &row.build) {
            (ImageProgress::Unplanned, _) => Some("its image is not planned yet".to_owned()),
            (ImageProgress::Queued, Some(build)) => Some(format!("its image is not built yet: {}", build.reason(now))),
            (ImageProgress::Queued, None) => Some("its image is not built yet".to_owned()),
            (ImageProgress::Building, _) => Some("its image is being built".to_owned()),
            _ => None,
        }
    }
}

impl Matrix {
    /// Returns the jobs that wait: the jobs of cells, and the builds of images.
    pub(super) fn waiting(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.rows.iter_mut().flat_map(Row::waiting)
    }
}

impl Row {
    pub(super) fn waiting(&mut self) -> impl Iterator<Item = &mut Waiting> {
        let cells = self.cells.iter_mut().flatten();
        self.build
            .as_mut()
            .into_iter()
            .chain(cells.filter_map(RunCell::waiting))
    }
}
