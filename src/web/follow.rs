//! Reads a log while it grows.

use super::error::Error;
use super::peer::Peer;
use super::route::Web;
use super::window;
use crate::domain::id::AttemptId;
use crate::logfile::Chunk;
use crate::logfile::damage::Lost;
use crate::logfile::file::{LogPart, LogReader};
use crate::store::logs::Following;
use anyhow::Result;
use std::time::Duration;

/// The time between two checks whether an attempt has ended, while its log does not grow.
const LOOK: Duration = Duration::from_secs(1);

/// The number of bytes behind the end at which a slow reader skips text. No person reads that fast.
const BEHIND: u64 = 1 << 20;

/// Reads the log of an attempt, and waits for more while the attempt is running.
pub struct Follower {
    web: Web,
    attempt: AttemptId,
    /// Reports the growth of the log. `None` if the follower does not wait for more.
    growth: Option<Following>,
    reader: Option<LogReader>,
    /// The offset of the next text, in bytes.
    offset: u64,
    /// Whether the follower skips text for a slow reader.
    skips: bool,
    /// Whether the follower has reached the end, and reported a loss there.
    is_over: bool,
}

/// The next thing that a follower returns.
pub enum LogNews {
    Text(Chunk),
    Lost(Lost),
    /// The follower skips to this offset. It first returns some text before the offset, for colours and lines that
    /// begin there.
    Skipped {
        to: u64,
    },
}

impl Follower {
    /// Follows a log from an offset. If `waits` is set, it ends when the attempt has ended, otherwise at the current
    /// end of the log. Fails if too many followers wait already.
    pub fn new(web: &Web, attempt: &AttemptId, offset: u64, waits: bool, peer: &Peer) -> Result<Self, Error> {
        let growth = match waits {
            true => Some(web.objects.follow(attempt, peer.network.address())?),
            false => None,
        };
        let growth = growth
            .transpose()
            .map_err(|too_many| Error::Unavailable(format!("{too_many}; the raw log has everything").into()))?;
        Ok(Self {
            web: web.clone(),
            attempt: attempt.clone(),
            growth,
            reader: None,
            offset,
            skips: false,
            is_over: false,
        })
    }

    /// Makes the follower skip text if the reader is too slow.
    pub fn skipping(self) -> Self {
        Self { skips: true, ..self }
    }

    /// Waits for more of the log. Returns `None` at the end.
    pub async fn next(&mut self) -> Result<Option<LogNews>> {
        let mut look = true;
        loop {
            let length = match &mut self.growth {
                Some(growth) => *growth.length.borrow_and_update(),
                None => 0,
            };
            if self.skips && length.saturating_sub(self.offset) > BEHIND {
                return self.skip(length - window::PAGE as u64).await.map(Some);
            }
            // checked before the text is read, so that text written in between is not missed
            let ended = look && (self.growth.is_none() || self.has_ended().await?);
            match self.read().await? {
                Some(LogPart::Text(chunk)) => {
                    self.offset = chunk.end();
                    return Ok(Some(LogNews::Text(chunk)));
                }
                Some(LogPart::Lost(lost)) => {
                    self.offset = lost.until.unwrap_or(lost.from);
                    return Ok(Some(LogNews::Lost(lost)));
                }
                None if ended => return self.end().await,
                None => {}
            }
            if let Some(growth) = &mut self.growth {
                look = tokio::time::timeout(LOOK, growth.length.changed()).await.is_err();
            }
        }
    }

    async fn has_ended(&self) -> Result<bool> {
        let attempt = self.web.store.attempt(&self.attempt).await?;
        Ok(attempt.is_none_or(|attempt| attempt.finished_at.is_some()))
    }

    /// Returns the loss at the end of a log whose attempt has ended, once.
    async fn end(&mut self) -> Result<Option<LogNews>> {
        let lost = match &self.reader {
            Some(reader) if !self.is_over && self.has_ended().await? => reader.lost_at_end()?,
            _ => None,
        };
        self.is_over = true;
        Ok(lost.map(LogNews::Lost))
    }

    async fn read(&mut self) -> Result<Option<LogPart>> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => match self.web.objects.open_log(&self.attempt).await? {
                Some(reader) => reader.skipped_to(self.offset).await?,
                None => return Ok(None),
            },
        };
        let (reader, part) = reader.step().await?;
        self.reader = Some(reader);
        Ok(part)
    }

    /// Skips to an offset.
    async fn skip(&mut self, to: u64) -> Result<LogNews> {
        self.offset = self.offset.max(to.saturating_sub(window::WARM));
        if let Some(reader) = self.reader.take() {
            self.reader = Some(reader.skipped_to(self.offset).await?);
        }
        Ok(LogNews::Skipped { to })
    }
}
