//! The calls by which a host fetches the sources of a revision, and the folder of a recipe.

use super::caller::Caller;
use super::turns::CallPermit;
use crate::coordinator::Coordinator;
use crate::domain::tree::{TreeChange, Wanted};
use crate::web::{Error, HandlerResult};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use std::convert::Infallible;
use warp::Reply;

/// The most paths that a host may exclude from a tree. Each is compared with each file of the tree.
const IGNORED_MOST: usize = 1_000;
const ONLY_MOST: usize = 100_000;

/// Bytes of a folder that are sent in one part.
const PART: usize = 256 << 10;

/// Responds with the sources of a revision as a tar. Fails unless the host has leased a job on the revision.
pub async fn tree(revision: String, caller: Caller, wanted: Wanted) -> HandlerResult {
    check(&wanted)?;
    builds(&caller, &revision).await?;
    let turn = caller.costly.trees.wait(&caller.host.id).await?;
    let coordinator = caller.coordinator;
    if !is_held(&coordinator, &revision).await {
        return Err(no_revision());
    }
    let stream = coordinator.mirror.archive(&revision, &wanted);
    // the turn lasts until the host has the whole tree
    let stream = stream.map_err(anyhow::Error::from)?.inspect(move |_| {
        let _held = &turn;
    });
    Ok(warp::reply::stream(stream).into_response())
}

/// Responds with the files that differ between two revisions, or with `null` if the mirror does not hold the earlier
/// revision. Fails unless the host has leased a job on the later revision.
pub async fn changes(to: String, from: String, caller: Caller, wanted: Wanted) -> HandlerResult {
    check(&wanted)?;
    builds(&caller, &to).await?;
    let _turn = caller.costly.changes.wait(&caller.host.id).await?;
    let coordinator = &caller.coordinator;
    if !is_held(coordinator, &to).await {
        return Err(no_revision());
    }
    let changes: Option<Vec<TreeChange>> = match is_held(coordinator, &from).await {
        true => {
            let changes = coordinator.mirror.changes(&from, &to, &wanted.ignore).await;
            Some(changes.map_err(anyhow::Error::from)?)
        }
        false => None,
    };
    Ok(warp::reply::json(&changes).into_response())
}

/// Responds with the folder of a recipe as a tar.
pub async fn folder(digest: String, caller: Caller) -> HandlerResult {
    let turn = caller.costly.folders.wait(&caller.host.id).await?;
    match caller.coordinator.objects.folder(&digest).await? {
        Some(bytes) => Ok(warp::reply::stream(parts(bytes.into(), turn)).into_response()),
        None => Err(Error::NotFound("there is no such folder".into())),
    }
}

/// Returns the parts of a folder. The stream holds `turn` until the last part is sent.
fn parts(tar: Bytes, turn: CallPermit) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((tar, turn), async |(mut tar, turn)| {
        let part = tar.split_to(tar.len().min(PART));
        (!part.is_empty()).then_some((Ok(part), (tar, turn)))
    })
}

/// Fails if the host may not build images, or has leased no job on an image of the revision. A run counts too, because
/// the host may have to build its image first.
async fn builds(caller: &Caller, revision: &str) -> Result<(), Error> {
    if !caller.host.builds {
        let message = "this host may not build images, so it needs no sources of CPython";
        return Err(Error::Forbidden(message.into()));
    }
    let store = &caller.coordinator.store;
    for attempt in store.leased_by(&caller.host.id).await? {
        // the job of another version of Pybots can't be read
        let job = store.spec_of(&attempt.job_id).await.unwrap_or_default();
        if job.is_some_and(|job| job.build().revision == revision) {
            return Ok(());
        }
    }
    let message = "this host has leased no job on that revision; its lease may have run out";
    Err(Error::Forbidden(message.into()))
}

fn check(wanted: &Wanted) -> Result<(), Error> {
    let too_many =
        wanted.ignore.len() > IGNORED_MOST || wanted.only.as_ref().is_some_and(|only| only.len() > ONLY_MOST);
    match too_many {
        true => Err(Error::TooLarge("this names too many files".into())),
        false => Ok(()),
    }
}

fn no_revision() -> Error {
    Error::NotFound("there is no such revision".into())
}

async fn is_held(coordinator: &Coordinator, revision: &str) -> bool {
    revision.bytes().all(|b| b.is_ascii_hexdigit()) && coordinator.mirror.holds(revision).await
}
