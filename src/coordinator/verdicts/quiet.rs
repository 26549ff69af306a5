//! What was found to be nobody's is not asked again and again; after a while it is looked at once more.

use super::super::Coordinator;
use super::broken::Broken;
use super::judge::look;
use super::named;
use super::results::rows_back;
use crate::recipe::Registered;
use crate::store::inquiries::InquiryRow;
use crate::verdict::{Answer, Change, NotCpython, Row, still_failing};
use anyhow::Result;

const HOUR_MS: i64 = 3_600_000;

/// How long an answer silences suspicions about the same; None: it is one for good, for its stretch.
pub fn silence_ms(answer: &Answer) -> Option<i64> {
    match answer {
        Answer::NotCpython(NotCpython::Flaky { .. } | NotCpython::HostSpecific(_) | NotCpython::NotSeenAgain) => {
            Some(7 * 24 * HOUR_MS)
        }
        Answer::Inconclusive(_) => Some(24 * HOUR_MS),
        Answer::NotCpython(NotCpython::FailsOnBoth | NotCpython::DependencyChanged | NotCpython::ProjectChanged)
        | Answer::Culprit { .. }
        | Answer::Range { .. } => None,
    }
}

/// Looks once more at what the inquiries were about whose silence is over.
pub async fn tick(coordinator: &Coordinator, projects: &[Registered], now: i64) -> Result<()> {
    for inquiry in coordinator.store.silences_over(now).await? {
        if let Err(error) = wake(coordinator, projects, &inquiry, now).await {
            tracing::error!(
                inquiry = inquiry.id,
                error = format!("{error:#}"),
                "failed to look again"
            );
        }
    }
    Ok(())
}

async fn wake(coordinator: &Coordinator, projects: &[Registered], inquiry: &InquiryRow, now: i64) -> Result<()> {
    let store = &coordinator.store;
    let column = inquiry.column();
    let broken = Broken::read(coordinator, &column, i64::MAX).await?;
    let subjects = inquiry.subjects()?;
    let Some(known) = rows_back(coordinator, &column, i64::MAX, &broken, &subjects, now).await? else {
        return Ok(()); // the report of its tests comes
    };
    if let (Some(project), Change::Broke) = (named(projects, &inquiry.project), inquiry.change()) {
        let rows: Vec<Row> = known.iter().map(|known| known.row.clone()).collect();
        for (last, suspicions) in still_failing(&rows, &subjects) {
            let known = known.get(..=last).unwrap_or_default();
            look(coordinator, project, &column, known, suspicions, now).await?;
        }
    }
    // only now: repeated, it comes to the same
    let mut tx = store.begin().await?;
    store.silence_over(&mut tx, &inquiry.id).await?;
    if let Some(newest) = known.last() {
        store
            .results_are_news(&mut tx, &column, newest.seq..=newest.seq)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}
