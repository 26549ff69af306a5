//! The stream of events: order, resumption, filters, bounds, and what it keeps to itself.

use crate::support::people::{person, recipe};
use crate::support::sim::Sim;
use crate::support::sim::front_door::{state, until};
use pybots::store::Store;
use pybots::store::events::{EVENTS_MOST, EventKind};
use pybots::store::revisions::NewRevision;
use serde_json::{Value, json};
use std::time::Duration;

/// One server-sent event.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    id: i64,
    name: String,
    data: Value,
}

/// A client of the stream.
struct Stream {
    answer: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(server: &str, query: &str, last: Option<i64>) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.get(format!("{server}/api/v1/events{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        Self {
            answer,
            text: String::new(),
        }
    }

    /// The next event; comments are passed over.
    async fn next(&mut self) -> Event {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(str::to_owned)
                };
                if let Some(data) = field("data:") {
                    return Event {
                        id: field("id:").unwrap().parse().unwrap(),
                        name: field("event:").unwrap(),
                        data: serde_json::from_str(&data).unwrap(),
                    };
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(60), self.answer.chunk()).await;
            let chunk = chunk.expect("no event comes").unwrap().expect("the stream has ended");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// All events up to the first one of a kind.
    async fn until(&mut self, name: &str) -> Vec<Event> {
        let mut all = vec![self.next().await];
        while all.last().unwrap().name != name {
            all.push(self.next().await);
        }
        all
    }
}

async fn sim() -> (Sim, String) {
    let mut sim = Sim::with(&["one", "two"], 2, |settings| settings.http.log_readers_per_address = 6).await;
    sim.commits(2, "");
    sim.run().await;
    sim.all_decided().await;
    let server = sim.serve().await;
    (sim, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_in_order_and_are_resumed_and_filtered() {
    let (mut sim, server) = sim().await;
    let mut stream = Stream::open(&server, "", None).await;
    assert_eq!(stream.answer.headers()["content-type"], "text/event-stream");
    let ready = stream.next().await;
    assert_eq!(ready.name, "ready");
    let mut of_two = Stream::open(&server, "?project=two&branch=trunk", None).await;
    let mut of_none = Stream::open(&server, "?branch=nosuch", Some(0)).await;
    assert_eq!(
        (of_two.next().await.name.as_str(), of_none.next().await.id),
        ("ready", 0)
    );
    let sha = sim.commit("breaks", "project one a");
    let events = stream.until("incident.opened").await;
    let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b) && ids[0] > ready.id, "{ids:?}");
    let seen = events.iter().position(|event| event.name == "revision.seen").unwrap();
    assert_eq!(events[seen].data["revision"], *sha);
    let run = events
        .iter()
        .position(|event| event.name == "run.finished" && event.data["revision"] == *sha);
    assert!(run.unwrap() > seen, "{events:?}");
    let opened = events.last().unwrap();
    assert_eq!(
        (
            &opened.data["incident"],
            &opened.data["projects"],
            &opened.data["branches"]
        ),
        (&json!(1), &json!(["one"]), &json!(["trunk"]))
    );
    // who was cut off misses nothing and gets nothing twice
    let mut again = Stream::open(&server, "", Some(ready.id)).await;
    assert_eq!(again.next().await.name, "ready");
    for event in &events {
        assert_eq!(again.next().await, *event);
    }
    let middle = &events[events.len() / 2];
    let mut half = Stream::open(&server, &format!("?after={}", middle.id), None).await;
    assert_eq!(half.next().await.id, middle.id);
    assert_eq!(half.next().await, events[events.len() / 2 + 1]);
    // a filter lets through what it names
    let own = of_two.next().await;
    assert_eq!(
        (own.name.as_str(), &own.data["projects"]),
        ("run.finished", &json!(["two"]))
    );
    // of another database: everything has to be read anew
    drop(half);
    let mut odd = Stream::open(&server, "", Some(1_000_000)).await;
    assert_eq!(odd.next().await.name, "reset");
    // one address holds six streams
    let more = Stream::open(&server, "", None).await;
    assert_eq!(more.answer.status(), 200);
    let refused = Stream::open(&server, "", None).await;
    assert_eq!(refused.answer.status(), 503);
    assert_eq!(refused.answer.headers()["retry-after"], "10");
    drop(odd);
    until("a place is free", async || {
        Stream::open(&server, "", None).await.answer.status() == 200
    })
    .await;
    // a close is an event, and what nobody waits for is none
    let max = person(&sim, &server, "max", "maintainer").await;
    let close = json!({ "decision": "close", "why": "known" });
    assert_eq!(max.calls("POST", "incidents/1/decision", Some(close)).await.0, 200);
    let closed = stream.until("incident.closed").await;
    assert_eq!(closed.last().unwrap().data["incident"], 1);
}

/// More events than are kept for clients who come back.
const MANY: i64 = 1_100;

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_too_long_reads_anew() {
    let (sim, server) = sim().await;
    let store = &sim.coordinator().store;
    let kind = EventKind::RevisionSeen;
    let sql = "SELECT id FROM revision ORDER BY seq LIMIT 1";
    let revision: String = sqlx::query_scalar(sql).fetch_one(store.pool()).await.unwrap();
    let seen = async || {
        let mut tx = store.begin().await.unwrap();
        let now = pybots::clock::now();
        store.insert_event(&mut tx, kind, &revision, now).await.unwrap();
        tx.commit().await.unwrap();
    };
    let mut tx = store.begin().await.unwrap();
    // nobody sees these, for there are no such revisions
    for number in 0..MANY {
        let subject = format!("none {number}");
        let now = pybots::clock::now();
        store.insert_event(&mut tx, kind, &subject, now).await.unwrap();
    }
    tx.commit().await.unwrap();
    seen().await;
    let mut first = Stream::open(&server, "", None).await;
    let last = first.next().await.id;
    assert!(last > MANY, "{last}");
    // all events after this one are there
    let mut back = Stream::open(&server, "", Some(last - MANY / 2)).await;
    assert_eq!(back.next().await.name, "ready");
    assert_ne!(back.next().await.name, "reset");
    // some after this one are not
    for (query, id) in [("", Some(1)), ("?after=1", None)] {
        let mut late = Stream::open(&server, query, id).await;
        assert_eq!(late.next().await.name, "ready", "{query:?}");
        let reset = late.next().await;
        assert!(reset.name == "reset" && reset.id >= last, "{query:?}: {reset:?}");
        // and from there it goes on
        seen().await;
        let next = late.next().await;
        assert!(next.name != "reset" && next.id > reset.id, "{query:?}: {next:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trials_are_no_events() {
    let (sim, server) = sim().await;
    let ann = person(&sim, &server, "ann", "owner").await;
    let mut stream = Stream::open(&server, "", None).await;
    stream.next().await;
    let body = json!({ "text": recipe("alpha", "") });
    assert_eq!(ann.calls("POST", "recipes", Some(body)).await.0, 201);
    until("the trial", async || state(&ann, "alpha", 1).await == "waiting").await;
    let store = &sim.coordinator().store;
    let sql = "SELECT trial_run_id FROM recipe_version WHERE project = 'alpha'";
    let trial: String = sqlx::query_scalar(sql).fetch_one(store.pool()).await.unwrap();
    let now = pybots::clock::now();
    // nor are revisions that a merge brought, which are on no watched branch
    let brought = NewRevision {
        sha: "b".repeat(40),
        tree: "c".repeat(40),
        parent: None,
        author: "A".into(),
        subject: "brought by a merge".into(),
        committed_at: now,
        version: None,
        svn: None,
    };
    store.line_of("merge", &[brought], now).await.unwrap();
    // not even if it was recorded by mistake, as is no run by a recipe that was withdrawn
    let mut tx = store.begin().await.unwrap();
    store
        .insert_event(&mut tx, EventKind::RunFinished, &trial, now)
        .await
        .unwrap();
    let sql = "SELECT id FROM revision ORDER BY seq LIMIT 1";
    let revision: String = sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap();
    store
        .insert_event(&mut tx, EventKind::RevisionSeen, &revision, now)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    for event in stream.until("revision.seen").await {
        assert_ne!(event.data["branch"], "merge", "{event:?}");
        assert_ne!(event.data["run"], *trial, "{event:?}");
        assert_ne!(event.data["projects"], json!(["alpha"]), "{event:?}");
    }
}

#[tokio::test]
async fn numbers_are_given_in_order_and_old_events_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("store.sqlite").display());
    let store = Store::open(&url).await.unwrap();
    let now = pybots::clock::now();
    let mut tx = store.begin().await.unwrap();
    for number in 0..EVENTS_MOST + 10 {
        store
            .insert_event(&mut tx, EventKind::RevisionSeen, &number.to_string(), now)
            .await
            .unwrap();
    }
    // the same end of a run is news once
    for _ in 0..2 {
        store
            .insert_event_of(&mut tx, EventKind::RunFinished, ("r", 1), now)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    // what is rolled back has not happened
    let mut tx = store.begin().await.unwrap();
    store
        .insert_event(&mut tx, EventKind::RevisionSeen, "x", now)
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    let other = Store::open(&url).await.unwrap();
    let (first, second) = tokio::join!(store.number_events(), other.number_events());
    first.unwrap();
    second.unwrap();
    assert_eq!(store.last_event().await.unwrap(), EVENTS_MOST + 11);
    let events = store.events_after(0, 10_000).await.unwrap();
    let numbers: Vec<i64> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (12..=EVENTS_MOST + 11).collect::<Vec<_>>());
    assert_eq!(events.last().unwrap().kind, EventKind::RunFinished);
}
