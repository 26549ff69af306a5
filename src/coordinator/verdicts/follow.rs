//! The inquiries that follow from an answer.

use super::super::Coordinator;
use super::results::BACK;
use super::settle::Found;
use crate::store::Tx;
use crate::store::inquiries::{InquiryRow, NewInquiry};
use crate::verdict::{Row, Subject, wider};
use anyhow::Result;
use std::collections::BTreeMap;

/// Older results are waited for so long.
const WAITS_MS: i64 = 24 * 3_600_000;

/// An inquiry that follows from an answer.
pub struct Next {
    pub branch_id: String,
    pub recipe: String,
    pub base: (String, i64),
    pub now: (String, i64),
    pub base_lock: Option<String>,
    pub now_lock: Option<String>,
    pub within: Option<String>,
}

impl Next {
    pub async fn open(
        &self,
        coordinator: &Coordinator,
        tx: &mut Tx,
        inquiry: &InquiryRow,
        subjects: &[Subject],
        now: i64,
    ) -> Result<()> {
        let new = NewInquiry {
            branch_id: &self.branch_id,
            project: &inquiry.project,
            variant: &inquiry.variant,
            platform: &inquiry.platform,
            recipe: &self.recipe,
            change: &inquiry.change,
            base: (&self.base.0, self.base.1),
            now: (&self.now.0, self.now.1),
            subjects: &serde_json::to_string(subjects)?,
            base_lock: self.base_lock.as_deref(),
            now_lock: self.now_lock.as_deref(),
            signature: inquiry.signature.as_deref(),
            within: self.within.as_deref(),
            by_hand: inquiry.by_hand == 1,
        };
        coordinator.store.insert_inquiry(tx, &new, now).await?;
        Ok(())
    }
}

/// The search goes on among the check-ins that a merge brought, if the culprit is one.
pub async fn inside(coordinator: &Coordinator, inquiry: &InquiryRow, found: &Found, now: i64) -> Result<Option<Next>> {
    let mirror = &coordinator.mirror;
    let Ok(Some(brought)) = mirror.brought(&found.bad.sha).await else {
        return Ok(None);
    };
    let mut check_ins = Vec::new();
    for sha in &brought {
        check_ins.push(mirror.check_in(sha).await?);
    }
    let name = format!("merge {}", found.bad.sha);
    let line = coordinator.store.line_of(&name, &check_ins, now).await?;
    let (Some(first), Some(last)) = (line.first(), line.last()) else {
        return Ok(None);
    };
    Ok(Some(Next {
        branch_id: first.branch_id.clone(),
        recipe: inquiry.recipe.clone(),
        base: (first.id.clone(), first.seq),
        now: (last.id.clone(), last.seq),
        base_lock: inquiry.base_lock.clone(),
        now_lock: None,
        within: Some(inquiry.id.clone()),
    }))
}

/// What fails now and then on both sides may have passed by chance on the older one: it is asked of one before that.
/// None: older results are yet to come.
pub async fn further(
    coordinator: &Coordinator,
    inquiry: &InquiryRow,
    subjects: &[Subject],
    now: i64,
) -> Result<Option<Vec<(Next, Vec<Subject>)>>> {
    let column = inquiry.column();
    let is_young = now - inquiry.opened_at < WAITS_MS;
    if is_young && coordinator.store.awaits_before(&column, inquiry.base_seq, BACK).await? {
        return Ok(None);
    }
    let about: Vec<&Subject> = subjects.iter().collect();
    let Some(known) = coordinator
        .results()
        .rows(&column, inquiry.now_seq, BACK, &about, now)
        .await?
    else {
        return Ok(None);
    };
    let place = |seq: i64| known.iter().position(|known| known.seq == seq);
    let (Some(base), Some(last)) = (place(inquiry.base_seq), place(inquiry.now_seq)) else {
        return Ok(Some(Vec::new()));
    };
    let rows: Vec<Row> = known.iter().map(|known| known.row.clone()).collect();
    let mut older: BTreeMap<usize, Vec<Subject>> = BTreeMap::new();
    for subject in subjects {
        if let Some(place) = wider(&rows, base, last, subject) {
            older.entry(place).or_default().push(subject.clone());
        }
    }
    let next = older.into_iter().filter_map(|(place, subjects)| {
        let base = known.get(place)?;
        let base_lock = base.lock.clone().or_else(|| inquiry.base_lock.clone());
        let now_lock = known.get(last).and_then(|last| last.lock.clone());
        let further = Next {
            branch_id: inquiry.branch_id.clone(),
            recipe: inquiry.recipe.clone(),
            base: (base.row.revision.clone(), base.seq),
            now: (inquiry.now_id.clone(), inquiry.now_seq),
            now_lock: now_lock.filter(|lock| Some(lock) != base_lock.as_ref()),
            base_lock,
            within: None,
        };
        Some((further, subjects))
    });
    Ok(Some(next.collect()))
}
