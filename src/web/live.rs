//! Shows a log in a browser while it is written, as server-sent events with HTML.

use super::ansi::Screen;
use super::error::{Error, Outcome};
use super::follow::{Follower, News};
use super::peer::Peer;
use super::response::Resumable;
use super::route::{Query, Web};
use super::wording::size;
use crate::domain::id::AttemptId;
use anyhow::Result;
use futures_util::stream;
use serde::Serialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use warp::Reply;
use warp::http::header::{HeaderMap, HeaderValue};
use warp::sse::Event;

/// Time between two events. A browser can't usefully draw more.
const PACE: Duration = Duration::from_millis(100);

/// What `static/live.js` reads.
#[derive(Serialize)]
struct Lines {
    /// A sentence if text was left out, else empty.
    skipped: String,
    /// The HTML of the lines that ended since the last event.
    lines: String,
    /// The HTML of the line that has not ended yet.
    line: String,
}

/// `/attempt/ID/events`. The id of each event is the offset at which the unfinished line begins. A browser that was cut
/// off sends it back, and goes on there.
pub async fn events(id: AttemptId, web: Web, query: Query, headers: HeaderMap, peer: Peer) -> Outcome {
    let attempt = web.store.attempt(&id).await?.ok_or_else(Error::not_found)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let from = last.or(query.get("from").map(String::as_str));
    let offset = from.and_then(|from| from.parse().ok()).unwrap_or(0);
    let follower = Follower::new(&web, &attempt.id, offset, true, &peer)?.skipping();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let gone = sender.clone();
        tokio::select! {
            () = gone.closed() => {}
            sent = send(follower, sender) => if let Err(error) = sent {
                tracing::error!(attempt = %attempt.id, error = format!("{error:#}"), "failed to show a log");
            }
        }
    });
    let events = stream::unfold(receiver, |mut receiver| async {
        let event = receiver.recv().await?;
        Some((Ok::<_, Infallible>(event), receiver))
    });
    let mut response = warp::sse::reply(warp::sse::keep_alive().stream(events)).into_response();
    // a proxy must pass each event on at once
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.extensions_mut().insert(Resumable);
    Ok(response)
}

async fn send(mut follower: Follower, sender: mpsc::Sender<Event>) -> Result<()> {
    let mut screen = Screen::default();
    let mut line_begins = follower.offset();
    while let Some(news) = follower.next().await? {
        let skipped = match news {
            News::Skipped(bytes) => {
                screen = Screen::default();
                line_begins = follower.offset();
                format!(
                    "… {} left out because they came too fast; the raw log has them …\n",
                    size(bytes)
                )
            }
            News::Text(chunk) => {
                screen.feed(&chunk.text);
                if let Some(at) = chunk.text.iter().rposition(|byte| *byte == b'\n') {
                    line_begins = chunk.offset + at as u64 + 1;
                }
                String::new()
            }
        };
        let data = Lines {
            skipped,
            lines: screen.take(),
            line: screen.line(),
        };
        let event = Event::default().id(line_begins.to_string()).json_data(data)?;
        if sender.send(event).await.is_err() {
            return Ok(());
        }
        tokio::time::sleep(PACE).await;
    }
    // browsers ignore an event without data
    let _ = sender.send(Event::default().event("end").data("end")).await;
    Ok(())
}
