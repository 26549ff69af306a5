//! Rechecks subjects whose suppression is over. Subjects that still fail may be investigated once more.

use super::context::{Context, recipe_in_force};
use super::detect::Detector;
use super::history::{Delivered, HistoryReader};
use crate::recipe::Registered;
use crate::store::investigations::InvestigationRow;
use crate::verdict::{Change, still_failing};
use anyhow::Result;

/// Rechecks the subjects of investigations whose suppression is over. Then marks the newest result of their series to
/// be evaluated again; after a search for a fix, this is all.
pub async fn tick(context: &Context<'_>, projects: &[Registered]) -> Result<()> {
    for row in context.store.suppressions_over(context.now).await? {
        if let Err(error) = recheck(context, projects, &row).await {
            let error = format!("{error:#}");
            tracing::error!(investigation = row.id.as_str(), error, "failed to recheck");
        }
    }
    Ok(())
}

async fn recheck(context: &Context<'_>, projects: &[Registered], row: &InvestigationRow) -> Result<()> {
    let store = context.store;
    let project = recipe_in_force(projects, &row.series.project);
    let entries = match (project, row.change) {
        (Some(project), Change::Broke) => {
            let mut detector = Detector::read(context, project, row.series.clone()).await?;
            let Delivered::Complete(entries) = detector.entries(i64::MAX, &row.subjects).await? else {
                return Ok(());
            };
            for (last, suspicions) in still_failing(&entries, &row.subjects) {
                let up_to_last = entries.get(..=last).unwrap_or_default();
                detector.investigate(up_to_last, suspicions).await?;
            }
            entries
        }
        _ => {
            let results = HistoryReader {
                store,
                objects: context.objects,
            };
            let Delivered::Complete(entries) = results.entries(&row.series, i64::MAX, 1, &[], context.now).await?
            else {
                return Ok(());
            };
            entries
        }
    };
    // last: if this pass ends before it, the next one rechecks once more with the same result
    let mut tx = store.begin().await?;
    store.end_suppression(&mut tx, &row.id).await?;
    if let Some(newest) = entries.last() {
        store
            .reevaluate_results(&mut tx, &row.series, newest.seq..=newest.seq)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}
