//! The head of the home page: what is broken, by which revision, and how each branch is doing.

use super::incidents::{self, IncidentLine};
use super::route::Web;
use super::wording::{self, Badge, Time};
use crate::domain::time::Timestamp;
use crate::store::views::{Column, Row};
use crate::verdict::Cell;
use anyhow::Result;
use serde::Serialize;

/// The most open incidents that the home page names.
const INCIDENTS: usize = 8;

#[derive(Debug, Default, Serialize)]
pub struct HomeView {
    /// The newest open incidents.
    pub incidents: Vec<IncidentLine>,
    /// How many open incidents are not named.
    pub more: usize,
    /// How many investigations have no answer yet.
    pub under_way: usize,
    pub heads: Vec<HeadLine>,
    /// What runs and waits, and how long it takes.
    pub backlog: String,
    /// The hosts that call, and those that do not.
    pub fleet: String,
}

/// A branch and its newest revision.
#[derive(Debug, Default, Serialize)]
pub struct HeadLine {
    pub branch: String,
    pub sha: String,
    pub name: String,
    pub committed: Time,
    pub badge: Badge,
    /// What came of the newest revision.
    pub sentence: String,
}

/// Reads what the home page shows above the matrix.
pub async fn home(web: &Web, now: Timestamp) -> Result<HomeView> {
    let (open, more) = web.incidents().newest_open(INCIDENTS, now).await?;
    let matrix = web.store.branch_heads().await?;
    let backlog = web.store.backlog(now).await?;
    let mut heads: Vec<HeadLine> = Vec::new();
    for row in &matrix.rows {
        // the rows of other variants and platforms follow
        if heads.last().is_none_or(|last| last.branch != row.branch) {
            heads.push(line(row, &matrix.columns, now));
        }
    }
    Ok(HomeView {
        incidents: open.iter().map(|incident| incidents::line(incident, now)).collect(),
        more,
        under_way: web.store.open_investigations_count().await?,
        heads,
        backlog: wording::backlog(&backlog),
        fleet: wording::fleet(&backlog.fleet),
    })
}

fn line(row: &Row, columns: &[Column], now: Timestamp) -> HeadLine {
    let registered = columns.iter().zip(&row.cells).filter(|(column, _)| column.registered);
    let states: Vec<Cell> = registered.filter_map(|(_, cell)| Some(cell.as_ref()?.state)).collect();
    let (badge, sentence) = match row.image.is_usable() {
        true => results(&states),
        false => (wording::image_badge(&row.image), wording::image_sentence(row, now)),
    };
    HeadLine {
        branch: row.branch.clone(),
        name: wording::short(row.name()).to_owned(),
        sha: row.sha.clone(),
        committed: wording::time(row.committed_at, now),
        badge,
        sentence,
    }
}

/// Says what came of the runs of a revision whose image can be used.
fn results(states: &[Cell]) -> (Badge, String) {
    let count = |wanted: &[Cell]| states.iter().filter(|state| wanted.contains(state)).count();
    let (passing, failing) = (count(&[Cell::Pass]), count(&[Cell::Fail, Cell::Flaky]));
    let (waiting, unknown) = (count(&[Cell::Pending]), count(&[Cell::Unknown, Cell::NoImage]));
    let all = passing + failing + waiting + unknown;
    let badge = match (all, failing, waiting, unknown) {
        (0, ..) => return (wording::badge("pass", "✓", "builds"), String::new()),
        (_, 1.., ..) => wording::badge("fail", "✗", format!("{failing} fail")),
        (_, 0, 1.., _) => wording::badge("pending", "⋯", format!("{waiting} waiting")),
        (_, 0, 0, 1..) => wording::badge("unknown", "?", format!("{unknown} unknown")),
        (_, 0, 0, 0) => wording::badge("pass", "✓", "all pass"),
    };
    let mut sentence = format!("{passing} of {all} projects pass");
    if failing > 0 && waiting > 0 {
        sentence += &format!(", {waiting} waiting");
    }
    if failing + waiting > 0 && unknown > 0 {
        sentence += &format!(", {unknown} unknown");
    }
    (badge, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_says_what_came_of_its_newest_revision() {
        let shown = |states: &[Cell]| {
            let (badge, sentence) = results(states);
            format!("{}; {sentence}", badge.word)
        };
        use Cell::{Fail, Flaky, Pass, Pending, Skipped, Unknown};
        assert_eq!(shown(&[Pass, Pass, Skipped]), "all pass; 2 of 2 projects pass");
        assert_eq!(shown(&[Pass, Pending]), "1 waiting; 1 of 2 projects pass");
        assert_eq!(shown(&[Pass, Unknown]), "1 unknown; 1 of 2 projects pass");
        assert_eq!(
            shown(&[Pass, Fail, Flaky, Pending, Unknown]),
            "2 fail; 1 of 5 projects pass, 1 waiting, 1 unknown"
        );
        assert_eq!(shown(&[Skipped]), "builds; ");
    }
}
