//! What a run means: its cell against the check-in before, and the incidents that it is part of.

use super::words::{self, Badge};
use super::{Web, compare};
use crate::clock::now_ms;
use crate::known::{Known, Results};
use crate::store::judge::Column;
use crate::store::revisions::Revision;
use crate::store::runs::Run;
use crate::verdict::{Cell, Row, Seen, Subject, Verdict, is_short, verdict};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeSet;

/// Check-ins with a result that are read, this one included: at first, and at most. A page has little time.
const BACK: i64 = 2;
const BACK_MOST: i64 = 16;
/// Subjects that the page names.
const NAMED: usize = 12;

/// What `standing.hbs` reads.
#[derive(Debug, Serialize)]
pub struct Standing {
    badge: Badge,
    sentence: &'static str,
    /// The check-in that it is against.
    base: Option<Link>,
    /// Where both are side by side, with all projects.
    compare: Option<String>,
    /// The first that is known to fail, and whether any before it is known.
    since: Option<Link>,
    or_before: bool,
    subjects: Vec<String>,
    more: usize,
    /// What a person may ask next.
    ask: Option<String>,
    incidents: Vec<i64>,
}

#[derive(Debug, Serialize)]
struct Link {
    sha: String,
    name: String,
}

/// None: there is nothing to say beyond the cell itself.
pub async fn of(web: &Web, run: &Run, cell: Cell) -> Result<Option<Standing>> {
    let Some(revision) = web.store.revision(&run.revision_id).await? else {
        return Ok(None);
    };
    let column = Column {
        branch_id: &revision.branch_id,
        project: &run.project,
        variant: &run.variant,
        platform: &run.platform,
    };
    let known = known(web, &column, revision.seq).await?;
    if known.last().is_none_or(|last| last.seq != revision.seq) {
        return Ok(None);
    }
    let rows: Vec<Row> = known.iter().map(|known| known.row.clone()).collect();
    let mut found = verdict(cell, &rows, &[]);
    let mut passing = None;
    if matches!(found, Verdict::NewFailing { .. }) {
        let elsewhere = elsewhere(web, &column).await?;
        let rows_of: Vec<Row> = elsewhere.iter().map(|(_, row)| row.clone()).collect();
        found = verdict(cell, &rows, &rows_of);
        passing = elsewhere.into_iter().find(|(_, row)| passes_any(&found, row));
    }
    let place = |place: Option<usize>| place.and_then(|place| known.get(place));
    let base = link(web, place(known.len().checked_sub(2))).await?;
    let since = match found {
        Verdict::StillFailing { since } => Some(since),
        _ => None,
    };
    let incidents = incidents(web, &column, &revision, cell).await?;
    let Some((badge, sentence)) = told(&found, !incidents.is_empty()) else {
        return Ok(None);
    };
    let subjects = subjects(&found);
    Ok(Some(Standing {
        badge,
        sentence,
        compare: base.as_ref().map(|base| {
            let now = compare::named(&revision.sha, &run.variant);
            format!("/compare/{}/{now}", compare::named(&base.sha, &run.variant))
        }),
        base,
        since: link(web, place(since)).await?,
        or_before: since == Some(0),
        subjects: subjects.iter().take(NAMED).map(ToString::to_string).collect(),
        more: subjects.len().saturating_sub(NAMED),
        ask: passing.map(|(branch, _)| {
            let (project, here) = (&run.project, &revision.branch);
            format!("pybots bisect {project} --good {branch} --bad {here}")
        }),
        incidents,
    }))
}

async fn known(web: &Web, column: &Column<'_>, seq: i64) -> Result<Vec<Known>> {
    let mut back = BACK;
    loop {
        let known = rows(web, column, seq, back).await?;
        let plain: Vec<Row> = known.iter().map(|known| known.row.clone()).collect();
        if (known.len() as i64) < back || back >= BACK_MOST || !is_short(&plain, std::iter::empty(), &[]) {
            return Ok(known);
        }
        back *= 2;
    }
}

async fn rows(web: &Web, column: &Column<'_>, seq: i64, back: i64) -> Result<Vec<Known>> {
    let results = Results {
        store: &web.store,
        objects: &web.objects,
    };
    Ok(results
        .rows(column, seq, back, &[], now_ms())
        .await?
        .unwrap_or_default())
}

/// The newest result on each other branch, by the branch's name.
async fn elsewhere(web: &Web, column: &Column<'_>) -> Result<Vec<(String, Row)>> {
    let mut found = Vec::new();
    for branch in web.store.watched_branches().await? {
        if branch.id == column.branch_id {
            continue;
        }
        let there = Column {
            branch_id: &branch.id,
            ..*column
        };
        let newest = rows(web, &there, i64::MAX, 1).await?.pop();
        found.extend(newest.map(|known| (branch.name, known.row)));
    }
    Ok(found)
}

fn passes_any(verdict: &Verdict, row: &Row) -> bool {
    let Verdict::NewFailing { passes_elsewhere } = verdict else {
        return false;
    };
    let passes = |subject: &Subject| row.end.seen(subject) == Some(Seen::Pass);
    passes_elsewhere.iter().any(passes)
}

async fn link(web: &Web, known: Option<&Known>) -> Result<Option<Link>> {
    let Some(known) = known else { return Ok(None) };
    let revision = web.store.revision(&known.row.revision).await?;
    Ok(revision.map(|revision| Link {
        name: words::short(revision.name()).to_owned(),
        sha: revision.sha,
    }))
}

/// The incidents in whose stretch this check-in is, and those that it began or ended.
async fn incidents(web: &Web, column: &Column<'_>, here: &Revision, cell: Cell) -> Result<Vec<i64>> {
    let pool = web.store.pool();
    let mut ids = BTreeSet::new();
    let fails = matches!(cell, Cell::Fail | Cell::Flaky);
    for over in [false, true] {
        for breakage in web.store.breakages_about(pool, column, over).await? {
            let is_in_it = !over && fails && breakage.bad_seq <= here.seq;
            if is_in_it || breakage.bad_id == here.id || breakage.fixed_id.as_ref() == Some(&here.id) {
                ids.insert(breakage.incident_id);
            }
        }
    }
    let mut numbers = Vec::new();
    for id in ids {
        numbers.extend(web.store.incident_by_id(&id).await?.map(|incident| incident.number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn subjects(verdict: &Verdict) -> &[Subject] {
    match verdict {
        Verdict::Suspect { subjects } | Verdict::Fixed { subjects } => subjects,
        Verdict::NewFailing { passes_elsewhere } => passes_elsewhere,
        _ => &[],
    }
}

/// The words of docs/verdicts.md; None: the cell's own say it all. `is_proved`: an incident came of it.
fn told(verdict: &Verdict, is_proved: bool) -> Option<(Badge, &'static str)> {
    let (class, sign, word, sentence) = match verdict {
        Verdict::Ok => ("pass", "✓", "ok", "It passes, as it did before."),
        Verdict::Suspect { .. } if is_proved => (
            "fail",
            "✗",
            "confirmed",
            "This passed before and fails here; both sides ran again to prove it.",
        ),
        Verdict::Suspect { .. } => (
            "fail",
            "✗",
            "suspect",
            "This passed before and fails here. Both sides run again, side by side, before anybody is told.",
        ),
        Verdict::StillFailing { .. } => ("fail", "✗", "still failing", "What fails here failed before."),
        Verdict::Fixed { .. } => ("pass", "✓", "fixed", "This failed before and passes here."),
        Verdict::Flaky => ("flaky", "≈", "flaky", "Runs on this very image disagree."),
        Verdict::New => ("pass", "✓", "new", "There is nothing before it to compare it with."),
        Verdict::NewFailing { passes_elsewhere } if passes_elsewhere.is_empty() => (
            "fail",
            "✗",
            "new, and fails",
            "What fails has no past, here or on another branch.",
        ),
        Verdict::NewFailing { .. } => (
            "fail",
            "✗",
            "new, and fails",
            "What fails has no past here. On another branch this passes.",
        ),
        Verdict::AlwaysFailing => (
            "fail",
            "✗",
            "always failing",
            "What fails was never seen to pass here, and fails on other branches too.",
        ),
        Verdict::ImageFailed | Verdict::Unknown | Verdict::Skipped | Verdict::Pending => return None,
    };
    let word = word.to_owned();
    Some((Badge { class, sign, word }, sentence))
}
