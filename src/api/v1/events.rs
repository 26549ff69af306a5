//! Events as a stream of server-sent events. One task reads the database for all streams, and keeps the newest events
//! for clients that reconnect.

mod feed;
mod view;

pub use feed::Feed;
pub use view::{EventView, StreamedEvent};

use super::types::ProblemDetails;
use crate::web::{Error, HandlerResult, Peer, Query, Resumable, Web};
use feed::{EventNews, EventReader};
use futures_util::stream;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use warp::Reply;
use warp::http::HeaderValue;
use warp::http::header::HeaderMap;
use warp::sse;

/// The time after which a client that takes no event is disconnected. It can reconnect with the id of its last event.
const SLOW: Duration = Duration::from_secs(30);

/// The time after which a stream ends and the client reconnects, so that a revoked token is refused then.
const LIFE: Duration = Duration::from_secs(15 * 60);

/// The events that a client asks for.
struct Filter {
    branch: Option<String>,
    project: Option<String>,
}

impl Filter {
    fn takes(&self, event: &EventView) -> bool {
        let is_in = |wanted: &Option<String>, names: &[String]| wanted.as_ref().is_none_or(|one| names.contains(one));
        is_in(&self.branch, &event.branches) && is_in(&self.project, &event.projects)
    }
}

/// Follow what happens.
///
/// The stream begins with the event `ready`. Each event has an id. To continue after an event, send its id in the
/// header `Last-Event-ID`. If that event is too old, the event `reset` follows: read again what you show. The data of
/// all other events is an `EventView`.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "results",
    params(
        ("branch" = Option<String>, Query, description = "Only events about this branch"),
        ("project" = Option<String>, Query, description = "Only events about this project"),
        ("after" = Option<i64>, Query, minimum = 0, description = "As `Last-Event-ID`, which comes first"),
        ("last-event-id" = Option<i64>, Header, minimum = 0, description = "The id of the last event that you have seen"),
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = StreamedEvent), (status = 400, body = ProblemDetails),
        (status = 503, body = ProblemDetails, description = "Too many streams, in all or of this address"),
    ),
)]
pub async fn follow(feed: Feed, web: Web, query: Query, headers: HeaderMap, peer: Peer) -> HandlerResult {
    let sent = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default());
    let asked = number(query.get("after").map(String::as_str))?;
    let last = number(sent)?.or(asked);
    let place = web
        .objects
        .enter_stream(peer.network.address())
        .map_err(|too_many| Error::Unavailable(too_many.to_string().into()))?;
    let filter = Filter {
        branch: query.get("branch").cloned(),
        project: query.get("project").cloned(),
    };
    let reader = feed.follow(last);
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        pass_on(reader, &filter, sender, SLOW).await;
    });
    let events = stream::unfold(receiver, |mut receiver| async {
        let event = receiver.recv().await?;
        Some((Ok::<_, Infallible>(event), receiver))
    });
    let mut response = sse::reply(sse::keep_alive().stream(events)).into_response();
    // a proxy must pass each event on at once
    let headers = response.headers_mut();
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.extensions_mut().insert(Resumable);
    Ok(response)
}

/// Sends the events that the client asks for. Ends when the client disconnects, after [`LIFE`], or if the client takes
/// no event for `slow`.
async fn pass_on(mut reader: EventReader, filter: &Filter, sender: mpsc::Sender<sse::Event>, slow: Duration) {
    let send = async {
        while let Some(news) = reader.next().await {
            let Some(event) = written(news, filter) else { continue };
            match tokio::time::timeout(slow, sender.send(event)).await {
                Ok(Ok(())) => {}
                _ => break,
            }
        }
    };
    tokio::select! {
        () = sender.closed() => {}
        () = tokio::time::sleep(LIFE) => {}
        () = send => {}
    }
}

/// Parses the id of an event in a header or a parameter.
fn number(text: Option<&str>) -> Result<Option<i64>, Error> {
    let number = text.map(str::parse::<i64>).transpose().ok();
    number
        .filter(|number| number.is_none_or(|number| number >= 0))
        .ok_or_else(|| Error::BadRequest("`Last-Event-ID` or `after` is no id of an event".into()))
}

/// Returns an event in the form in which it is sent, or `None` if the client does not ask for it.
fn written(news: EventNews, filter: &Filter) -> Option<sse::Event> {
    let (number, name, data) = match &news {
        EventNews::Ready(number) => (number, "ready", "{}".to_owned()),
        EventNews::Reset(number) => (number, "reset", "{}".to_owned()),
        EventNews::Event(number, event) if filter.takes(event) => {
            (number, event.kind, serde_json::to_string(&**event).ok()?)
        }
        EventNews::Event(..) => return None,
    };
    Some(sse::Event::default().id(number.to_string()).event(name).data(data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use crate::store::Store;
    use crate::store::events::{EVENTS_MOST, EventKind};

    /// Longer than a machine with much to do needs for a few rows, and far shorter than a stream lives.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Every client that begins at event 0 gets two events at once: `ready` and `reset`.
    async fn feed(folder: &std::path::Path) -> Feed {
        let url = format!("sqlite://{}?mode=rwc", folder.join("store.sqlite").display());
        let store = Store::open(&url).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        for number in 0..EVENTS_MOST {
            let subject = number.to_string();
            let kind = EventKind::RevisionSeen;
            store.insert_event(&mut tx, kind, &subject, now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        Feed::new(&store)
    }

    const ALL: Filter = Filter {
        branch: None,
        project: None,
    };

    #[tokio::test]
    async fn a_reset_says_that_an_event_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let feed = feed(folder.path()).await;
        let oldest = EVENTS_MOST - feed::KEPT as i64;
        let mut late = feed.follow(Some(oldest - 1));
        assert!(matches!(late.next().await, Some(EventNews::Ready(number)) if number == oldest - 1));
        assert!(matches!(late.next().await, Some(EventNews::Reset(EVENTS_MOST))));
        // all later events are kept, and none of them is shown
        let mut back = feed.follow(Some(oldest));
        assert!(matches!(back.next().await, Some(EventNews::Ready(number)) if number == oldest));
        let more = tokio::time::timeout(Duration::from_millis(200), back.next()).await;
        assert!(more.is_err(), "nothing is missing");
    }

    #[tokio::test]
    async fn a_slow_reader_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let feed = feed(folder.path()).await;
        let (sender, mut receiver) = mpsc::channel(1);
        let passed = pass_on(feed.follow(Some(0)), &ALL, sender, Duration::from_millis(20));
        let ended = tokio::time::timeout(PATIENCE, passed).await;
        ended.expect("a client that takes nothing is still served");
        assert!(receiver.recv().await.is_some(), "what was sent before is there");
        assert!(receiver.recv().await.is_none(), "and then the stream ends");
    }

    #[tokio::test]
    async fn a_reader_that_takes_its_events_stays() {
        let folder = tempfile::tempdir().unwrap();
        let feed = feed(folder.path()).await;
        let (sender, mut receiver) = mpsc::channel(1);
        let slow = Duration::from_millis(50);
        let reader = feed.follow(Some(0));
        let passed = tokio::spawn(async move { pass_on(reader, &ALL, sender, slow).await });
        for _ in 0..2 {
            assert!(receiver.recv().await.is_some());
        }
        // a client for which there is no event is not slow
        assert!(tokio::time::timeout(4 * slow, receiver.recv()).await.is_err());
        assert!(!passed.is_finished());
        // nothing is sent to a client that disconnects
        drop(receiver);
        let ended = tokio::time::timeout(PATIENCE, passed).await;
        ended.expect("a client that has gone is still served").unwrap();
    }
}
