//! Shows a growing log in a browser, through server-sent events with HTML.

use super::ansi::Html;
use super::error::{Error, HandlerResult};
use super::follow::{Follower, LogNews};
use super::peer::Peer;
use super::render::drawn;
use super::response::Resumable;
use super::route::{Query, Web};
use super::window::WARM;
use super::wording::size;
use crate::domain::id::AttemptId;
use crate::logfile::damage::Lost;
use crate::logfile::{Chunk, Stream};
use crate::screen::{Screens, Shown};
use anyhow::Result;
use futures_util::stream;
use serde::Serialize;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::time::Duration;
use tokio::sync::mpsc;
use warp::Reply;
use warp::http::header::{HeaderMap, HeaderValue};
use warp::sse::Event;

/// The time between two events. A browser could not show more.
const PACE: Duration = Duration::from_millis(100);

/// The data of an event, as `static/live.js` reads it.
#[derive(Default, Serialize)]
struct Lines {
    /// A sentence if text was skipped, else empty.
    skipped: String,
    /// The HTML of the lines that ended since the last event.
    lines: String,
    /// The HTML of the unfinished lines.
    line: String,
}

/// `/attempt/ID/events`: streams new text of a log. The id of each event is the offset up to which the log was shown. A
/// browser that reconnects sends this id back, and the stream continues there. Reading begins before that offset,
/// because a sequence, a character or a line may have begun there.
pub async fn events(id: AttemptId, web: Web, query: Query, headers: HeaderMap, peer: Peer) -> HandlerResult {
    let attempt = web.store.attempt(&id).await?.ok_or_else(Error::not_found)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let from = last.or(query.get("from").map(String::as_str));
    let offset: u64 = from.and_then(|from| from.parse().ok()).unwrap_or(0);
    let follower = Follower::new(&web, &attempt.id, offset.saturating_sub(WARM), true, &peer)?.skipping();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let gone = sender.clone();
        tokio::select! {
            () = gone.closed() => {}
            sent = send(follower, offset, sender) => if let Err(error) = sent {
                tracing::error!(attempt = %attempt.id, error = format!("{error:#}"), "failed to show a log");
            }
        }
    });
    let events = stream::unfold(receiver, |mut receiver| async {
        let event = receiver.recv().await?;
        Some((Ok::<_, Infallible>(event), receiver))
    });
    let mut response = warp::sse::reply(warp::sse::keep_alive().stream(events)).into_response();
    // makes a proxy pass on each event at once
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.extensions_mut().insert(Resumable);
    Ok(response)
}

/// The state of one reader of a log: what was read and shown, and the screens that turn text into HTML.
struct View {
    screens: Screens,
    writer: Html,
    /// The offset up to which everything was shown. Earlier text only sets colours and begins lines.
    shown: u64,
    /// The offset up to which the log was read.
    read: u64,
}

impl View {
    fn take(mut self, chunk: &Chunk) -> (Self, Lines) {
        if chunk.offset != self.read {
            self.screens = Screens::default();
        }
        let mut at = chunk.offset;
        let mut lines = String::new();
        for (piece, text) in chunk.parts() {
            let before = usize::try_from(self.shown.saturating_sub(at))
                .unwrap_or(usize::MAX)
                .min(text.len());
            let ignore = &mut |_: Shown<'_>| ControlFlow::Continue(());
            self.screens.feed(piece.stream, piece.at, &text[..before], ignore);
            at += before as u64;
            if before > 0 && at == self.shown {
                self.screens.drop_parted();
            }
            self.feed(piece.stream, piece.at, &text[before..], &mut lines);
            at += (text.len() - before) as u64;
        }
        self.read = chunk.end();
        self.shown = self.shown.max(self.read);
        let line = self.writer.unfinished(&self.screens, |_| true);
        (
            self,
            Lines {
                lines,
                line,
                ..Lines::default()
            },
        )
    }

    fn feed(&mut self, stream: Stream, at: i64, text: &[u8], lines: &mut String) {
        let writer = &mut self.writer;
        self.screens.feed(stream, at, text, &mut |shown| {
            writer.write(lines, &shown);
            ControlFlow::Continue(())
        });
    }

    /// Returns a line that reports lost bytes.
    fn lose(&mut self, lost: &Lost) -> Lines {
        let mut lines = String::new();
        self.feed(Stream::Control, 0, format!("[pybots] {lost}\n").as_bytes(), &mut lines);
        self.read = lost.until.unwrap_or(lost.from);
        self.shown = self.shown.max(self.read);
        Lines {
            lines,
            ..Lines::default()
        }
    }
}

async fn send(mut follower: Follower, from: u64, sender: mpsc::Sender<Event>) -> Result<()> {
    let mut view = View {
        screens: Screens::default(),
        writer: Html::default(),
        shown: from,
        read: from.saturating_sub(WARM),
    };
    while let Some(news) = follower.next().await? {
        let shown = view.shown;
        let data = match news {
            LogNews::Skipped { to } => {
                let skipped = to.saturating_sub(shown);
                view.shown = shown.max(to);
                Lines {
                    skipped: format!(
                        "\n… {} left out because they came too fast; the raw log has them …\n",
                        size(skipped)
                    ),
                    ..Lines::default()
                }
            }
            LogNews::Lost(lost) => match lost.after(shown) {
                Some(lost) => view.lose(&lost),
                None => continue,
            },
            LogNews::Text(chunk) => {
                let new = chunk.end() > shown;
                let (next, lines) = drawn(move || view.take(&chunk)).await?;
                view = next;
                if !new {
                    continue;
                }
                lines
            }
        };
        let length = data.lines.len() + data.line.len();
        let event = Event::default().id(view.shown.to_string()).json_data(data)?;
        if sender.send(event).await.is_err() {
            return Ok(());
        }
        // a long unfinished line is sent again each time, so the pace depends on its length
        tokio::time::sleep(PACE.max(Duration::from_micros(length as u64))).await;
    }
    // browsers ignore an event without data
    let _ = sender.send(Event::default().event("end").data("end")).await;
    Ok(())
}
