//! The page of an image: its facts, the revisions that use it, and the attempts at building it.

use super::attempts::{self, AttemptsView};
use super::error::{Error, HandlerResult};
use super::frame::{Frame, Here};
use super::grid::{self, RevisionHead};
use super::route::{Query, Web};
use super::template::Template;
use super::wording::{self, Badge};
use crate::clock::now;
use crate::domain::id::ImageId;
use crate::domain::job::Facts;
use crate::domain::state::ImageState;
use crate::store::revisions::Revision;
use crate::store::views::SHARED;
use serde::Serialize;

#[derive(Default, Serialize)]
pub struct ImagePage {
    /// The state. `None` if no revision uses the image any more.
    pub badge: Option<Badge>,
    /// The wait reason of the build while it is queued.
    pub waits: Option<String>,
    pub build_key: String,
    pub variant: String,
    pub source: Option<SourceView>,
    pub platform: String,
    pub reference: Option<String>,
    pub digest: Option<String>,
    pub size: Option<String>,
    /// The facts. `None` until the image was probed.
    pub facts: Option<FactsView>,
    pub rows: Vec<RevisionHead>,
    /// Whether more revisions may use the image than the page lists.
    pub more: bool,
    pub attempts: AttemptsView,
}

impl Template for ImagePage {
    const NAME: &'static str = "image";
}

/// The revision that the image was built from.
#[derive(Default, Serialize)]
pub struct SourceView {
    pub sha: String,
    pub short: String,
    pub subject: String,
}

#[derive(Default, Serialize)]
pub struct FactsView {
    pub sys_version: String,
    pub soabi: String,
    pub missing_modules: Vec<String>,
}

pub async fn page(id: ImageId, web: Web, query: Query) -> HandlerResult {
    let found = web.store.image_page(&id).await?.ok_or_else(Error::not_found)?;
    let now = now();
    let attempts = attempts::view(&web, &found.attempts, &query, now).await?;
    let refresh = attempts.refresh(found.image.state == ImageState::Wanted, &query);
    let live = attempts.is_live();
    let variant = wording::unusual_variant(&found.image.variant).map_or_else(String::new, |name| format!(", {name}"));
    let title = match &found.built_from {
        None => format!("Image{variant}"),
        Some(built) => format!("Image of {} {}{variant}", built.branch, wording::short(built.name())),
    };
    let page = ImagePage {
        badge: found.rows.first().map(|row| wording::image_badge(&row.image)),
        waits: found
            .rows
            .first()
            .and_then(|row| Some(format!("waiting: {}", row.build.as_ref()?.reason(now)))),
        source: found.built_from.as_ref().map(source),
        size: found.image.size.map(|bytes| wording::size(bytes.unsigned_abs())),
        facts: found.image.facts.map(facts),
        rows: found.rows.iter().map(|row| grid::revision(row, now)).collect(),
        more: found.rows.len() as i64 == SHARED,
        attempts,
        build_key: found.image.build_key,
        variant: found.image.variant,
        platform: found.image.platform,
        reference: found.image.reference,
        digest: found.image.digest,
    };
    let status = web.store.status().await?;
    Frame::new(Some(&status), title, Here::None, page)
        .refreshed(refresh)
        .live(live)
        .respond()
}

fn source(built: &Revision) -> SourceView {
    SourceView {
        sha: built.sha.clone(),
        short: wording::short(built.name()).to_owned(),
        subject: built.subject.clone(),
    }
}

fn facts(facts: Facts) -> FactsView {
    FactsView {
        sys_version: facts.sys_version,
        soabi: facts.soabi,
        missing_modules: facts.missing_modules,
    }
}
