//! Logs as lines of JSON.

use super::range::in_range;
use crate::api::v1::types::ProblemDetails;
use crate::domain::skew::corrected;
use crate::logfile::damage::Lost;
use crate::logfile::{Chunk, Stream};
use crate::screen::whole_characters;
use crate::web::{Error, Follower, HandlerResult, LogNews, Peer, Query, Resumable, Web, chosen_attempt};
use futures_util::stream;
use serde::Serialize;
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use utoipa::ToSchema;
use warp::Reply;
use warp::http::header::{self, HeaderValue};

/// One line of a log, or a part of it. Offsets are in bytes of the whole log. `at` is in milliseconds since 1970, UTC,
/// corrected by the offset of the host's clock.
#[derive(Serialize, ToSchema)]
#[schema(as = LogPiece)]
pub struct LogPieceView<'a> {
    offset: u64,
    until: u64,
    #[schema(value_type = Stream)]
    stream: &'static str,
    at: i64,
    text: &'a str,
    /// A sentence that says which bytes are lost; absent if none are.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<String>,
    /// The original bytes in base64. Absent unless the caller asked for them and they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

/// Bytes to read before the first piece, so that a character which begins there is complete.
const BEFORE: u64 = 4096;

#[utoipa::path(
    get, path = "/api/v1/logs/{id}", operation_id = "log", tag = "results", summary = "Read a log as lines of JSON",
    params(
        ("id" = String, Path, description = "The id of a run, an image or an attempt"),
        ("from" = Option<i64>, Query, minimum = 0, description = "Offset in bytes"),
        ("stream" = inline(Option<Stream>), Query),
        ("attempt" = Option<i64>, Query, minimum = 1),
        ("follow" = Option<bool>, Query, description = "Whether to wait for more until the attempt has ended"),
        ("raw" = Option<bool>, Query, description = "Whether bytes that are no UTF-8 come as base64"),
    ),
    responses((status = 200, content_type = "application/x-ndjson", body = String, description = "Each line is a `LogPiece`"), (status = 404, body = ProblemDetails)),
)]
/// Responds with the log of an attempt. Unlike `/api/logs`, refuses values of parameters that it does not understand.
pub async fn checked_pieces(id: String, web: Web, query: Query, peer: Peer) -> HandlerResult {
    in_range(&query, "from", 0..=i64::MAX)?;
    in_range(&query, "attempt", 1..=i64::MAX)?;
    let is_in = |name: &str, words: &[&str]| query.get(name).is_none_or(|word| words.contains(&word.as_str()));
    if !is_in("stream", &["stdout", "stderr", "control"]) {
        return Err(Error::BadRequest("`stream` is `stdout`, `stderr` or `control`".into()));
    }
    if !["follow", "raw"].iter().all(|name| is_in(name, &["true", "false"])) {
        return Err(Error::BadRequest("`follow` and `raw` are `true` or `false`".into()));
    }
    pieces(id, web, query, peer).await
}

/// `/api/logs/ID`: responds with the log of an attempt, or of the newest attempt at a run or an image. `?from=OFFSET`
/// and `?stream=NAME` select a part, and `?attempt=N` another attempt. `?follow=true` waits for more until the attempt
/// has ended, and `?raw=true` adds bytes that are not UTF-8.
pub async fn pieces(id: String, web: Web, query: Query, peer: Peer) -> HandlerResult {
    let attempt = match web.store.attempt(&id.as_str().into()).await? {
        Some(attempt) => Some(attempt),
        None => chosen_attempt(&web, &id, &query).await?,
    };
    let attempt = attempt.ok_or_else(Error::not_found)?;
    let is_set = |name| query.get(name).is_some_and(|value| value == "true");
    let waits = is_set("follow");
    let from = query.get("from").and_then(|from| from.parse().ok()).unwrap_or(0);
    let mut pieces = Pieces {
        from,
        only: query.get("stream").and_then(|name| name.parse().ok()),
        raw: is_set("raw"),
        torn: BTreeMap::new(),
        end: from,
        clock_offset_ms: attempt.clock_offset_ms,
    };
    let mut follower = Follower::new(&web, &attempt.id, from.saturating_sub(BEFORE), waits, &peer)?;
    let (sender, receiver) = mpsc::channel::<std::io::Result<String>>(1);
    tokio::spawn(async move {
        let gone = sender.clone();
        let send = async {
            loop {
                let lines = match follower.next().await {
                    Ok(Some(LogNews::Text(chunk))) => Ok(pieces.lines(&chunk)),
                    Ok(Some(LogNews::Lost(lost))) => Ok(pieces.lost(&lost)),
                    Ok(Some(LogNews::Skipped { .. })) => continue,
                    Ok(None) => {
                        let _ = sender.send(Ok(pieces.rest())).await;
                        break;
                    }
                    Err(error) => {
                        tracing::error!(attempt = %attempt.id, error = format!("{error:#}"), "failed to send a log");
                        Err(std::io::Error::other("failed to read the log"))
                    }
                };
                let failed = lines.is_err();
                if sender.send(lines).await.is_err() || failed {
                    break;
                }
            }
        };
        tokio::select! {
            () = gone.closed() => {}
            () = send => {}
        }
    });
    let lines = stream::unfold(receiver, |mut receiver| async {
        let lines = receiver.recv().await?;
        Some((lines, receiver))
    });
    let mut response = warp::reply::stream(lines).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson; charset=utf-8"),
    );
    if waits {
        response.extensions_mut().insert(Resumable);
    }
    Ok(response)
}

/// Turns chunks into lines of JSON. A character that two pieces share goes into the piece that has its end.
struct Pieces {
    /// Omits text before this offset.
    from: u64,
    only: Option<Stream>,
    raw: bool,
    /// The incomplete character at the end of each stream, with its time.
    torn: BTreeMap<&'static str, (i64, Vec<u8>)>,
    /// The offset up to which the log was read.
    end: u64,
    /// How far the host's clock was ahead of the coordinator's while it wrote the log, in milliseconds.
    clock_offset_ms: Option<i64>,
}

impl Pieces {
    fn lines(&mut self, chunk: &Chunk) -> String {
        let mut offset = chunk.offset;
        let mut lines = String::new();
        for (part, text) in chunk.parts() {
            let begin = offset;
            offset += text.len() as u64;
            let before = usize::try_from(self.from.saturating_sub(begin))
                .unwrap_or(usize::MAX)
                .min(text.len());
            let (before, text) = text.split_at(before);
            let torn = self.torn.entry(part.stream.name()).or_default();
            torn.1.extend_from_slice(before);
            torn.1.drain(..whole_characters(&torn.1));
            if text.is_empty() {
                continue;
            }
            let wanted = self.only.is_none_or(|stream| stream == part.stream);
            // a chunk's last part is always sent, without its text if need be: it shows up to where the log was read
            if !wanted && offset != chunk.end() {
                continue;
            }
            let mut bytes = Vec::new();
            if wanted && self.raw {
                bytes.extend_from_slice(text);
            } else if wanted {
                bytes = std::mem::take(&mut torn.1);
                bytes.extend_from_slice(text);
                let rest = bytes.split_off(whole_characters(&bytes));
                *torn = (part.at, rest);
            }
            let head = (begin + before.len() as u64, offset, part.stream, part.at);
            lines.push_str(&self.line(head, &bytes));
        }
        self.end = offset;
        lines
    }

    fn line(&self, (offset, until, stream, at): (u64, u64, Stream, i64), bytes: &[u8]) -> String {
        use base64::Engine;
        let raw = self.raw && std::str::from_utf8(bytes).is_err();
        line(&LogPieceView {
            offset,
            until,
            stream: stream.name(),
            at: corrected(at, self.clock_offset_ms),
            text: &String::from_utf8_lossy(bytes),
            lost: None,
            bytes: raw.then(|| base64::engine::general_purpose::STANDARD.encode(bytes)),
        })
    }

    /// Returns a line that says which bytes are lost.
    fn lost(&mut self, lost: &Lost) -> String {
        let Some(lost) = lost.after(self.from) else {
            return String::new();
        };
        let rest = self.rest();
        self.end = lost.until.unwrap_or(lost.from);
        rest + &line(&LogPieceView {
            offset: lost.from,
            until: self.end,
            stream: Stream::Control.name(),
            at: 0,
            text: "",
            lost: Some(lost.to_string()),
            bytes: None,
        })
    }

    /// Returns the characters that are incomplete at the end of the log.
    fn rest(&mut self) -> String {
        let torn = std::mem::take(&mut self.torn).into_iter();
        let torn = torn.filter(|(_, (_, bytes))| !bytes.is_empty());
        let lines = torn.filter_map(|(name, (at, bytes))| {
            let stream: Stream = name.parse().ok()?;
            let wanted = self.only.is_none_or(|only| only == stream);
            wanted.then(|| self.line((self.end, self.end, stream, at), &bytes))
        });
        lines.collect()
    }
}

fn line(piece: &LogPieceView<'_>) -> String {
    serde_json::to_string(piece).map_or_else(|_| String::new(), |line| line + "\n")
}
