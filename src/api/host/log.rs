//! The call by which a host appends to the log of an attempt that it has leased.

use super::caller::Caller;
use crate::domain::received;
use crate::logfile::file::AppendRefusal;
use crate::logfile::frame::{FRAME_MOST, FrameHead};
use crate::protocol::LogGap;
use crate::store::attempts::Attempt;
use crate::web::{Error, HandlerResult};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{Stream, StreamExt};
use serde::Deserialize;
use warp::Reply;
use warp::http::StatusCode;

/// Bytes that the log of any job may have, so that most chunks need no query for the limits of their job.
const ANY_LOG: u64 = 1 << 20;

#[derive(Debug, Deserialize)]
pub struct Lease {
    fence: String,
}

pub async fn append<S, B>(attempt: String, caller: Caller, lease: Lease, length: u64, body: S) -> HandlerResult
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let attempt = caller.own(&attempt).await?;
    if !may_append(&attempt, &lease.fence) {
        return Err(Error::Conflict("the attempt is not leased under this fence".into()));
    }
    let turn = caller
        .coordinator
        .objects
        .turn(&attempt.host, &attempt.id, length as usize)
        .await?;
    // the server ends a body that comes too slowly, which frees its place in memory
    let Some(frame) = read(body).await else {
        // the host sends it again
        return Err(Error::Unavailable("the chunk arrived incomplete".into()));
    };
    if end_of(&frame) > ANY_LOG && end_of(&frame) > log_most(&caller, &attempt).await? {
        let message = "the log is longer than the limits of its job allow";
        return Err(Error::TooLarge(message.into()));
    }
    match turn.append(frame).await? {
        Ok(taken) => Ok(warp::reply::json(&taken).into_response()),
        Err(AppendRefusal::Hole(ends_at)) => {
            let gap = warp::reply::json(&LogGap { ends_at });
            Ok(warp::reply::with_status(gap, StatusCode::CONFLICT).into_response())
        }
        Err(refused @ AppendRefusal::Malformed(_)) => Err(Error::BadRequest(refused.to_string().into())),
    }
}

/// Returns the offset at which the text of a frame ends, or 0 if the frame has no head. Such a frame is refused later.
fn end_of(frame: &[u8]) -> u64 {
    let head = frame.first_chunk().and_then(|head| FrameHead::read(head).ok());
    head.map_or(0, |head| head.end())
}

/// Returns the most bytes that the log of the attempt may have.
async fn log_most(caller: &Caller, attempt: &Attempt) -> Result<u64, Error> {
    // the job of another version of Pybots can't be read
    let job = caller
        .coordinator
        .store
        .spec_of(&attempt.job_id)
        .await
        .unwrap_or_default();
    Ok(received::log_most(job.as_ref(), caller.host.builds))
}

/// Returns whether the attempt is open and has this fence.
fn may_append(attempt: &Attempt, fence: &str) -> bool {
    attempt.fence == fence && attempt.is_open()
}

/// Reads the body. Returns `None` if it breaks off, or has more than [`FRAME_MOST`] bytes.
async fn read<S, B>(body: S) -> Option<Bytes>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let mut body = std::pin::pin!(body);
    let mut frame = BytesMut::new();
    while let Some(part) = body.next().await {
        let mut part = part.ok()?;
        if frame.len() + part.remaining() > FRAME_MOST {
            return None;
        }
        frame.extend_from_slice(&part.copy_to_bytes(part.remaining()));
    }
    Some(frame.freeze())
}
