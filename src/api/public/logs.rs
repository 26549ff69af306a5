//! Pieces of a log as lines of JSON.

use crate::logfile::{Chunk, Stream};
use crate::web::{Error, Follower, News, Outcome, Peer, Query, Resumable, Web, chosen_attempt};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc;
use warp::Reply;
use warp::http::header::{self, HeaderValue};

/// One line. Offsets are in bytes of the whole log, `at` in milliseconds UTC.
#[derive(Serialize)]
struct Piece<'a> {
    offset: u64,
    until: u64,
    stream: &'static str,
    at: i64,
    text: &'a str,
}

/// `/api/logs/ID`: the log of an attempt, or of the newest attempt at a run or an image. `?from=OFFSET`, `?stream=NAME`,
/// `?attempt=N`, and `?follow=true` to wait for more until the attempt has ended.
pub async fn pieces(id: String, web: Web, query: Query, peer: Peer) -> Outcome {
    let attempt = match web.store.attempt(&id.as_str().into()).await? {
        Some(attempt) => Some(attempt),
        None => chosen_attempt(&web, &id, &query).await?,
    };
    let attempt = attempt.ok_or_else(Error::not_found)?;
    let offset = query.get("from").and_then(|from| from.parse().ok()).unwrap_or(0);
    let stream: Option<Stream> = query.get("stream").and_then(|name| name.parse().ok());
    let waits = query.get("follow").is_some_and(|value| value == "true");
    let mut follower = Follower::new(&web, &attempt.id, offset, waits, &peer)?;
    let (sender, receiver) = mpsc::channel::<std::io::Result<String>>(1);
    tokio::spawn(async move {
        let gone = sender.clone();
        let send = async {
            while let Some(news) = follower.next().await.transpose() {
                let lines = match news {
                    Ok(News::Text(chunk)) => Ok(lines(&chunk, stream)),
                    Ok(News::Skipped(_)) => continue,
                    Err(error) => {
                        tracing::error!(attempt = %attempt.id, error = format!("{error:#}"), "failed to send a log");
                        Err(std::io::Error::other("failed to read the log"))
                    }
                };
                if sender.send(lines).await.is_err() {
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

fn lines(chunk: &Chunk, only: Option<Stream>) -> String {
    let mut offset = chunk.offset;
    let mut lines = String::new();
    for (part, text) in chunk.parts() {
        let from = offset;
        offset += text.len() as u64;
        let wanted = only.is_none_or(|stream| stream == part.stream);
        // the last part of a chunk is sent in any case, without its text: it says up to where the log was read
        if !wanted && offset != chunk.end() {
            continue;
        }
        let text = if wanted {
            String::from_utf8_lossy(&text)
        } else {
            "".into()
        };
        let piece = Piece {
            offset: from,
            until: offset,
            stream: part.stream.name(),
            at: part.at,
            text: &text,
        };
        if let Ok(line) = serde_json::to_string(&piece) {
            lines.push_str(&line);
            lines.push('\n');
        }
    }
    lines
}
