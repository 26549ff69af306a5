//! What a revision changes, on its page and on those of its incidents.

use super::error::{Error, HandlerResult};
use super::recipe::DiffLine;
use super::route::Web;
use crate::domain::patch::{FilePatch, LineKind, Patch};
use crate::watch::git::shown::{self, ShownPatch};
use crate::watch::sources::mirror_folder;
use serde::Serialize;
use std::time::Duration;
use tokio::sync::Semaphore;
use warp::Reply;
use warp::http::header::{self, HeaderValue};

/// How many bytes of a patch a page reads.
const PAGE_MOST: u64 = 400_000;

/// How many bytes of a patch are sent as text.
const TEXT_MOST: u64 = 4_000_000;

/// How many patches are read at the same time. Each needs a process.
const AT_ONCE: usize = 2;

/// The longest wait for a turn. Without one, a page leaves the patch out.
const TURN_WITHIN: Duration = Duration::from_secs(2);

/// How many lines are unfolded.
const UNFOLDED: usize = 80;

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// A patch on a page.
#[derive(Default, Serialize)]
pub struct PatchView {
    /// How much it changes, such as `2 files, 3 lines added, 1 removed`.
    pub size: String,
    pub files: Vec<FileView>,
    /// Whether lines or files are left out.
    pub is_cut: bool,
    /// The address of the whole patch as text.
    pub text: String,
}

#[derive(Default, Serialize)]
pub struct FileView {
    pub path: String,
    pub note: Option<&'static str>,
    pub added: usize,
    pub removed: usize,
    pub is_open: bool,
    pub lines: Vec<DiffLine>,
}

/// Reads the patch of a revision, which has to be in the store. Returns `None` if the mirror does not have the revision
/// or does not answer; the log says why.
pub async fn of(web: &Web, sha: &str) -> Option<PatchView> {
    let shown = read(web, sha, PAGE_MOST).await?;
    let patch = Patch::read(&shown.text, shown.is_cut);
    (!patch.files.is_empty()).then(|| view(patch, sha))
}

async fn read(web: &Web, sha: &str, most: u64) -> Option<ShownPatch> {
    let _turn = tokio::time::timeout(TURN_WITHIN, TURNS.acquire()).await.ok()?.ok()?;
    let read = shown::patch(&mirror_folder(web.objects.data()), sha, most).await;
    read.inspect_err(|error| tracing::warn!(sha, %error, "failed to read a patch"))
        .ok()
}

/// `/revision/SHA/patch`: responds with the patch as text.
pub async fn text(sha: String, web: Web) -> HandlerResult {
    let revision = web.store.revision_by_sha(&sha).await?.ok_or_else(Error::not_found)?;
    let shown = read(&web, &revision.sha, TEXT_MOST).await;
    let shown = shown.ok_or_else(|| Error::NotFound("the mirror can't show this revision at the moment".into()))?;
    let end = match shown.is_cut {
        true => format!("[the patch is longer than {} MB]\n", TEXT_MOST / 1_000_000),
        false => String::new(),
    };
    let mut response = (shown.text + &end).into_response();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    Ok(response)
}

fn view(patch: Patch, sha: &str) -> PatchView {
    let (added, removed) = patch.totals();
    let files = patch.files.len();
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let mut unfolded = 0;
    let mut file_view = |file: FilePatch| {
        unfolded += file.lines.len();
        FileView {
            is_open: unfolded <= UNFOLDED,
            lines: file.lines.into_iter().map(line).collect(),
            path: file.path,
            note: file.note,
            added: file.added,
            removed: file.removed,
        }
    };
    PatchView {
        size: format!(
            "{}, {} added, {removed} removed",
            plural(files, "file"),
            plural(added, "line")
        ),
        files: patch.files.into_iter().map(&mut file_view).collect(),
        is_cut: patch.is_cut,
        text: format!("/revision/{sha}/patch"),
    }
}

fn line(line: crate::domain::patch::PatchLine) -> DiffLine {
    DiffLine {
        class: match line.kind {
            LineKind::Added => "new",
            LineKind::Removed => "old",
            LineKind::Unchanged => "",
            LineKind::Place => "place",
        },
        text: line.text,
    }
}
