//! A host appends to the log of what it has leased.

use super::caller::Caller;
use super::{failed, say};
use crate::logfile::file::Refusal;
use crate::logfile::frame::FRAME_MOST;
use crate::store::attempts::Attempt;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use warp::Reply;
use warp::http::StatusCode;
use warp::reply::Response;

/// A chunk of which nothing comes in for so long gives its place in memory to another one.
const SILENCE: Duration = Duration::from_secs(20);
/// So does one that takes longer than this in all: a line that is slower than that of a telephone is none.
const WITHIN: Duration = Duration::from_secs(300);

#[derive(Debug, Deserialize)]
pub struct Lease {
    fence: String,
}

/// Why a chunk was refused that begins behind the end of the log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hole {
    /// Where to go on, bytes.
    pub ends_at: u64,
}

pub async fn append<S, B>(attempt: String, caller: Caller, lease: Lease, length: u64, body: S) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let attempt = match caller.own(&attempt).await {
        Ok(attempt) => attempt,
        Err(refused) => return refused,
    };
    if !may_append(&attempt, &lease.fence) {
        return say(StatusCode::CONFLICT, "the attempt is not leased under this fence");
    }
    let turn = match caller
        .coordinator
        .objects
        .turn(&attempt.host, &attempt.id, length as usize)
        .await
    {
        Ok(turn) => turn,
        Err(error) => return failed(&error),
    };
    let frame = match tokio::time::timeout(WITHIN, read(body)).await {
        Ok(Some(frame)) => frame,
        // the host sends it again
        Ok(None) | Err(_) => {
            return say(
                StatusCode::SERVICE_UNAVAILABLE,
                "the chunk did not come whole, or too slowly",
            );
        }
    };
    match turn.append(frame).await {
        Ok(Ok(taken)) => warp::reply::json(&taken).into_response(),
        Ok(Err(Refusal::Hole(ends_at))) => {
            warp::reply::with_status(warp::reply::json(&Hole { ends_at }), StatusCode::CONFLICT).into_response()
        }
        Ok(Err(refused @ Refusal::Malformed(_))) => say(StatusCode::BAD_REQUEST, &refused.to_string()),
        Err(error) => failed(&error),
    }
}

/// Whether the holder of this fence may write to the attempt's log now.
fn may_append(attempt: &Attempt, fence: &str) -> bool {
    attempt.fence == fence && attempt.is_open()
}

/// The body, of which the length was looked at before; None if it breaks off or falls silent.
async fn read<S, B>(body: S) -> Option<Bytes>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let mut body = std::pin::pin!(body);
    let mut frame = BytesMut::new();
    while let Some(part) = tokio::time::timeout(SILENCE, body.next()).await.ok()? {
        let mut part = part.ok()?;
        if frame.len() + part.remaining() > FRAME_MOST {
            return None;
        }
        frame.extend_from_slice(&part.copy_to_bytes(part.remaining()));
    }
    Some(frame.freeze())
}
