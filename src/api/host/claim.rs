//! The call by which a host claims a job, and waits for one.

use super::caller::{Caller, replaced};
use crate::clock::now;
use crate::coordinator::Coordinator;
use crate::domain::host::{CONSECUTIVE_FAILURES_MOST, Capabilities, HostState, PROVEN};
use crate::protocol::Claim;
use crate::store::claims::Taker;
use crate::web::{Error, HandlerResult};
use std::time::Duration;
use warp::Reply;
use warp::http::StatusCode;

/// How long a claim waits for a job.
const LONG_POLL: Duration = Duration::from_secs(25);

/// Records the capabilities of the host and leases a job to it. Responds with "no content" if no job is available in
/// time.
pub async fn claim(caller: Caller, capabilities: Capabilities) -> HandlerResult {
    Ok(match long_poll(&caller, &capabilities).await? {
        Some(claim) => warp::reply::json(&claim).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

async fn long_poll(caller: &Caller, capabilities: &Capabilities) -> Result<Option<Claim>, Error> {
    let Caller { coordinator, host, .. } = caller;
    let Coordinator { store, queue, .. } = coordinator;
    store.save_capabilities(host, capabilities).await?;
    let end = tokio::time::Instant::now() + LONG_POLL;
    loop {
        // subscribe before the look, so that no announcement in between is missed
        let work = queue.work();
        tokio::pin!(work);
        work.as_mut().enable();
        if !queue.is_empty()
            && let Some(claim) = claim_now(caller, capabilities).await?
        {
            return Ok(Some(claim));
        }
        if tokio::time::timeout_at(end, work).await.is_err() {
            return Ok(None);
        }
    }
}

async fn claim_now(caller: &Caller, capabilities: &Capabilities) -> Result<Option<Claim>, Error> {
    let Coordinator { store, queue, .. } = &caller.coordinator;
    // read again each time, so that an operator's changes take effect at once
    let Some(host) = store.host(caller.host.id.as_str()).await? else {
        return Ok(None);
    };
    // another instance may have started during the wait
    if caller.is_replaced_in(&host) {
        return Err(replaced());
    }
    let now = now();
    let backs_off = host.backoff_until.is_some_and(|until| now < until);
    if host.state != HostState::Active || host.token != caller.host.token || backs_off {
        return Ok(None);
    }
    // after a back-off, a single job shows whether the host works again
    let most = if host.consecutive_failures >= CONSECUTIVE_FAILURES_MOST {
        1
    } else {
        capabilities.slots.max(1)
    };
    let mut capabilities = capabilities.clone();
    if !host.is_new() {
        capabilities.labels.insert(PROVEN.to_owned());
    }
    let taker = Taker {
        host: &host.id,
        builds: host.builds,
        pulls: caller.coordinator.settings.registry.repository().is_some(),
        most: Some(i64::from(most)),
        capabilities: &capabilities,
    };
    let mut claim = queue.claim(&taker, now).await?;
    if let Some(claim) = &mut claim {
        caller.coordinator.add_remote(&mut claim.spec).await;
    }
    Ok(claim)
}
