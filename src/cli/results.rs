//! `pybots results`: prints the matrix, or its cells as JSON.

use super::progress::Progress;
use super::table;
use super::waiting::{SEE_HOSTS, WAIT, standstill};
use crate::clock::now;
use crate::config::Settings;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::limits::Seconds;
use crate::store::Store;
use crate::store::views::ResultCell;
use crate::verdict::Cell;
use anyhow::{Result, bail};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct Results {
    /// Print only this watched branch.
    #[arg(long)]
    branch: Option<String>,
    /// Print only this variant of CPython, such as `debug`.
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Print JSON: a list of cells.
    #[arg(long)]
    json: bool,
    /// Number of newest revisions of each branch to print.
    #[arg(long, default_value_t = 20, value_name = "N")]
    revisions: i64,
    /// First wait until every revision is planned and every job has ended, but no longer than this.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = WAIT)]
    wait: Option<Seconds>,
}

impl Results {
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let store = super::open::store(settings).await?;
        if let Some(branch) = &self.branch {
            let names: Vec<String> = store
                .watched_branches()
                .await?
                .into_iter()
                .map(|branch| branch.name)
                .collect();
            if !names.contains(branch) {
                bail!("branch {branch:?} is not watched; there are: {}", names.join(", "));
            }
        }
        if let Some(limit) = self.wait {
            wait(&store, limit).await?;
        }
        let mut cells = store.results(self.branch.as_deref(), self.revisions, now()).await?;
        if let Some(variant) = &self.variant {
            let variants: BTreeSet<String> = cells.iter().map(|cell| cell.variant.clone()).collect();
            if !variants.is_empty() && !variants.contains(variant) {
                let variants: Vec<String> = variants.into_iter().collect();
                bail!(
                    "no revision is built as {variant:?}; there are: {}",
                    variants.join(", ")
                );
            }
            cells.retain(|cell| cell.variant == *variant);
        }
        if self.json {
            crate::cli::output::json(&cells)?;
        } else {
            out!("{}", matrix(&cells, super::output::has_colours(&std::io::stdout())));
            for branch in store.watched_branches().await? {
                if let Some(problem) = branch.problem {
                    outln!("branch {}: {problem}", branch.name);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Counts jobs that have ended. Jobs that are added during the wait do not lower the count.
#[derive(Default)]
struct Ended {
    ended: u64,
    open: u64,
}

impl Ended {
    /// Takes the current number of open jobs. Returns the number of jobs that have ended, and the number of all jobs so
    /// far.
    fn of(&mut self, open: u64) -> (u64, u64) {
        self.ended += self.open.saturating_sub(open);
        self.open = open;
        (self.ended, self.ended + open)
    }
}

/// Waits until every branch was read, every revision is planned and every job has ended. Fails after `limit`.
async fn wait(store: &Store, limit: Seconds) -> Result<()> {
    let mut progress = Progress::new();
    let mut ended = Ended::default();
    let start = Instant::now();
    loop {
        let ahead = store.ahead().await?;
        let open = (ahead.queued + ahead.leased) as u64;
        let (done, all) = ended.of(open);
        if ahead.nothing() {
            progress.end();
            return Ok(());
        }
        let mut text = match (ahead.unseen_branches, open) {
            (0, 0) => format!("planning {} revisions", ahead.unplanned),
            (0, _) => format!("{} jobs in progress, {} queued", ahead.leased, ahead.queued),
            (branches, _) => format!("reading {branches} branches for the first time"),
        };
        if ahead.queued > 0 {
            text += &standstill(store.waiting_jobs().await?, now());
        }
        if start.elapsed().as_secs() >= limit.0 {
            progress.end();
            bail!("waited {limit}, and there is still work: {text}; {SEE_HOSTS}");
        }
        progress.at(done, all, &text);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The key of a row: branch, revision and variant.
type Key<'a> = (&'a str, &'a str, &'a str);

fn key(cell: &ResultCell) -> Key<'_> {
    (&cell.branch, &cell.revision, &cell.variant)
}

/// Formats the matrix as text: a row for each revision and variant, newest first as the store returns them, and a
/// column for each project. Omits the column `variant` if all rows have the default variant, and `image of` if no image
/// is shared. The reasons why cells have no result follow.
fn matrix(cells: &[ResultCell], colour: bool) -> String {
    if cells.is_empty() {
        return "no results yet\n".to_owned();
    }
    let projects: BTreeSet<&str> = cells.iter().map(|cell| cell.project.as_str()).collect();
    let variants = cells.iter().any(|cell| cell.variant != DEFAULT_VARIANT);
    let shared = cells.iter().any(|cell| cell.image_of.is_some());
    let rows: Vec<&[ResultCell]> = cells.chunk_by(|a, b| key(a) == key(b)).collect();
    let line = |row: &&[ResultCell]| -> Vec<String> {
        let at: BTreeMap<&str, &ResultCell> = row.iter().map(|cell| (cell.project.as_str(), cell)).collect();
        let marks = projects.iter().map(|project| mark(at.get(project).copied(), colour));
        let first = row.first().map(|cell| {
            let image = cell
                .image_of
                .as_deref()
                .map(|built| short(built, cell.image_of_label.as_deref()));
            let head = [cell.branch.clone(), short(&cell.revision, cell.label.as_deref())];
            head.into_iter()
                .chain(variants.then(|| cell.variant.clone()))
                .chain(shared.then(|| image.unwrap_or_default()))
        });
        first.into_iter().flatten().chain(marks).collect()
    };
    let lines: Vec<Vec<String>> = rows.iter().map(line).collect();
    let heads: Vec<&str> = ["branch", "revision"]
        .into_iter()
        .chain(variants.then_some("variant"))
        .chain(shared.then_some("image of"))
        .chain(projects.iter().copied())
        .collect();
    table::plain(&heads, &lines) + &reasons(&rows)
}

/// Returns the reasons why rows have no image and why cells wait, one per line, without duplicates.
fn reasons(rows: &[&[ResultCell]]) -> String {
    let mut lines = BTreeSet::new();
    for cell in rows.iter().filter_map(|row| row.first()) {
        if let (Cell::NoImage, Some(reason)) = (cell.state, &cell.reason) {
            lines.insert(format!("no image on {}, {}: {reason}\n", cell.branch, cell.variant));
        }
    }
    let waiting = rows
        .iter()
        .flat_map(|row| row.iter())
        .filter(|cell| cell.state == Cell::Pending);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in waiting.filter_map(|cell| cell.reason.as_deref()) {
        *counts.entry(reason).or_default() += 1;
    }
    let waits = counts
        .into_iter()
        .map(|(reason, cells)| format!("{cells} pending: {reason}\n"));
    lines.into_iter().chain(waits).collect()
}

/// Returns the label of a revision, or the first 10 characters of its id.
fn short(sha: &str, label: Option<&str>) -> String {
    label.map_or_else(|| sha.chars().take(10).collect(), str::to_owned)
}

fn mark(cell: Option<&ResultCell>, colour: bool) -> String {
    let Some(cell) = cell else { return String::new() };
    let (code, text) = match cell.state {
        Cell::Pass => (32, "✓ pass"),
        Cell::Fail => (31, "✗ fail"),
        Cell::Flaky => (33, "~ flaky"),
        Cell::Unknown => (35, "? unknown"),
        Cell::NoImage => (31, "no image"),
        Cell::Skipped => (90, "– skipped"),
        Cell::Pending => (90, "⋯ pending"),
    };
    if colour {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(revision: &str, variant: &str, project: &str, state: Cell) -> ResultCell {
        ResultCell {
            branch: "trunk".into(),
            revision: revision.repeat(4),
            label: None,
            project: project.into(),
            variant: variant.into(),
            platform: "linux/amd64".into(),
            image_of: None,
            image_of_label: None,
            state,
            outcome: None,
            reason: None,
            exit_code: None,
            seconds: None,
            run: None,
        }
    }

    #[test]
    fn progress_never_goes_back() {
        let mut ended = Ended::default();
        let open = [2, 17, 10, 2, 7, 7, 0];
        let shown = open.map(|open| ended.of(open));
        assert_eq!(
            shown,
            [(0, 2), (0, 17), (7, 17), (15, 17), (15, 22), (15, 22), (22, 22)]
        );
    }

    #[test]
    fn columns_that_say_nothing_are_left_out() {
        let text = matrix(&[cell("abcdef", "default", "attrs", Cell::Pass)], false);
        assert_eq!(text, "branch  revision    attrs\ntrunk   abcdefabcd  ✓ pass\n");
    }

    #[test]
    fn variants_have_rows_of_their_own_and_shared_images_are_named() {
        let mut cells = [
            cell("abcdef", "default", "attrs", Cell::Pass),
            cell("abcdef", "default", "idna", Cell::Fail),
            cell("abcdef", "debug", "attrs", Cell::Skipped),
            cell("abcdef", "debug", "idna", Cell::Pass),
            cell("012345", "debug", "attrs", Cell::NoImage),
        ];
        cells[2].image_of = Some("fedcba9876543210".into());
        cells[4].reason = Some("the build profile \"2.5\" has no variant \"debug\"".into());
        let text = matrix(&cells, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "branch  revision    variant  image of    attrs      idna",
                "trunk   abcdefabcd  default              ✓ pass     ✗ fail",
                "trunk   abcdefabcd  debug    fedcba9876  – skipped  ✓ pass",
                "trunk   0123450123  debug                no image",
                "no image on trunk, debug: the build profile \"2.5\" has no variant \"debug\"",
            ]
        );
    }
}
