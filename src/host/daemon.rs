//! The claim loop: as many jobs at a time as there are slots.

use super::Host;
use super::client::{Client, Lost};
use super::log::Log;
use super::ready::Told;
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::queue::Claim;
use crate::runtime::{HOST_LABEL, Runtime};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;

const RENEW: Duration = Duration::from_secs(12);
const NOT_READY: Duration = Duration::from_secs(15);

/// Works until `stop` turns true, then ends what runs and leaves nothing behind. The coordinator has
/// welcomed the host before.
pub async fn run(host: Host, client: Client, slots: usize, stop: Receiver<bool>) {
    reap(host.runtime.as_ref(), &host.id).await;
    let told = Arc::new(Told::default());
    let mut workers = JoinSet::new();
    for _ in 0..slots {
        workers.spawn(work(host.clone(), client.clone(), told.clone(), stop.clone()));
    }
    let all = async { while workers.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        () = crate::janitor::run(&host, &client) => {}
        () = host.tell(&client) => {}
    }
    reap(host.runtime.as_ref(), &host.id).await;
}

/// Removes what a host has left on the engine.
pub async fn reap(runtime: &dyn Runtime, id: &str) {
    match runtime.reap(HOST_LABEL, id).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "removed what was left"),
        Err(error) => tracing::warn!(%error, "failed to remove what is left"),
    }
}

/// One slot.
async fn work(host: Host, client: Client, told: Arc<Told>, mut stop: Receiver<bool>) {
    while !*stop.borrow() {
        let ready = host.ready().await;
        told.say(&ready);
        if ready.is_err() {
            pause(NOT_READY, &mut stop).await;
            continue;
        }
        let claim = tokio::select! {
            claim = client.claim() => claim,
            () = stopped(&mut stop) => break,
        };
        match claim {
            Ok(Some(claim)) => attempt(&host, &client, &claim, &mut stop).await,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "failed to ask for work; asking again");
                pause(Duration::from_secs(2), &mut stop).await;
            }
        }
    }
}

async fn pause(time: Duration, stop: &mut Receiver<bool>) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stopped(stop) => {}
    }
}

/// Resolves when the host is to stop. A sender that is gone means that too.
async fn stopped(stop: &mut Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One attempt, from its claim to its delivered report.
async fn attempt(host: &Host, client: &Client, claim: &Claim, stop: &mut Receiver<bool>) {
    tracing::info!(
        attempt = claim.attempt,
        number = claim.number,
        what = claim.spec.title(),
        "started"
    );
    let (log, delivered) = Log::start(Arc::new(client.sink(claim)));
    if claim.number > 1 {
        log.say(&format!(
            "attempt {}: the one before failed in the machinery",
            claim.number
        ))
        .await;
    }
    let report = tokio::select! {
        report = host.perform(&claim.attempt, &claim.spec, &log) => report,
        lost = keep(client, claim) => {
            tracing::warn!(attempt = claim.attempt, %lost, "the lease is gone; this attempt ends here");
            clear(host, claim).await;
            return;
        }
        () = stopped(stop) => {
            clear(host, claim).await;
            Report::of(Outcome::Infra { reason: "the host was stopped".to_owned() })
        }
    };
    drop(log);
    let delivered = delivered.await.map_err(anyhow::Error::from).and_then(|written| written);
    if let Err(error) = delivered {
        tracing::warn!(
            attempt = claim.attempt,
            error = format!("{error:#}"),
            "failed to deliver the log"
        );
    }
    tracing::info!(attempt = claim.attempt, what = claim.spec.title(), outcome = %report.outcome, "ended");
    if let Err(error) = client.finish(claim, &report).await {
        tracing::warn!(
            attempt = claim.attempt,
            error = format!("{error:#}"),
            "the report was refused"
        );
    }
}

/// Renews the lease; ends only when it is lost.
async fn keep(client: &Client, claim: &Claim) -> Lost {
    loop {
        tokio::time::sleep(RENEW).await;
        match client.renew(claim).await.map_err(anyhow::Error::downcast::<Lost>) {
            Err(Ok(lost)) => return lost,
            Err(Err(error)) => tracing::debug!(error = format!("{error:#}"), "failed to renew; trying again"),
            Ok(()) => {}
        }
    }
}

async fn clear(host: &Host, claim: &Claim) {
    if let Err(error) = host.runtime.reap(crate::runtime::ATTEMPT_LABEL, &claim.attempt).await {
        tracing::warn!(attempt = claim.attempt, %error, "failed to remove what an attempt left");
    }
}
