//! The calls by which a host renews the lease of an attempt, and reports its end.

use super::caller::Caller;
use crate::clock::now;
use crate::domain::job::Report;
use crate::domain::received::Expected;
use crate::domain::results::Tests;
use crate::protocol::{FinishRequest, RenewRequest, Renewed};
use crate::store::attempts::Attempt;
use crate::web::{Error, HandlerResult};
use std::time::Duration;
use warp::Reply;

/// The longest wait of a response to a renewal. It is well below the time of a lease.
const HOLD_MOST: Duration = Duration::from_secs(20);

/// Renews a lease. The response says whether the attempt is still wanted. It waits as long as the host allows, at most
/// [`HOLD_MOST`], or until the coordinator no longer wants the attempt.
pub async fn renew(attempt: String, caller: Caller, request: RenewRequest) -> HandlerResult {
    let attempt = caller.own(&attempt).await?;
    let queue = &caller.coordinator.queue;
    if let Err(conflict) = queue.renew(&attempt, &request.fence, now()).await? {
        return Err(Error::Conflict(conflict.to_string().into()));
    }
    let mut unwanted = queue.unwanted();
    let cancelled = unwanted.wait_for(|unwanted| unwanted.contains(&attempt.id));
    let hold = Duration::from_secs(request.hold_s).min(HOLD_MOST);
    let wanted = tokio::time::timeout(hold, cancelled).await.is_err();
    Ok(warp::reply::json(&Renewed { wanted }).into_response())
}

/// Removes from a report everything that the limits of its job rule out. Fails for a report that no honest host sends.
async fn receive(caller: &Caller, attempt: &Attempt, report: Report) -> Result<Report, Error> {
    let store = &caller.coordinator.store;
    let mut tx = store.begin().await?;
    let job = store.job(&mut tx, &attempt.job_id).await?;
    tx.rollback().await?;
    let expected = Expected {
        job: job.as_ref().and_then(|job| job.spec.as_ref().ok()),
        builds: caller.host.builds,
        // the request is gone by the time a report is sent again
        cancelled: !attempt.is_open() || job.as_ref().is_some_and(|job| job.request.is_some()),
        started_at: attempt.started_at,
    };
    let received = expected
        .receive(report)
        .map_err(|reason| Error::BadRequest(reason.into()))?;
    if let Some(reason) = &received.refused_lock {
        let host = &caller.host.name;
        tracing::warn!(attempt = %attempt.id, host, reason, "a host reported a lock that its job can't have");
    }
    Ok(received.report)
}

pub async fn finish(attempt: String, caller: Caller, request: FinishRequest) -> HandlerResult {
    let attempt = caller.own(&attempt).await?;
    let coordinator = &caller.coordinator;
    let mut report = receive(&caller, &attempt, request.report).await?;
    if let Some(image) = &mut report.image {
        image.remote.take_if(|reference| !coordinator.is_ours(reference));
    }
    let tests = report.tests.take().map(Tests::plain).map(Tests::sorted);
    report.summary = tests.as_ref().map(Tests::summary);
    let finished = coordinator
        .queue
        .finish(&attempt.id, &request.fence, &report, now())
        .await;
    // if the tests can't be stored, the host gets an error and sends the same report again
    if let (Ok(Ok(_)), Some(tests)) = (&finished, &tests) {
        coordinator.objects.put_tests(&attempt.id, tests).await?;
    }
    coordinator.nudge();
    match finished? {
        Ok(taken) => Ok(warp::reply::json(&taken).into_response()),
        Err(conflict) => Err(Error::Conflict(conflict.to_string().into())),
    }
}
