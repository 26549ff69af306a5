//! A host asks for work, and waits for it.

use super::answer;
use super::caller::Caller;
use crate::clock::now_ms;
use crate::coordinator::Coordinator;
use crate::domain::host::{HostState, Offer, STRIKES};
use crate::queue::Claim;
use crate::store::claims::Taker;
use std::time::Duration;
use warp::Reply;
use warp::http::StatusCode;
use warp::reply::Response;

/// How long a claim waits for work.
const LONG_POLL: Duration = Duration::from_secs(25);

pub async fn claim(caller: Caller, offer: Offer) -> Response {
    answer(long_poll(&caller, &offer).await, |claim| match claim {
        Some(claim) => warp::reply::json(&claim).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

async fn long_poll(caller: &Caller, offer: &Offer) -> anyhow::Result<Option<Claim>> {
    let Caller { coordinator, host } = caller;
    let Coordinator { store, queue, .. } = coordinator;
    store.host_offers(host, offer).await?;
    let end = tokio::time::Instant::now() + LONG_POLL;
    loop {
        // listen first: what is announced between the look and the wait is not missed
        let work = queue.work();
        tokio::pin!(work);
        work.as_mut().enable();
        if !queue.is_empty()
            && let Some(claim) = claim_now(caller, offer).await?
        {
            return Ok(Some(claim));
        }
        if tokio::time::timeout_at(end, work).await.is_err() {
            return Ok(None);
        }
    }
}

async fn claim_now(caller: &Caller, offer: &Offer) -> anyhow::Result<Option<Claim>> {
    let Coordinator { store, queue, .. } = &caller.coordinator;
    // read again each time: what a maintainer says holds at once
    let Some(host) = store.host(&caller.host.id).await? else {
        return Ok(None);
    };
    let now = now_ms();
    let rests = host.rests_until.is_some_and(|until| now < until);
    if host.state() != HostState::Active || host.token != caller.host.token || rests {
        return Ok(None);
    }
    // after a rest, one job shows whether the host is well again
    let most = if host.strikes >= STRIKES { 1 } else { offer.slots.max(1) };
    let taker = Taker {
        host: &host.id,
        builds: host.builds == 1,
        pulls: caller.coordinator.settings.registry.repository().is_some(),
        most: Some(i64::from(most)),
        offer,
    };
    let mut claim = queue.claim(&taker, now).await?;
    if let Some(claim) = &mut claim {
        caller.coordinator.say_remote(&mut claim.spec).await;
    }
    Ok(claim)
}
