//! The head of the home page: what is broken, by which revision, and how each branch is doing.

use super::incidents::{self, IncidentLine};
use super::route::Web;
use super::wording::{self, Badge, Time};
use crate::domain::state::ImageState;
use crate::domain::time::Timestamp;
use crate::store::views::{BranchHead, StateCounts};
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
}

/// A branch and its newest revision.
#[derive(Debug, Default, Serialize)]
pub struct HeadLine {
    pub branch: String,
    pub sha: String,
    pub name: String,
    pub subject: String,
    pub committed: Time,
    pub badge: Badge,
    /// What came of the newest revision.
    pub sentence: String,
}

/// Reads what the home page shows above the matrix.
pub async fn home(web: &Web, now: Timestamp) -> Result<HomeView> {
    let (open, more) = web.incidents().newest_open(INCIDENTS, now).await?;
    let heads = web.store.branch_heads().await?;
    let ids: Vec<_> = heads.iter().map(|head| &head.id).collect();
    let counts = web.store.state_counts(&ids).await?;
    let none = StateCounts::default();
    Ok(HomeView {
        incidents: open.iter().map(|incident| incidents::line(incident, now)).collect(),
        more,
        under_way: web.store.open_investigations_count().await?,
        heads: heads
            .iter()
            .map(|head| line(head, counts.get(&head.id).unwrap_or(&none), now))
            .collect(),
    })
}

fn line(head: &BranchHead, counts: &StateCounts, now: Timestamp) -> HeadLine {
    let (badge, sentence) = state(head, counts);
    HeadLine {
        branch: head.branch.clone(),
        name: wording::short(head.label.as_deref().unwrap_or(&head.sha)).to_owned(),
        sha: head.sha.clone(),
        subject: head.subject.clone(),
        committed: wording::time(head.committed_at, now),
        badge,
        sentence,
    }
}

/// Says what came of the newest revision of a branch.
fn state(head: &BranchHead, counts: &StateCounts) -> (Badge, String) {
    let count = |state: Option<Cell>| counts.get(&state).copied().unwrap_or(0);
    let all: usize = counts.values().sum();
    let waiting = count(None) + count(Some(Cell::Unknown));
    let failing = count(Some(Cell::Fail)) + count(Some(Cell::Flaky));
    match (head.image, &head.reason) {
        (_, Some(reason)) => (wording::badge("no_image", "–", "no image"), reason.clone()),
        (Some(ImageState::Failed), _) => (wording::badge("fail", "✗", "does not build"), String::new()),
        (Some(ImageState::Wanted) | None, _) => (wording::badge("pending", "⋯", "not built yet"), String::new()),
        (Some(ImageState::Ready), _) if all == 0 => (wording::badge("pass", "✓", "builds"), String::new()),
        (Some(ImageState::Ready), _) => {
            let badge = match (failing, waiting) {
                (0, 0) => wording::badge("pass", "✓", "all pass"),
                (0, _) => wording::badge("pending", "⋯", "running"),
                _ => wording::badge("fail", "✗", format!("{failing} fail")),
            };
            let waits = match waiting {
                0 => String::new(),
                _ => format!(", {waiting} without a result yet"),
            };
            (
                badge,
                format!("{} of {all} projects pass{waits}", count(Some(Cell::Pass))),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(image: Option<ImageState>) -> BranchHead {
        BranchHead {
            branch: "trunk".into(),
            id: "r".into(),
            sha: "0123456789abcdef".into(),
            label: None,
            subject: "a change".into(),
            committed_at: Timestamp::default(),
            image,
            reason: None,
        }
    }

    #[test]
    fn a_branch_says_what_came_of_its_newest_revision() {
        let shown = |image, counts: &[(Option<Cell>, usize)]| {
            let (badge, sentence) = state(&head(image), &counts.iter().copied().collect());
            format!("{}; {sentence}", badge.word)
        };
        let ready = Some(ImageState::Ready);
        let pass = (Some(Cell::Pass), 7);
        assert_eq!(shown(ready, &[pass]), "all pass; 7 of 7 projects pass");
        assert_eq!(
            shown(ready, &[pass, (None, 2)]),
            "running; 7 of 9 projects pass, 2 without a result yet"
        );
        assert_eq!(
            shown(ready, &[pass, (Some(Cell::Fail), 2), (Some(Cell::Flaky), 1)]),
            "3 fail; 7 of 10 projects pass"
        );
        assert_eq!(shown(ready, &[]), "builds; ");
        assert_eq!(shown(Some(ImageState::Failed), &[]), "does not build; ");
        assert_eq!(shown(None, &[]), "not built yet; ");
    }
}
