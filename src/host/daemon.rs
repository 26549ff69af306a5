//! The claim loop: as many jobs at a time as there are slots.

use super::Host;
use super::client::{Client, Lost};
use super::deliver::LogSink;
use super::log::Log;
use super::ready::Told;
use super::spool::Spool;
use crate::api::{FinishRequest, Renewed};
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::queue::Claim;
use crate::runtime::{HOST_LABEL, Runtime};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::task::{JoinHandle, JoinSet};

/// So long the coordinator may hold its answer to a renewal, to tell at once if an attempt is to end. Five
/// renewals fit into a lease.
const HOLD: Duration = Duration::from_secs(10);
/// Waiting time before a renewal.
const PAUSE: Duration = Duration::from_secs(1);
const NOT_READY: Duration = Duration::from_secs(15);

/// Whether the host is to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    #[default]
    No,
    /// Nothing new; what runs may end.
    Soon,
    /// What runs is handed back.
    Now,
}

/// What the slots share.
#[derive(Clone)]
struct Daemon {
    host: Host,
    client: Client,
    told: Arc<Told>,
    spool: Spool,
}

/// Works until `ending` says otherwise, and leaves nothing behind. The coordinator has welcomed the host before.
pub async fn run(host: Host, client: Client, spool: Spool, ending: Receiver<Ending>) {
    reap(host.runtime.as_ref(), &host.id).await;
    let mut workers = JoinSet::new();
    let daemon = Daemon {
        host: host.clone(),
        client: client.clone(),
        told: Arc::default(),
        spool,
    };
    for _ in 0..host.slots {
        workers.spawn(work(daemon.clone(), ending.clone()));
    }
    let all = async {
        while let Some(ended) = workers.join_next().await {
            // a slot is not to be gone because of one job; its lease runs out
            if ended.is_err_and(|error| error.is_panic()) && *ending.borrow() == Ending::No {
                tracing::error!("a slot broke off, which is a fault of this program; it begins anew");
                workers.spawn(work(daemon.clone(), ending.clone()));
            }
        }
    };
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
async fn work(daemon: Daemon, mut ending: Receiver<Ending>) {
    while *ending.borrow() == Ending::No {
        let ready = daemon.host.ready().await;
        daemon.told.say(&ready);
        if ready.is_err() {
            pause(NOT_READY, &mut ending).await;
            continue;
        }
        let offer = daemon.host.offer_now();
        let claim = tokio::select! {
            claim = daemon.client.claim(&offer) => claim,
            () = at_least(&mut ending, Ending::Soon) => break,
        };
        match claim {
            Ok(Some(claim)) => daemon.attempt(&claim, &mut ending).await,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "failed to ask for work; asking again");
                pause(Duration::from_secs(2), &mut ending).await;
            }
        }
    }
}

async fn pause(time: Duration, ending: &mut Receiver<Ending>) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = at_least(ending, Ending::Soon) => {}
    }
}

/// Resolves when the host is to end. A sender that is gone means that too.
async fn at_least(ending: &mut Receiver<Ending>, which: Ending) {
    let _ = ending.wait_for(|ending| *ending >= which).await;
}

/// Time for the end of a log to be taken, before it is kept on disk.
const SOON: Duration = Duration::from_secs(2);

/// Why an attempt in work is broken off.
enum Broken {
    /// The lease is somebody else's.
    Lost(Lost),
    /// A maintainer wants it to end.
    Cancelled,
}

impl Daemon {
    /// One attempt, from its claim to its delivered report.
    async fn attempt(&self, claim: &Claim, ending: &mut Receiver<Ending>) {
        tracing::info!(
            attempt = claim.attempt,
            number = claim.number,
            what = claim.spec.title(),
            "started"
        );
        let folder = self.spool.of(&claim.attempt);
        let sink = Arc::new(LogSink::start(&self.client, &claim.attempt, &claim.fence, folder));
        let (log, mut delivered) = Log::start(sink.clone());
        if claim.number > 1 {
            log.say(&format!("attempt {}", claim.number)).await;
        }
        // what a maintainer says of the host holds from the next job on
        let host = Host {
            builds: claim.builds,
            ..self.host.clone()
        };
        let report = tokio::select! {
            report = host.perform(&claim.attempt, &claim.spec, &log) => report,
            broken = keep(&self.client, claim) => {
                host.clear(&claim.attempt).await;
                match broken {
                    Broken::Lost(lost) => {
                        tracing::warn!(attempt = claim.attempt, %lost, "the lease is gone; this attempt ends here");
                        return;
                    }
                    Broken::Cancelled => {
                        log.say("a maintainer has ended this attempt").await;
                        Report::of(Outcome::Cancelled)
                    }
                }
            }
            () = at_least(ending, Ending::Now) => {
                host.clear(&claim.attempt).await;
                log.say("the host was stopped; the job goes back to the queue").await;
                Report::handed_back()
            }
        };
        drop(log);
        let finish = FinishRequest {
            fence: claim.fence.clone(),
            report,
        };
        tracing::info!(attempt = claim.attempt, what = claim.spec.title(), outcome = %finish.report.outcome, "ended");
        let delivering = self.deliver(claim, finish, &sink, &mut delivered);
        tokio::pin!(delivering);
        tokio::select! {
            () = &mut delivering => {}
            // a lease that is lost now is no reason to keep the result back
            _ = keep(&self.client, claim) => delivering.await,
        }
    }

    /// Delivers the rest of the log, then the report.
    async fn deliver(
        &self,
        claim: &Claim,
        finish: FinishRequest,
        sink: &LogSink,
        delivered: &mut JoinHandle<anyhow::Result<()>>,
    ) {
        let delivered = match tokio::time::timeout(SOON, &mut *delivered).await {
            Ok(delivered) => delivered,
            Err(_) => {
                // the coordinator is away: should this host end before it is back, its next life has all
                sink.spill().await;
                self.spool.keep(&claim.attempt, &finish);
                delivered.await
            }
        };
        if let Err(error) = delivered.map_err(anyhow::Error::from).and_then(|written| written) {
            tracing::warn!(
                attempt = claim.attempt,
                error = format!("{error:#}"),
                "failed to deliver the log"
            );
        }
        self.spool.deliver(&self.client, &claim.attempt, finish).await;
    }
}

/// Renews the lease; ends only when the attempt is to end.
async fn keep(client: &Client, claim: &Claim) -> Broken {
    // the first lease is short: its renewal is not to wait
    let mut hold = Duration::ZERO;
    loop {
        tokio::time::sleep(PAUSE).await;
        match client
            .renew(claim, std::mem::replace(&mut hold, HOLD))
            .await
            .map_err(anyhow::Error::downcast::<Lost>)
        {
            Ok(Renewed { wanted: true }) => {}
            Ok(Renewed { wanted: false }) => return Broken::Cancelled,
            Err(Ok(lost)) => return Broken::Lost(lost),
            Err(Err(error)) => {
                tracing::debug!(error = format!("{error:#}"), "failed to renew; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
