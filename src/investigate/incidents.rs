//! Records changes: a regression opens an incident or joins one, and a fix may close it.

use super::model::{Affected, Evidence, Fix, Found};
use crate::domain::incident::{Fingerprint, incident_of, recurrence_of};
use crate::domain::time::Timestamp;
use crate::store::incidents::PYBOTS;
use crate::store::regressions::{FixedBy, NewRegression, Regression};
use crate::store::{Store, Tx};
use crate::verdict::{Subject, signature};
use anyhow::Result;
use std::collections::BTreeSet;

/// Records a regression. It joins the incident to which it belongs, or opens a new one; the images of both revisions
/// are pinned. If an unfixed regression describes the same failure, only the subject of that regression becomes the
/// error.
pub async fn record_regression(
    store: &Store,
    tx: &mut Tx,
    affected: &Affected,
    found: &Found,
    evidence: &Evidence,
    now: Timestamp,
) -> Result<()> {
    let series = &affected.series;
    let error = evidence.error.as_deref();
    let signature = error.and_then(signature);
    let unfixed = store.unfixed_regressions(&mut **tx, series).await?;
    if let Some((regression, error)) = same_error(&unfixed, found, signature.as_deref()) {
        return store.set_subject(tx, &regression.id, &error).await;
    }
    let new = Fingerprint {
        incident: None,
        branch: series.branch_id.clone(),
        project: series.project.clone(),
        good_seq: found.good_seq,
        bad_id: found.bad.id.as_str().into(),
        bad_seq: found.bad_seq,
        exact: found.exact,
        signature: signature.clone(),
        subjects: names(&found.subjects),
    };
    let open = fingerprints(&store.open_regressions(&mut **tx).await?);
    let incident = match incident_of(&new, &open) {
        Some(incident) => incident.clone(),
        None => {
            let over = fingerprints(&store.past_regressions(&mut **tx, series).await?);
            let (id, number) = store.insert_incident(tx, recurrence_of(&new, &over), now).await?;
            tracing::warn!(
                number,
                project = series.project,
                culprit = found.bad.sha,
                "opened an incident"
            );
            id
        }
    };
    let new = NewRegression {
        investigation_id: affected.investigation.as_ref(),
        series,
        subjects: &found.subjects,
        good_id: &found.good.id,
        bad_id: &found.bad.id,
        good_seq: found.good_seq,
        bad_seq: found.bad_seq,
        exact: found.exact,
        reason: found.reason.as_deref(),
        rate: found.rate,
        error,
        signature: signature.as_deref(),
        difference: &evidence.difference.lines,
        conditions: &evidence.conditions,
        good_attempt: evidence.good.as_ref(),
        bad_attempt: evidence.bad.as_ref(),
        probed: &evidence.probed,
    };
    store.insert_regression(tx, &incident, &new).await?;
    for revision in [&found.good, &found.bad] {
        let image = (&revision.id, series.variant.as_str(), series.platform.as_str());
        store.pin_for(tx, image, &incident, now).await?;
    }
    let event = match found.exact {
        true => format!("{} broke it", found.bad.name()),
        false => format!("broken after {}, up to {}", found.good.name(), found.bad.name()),
    };
    let note = format!("{}: {event}", affected.name());
    store.note(tx, &incident, PYBOTS, &note, now).await
}

/// Returns the regression that describes the same failure as a change, since the same revision, and the error as a
/// subject. Either one of the two is about a test and the other about the error of that test, or both are about the
/// error.
fn same_error<'a>(
    unfixed: &'a [Regression],
    found: &Found,
    signature: Option<&str>,
) -> Option<(&'a Regression, Subject)> {
    let signature = signature?;
    let is_pair = |regression: &Regression| {
        matches!(
            (regression.subjects.as_slice(), found.subjects.as_slice()),
            ([Subject::Error(_)], [Subject::Error(_) | Subject::Test(_)]) | ([Subject::Test(_)], [Subject::Error(_)])
        )
    };
    let regression = unfixed.iter().find(|regression| {
        regression.signature.as_deref() == Some(signature)
            && regression.bad_id.as_str() == found.bad.id.as_str()
            && is_pair(regression)
    })?;
    Some((regression, Subject::Error(signature.to_owned())))
}

fn names(subjects: &[Subject]) -> BTreeSet<String> {
    subjects.iter().map(ToString::to_string).collect()
}

fn fingerprints(regressions: &[Regression]) -> Vec<Fingerprint> {
    let fingerprint = |regression: &Regression| Fingerprint {
        incident: Some(regression.incident_id.clone()),
        branch: regression.series.branch_id.clone(),
        project: regression.series.project.clone(),
        good_seq: regression.good_seq,
        bad_id: regression.bad_id.clone(),
        bad_seq: regression.bad_seq,
        exact: regression.exact,
        signature: regression.signature.clone(),
        subjects: names(&regression.subjects),
    };
    regressions.iter().map(fingerprint).collect()
}

/// Records that a revision fixed regressions from before it.
pub async fn record_fix_by(
    store: &Store,
    tx: &mut Tx,
    affected: &Affected,
    found: &Found,
    now: Timestamp,
) -> Result<()> {
    let note = match found.exact {
        true => format!("{} fixed it", found.bad.name()),
        false => format!("fixed after {}, up to {}", found.good.name(), found.bad.name()),
    };
    let fix = Fix {
        subjects: &found.subjects,
        before: found.bad_seq,
        by: FixedBy::Revision(&found.bad.id),
        note: &note,
    };
    record_fix(store, tx, affected, &fix, now).await
}

/// Records a fix in each regression that it concerns. If no unfixed regression is left in one of their incidents,
/// closes the incident and removes its pins.
pub async fn record_fix(store: &Store, tx: &mut Tx, affected: &Affected, fix: &Fix<'_>, now: Timestamp) -> Result<()> {
    let mut touched = BTreeSet::new();
    let unfixed = store.unfixed_regressions(&mut **tx, &affected.series).await?;
    for regression in unfixed.iter().filter(|regression| regression.bad_seq < fix.before) {
        let (fixed, rest): (Vec<Subject>, Vec<Subject>) = regression
            .subjects
            .iter()
            .cloned()
            .partition(|subject| fix.subjects.contains(subject));
        if fixed.is_empty() {
            continue;
        }
        if store
            .fix_regression(tx, regression, (&fixed, &rest), fix.by, now)
            .await?
        {
            let note = format!("{}: {}", affected.name(), fix.note);
            store.note(tx, &regression.incident_id, PYBOTS, &note, now).await?;
            touched.insert(regression.incident_id.clone());
        }
    }
    let open = store.open_regressions(&mut **tx).await?;
    for incident in touched {
        let is_over = !open
            .iter()
            .any(|regression| regression.incident_id == incident && regression.fixed_at.is_none());
        if is_over && store.close_incident(tx, &incident, now).await? {
            store.unpin_for(tx, &incident).await?;
            let note = "closed: all that it broke is fixed";
            store.note(tx, &incident, PYBOTS, note, now).await?;
        }
    }
    Ok(())
}

/// Ends regressions whose revision has left its branch, and marks the results after them to be evaluated again.
pub async fn end_those_that_left(store: &Store, now: Timestamp) -> Result<()> {
    for regression in store.regressions_that_left().await? {
        let affected = Affected {
            investigation: None,
            series: regression.series.clone(),
            branch: regression.branch.clone(),
        };
        let reason = "its revision has left the branch";
        let fix = Fix {
            subjects: &regression.subjects,
            before: regression.bad_seq + 1,
            by: FixedBy::Otherwise(reason),
            note: reason,
        };
        let mut tx = store.begin().await?;
        record_fix(store, &mut tx, &affected, &fix, now).await?;
        let since = regression.good_seq + 1..=i64::MAX;
        store.reevaluate_results(&mut tx, &regression.series, since).await?;
        tx.commit().await?;
    }
    Ok(())
}
