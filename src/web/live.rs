//! Logs while they are written: for browsers as events with HTML, for programs as lines of JSON.

use super::ansi::Screen;
use super::answer::{self, Answer};
use super::words::size;
use super::{Query, Web, attempts, window};
use crate::logfile::file::Reader;
use crate::logfile::{Chunk, Stream};
use crate::store::logs::Following;
use anyhow::Result;
use futures_util::stream;
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use warp::Reply;
use warp::http::StatusCode;
use warp::http::header::{self, HeaderMap, HeaderValue};
use warp::sse::Event;

/// Time between two events: a browser draws no more of them.
const PACE: Duration = Duration::from_millis(100);

/// Time between looks whether an attempt has ended without a word.
const LOOK: Duration = Duration::from_secs(1);

/// A reader who is so many bytes behind is brought to the end: nobody reads that fast.
const BEHIND: u64 = 1 << 20;

/// The log of an attempt, read on as it grows.
struct Follower {
    web: Web,
    attempt: String,
    /// None: it reads what is there, and does not wait.
    news: Option<Following>,
    reader: Option<Reader>,
    /// Where it reads on.
    offset: u64,
    /// Whether what it can't keep up with is left out.
    skips: bool,
}

enum News {
    Text(Chunk),
    /// So many bytes were left out.
    Skipped(u64),
}

impl Follower {
    /// `waits`: for more, until the attempt has ended. None: too many wait already.
    fn new(web: &Web, attempt: &str, offset: u64, waits: bool) -> Result<Option<Self>> {
        let news = if waits { web.objects.follow(attempt)? } else { None };
        Ok((news.is_some() || !waits).then(|| Self {
            web: web.clone(),
            attempt: attempt.to_owned(),
            news,
            reader: None,
            offset,
            skips: false,
        }))
    }

    /// What comes next; None at the end.
    async fn next(&mut self) -> Result<Option<News>> {
        let mut look = true;
        loop {
            let length = match &mut self.news {
                Some(news) => *news.length.borrow_and_update(),
                None => 0,
            };
            if self.skips && length.saturating_sub(self.offset) > BEHIND {
                return self.skip(length).await.map(Some);
            }
            // first the end, then the text: what was written in between is not missed
            let ended = look && (self.news.is_none() || self.has_ended().await?);
            if let Some(chunk) = self.read().await? {
                self.offset = chunk.end();
                return Ok(Some(News::Text(chunk)));
            }
            if ended {
                return Ok(None);
            }
            if let Some(news) = &mut self.news {
                look = tokio::time::timeout(LOOK, news.length.changed()).await.is_err();
            }
        }
    }

    async fn has_ended(&self) -> Result<bool> {
        let attempt = self.web.store.attempt(&self.attempt).await?;
        Ok(attempt.is_none_or(|attempt| attempt.finished_at.is_some()))
    }

    async fn read(&mut self) -> Result<Option<Chunk>> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => match self.web.objects.open_log(&self.attempt).await? {
                Some(reader) => reader.skipped_to(self.offset).await?,
                None => return Ok(None),
            },
        };
        let (reader, chunk) = reader.step().await?;
        self.reader = Some(reader);
        Ok(chunk)
    }

    /// Goes on at a line near the end of a log of this length.
    async fn skip(&mut self, length: u64) -> Result<News> {
        let near = length - window::PAGE;
        let read = self.web.objects.read_log(&self.attempt, near, window::PAGE).await?;
        let line = read.bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let to = near + line as u64;
        let skipped = to - self.offset;
        self.offset = to;
        if let Some(reader) = self.reader.take() {
            self.reader = Some(reader.skipped_to(to).await?);
        }
        Ok(News::Skipped(skipped))
    }
}

/// Events for a page. Each has the lines that are done since the last one and the one that is being written, as HTML;
/// its id is where that line begins, so that a browser that was cut off goes on there.
pub async fn events(web: &Web, attempt: &str, query: &Query, headers: &HeaderMap) -> Result<Option<Answer>> {
    let Some(attempt) = web.store.attempt(attempt).await? else {
        return Ok(None);
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let from = last.or(query.get("from").map(String::as_str));
    let offset = from.and_then(|from| from.parse().ok()).unwrap_or(0);
    let Some(mut follower) = Follower::new(web, &attempt.id, offset, true)? else {
        return Ok(Some(too_many()));
    };
    follower.skips = true;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let gone = sender.clone();
        tokio::select! {
            () = gone.closed() => {}
            told = tell(follower, sender) => if let Err(error) = told {
                tracing::error!(attempt = attempt.id, error = format!("{error:#}"), "failed to show a log");
            }
        }
    });
    let events = stream::unfold(receiver, |mut receiver| async {
        receiver
            .recv()
            .await
            .map(|event| (Ok::<_, Infallible>(event), receiver))
    });
    let mut answer = warp::sse::reply(warp::sse::keep_alive().stream(events)).into_response();
    // a proxy in between must not collect them
    answer
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(Some(answer))
}

fn too_many() -> Answer {
    let answer = answer::text("Too many follow logs at present; the raw log has all that was written.\n");
    warp::reply::with_status(answer, StatusCode::SERVICE_UNAVAILABLE).into_response()
}

async fn tell(mut follower: Follower, sender: mpsc::Sender<Event>) -> Result<()> {
    let mut screen = Screen::default();
    // where the line begins that is being written
    let mut line = follower.offset;
    while let Some(news) = follower.next().await? {
        let skipped = match news {
            News::Skipped(bytes) => {
                screen = Screen::default();
                line = follower.offset;
                format!("… {} more than can be followed; the raw log has all …\n", size(bytes))
            }
            News::Text(chunk) => {
                screen.feed(&chunk.text);
                if let Some(at) = chunk.text.iter().rposition(|byte| *byte == b'\n') {
                    line = chunk.offset + at as u64 + 1;
                }
                String::new()
            }
        };
        let data = json!({ "skipped": skipped, "lines": screen.take(), "line": screen.line() });
        let event = Event::default().id(line.to_string()).json_data(data)?;
        if sender.send(event).await.is_err() {
            return Ok(());
        }
        tokio::time::sleep(PACE).await;
    }
    // an event without data is none
    let _ = sender.send(Event::default().event("end").data("end")).await;
    Ok(())
}

/// Pieces of the log of an attempt, or of the newest attempt at a run or an image, as lines of JSON; `?from=OFFSET`,
/// `?stream=NAME`, `?attempt=N`, and `?follow=true` to wait for more until it has ended.
pub async fn pieces(web: &Web, id: &str, query: &Query) -> Result<Option<Answer>> {
    let attempt = match web.store.attempt(id).await? {
        Some(attempt) => attempt,
        None => {
            let mut all = web.store.attempts_of(id).await?;
            match attempts::chosen(&all, query).checked_sub(1) {
                Some(at) => all.swap_remove(at),
                None => return Ok(None),
            }
        }
    };
    let offset = query.get("from").and_then(|from| from.parse().ok()).unwrap_or(0);
    let stream: Option<Stream> = query.get("stream").and_then(|name| name.parse().ok());
    let waits = query.get("follow").is_some_and(|value| value == "true");
    let Some(mut follower) = Follower::new(web, &attempt.id, offset, waits)? else {
        return Ok(Some(too_many()));
    };
    let (sender, receiver) = mpsc::channel::<std::io::Result<String>>(1);
    tokio::spawn(async move {
        let gone = sender.clone();
        let lines = async {
            while let Some(news) = follower.next().await.transpose() {
                let lines = match news {
                    Ok(News::Text(chunk)) => Ok(lines(&chunk, stream)),
                    Ok(News::Skipped(_)) => continue,
                    Err(error) => {
                        tracing::error!(
                            attempt = attempt.id,
                            error = format!("{error:#}"),
                            "failed to send a log"
                        );
                        Err(std::io::Error::other("the log can't be read"))
                    }
                };
                if sender.send(lines).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = gone.closed() => {}
            () = lines => {}
        }
    });
    let lines = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|lines| (lines, receiver))
    });
    let mut answer = warp::reply::stream(lines).into_response();
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson; charset=utf-8"),
    );
    Ok(Some(answer))
}

fn lines(chunk: &Chunk, only: Option<Stream>) -> String {
    let mut offset = chunk.offset;
    let mut lines = String::new();
    for (piece, text) in chunk.parts() {
        let (from, wanted) = (offset, only.is_none_or(|stream| stream == piece.stream));
        offset += text.len() as u64;
        // the last one of a chunk is told in any case: it says how far this is
        if wanted || offset == chunk.end() {
            let text = if wanted {
                String::from_utf8_lossy(&text)
            } else {
                "".into()
            };
            let line = json!({
                "offset": from, "until": offset, "stream": piece.stream.name(), "at": piece.at, "text": text,
            });
            lines.push_str(&format!("{line}\n"));
        }
    }
    lines
}
