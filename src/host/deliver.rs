//! Delivers a log to the coordinator. What was taken, but not answered for, is sent again without harm.

use super::client::{Appended, Client, Lost, RETRY};
use super::log::Sink;
use super::log::outbox::Outbox;
use crate::logfile::Chunk;
use anyhow::{Result, bail};
use async_trait::async_trait;
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
    /// Begins to deliver. What the coordinator is not there to take is kept in the folder.
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

    /// Waits until all that is written, and not delivered, is on disk.
    pub async fn spill(&self) {
        self.outbox.spill().await;
    }
}

/// Delivers what an earlier life of this host has kept of an attempt's log; false: nothing.
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

/// Sends frame after frame until all has been written and taken.
async fn send(client: &Client, attempt: &str, fence: &str, outbox: &Outbox) -> Result<()> {
    let sent = send_all(client, attempt, fence, outbox).await;
    match &sent {
        Ok(()) => outbox.clear().await,
        Err(error) => outbox.lose(&format!("{error:#}")).await,
    }
    sent
}

async fn send_all(client: &Client, attempt: &str, fence: &str, outbox: &Outbox) -> Result<()> {
    let mut wait = RETRY.0;
    // a coordinator that says again and again where its log ends never takes a chunk
    let mut holes = 0;
    while let Some(next) = outbox.next().await? {
        match client.append(attempt, fence, next.frame).await {
            Ok(Appended::Taken(taken)) => {
                if taken.length < next.until {
                    bail!(
                        "the coordinator took a part of the log, and has {} bytes of it",
                        taken.length
                    );
                }
                (wait, holes) = (RETRY.0, 0);
                outbox.taken(taken.length, taken.kept).await;
            }
            Ok(Appended::Hole(length)) => {
                holes += 1;
                if holes > 10 || length >= next.from {
                    bail!("the coordinator does not take the log: it says that it ends at {length}");
                }
                tracing::warn!(
                    attempt,
                    length,
                    "the coordinator's log is shorter than it was; the rest is sent again"
                );
                outbox.back_to(length).await?;
            }
            Err(error) if error.is::<Lost>() => return Err(error),
            Err(error) => {
                tracing::debug!(
                    attempt,
                    error = format!("{error:#}"),
                    "the coordinator does not answer; trying again"
                );
                outbox.away().await;
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY.1);
            }
        }
    }
    Ok(())
}
