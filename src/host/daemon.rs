//! The claim loop: as many jobs at a time as there are slots.

use super::Host;
use super::client::{Client, Lost};
use super::deliver::LogSink;
use super::log::Log;
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::queue::Claim;
use crate::runtime::{HOST_LABEL, Runtime};
use anyhow::Result;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;

const RENEW: Duration = Duration::from_secs(12);
const UNWELL: Duration = Duration::from_secs(15);

/// Works until `stop` turns true, then ends what runs and leaves nothing behind. The coordinator has
/// welcomed the host before.
pub async fn run(host: Host, client: Client, slots: usize, stop: Receiver<bool>) {
    reap(host.runtime.as_ref(), &host.id).await;
    let mut workers = JoinSet::new();
    for _ in 0..slots {
        workers.spawn(work(host.clone(), client.clone(), stop.clone()));
    }
    let all = async { while workers.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        () = crate::janitor::run(&host, &client) => {}
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
async fn work(host: Host, client: Client, mut stop: Receiver<bool>) {
    let mut told = String::new();
    while !*stop.borrow() {
        // a host that can't work takes no work: jobs wait for it instead of failing on it
        if let Err(reason) = host.well().await {
            if told != reason {
                tracing::error!(reason, "this host takes no jobs until that is mended");
                told = reason;
            }
            pause(UNWELL, &mut stop).await;
            continue;
        }
        if !std::mem::take(&mut told).is_empty() {
            tracing::info!("this host takes jobs again");
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
    let (log, delivered) = Log::start(Arc::new(LogSink::start(
        client,
        &claim.attempt,
        &claim.fence,
        &host.spool,
    )));
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

impl Host {
    /// Whether this host can work: its engine answers and has room. Otherwise what to mend.
    pub(super) async fn well(&self) -> Result<(), String> {
        let engine = self.runtime.engine().await.map_err(|error| error.to_string())?;
        let needed = self.engine.min_free_gib;
        match engine.free_gib {
            Some(free) if free < needed => Err(format!(
                "the engine's disk has {free} GiB free, less than {needed}; make room on it, or lower `engine.min_free_gib`"
            )),
            _ => Ok(()),
        }
    }
}
