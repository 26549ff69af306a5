//! The one reader of the database behind all streams of events.

use super::view::EventView;
use crate::store::Store;
use crate::store::events::Event;
use anyhow::Result;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Time between two looks at the database, while anybody follows.
const PACE: Duration = Duration::from_millis(500);

/// Events that a client can have missed when it comes back. The database has more of them.
pub(super) const KEPT: usize = 1_000;

/// Events that are read at a time.
const PART: i64 = 200;

/// Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    store: Store,
    shared: Arc<Shared>,
}

struct Shared {
    kept: Mutex<Kept>,
    /// The number of the newest event, once the database was read.
    last: watch::Sender<Option<i64>>,
    is_running: Mutex<bool>,
}

/// The newest events.
#[derive(Default)]
struct Kept {
    /// All events after this number, up to `last`, are here, except those that are not shown.
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

/// What a client gets.
pub enum EventNews {
    /// It follows from this number on.
    Ready(i64),
    /// It has missed events, and follows from this number on.
    Reset(i64),
    Event(i64, Arc<EventView>),
}

/// One client.
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

    /// Follows events after the one with the number `cursor`, or from now on. The database is read only while somebody follows.
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
            // nobody comes between the two: `follow` takes the same lock
            let mut is_running = locked(&self.shared.is_running);
            if self.shared.last.receiver_count() == 0 {
                *is_running = false;
                return;
            }
        }
    }

    /// Reads what is new. `is_new` for the first time, when nothing that was kept counts.
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
    /// Waits for the next event. Returns `None` when the feed is over.
    pub async fn next(&mut self) -> Option<EventNews> {
        if !self.has_begun {
            self.last.wait_for(Option::is_some).await.ok()?;
            self.has_begun = true;
            let last = locked(&self.shared.kept).last;
            let cursor = *self.cursor.get_or_insert(last);
            // a number that is still to come is that of another database
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
