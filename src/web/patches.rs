//! Reads the patches of revisions from the mirror, a few at a time, and keeps the ones read last.

use crate::domain::patch::Patch;
use crate::watch::git::shown::{self, ShownPatch};
use crate::watch::sources::mirror_folder;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many bytes of a patch a page reads.
const PAGE_MOST: u64 = 400_000;

/// How many bytes of a patch are sent as text.
pub const TEXT_MOST: u64 = 4_000_000;

/// How many patches are read at the same time for pages, and how many to be sent as text. Each needs a process.
const PAGES_AT_ONCE: usize = 2;
const TEXTS_AT_ONCE: usize = 1;

/// The longest wait for a turn.
const TURN_WITHIN: Duration = Duration::from_secs(2);

/// How many patches stay in memory. Each has some 60 KB of lines, and its paths.
const RECENT: usize = 64;

/// Reads the patches of revisions from the mirror, a few at a time.
pub struct Patches {
    /// Whether people may see what revisions change. They may not if a repository needs a login.
    pub are_shown: bool,
    for_pages: Semaphore,
    for_texts: Semaphore,
    /// The patches that pages showed last, the newest first, with the hashes of their revisions.
    recent: Mutex<VecDeque<(String, Arc<Patch>)>>,
}

impl Patches {
    /// `are_shown` says whether people may see what revisions change.
    pub fn new(are_shown: bool) -> Self {
        Self {
            are_shown,
            for_pages: Semaphore::new(PAGES_AT_ONCE),
            for_texts: Semaphore::new(TEXTS_AT_ONCE),
            recent: Mutex::default(),
        }
    }

    /// Reads the patch of a revision. Returns `None` if the mirror does not have the revision or does not answer; the
    /// log says why.
    pub async fn read(&self, data: &Path, sha: &str) -> Option<Arc<Patch>> {
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, patch)) = recent().iter().find(|(of, _)| of == sha) {
            return Some(patch.clone());
        }
        let shown = in_turn(&self.for_pages, data, sha, PAGE_MOST).await?;
        let patch = Arc::new(Patch::read(&shown.text, shown.is_cut));
        let mut recent = recent();
        recent.push_front((sha.to_owned(), patch.clone()));
        recent.truncate(RECENT);
        Some(patch)
    }

    /// Reads the patch of a revision as text, at most [`TEXT_MOST`] bytes. Returns `None` as [`Patches::read`] does.
    pub async fn text(&self, data: &Path, sha: &str) -> Option<ShownPatch> {
        in_turn(&self.for_texts, data, sha, TEXT_MOST).await
    }
}

async fn in_turn(turns: &Semaphore, data: &Path, sha: &str, most: u64) -> Option<ShownPatch> {
    let Ok(Ok(_turn)) = tokio::time::timeout(TURN_WITHIN, turns.acquire()).await else {
        tracing::warn!(sha, "a patch is not read, because others take too long");
        return None;
    };
    let read = shown::patch(&mirror_folder(data), sha, most).await;
    read.inspect_err(|error| tracing::warn!(sha, %error, "failed to read a patch"))
        .ok()
}
