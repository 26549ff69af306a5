//! Changes that were found become incidents, or end them.

use super::evidence::Evidence;
use super::settle::Found;
use crate::domain::DEFAULT_VARIANT;
use crate::domain::incident::{Mark, again, belongs};
use crate::store::incidents::{Breakage, Mended, NewBreakage, PYBOTS};
use crate::store::inquiries::InquiryRow;
use crate::store::judge::Column;
use crate::store::{Store, Tx};
use crate::verdict::{Subject, signature};
use anyhow::Result;
use std::collections::BTreeSet;

/// Where something changed, and for whom.
#[derive(Clone, Debug)]
pub struct Affected {
    pub inquiry: Option<String>,
    pub branch_id: String,
    pub branch: String,
    pub project: String,
    pub variant: String,
    pub platform: String,
}

impl Affected {
    /// `watched`: the inquiry about the branch that people watch, also where this one goes on within it.
    pub fn of(inquiry: &InquiryRow, watched: &InquiryRow) -> Self {
        Self {
            inquiry: Some(inquiry.id.clone()),
            branch_id: watched.branch_id.clone(),
            branch: watched.branch.clone(),
            project: inquiry.project.clone(),
            variant: inquiry.variant.clone(),
            platform: inquiry.platform.clone(),
        }
    }

    pub fn column(&self) -> Column<'_> {
        Column {
            branch_id: &self.branch_id,
            project: &self.project,
            variant: &self.variant,
            platform: &self.platform,
        }
    }

    /// `attrs on trunk (debug)`
    fn name(&self) -> String {
        let variant = match self.variant.as_str() {
            DEFAULT_VARIANT => String::new(),
            variant => format!(" ({variant})"),
        };
        format!("{} on {}{variant}", self.project, self.branch)
    }
}

/// A breakage joins the incident that it belongs to, or opens one.
pub async fn broke(
    store: &Store,
    tx: &mut Tx,
    affected: &Affected,
    found: &Found,
    evidence: &Evidence,
    now: i64,
) -> Result<()> {
    let Affected {
        branch_id,
        project,
        variant,
        platform,
        ..
    } = affected;
    let error = evidence.error.as_deref();
    let signature = error.and_then(signature);
    let mark = Mark {
        incident: String::new(),
        branch_id: branch_id.clone(),
        project: project.clone(),
        good_seq: found.places.0,
        bad_id: found.bad.id.clone(),
        bad_seq: found.places.1,
        exact: found.exact,
        signature: signature.clone(),
        subjects: found.subjects.iter().map(ToString::to_string).collect(),
    };
    let marks = |breakages: Vec<Breakage>| breakages.iter().map(self::mark).collect::<Result<Vec<Mark>>>();
    let open = marks(store.open_breakages(&mut **tx).await?)?;
    let incident = match belongs(&mark, &open) {
        Some(known) => known.to_owned(),
        None => {
            let over = marks(store.breakages_about(&mut **tx, &affected.column(), true).await?)?;
            let again = again(&mark, &over);
            let (id, number) = store.insert_incident(tx, again, now).await?;
            tracing::warn!(number, project, culprit = found.bad.sha, "an incident is opened");
            id
        }
    };
    let new = NewBreakage {
        inquiry_id: affected.inquiry.as_deref(),
        branch_id,
        project,
        variant,
        platform,
        subjects: &serde_json::to_string(&found.subjects)?,
        good_id: &found.good.id,
        bad_id: &found.bad.id,
        places: found.places,
        exact: found.exact,
        reason: found.reason.as_deref(),
        rate: found.rate.map(|rate| (rate * 1000.0).round() as i64),
        error,
        signature: signature.as_deref(),
        difference: &serde_json::to_string(&evidence.difference.lines)?,
        good_attempt: evidence.good.as_deref(),
        bad_attempt: evidence.bad.as_deref(),
    };
    store.insert_breakage(tx, &incident, &new).await?;
    for revision in [&found.good, &found.bad] {
        store
            .pin_for(tx, (&revision.id, variant, platform), &incident, now)
            .await?;
    }
    let did = match found.exact {
        true => format!("{} broke it", found.bad.name()),
        false => format!("broken after {}, up to {}", found.good.name(), found.bad.name()),
    };
    let what = format!("{}: {did}", affected.name());
    store.note(tx, &incident, PYBOTS, &what, now).await
}

fn mark(breakage: &Breakage) -> Result<Mark> {
    let subjects: Vec<Subject> = serde_json::from_str(&breakage.subjects)?;
    Ok(Mark {
        incident: breakage.incident_id.clone(),
        branch_id: breakage.branch_id.clone(),
        project: breakage.project.clone(),
        good_seq: breakage.good_seq,
        bad_id: breakage.bad_id.clone(),
        bad_seq: breakage.bad_seq,
        exact: breakage.exact == 1,
        signature: breakage.signature.clone(),
        subjects: subjects.iter().map(ToString::to_string).collect(),
    })
}

/// Notes the repair in every breakage of what a check-in mended, as far as that was broken before it.
pub async fn fixed(store: &Store, tx: &mut Tx, affected: &Affected, found: &Found, now: i64) -> Result<()> {
    let did = match found.exact {
        true => format!("{} mended it", found.bad.name()),
        false => format!("mended after {}, up to {}", found.good.name(), found.bad.name()),
    };
    let mended = Repair {
        subjects: &found.subjects,
        before: Some(found.places.1),
        by: Mended::By(&found.bad.id),
        did: &did,
    };
    mend(store, tx, affected, &mended, now).await
}

/// Ends what a check-in broke that is no longer on its branch; what still fails there is looked at again.
pub async fn left(store: &Store, now: i64) -> Result<()> {
    for breakage in store.breakages_that_left().await? {
        let affected = Affected {
            inquiry: None,
            branch_id: breakage.branch_id.clone(),
            branch: breakage.branch.clone(),
            project: breakage.project.clone(),
            variant: breakage.variant.clone(),
            platform: breakage.platform.clone(),
        };
        let subjects: Vec<Subject> = serde_json::from_str(&breakage.subjects)?;
        let did = "its check-in has left the branch";
        let repair = Repair {
            subjects: &subjects,
            before: Some(breakage.bad_seq + 1),
            by: Mended::Otherwise(did),
            did,
        };
        let mut tx = store.begin().await?;
        mend(store, &mut tx, &affected, &repair, now).await?;
        let since = breakage.good_seq + 1..=i64::MAX;
        store.results_are_news(&mut tx, &breakage.column(), since).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// What breakages are over, and why.
pub struct Repair<'a> {
    pub subjects: &'a [Subject],
    /// The place on the branch before which they broke; None: wherever.
    pub before: Option<i64>,
    pub by: Mended<'a>,
    /// For people.
    pub did: &'a str,
}

/// Notes a repair in every breakage that it is of; an incident of which nothing is left is closed.
pub async fn mend(store: &Store, tx: &mut Tx, affected: &Affected, repair: &Repair<'_>, now: i64) -> Result<()> {
    let mut touched = BTreeSet::new();
    for breakage in store.breakages_about(&mut **tx, &affected.column(), false).await? {
        let subjects: Vec<Subject> = serde_json::from_str(&breakage.subjects)?;
        let (mended, rest): (Vec<Subject>, Vec<Subject>) = subjects
            .into_iter()
            .partition(|subject| repair.subjects.contains(subject));
        if mended.is_empty() || repair.before.is_some_and(|place| breakage.bad_seq >= place) {
            continue;
        }
        let rest = match rest.is_empty() {
            true => None,
            false => Some(serde_json::to_string(&rest)?),
        };
        let mended = serde_json::to_string(&mended)?;
        if store
            .breakage_fixed(tx, &breakage, (&mended, rest.as_deref()), repair.by, now)
            .await?
        {
            let what = format!("{}: {}", affected.name(), repair.did);
            store.note(tx, &breakage.incident_id, PYBOTS, &what, now).await?;
            touched.insert(breakage.incident_id.clone());
        }
    }
    let left = store.open_breakages(&mut **tx).await?;
    for incident in touched {
        let is_over = !left
            .iter()
            .any(|part| part.incident_id == incident && part.fixed_at.is_none());
        if is_over && store.close_incident(tx, &incident, now).await? {
            store.unpin_for(tx, &incident).await?;
            store
                .note(tx, &incident, PYBOTS, "closed: all that it broke is mended", now)
                .await?;
        }
    }
    Ok(())
}
