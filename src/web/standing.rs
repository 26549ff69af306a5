//! What a run means: its cell against the check-in before, and the incidents that it is part of.

use super::words::{self, Badge};
use super::{Web, compare};
use crate::clock::now_ms;
use crate::domain::DEFAULT_VARIANT;
use crate::incidents;
use crate::known::{Known, Results};
use crate::store::judge::Column;
use crate::store::revisions::Revision;
use crate::store::runs::Run;
use crate::verdict::{Cell, Row, Seen, Subject, Verdict, is_short, verdict};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeSet;

/// Check-ins with a result that are read, this one included: at first, and where these do not say since when it fails. A
/// page has little time.
const BACK: i64 = 2;
const BACK_MOST: i64 = 10;
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
    /// What came of the inquiries that this run gave rise to.
    answers: Vec<String>,
}

/// What is known of a suspicion.
#[derive(Clone, Copy)]
enum Proof {
    None,
    /// An inquiry has ended, and blames nobody for all of it.
    Answered,
    Incident,
}

/// What broke, as far as this run shows it.
#[derive(Default)]
struct Broke {
    subjects: BTreeSet<Subject>,
    /// Their numbers.
    incidents: Vec<i64>,
}

impl Broke {
    fn explain(&self, subject: &Subject) -> bool {
        self.subjects.contains(subject)
    }
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
    // a check-in may have been run again by another recipe
    if known
        .last()
        .is_none_or(|last| last.seq != revision.seq || last.recipe != run.recipe)
    {
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
    let (since, or_before) = match found {
        Verdict::StillFailing { since, or_before } => (Some(since), or_before),
        _ => (None, false),
    };
    let failing = rows.last().map(|row| row.end.failing()).unwrap_or_default();
    let broke = breakages(web, &column, &revision, &failing).await?;
    let subjects = subjects(&found);
    let answers = answers(web, &column, &revision, subjects).await?;
    let proof = match (&found, subjects.iter().all(|subject| broke.explain(subject))) {
        (Verdict::Suspect { .. }, true) => Proof::Incident,
        _ if answers.is_empty() => Proof::None,
        _ => Proof::Answered,
    };
    let Some((badge, sentence)) = told(&found, proof) else {
        return Ok(None);
    };
    Ok(Some(Standing {
        badge,
        sentence,
        compare: base.as_ref().map(|base| {
            let now = compare::named(&revision.sha, &run.variant);
            format!("/compare/{}/{now}", compare::named(&base.sha, &run.variant))
        }),
        base,
        since: link(web, place(since)).await?,
        or_before,
        subjects: subjects.iter().take(NAMED).map(ToString::to_string).collect(),
        more: subjects.len().saturating_sub(NAMED),
        ask: passing.map(|(branch, _)| {
            let variant = match run.variant.as_str() {
                DEFAULT_VARIANT => String::new(),
                variant => format!(" --variant {variant}"),
            };
            let (project, here) = (&run.project, words::short(&revision.sha));
            format!("pybots bisect {project} --good {branch} --bad {here}{variant}")
        }),
        incidents: broke.incidents,
        answers,
    }))
}

async fn known(web: &Web, column: &Column<'_>, seq: i64) -> Result<Vec<Known>> {
    let known = rows(web, column, seq, BACK).await?;
    let plain: Vec<Row> = known.iter().map(|known| known.row.clone()).collect();
    let failing = plain.last().map(|row| row.end.failing()).unwrap_or_default();
    if (known.len() as i64) < BACK || !is_short(&plain, std::iter::empty(), &failing) {
        return Ok(known);
    }
    rows(web, column, seq, BACK_MOST).await
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

/// The incidents of what fails here, if they had begun; and those that this check-in began or ended.
async fn breakages(web: &Web, column: &Column<'_>, here: &Revision, failing: &[Subject]) -> Result<Broke> {
    let mut ids = BTreeSet::new();
    let mut broke = Broke::default();
    for breakage in web.store.breakages_on(column).await? {
        let subjects: Vec<Subject> = serde_json::from_str(&breakage.subjects)?;
        let fails: Vec<Subject> = subjects
            .into_iter()
            .filter(|subject| failing.contains(subject))
            .collect();
        let had_begun = match breakage.exact == 1 {
            true => breakage.bad_seq <= here.seq,
            false => breakage.good_seq < here.seq,
        };
        let ended_here = breakage.fixed_id.as_ref() == Some(&here.id);
        if !ended_here && (fails.is_empty() || !had_begun) {
            continue;
        }
        // what was mended and fails again is another
        let mended_by = match &breakage.fixed_id {
            Some(id) => web.store.revision(id).await?,
            None => None,
        };
        let is_mended = match mended_by {
            Some(repair) => repair.seq <= here.seq,
            None => breakage.fixed_at.is_some() && breakage.bad_seq != here.seq,
        };
        let is_it = !fails.is_empty() && had_begun && !is_mended;
        if is_it {
            broke.subjects.extend(fails);
        }
        if is_it || ended_here {
            ids.insert(breakage.incident_id);
        }
    }
    for id in ids {
        let incident = web.store.incident_by_id(&id).await?;
        broke.incidents.extend(incident.map(|incident| incident.number));
    }
    broke.incidents.sort_unstable();
    Ok(broke)
}

/// What came of the inquiries about these that this check-in gave rise to.
async fn answers(web: &Web, column: &Column<'_>, here: &Revision, subjects: &[Subject]) -> Result<Vec<String>> {
    let mut told = Vec::new();
    if subjects.is_empty() {
        return Ok(told);
    }
    for inquiry in web.store.inquiries_about(column).await? {
        let is_its = inquiry.now_id == here.id && inquiry.by_hand == 0;
        if is_its && inquiry.subjects()?.iter().any(|subject| subjects.contains(subject)) {
            told.extend(incidents::answers(&inquiry)?);
        }
    }
    Ok(told)
}

fn subjects(verdict: &Verdict) -> &[Subject] {
    match verdict {
        Verdict::Suspect { subjects } | Verdict::Fixed { subjects } => subjects,
        Verdict::NewFailing { passes_elsewhere } => passes_elsewhere,
        _ => &[],
    }
}

/// The words of docs/verdicts.md; None: the cell's own say it all.
fn told(verdict: &Verdict, proof: Proof) -> Option<(Badge, &'static str)> {
    let (class, sign, word, sentence) = match verdict {
        Verdict::Ok => ("pass", "✓", "ok", "It passes, as it did before."),
        Verdict::Suspect { .. } => {
            let (word, sentence) = match proof {
                Proof::Incident => (
                    "confirmed",
                    "This passed before and fails here; both sides ran again to prove it.",
                ),
                Proof::Answered => ("looked into", "This passed before and fails here. It was looked into."),
                Proof::None => (
                    "suspect",
                    "This passed before and fails here. Nobody is told before both sides ran again.",
                ),
            };
            ("fail", "✗", word, sentence)
        }
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
