//! `pybots results`: the matrix in a terminal, or its cells as JSON.

use super::progress::Progress;
use super::table;
use crate::config::Settings;
use crate::store::Store;
use crate::store::views::ResultCell;
use anyhow::{Result, bail};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Args)]
pub struct Results {
    /// Only this watched branch.
    #[arg(long)]
    branch: Option<String>,
    /// A list of cells for programs.
    #[arg(long)]
    json: bool,
    /// How many of the newest check-ins of each branch.
    #[arg(long, default_value_t = 20, value_name = "N")]
    revisions: i64,
    /// First wait until nothing is left to do.
    #[arg(long)]
    wait: bool,
}

impl Results {
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let store = super::store(settings).await?;
        if let Some(branch) = &self.branch {
            let known: Vec<String> = store
                .watched_branches()
                .await?
                .into_iter()
                .map(|branch| branch.name)
                .collect();
            if !known.contains(branch) {
                bail!("branch {branch:?} is not watched; there are: {}", known.join(", "));
            }
        }
        if self.wait {
            wait(&store).await?;
        }
        let cells = store.results(self.branch.as_deref(), self.revisions).await?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&cells)?);
        } else {
            print!("{}", matrix(&cells, std::io::stdout().is_terminal()));
            for branch in store.watched_branches().await? {
                if let Some(problem) = branch.problem {
                    println!("branch {}: {problem}", branch.name);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Until every branch was looked at, every revision is planned and every job has ended.
async fn wait(store: &Store) -> Result<()> {
    let mut progress = Progress::new();
    let mut most = 0;
    loop {
        let ahead = store.ahead().await?;
        let open = (ahead.queued + ahead.leased) as u64;
        most = most.max(open);
        if ahead.nothing() {
            progress.end();
            return Ok(());
        }
        let text = match (ahead.unseen_branches, open) {
            (0, 0) => format!("planning {} check-ins", ahead.unplanned),
            (0, _) => format!("{} in work, {} waiting", ahead.leased, ahead.queued),
            (branches, _) => format!("looking at {branches} branches for the first time"),
        };
        progress.at(most - open, most, &text);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Rows are revisions, columns projects. Newest first, as the store gives them.
fn matrix(cells: &[ResultCell], colour: bool) -> String {
    if cells.is_empty() {
        return "no results yet\n".to_owned();
    }
    let projects: BTreeSet<&str> = cells.iter().map(|cell| cell.project.as_str()).collect();
    let mut rows: Vec<(&str, &str)> = Vec::new();
    let mut labels: BTreeMap<&str, &str> = BTreeMap::new();
    let mut at: BTreeMap<(&str, &str, &str), &ResultCell> = BTreeMap::new();
    for cell in cells {
        let row = (cell.branch.as_str(), cell.revision.as_str());
        if !rows.contains(&row) {
            rows.push(row);
        }
        labels.extend(cell.label.as_deref().map(|label| (row.1, label)));
        at.insert((row.0, row.1, &cell.project), cell);
    }
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|(branch, revision)| {
            let short = || revision.chars().take(10).collect();
            let name = labels.get(revision).map_or_else(short, |label| (*label).to_owned());
            let head = [(*branch).to_owned(), name];
            let marks = projects
                .iter()
                .map(|project| mark(at.get(&(*branch, *revision, *project)).copied(), colour));
            head.into_iter().chain(marks).collect()
        })
        .collect();
    let heads: Vec<&str> = ["branch", "revision"]
        .into_iter()
        .chain(projects.iter().copied())
        .collect();
    table::plain(&heads, &lines)
}

fn mark(cell: Option<&ResultCell>, colour: bool) -> String {
    let Some(cell) = cell else { return String::new() };
    let (code, text) = match cell.state {
        "pass" => (32, "✓ pass"),
        "fail" => (31, "✗ fail"),
        "flaky" => (33, "~ flaky"),
        "unknown" => (35, "? unknown"),
        "no_image" => (31, "no image"),
        "skipped" => (90, "– skipped"),
        _ => (90, "⋯ pending"),
    };
    if colour {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}
