//! Delivers a log to the coordinator. A frame that was stored but not acknowledged can be sent again without harm.

use super::client::{Appended, CallRefused, Client, MAX_RETRY_DELAY, retry_delays};
use super::log::Sink;
use super::log::outbox::Outbox;
use crate::logfile::Chunk;
use anyhow::{Result, bail};
use async_trait::async_trait;
use backon::BackoffBuilder;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// The sink of one attempt's log.
pub struct LogSink {
    outbox: Arc<Outbox>,
    sender: Mutex<Option<JoinHandle<Result<()>>>>,
}

impl LogSink {
    /// Starts to deliver. While the coordinator is away, the log is kept in `folder`.
    pub fn start(client: &Client, attempt: &str, fence: &str, folder: PathBuf) -> Self {
        let outbox = Arc::new(Outbox::new(folder));
        let (client, attempt, fence) = (client.clone(), attempt.to_owned(), fence.to_owned());
        let of = outbox.clone();
        Self {
            outbox,
            sender: Mutex::new(Some(tokio::spawn(
                async move { send(&client, &attempt, &fence, &of).await },
            ))),
        }
    }

    /// Waits until everything that was written but not delivered is on disk.
    pub async fn spill(&self) {
        self.outbox.spill().await;
    }
}

/// Delivers the log that an earlier process of this host spooled. Returns `false` if there is none.
pub async fn deliver_left(client: &Client, attempt: &str, fence: &str, folder: PathBuf) -> Result<bool> {
    let Some(outbox) = Outbox::left(folder).await? else {
        return Ok(false);
    };
    send(client, attempt, fence, &outbox).await?;
    Ok(true)
}

#[async_trait]
impl Sink for LogSink {
    async fn write(&self, chunk: Chunk) -> Result<()> {
        self.outbox.push(&chunk).await
    }

    async fn close(&self) -> Result<()> {
        self.outbox.close().await;
        match self.sender.lock().await.take() {
            Some(sender) => sender.await?,
            None => Ok(()),
        }
    }
}

/// Sends frames until everything has been written and stored, or until the coordinator refuses one. Then the frames
/// that are left are dropped.
async fn send(client: &Client, attempt: &str, fence: &str, outbox: &Outbox) -> Result<()> {
    let sent = send_all(client, attempt, fence, outbox).await;
    match &sent {
        Ok(()) => outbox.clear().await,
        Err(error) => outbox.lose(&format!("{error:#}")).await,
    }
    sent
}

async fn send_all(client: &Client, attempt: &str, fence: &str, outbox: &Outbox) -> Result<()> {
    let mut delays = retry_delays().build();
    // bounds the tries with a coordinator that reports gap after gap and never stores a frame
    let mut gaps = 0;
    while let Some(next) = outbox.next().await? {
        match client.append(attempt, fence, next.frame).await {
            Ok(Appended::Stored(extent)) => {
                if extent.length < next.until {
                    bail!(
                        "the coordinator stored only a part of the log, and has {} bytes of it",
                        extent.length
                    );
                }
                (delays, gaps) = (retry_delays().build(), 0);
                outbox.taken(extent.length, extent.synced).await;
            }
            Ok(Appended::Gap(length)) => {
                gaps += 1;
                if gaps > 10 || length >= next.from {
                    bail!("the coordinator does not store the log: it reports that the log ends at {length}");
                }
                tracing::warn!(
                    attempt,
                    length,
                    "the coordinator's log is shorter than before; sending the rest again"
                );
                outbox.back_to(length).await?;
            }
            Err(error) if error.is::<CallRefused>() => return Err(error),
            Err(error) => {
                tracing::debug!(
                    attempt,
                    error = format!("{error:#}"),
                    "the coordinator does not answer; trying again"
                );
                outbox.away().await;
                tokio::time::sleep(delays.next().unwrap_or(MAX_RETRY_DELAY)).await;
            }
        }
    }
    Ok(())
}
