//! What a revision changes, on its page and on those of its incidents.

use super::error::{Error, HandlerResult};
use super::patches::TEXT_MOST;
use super::recipe::DiffLine;
use super::response;
use super::route::Web;
use crate::domain::patch::{FilePatch, LineKind, Patch, PatchLine};
use crate::store::revisions::Revision;
use anyhow::Result;
use serde::Serialize;

/// How many lines are unfolded.
const UNFOLDED: usize = 80;

/// A patch on a page.
#[derive(Default, Serialize)]
pub struct PatchView {
    /// How much it changes, such as `2 files, 3 lines added, 1 removed`. `None` if the mirror can't show it.
    pub size: Option<String>,
    pub files: Vec<FileView>,
    /// Whether lines or files are left out.
    pub is_cut: bool,
    /// The address of the whole patch as text. `None` if the mirror can't show it.
    pub text: Option<String>,
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

/// Returns what a revision changes. Returns `None` if nobody may see it, or if it changes nothing.
pub async fn of(web: &Web, sha: &str) -> Result<Option<PatchView>> {
    let Some(revision) = shown_revision(web, sha).await? else {
        return Ok(None);
    };
    let sha = &revision.sha;
    Ok(match web.patches.read(web.objects.data(), sha).await {
        None => Some(PatchView::default()),
        Some(patch) => (!patch.files.is_empty()).then(|| view(&patch, sha)),
    })
}

/// Returns a revision whose patch people may see. A force-push takes a revision away for a reason.
async fn shown_revision(web: &Web, sha: &str) -> Result<Option<Revision>> {
    let revision = web.store.revision_by_sha(sha).await?;
    Ok(revision.filter(|revision| web.patches.are_shown && revision.left_at.is_none()))
}

/// `/revision/SHA/patch`: responds with the patch as text.
pub async fn text(sha: String, web: Web) -> HandlerResult {
    let revision = shown_revision(&web, &sha).await?.ok_or_else(Error::not_found)?;
    let shown = web.patches.text(web.objects.data(), &revision.sha).await;
    let busy = || Error::Unavailable("the mirror can't show this revision at the moment; try again in a minute".into());
    let shown = shown.ok_or_else(busy)?;
    let end = match shown.is_cut {
        true => format!("[the patch is longer than {} MB]\n", TEXT_MOST / 1_000_000),
        false => String::new(),
    };
    Ok(response::plain(shown.text + &end))
}

fn view(patch: &Patch, sha: &str) -> PatchView {
    let (added, removed) = patch.totals();
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let (files, lines) = (plural(patch.files.len(), "file"), plural(added, "line"));
    let least = if patch.is_cut { "at least " } else { "" };
    let mut unfolded = 0;
    let file_view = |file: &FilePatch| {
        unfolded += file.lines.len();
        FileView {
            is_open: unfolded <= UNFOLDED,
            lines: file.lines.iter().map(line).collect(),
            path: file.path.clone(),
            note: file.note,
            added: file.added,
            removed: file.removed,
        }
    };
    PatchView {
        size: Some(format!("{least}{files}, {lines} added, {removed} removed")),
        files: patch.files.iter().map(file_view).collect(),
        is_cut: patch.is_cut,
        text: Some(format!("/revision/{sha}/patch")),
    }
}

fn line(line: &PatchLine) -> DiffLine {
    DiffLine {
        class: match line.kind {
            LineKind::Added => "new",
            LineKind::Removed => "old",
            LineKind::Unchanged => "",
            LineKind::Place => "place",
        },
        text: line.text.clone(),
    }
}
