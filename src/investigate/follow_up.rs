//! Investigations that follow from an answer: inside a merge, with an older baseline, about an error that wanders, with
//! another lock, or by the recipe that is in force.

use super::context::Context;
use super::history::{BACK, BACK_MOST, Delivered, HistoryReader};
use super::model::Found;
use crate::domain::job::Report;
use crate::store::investigations::{InvestigationRow, NewInvestigation, Position};
use crate::store::probes::ProbeRow;
use crate::verdict::{Answer, LockSide, NotCpython, Subject, older_baseline};
use crate::watch::git::ancestry::MergedLine;
use anyhow::Result;
use std::collections::BTreeMap;

/// How long an investigation waits for results before its base, in milliseconds after its start.
const WAITS_MS: i64 = 24 * 3_600_000;

/// Returns the name of the branch that stands for a line of history which a merge brought. See [`MergedLine::parent`].
pub fn merged_line_name(merge: &str, parent: usize) -> String {
    match parent {
        2 => format!("merge {merge}"),
        later => format!("merge {merge}, parent {later}"),
    }
}

/// Returns the merge and the parent that [`merged_line_name`] made a name of.
pub fn merged_line(name: &str) -> Option<(&str, usize)> {
    let rest = name.strip_prefix("merge ")?;
    match rest.split_once(", parent ") {
        None => Some((rest, 2)),
        Some((merge, parent)) => Some((merge, parent.parse().ok()?)),
    }
}

/// Returns the investigation of a line of history that a merge brought: the first line or, if `searched` is set, the
/// one after the line that ends with it. Stores the revisions of the line. Returns `None` if the culprit is no merge,
/// if its commits are missing, or if no line is left.
pub async fn inside_merge(
    context: &Context<'_>,
    row: &InvestigationRow,
    found: &Found,
    searched: Option<&str>,
) -> Result<Option<NewInvestigation>> {
    // without the commits, the merge is the answer
    let lines = context.mirror.merged_lines(&found.bad.sha).await.unwrap_or_default();
    let ends_with = |line: &MergedLine, tip: &str| line.revisions.last().is_some_and(|last| last == tip);
    let number = match searched {
        None => 0,
        Some(tip) => match lines.iter().position(|line| ends_with(line, tip)) {
            Some(number) => number + 1,
            None => return Ok(None),
        },
    };
    let Some(MergedLine {
        parent,
        revisions: shas,
    }) = lines.get(number)
    else {
        return Ok(None);
    };
    let mut revisions = Vec::new();
    for sha in shas {
        revisions.push(context.mirror.revision(sha).await?);
    }
    let name = merged_line_name(&found.bad.sha, *parent);
    let line = context.store.line_of(&name, &revisions, context.now).await?;
    let (Some(first), Some(last)) = (line.first(), line.last()) else {
        return Ok(None);
    };
    let mut inner = again(row, found.subjects.clone());
    inner.series.branch_id = first.branch_id.as_str().into();
    inner.base = Position {
        revision: first.id.as_str().into(),
        seq: first.seq,
    };
    inner.now = Position {
        revision: last.id.as_str().into(),
        seq: last.seq,
    };
    inner.now_lock = None;
    inner.parent = Some(row.id.clone());
    Ok(Some(inner))
}

/// Returns investigations of a flaky failure with older baselines, because the base may have passed by chance. The list
/// is empty if no older revision has passed. Returns `Awaited` while revisions before the base await their runs, for a
/// day at most, or while test results are missing.
pub async fn with_older_base(
    context: &Context<'_>,
    row: &InvestigationRow,
    subjects: &[Subject],
) -> Result<Delivered<Vec<NewInvestigation>>> {
    let is_young = context.now - row.opened_at < WAITS_MS;
    if is_young && context.store.awaits_before(&row.series, row.base.seq, BACK).await? {
        return Ok(Delivered::Awaited);
    }
    let results = HistoryReader {
        store: context.store,
        objects: context.objects,
    };
    let about: Vec<&Subject> = subjects.iter().collect();
    let mut entries = Vec::new();
    // the base of a long investigation may lie further back than most
    for back in [BACK, BACK_MOST] {
        let read = results.entries(&row.series, row.now.seq, back, &about, context.now);
        let Delivered::Complete(read) = read.await? else {
            return Ok(Delivered::Awaited);
        };
        entries = read;
        if entries.first().is_some_and(|first| first.seq < row.base.seq) {
            break;
        }
    }
    let index_of = |seq: i64| entries.iter().position(|entry| entry.seq == seq);
    let (Some(base), Some(last)) = (index_of(row.base.seq), index_of(row.now.seq)) else {
        return Ok(Delivered::Complete(Vec::new()));
    };
    let mut older: BTreeMap<usize, Vec<Subject>> = BTreeMap::new();
    for subject in subjects {
        if let Some(index) = older_baseline(&entries, base, last, subject) {
            older.entry(index).or_default().push(subject.clone());
        }
    }
    let next = older.into_iter().filter_map(|(index, subjects)| {
        let base = entries.get(index)?;
        let now_lock = entries.get(last).and_then(|last| last.lock.clone());
        let mut further = again(row, subjects);
        further.base = Position {
            revision: base.revision.as_str().into(),
            seq: base.seq,
        };
        further.base_lock = base.lock.clone().or_else(|| row.base_lock.clone());
        further.now_lock = now_lock.filter(|lock| Some(lock) != further.base_lock.as_ref());
        further.parent = None;
        Some(further)
    });
    Ok(Delivered::Complete(next.collect()))
}

/// The follow-up about tests whose error wanders from test to test.
pub enum ErrorFollowUp {
    /// An investigation of the error.
    Opens(Box<NewInvestigation>),
    /// Nothing needs to be done: a regression has the error already, an investigation of it is under way, or it showed
    /// on both ends of one.
    Explained,
    /// The error was investigated, and no revision was found.
    Unexplained,
}

/// Returns the follow-up about an error that wanders from test to test, which an investigation of one of these tests
/// found. It covers the same range. An error is investigated once, so that its tests do not lead to it again and again.
pub async fn follow_error(context: &Context<'_>, row: &InvestigationRow, error: String) -> Result<ErrorFollowUp> {
    let store = context.store;
    let subject = Subject::Error(error.clone());
    let unfixed = store.unfixed_regressions(store.pool(), &row.series).await?;
    if unfixed.iter().any(|regression| regression.subjects.contains(&subject)) {
        return Ok(ErrorFollowUp::Explained);
    }
    let earlier = store.investigations_about(&row.series).await?;
    let is_same = |earlier: &&InvestigationRow| {
        earlier.change == row.change
            && earlier.subjects.contains(&subject)
            && (earlier.base.seq..=earlier.now.seq).contains(&row.base.seq)
    };
    let mut same = earlier.iter().filter(is_same).peekable();
    if same.peek().is_some() {
        let explains = |earlier: &InvestigationRow| earlier.ended_at.is_none() || has_error_on_both(earlier, &subject);
        return Ok(match same.any(explains) {
            true => ErrorFollowUp::Explained,
            false => ErrorFollowUp::Unexplained,
        });
    }
    let mut new = again(row, vec![subject]);
    new.parent = None;
    new.signature = Some(error);
    Ok(ErrorFollowUp::Opens(Box::new(new)))
}

fn has_error_on_both(earlier: &InvestigationRow, error: &Subject) -> bool {
    let mut findings = earlier.findings.iter();
    findings.any(|finding| {
        finding.subjects.contains(error) && finding.answer == Answer::NotCpython(NotCpython::FailsOnBoth)
    })
}

/// Returns the same question with the lock of the newer end, if the lock of the older end can't be fetched any more.
/// Returns `None` if the ends share a lock, or if no rerun shows that. The older end may not install with it, but no
/// other lock is left.
pub fn with_newer_lock(row: &InvestigationRow, probes: &[ProbeRow], subjects: &[Subject]) -> Option<NewInvestigation> {
    let newer = row.now_lock.as_ref()?;
    let with_base = probes.iter().filter(|probe| probe.lock == LockSide::Base);
    let mut reports = with_base
        .filter_map(|probe| probe.attempt.as_ref()?.report.as_ref())
        .peekable();
    reports.peek()?;
    let is_unfetchable = reports.all(Report::is_unfetchable);
    let mut new = again(row, subjects.to_vec());
    (new.base_lock, new.now_lock) = (Some(newer.clone()), None);
    is_unfetchable.then_some(new)
}

/// Returns the same question by the recipe in force. This recipe may need other dependencies, so the question has no
/// locks.
pub fn by_recipe(row: &InvestigationRow, recipe: &str) -> NewInvestigation {
    let mut new = again(row, row.subjects.clone());
    recipe.clone_into(&mut new.recipe);
    (new.base_lock, new.now_lock) = (None, None);
    new
}

fn again(row: &InvestigationRow, subjects: Vec<Subject>) -> NewInvestigation {
    NewInvestigation {
        series: row.series.clone(),
        recipe: row.recipe.clone(),
        change: row.change,
        base: row.base.clone(),
        now: row.now.clone(),
        subjects,
        base_lock: row.base_lock.clone(),
        now_lock: row.now_lock.clone(),
        signature: row.signature.clone(),
        parent: row.parent.clone(),
        manual: row.manual,
    }
}
