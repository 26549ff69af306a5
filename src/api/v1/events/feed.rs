//! The single reader of the database that feeds all streams of events.

use super::view::EventView;
use crate::store::Store;
use crate::store::events::Event;
use anyhow::Result;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The time between two reads of the database while a client follows.
const PACE: Duration = Duration::from_millis(500);

/// The number of events that are kept for clients that reconnect. The database has more.
pub(super) const KEPT: usize = 1_000;

/// The number of events that one query reads.
const PART: i64 = 200;

/// The newest events, for all clients that follow them; cheap to clone.
#[derive(Clone)]
pub struct Feed {
    store: Store,
    shared: Arc<Shared>,
}

struct Shared {
    kept: Mutex<Kept>,
    /// The number of the newest event; `None` until the database was read.
    last: watch::Sender<Option<i64>>,
    is_running: Mutex<bool>,
}

/// The newest events.
#[derive(Default)]
struct Kept {
    /// `events` holds all events with numbers after this one and up to `last`, except for events that the API does not
    /// show.
    after: i64,
    last: i64,
    events: VecDeque<(i64, Arc<EventView>)>,
}

impl Kept {
    fn push(&mut self, event: Event) {
        let number = event.number;
        self.last = number;
        if let Some(view) = EventView::of(event) {
            self.events.push_back((number, Arc::new(view)));
        }
        while self.events.len() > KEPT {
            if let Some((dropped, _)) = self.events.pop_front() {
                self.after = dropped;
            }
        }
    }
}

/// One message to a client.
pub enum EventNews {
    /// Events after this number follow.
    Ready(i64),
    /// The client has missed events. Events after this number follow.
    Reset(i64),
    Event(i64, Arc<EventView>),
}

/// The place of one client in the feed.
pub struct EventReader {
    shared: Arc<Shared>,
    last: watch::Receiver<Option<i64>>,
    /// The number of the last event that the client has; `None` before its first one.
    cursor: Option<i64>,
    has_begun: bool,
    batch: VecDeque<(i64, Arc<EventView>)>,
}

impl Feed {
    pub fn new(store: &Store) -> Self {
        let shared = Shared {
            kept: Mutex::default(),
            last: watch::Sender::new(None),
            is_running: Mutex::default(),
        };
        Self {
            store: store.clone(),
            shared: Arc::new(shared),
        }
    }

    /// Returns a reader of the events after number `cursor`, or of future events if it is `None`. The database is read
    /// only while there is a reader.
    pub fn follow(&self, cursor: Option<i64>) -> EventReader {
        let mut is_running = locked(&self.shared.is_running);
        if !*is_running {
            *is_running = true;
            self.shared.last.send_replace(None);
            let feed = self.clone();
            tokio::spawn(async move { feed.run().await });
        }
        EventReader {
            shared: self.shared.clone(),
            last: self.shared.last.subscribe(),
            cursor,
            has_begun: false,
            batch: VecDeque::new(),
        }
    }

    async fn run(&self) {
        let mut is_new = true;
        loop {
            match self.read(is_new).await {
                Ok(()) => is_new = false,
                Err(error) => tracing::warn!(error = format!("{error:#}"), "failed to read events"),
            }
            tokio::time::sleep(PACE).await;
            // no reader can come in between: `follow` takes the same lock
            let mut is_running = locked(&self.shared.is_running);
            if self.shared.last.receiver_count() == 0 {
                *is_running = false;
                return;
            }
        }
    }

    /// Reads the events that are new since the last call. If `is_new`, first drops the kept events, and begins with the
    /// newest `KEPT` events in the database.
    async fn read(&self, is_new: bool) -> Result<()> {
        self.store.number_events().await?;
        if is_new {
            let after = (self.store.last_event().await? - KEPT as i64).max(0);
            *locked(&self.shared.kept) = Kept {
                after,
                last: after,
                events: VecDeque::new(),
            };
        }
        loop {
            let last = locked(&self.shared.kept).last;
            let events = self.store.events_after(last, PART).await?;
            if events.is_empty() {
                break;
            }
            let mut kept = locked(&self.shared.kept);
            events.into_iter().for_each(|event| kept.push(event));
        }
        let last = locked(&self.shared.kept).last;
        self.shared.last.send_if_modified(|now| now.replace(last) != Some(last));
        Ok(())
    }
}

impl EventReader {
    /// Waits for the next event. Returns `None` when the feed has ended.
    pub async fn next(&mut self) -> Option<EventNews> {
        if !self.has_begun {
            self.last.wait_for(Option::is_some).await.ok()?;
            self.has_begun = true;
            let last = locked(&self.shared.kept).last;
            let cursor = *self.cursor.get_or_insert(last);
            // a number beyond the newest event comes from another database
            if cursor <= last {
                return Some(EventNews::Ready(cursor));
            }
            self.cursor = Some(last);
            return Some(EventNews::Reset(last));
        }
        loop {
            if let Some((number, event)) = self.batch.pop_front() {
                self.cursor = Some(number);
                return Some(EventNews::Event(number, event));
            }
            self.last.borrow_and_update();
            {
                let kept = locked(&self.shared.kept);
                let cursor = self.cursor.unwrap_or(kept.last);
                if cursor < kept.after {
                    self.cursor = Some(kept.last);
                    return Some(EventNews::Reset(kept.last));
                }
                let newer = kept.events.iter().filter(|(number, _)| *number > cursor);
                self.batch.extend(newer.cloned());
            }
            if self.batch.is_empty() {
                self.last.changed().await.ok()?;
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
