//! The claim loop: it works on as many jobs at a time as the host has slots.

use super::Host;
use super::Instances;
use super::client::{CallRefused, Client};
use super::deliver::LogSink;
use super::log::Log;
use super::ready::ReadinessLog;
use super::spool::Spool;
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::protocol::{Claim, FinishRequest, Renewed};
use crate::runtime::{INSTANCE_LABEL, Runtime};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::{self, Receiver};
use tokio::task::{JoinHandle, JoinSet};

/// How long the coordinator may hold its answer to a renewal, so that it can report a cancellation at once. Five
/// renewals fit into a lease.
const HOLD: Duration = Duration::from_secs(10);
/// Pause before each renewal.
const PAUSE: Duration = Duration::from_secs(1);
const NOT_READY: Duration = Duration::from_secs(15);

/// Whether and how soon the daemon ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    #[default]
    No,
    /// Claims nothing new; running jobs may end.
    Soon,
    /// Hands running jobs back to the queue.
    Now,
}

/// The state that the slots share.
#[derive(Clone)]
struct Daemon {
    host: Host,
    client: Client,
    readiness: Arc<ReadinessLog>,
    spool: Spool,
    /// Whether the coordinator has reported that another daemon has taken the place of this one.
    replaced: Arc<watch::Sender<bool>>,
}

/// Works until `ending` asks it to stop, or until another daemon takes its place. It leaves nothing on the engine.
/// Returns `false` if another daemon has taken its place. Call [`Client::hello`] first.
pub async fn run(host: Host, client: Client, spool: Spool, ending: Receiver<Ending>) -> bool {
    let replaced = Arc::new(watch::Sender::new(false));
    let mut workers = JoinSet::new();
    let daemon = Daemon {
        host: host.clone(),
        client: client.clone(),
        readiness: Arc::default(),
        spool,
        replaced: replaced.clone(),
    };
    for _ in 0..host.slots {
        workers.spawn(work(daemon.clone(), ending.clone()));
    }
    let all = async {
        while let Some(ended) = workers.join_next().await {
            // one bad job must not cost a slot; the job's lease runs out
            if ended.is_err_and(|error| error.is_panic()) && *ending.borrow() == Ending::No {
                tracing::error!("a slot panicked, which is a bug; it is started again");
                workers.spawn(work(daemon.clone(), ending.clone()));
            }
        }
    };
    tokio::select! {
        () = all => {}
        () = super::janitor::run(&host, &client) => {}
        () = host.report_pauses(&client) => {}
        () = until_replaced(&replaced) => {
            // an attempt that is broken off leaves its containers, which are removed below
            tracing::error!(
                "another daemon with the token of this host has taken its place, so this one stops; run one daemon for each token"
            );
        }
    }
    let was_replaced = *replaced.borrow();
    drop(workers);
    reap(host.runtime.as_ref(), host.instances.own()).await;
    !was_replaced
}

/// Removes everything that earlier instances of this host left on the engine, and forgets these instances if that
/// worked.
pub async fn reap_gone(runtime: &dyn Runtime, instances: &Instances) {
    let mut is_clean = true;
    for instance in instances.gone() {
        is_clean &= reap(runtime, instance).await;
    }
    if let Some(error) = is_clean.then(|| instances.forget_gone()).and_then(Result::err) {
        tracing::warn!(error = format!("{error:#}"), "failed to note which daemons worked here");
    }
}

/// Removes everything that an instance left on the engine. Returns whether that worked.
async fn reap(runtime: &dyn Runtime, instance: &str) -> bool {
    match runtime.reap(INSTANCE_LABEL, instance).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "cleaned up the engine"),
        Err(error) => {
            tracing::warn!(%error, "failed to clean up the engine");
            return false;
        }
    }
    true
}

/// Resolves when another daemon has taken the place of this one.
async fn until_replaced(replaced: &watch::Sender<bool>) {
    // the sender lives as long as this
    let _ = replaced.subscribe().wait_for(|replaced| *replaced).await;
}

/// Works as one slot: does one job after the other.
async fn work(daemon: Daemon, mut ending: Receiver<Ending>) {
    while *ending.borrow() == Ending::No {
        let ready = daemon.host.ready().await;
        daemon.readiness.note(&ready);
        if ready.is_err() {
            pause(NOT_READY, &mut ending).await;
            continue;
        }
        let capabilities = daemon.host.capabilities_now();
        let claim = tokio::select! {
            claim = daemon.client.claim(&capabilities) => claim,
            () = at_least(&mut ending, Ending::Soon) => break,
        };
        match claim {
            Ok(Some(claim)) => daemon.attempt(&claim, &mut ending).await,
            Ok(None) => {}
            Err(error) => {
                daemon.note_replaced(error.downcast_ref());
                tracing::warn!(error = format!("{error:#}"), "failed to claim a job; trying again");
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

/// Resolves when the host has to end at least as fast as `which`, or when the sender is gone.
async fn at_least(ending: &mut Receiver<Ending>, which: Ending) {
    let _ = ending.wait_for(|ending| *ending >= which).await;
}

/// How long the end of a log may take to be delivered before it is spooled.
const SOON: Duration = Duration::from_secs(2);

/// Why a running attempt is broken off.
enum BrokenOff {
    /// The coordinator refused to renew the lease, for example because another host has it.
    LeaseLost(CallRefused),
    /// A maintainer has cancelled the attempt.
    Cancelled,
}

impl Daemon {
    /// Records it if a call was refused because another daemon has taken the place of this one.
    fn note_replaced(&self, refused: Option<&CallRefused>) {
        if refused.is_some_and(CallRefused::is_replaced) {
            self.replaced.send_replace(true);
        }
    }

    /// Does one attempt, from its claim to its delivered report.
    async fn attempt(&self, claim: &Claim, ending: &mut Receiver<Ending>) {
        tracing::info!(
            attempt = %claim.attempt,
            number = claim.number,
            what = claim.spec.title(),
            "started"
        );
        let folder = self.spool.of(claim.attempt.as_str());
        let sink = Arc::new(LogSink::start(
            &self.client,
            claim.attempt.as_str(),
            &claim.fence,
            folder,
        ));
        let (log, mut delivered) = Log::start(sink.clone());
        if claim.number > 1 {
            log.say(&format!("attempt {}", claim.number)).await;
        }
        // an operator's change to the host applies from the next job on
        let host = Host {
            builds: claim.builds,
            ..self.host.clone()
        };
        let report = tokio::select! {
            report = host.perform(claim.attempt.as_str(), &claim.spec, &log) => report,
            broken = keep(&self.client, claim) => {
                host.clear(claim.attempt.as_str()).await;
                match broken {
                    BrokenOff::LeaseLost(lost) => {
                        self.note_replaced(Some(&lost));
                        tracing::warn!(attempt = %claim.attempt, %lost, "the lease is gone; this attempt ends here");
                        return;
                    }
                    BrokenOff::Cancelled => {
                        log.say("a maintainer cancelled this attempt").await;
                        Report::of(Outcome::Cancelled)
                    }
                }
            }
            () = at_least(ending, Ending::Now) => {
                host.clear(claim.attempt.as_str()).await;
                log.say("the host was stopped; the job goes back to the queue").await;
                Report::handed_back()
            }
        };
        drop(log);
        let finish = FinishRequest {
            fence: claim.fence.clone(),
            report,
        };
        tracing::info!(attempt = %claim.attempt, what = claim.spec.title(), outcome = %finish.report.outcome, "ended");
        let delivering = self.deliver(claim, finish, &sink, &mut delivered);
        tokio::pin!(delivering);
        tokio::select! {
            () = &mut delivering => {}
            // a lease that is lost this late is no reason to discard the result
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
                // the coordinator is away: if this process ends before it is back, the next one finds everything on
                // disk
                sink.spill().await;
                self.spool.keep(claim.attempt.as_str(), &finish);
                delivered.await
            }
        };
        if let Err(error) = delivered.map_err(anyhow::Error::from).and_then(|written| written) {
            tracing::warn!(
                attempt = %claim.attempt,
                error = format!("{error:#}"),
                "failed to deliver the log"
            );
        }
        self.spool.deliver(&self.client, claim.attempt.as_str(), finish).await;
    }
}

/// Renews the lease until the attempt has to end.
async fn keep(client: &Client, claim: &Claim) -> BrokenOff {
    // the first lease is short, so its renewal must not be held
    let mut hold = Duration::ZERO;
    loop {
        tokio::time::sleep(PAUSE).await;
        match client
            .renew(claim, std::mem::replace(&mut hold, HOLD))
            .await
            .map_err(anyhow::Error::downcast::<CallRefused>)
        {
            Ok(Renewed { wanted: true }) => {}
            Ok(Renewed { wanted: false }) => return BrokenOff::Cancelled,
            Err(Ok(lost)) => return BrokenOff::LeaseLost(lost),
            Err(Err(error)) => {
                tracing::debug!(error = format!("{error:#}"), "failed to renew; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
