//! Pulls images from registries and pushes them.

use super::{DockerRuntime, name_and_tag};
use crate::runtime::progress::TransferProgress;
use crate::runtime::{Result, RuntimeError, Transfer};
use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::ProgressDetail;
use bollard::query_parameters as query;
use futures_util::stream::{Stream, StreamExt, TryStreamExt};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The longest silence of the engine. Between its own retries it waits for up to 25 s.
const STALLED: Duration = Duration::from_secs(120);

/// The time between two lines of progress.
const EVERY: Duration = Duration::from_secs(5);

/// A message of the engine during a transfer.
struct TransferMessage {
    layer: Option<String>,
    status: Option<String>,
    detail: Option<ProgressDetail>,
}

pub async fn pull(runtime: &DockerRuntime, transfer: &Transfer, log: mpsc::Sender<String>) -> Result<()> {
    let options = query::CreateImageOptionsBuilder::new()
        .from_image(&transfer.reference)
        .build();
    let words = runtime
        .docker
        .create_image(Some(options), None, credentials(transfer))
        .map_ok(|info| TransferMessage {
            layer: info.id,
            status: info.status,
            detail: info.progress_detail,
        });
    follow(runtime, words, log).await
}

/// Pushes an image and returns its name in the registry by digest. The engine must have it under the name that it gets
/// there.
pub async fn push(runtime: &DockerRuntime, transfer: &Transfer, log: mpsc::Sender<String>) -> Result<String> {
    let (repository, tag) = name_and_tag(&transfer.reference);
    let options = query::PushImageOptionsBuilder::new().tag(tag).build();
    let words = runtime
        .docker
        .push_image(repository, Some(options), credentials(transfer))
        .map_ok(|info| TransferMessage {
            layer: None,
            status: info.status,
            detail: info.progress_detail,
        });
    follow(runtime, words, log).await?;
    let pushed = runtime.docker.inspect_image(&transfer.reference).await;
    let names = pushed.map_err(|error| runtime.error(error))?.repo_digests;
    let own = |name: &String| name.split_once('@').is_some_and(|(of, _)| of == repository);
    names
        .unwrap_or_default()
        .into_iter()
        .find(own)
        .ok_or_else(|| RuntimeError::Refused(format!("the engine reports no digest of {}", transfer.reference)))
}

fn credentials(transfer: &Transfer) -> Option<DockerCredentials> {
    transfer.login.as_ref().map(|login| DockerCredentials {
        username: Some(login.user.clone()),
        password: Some(login.password.clone()),
        ..DockerCredentials::default()
    })
}

/// Reads messages until the transfer ends. Fails if the engine is silent for [`STALLED`]. Dropping this future ends the
/// transfer.
async fn follow(
    runtime: &DockerRuntime,
    words: impl Stream<Item = std::result::Result<TransferMessage, Error>>,
    log: mpsc::Sender<String>,
) -> Result<()> {
    let mut words = std::pin::pin!(words);
    let mut progress = TransferProgress::default();
    let mut logged_at = Instant::now();
    loop {
        let word = tokio::time::timeout(STALLED, words.next()).await;
        let stalled = |_| RuntimeError::Refused(format!("no progress for {} s", STALLED.as_secs()));
        let Some(word) = word.map_err(stalled)? else { break };
        let word = word.map_err(|error| runtime.error(error))?;
        let bytes = word.detail.and_then(|detail| {
            let now = u64::try_from(detail.current?).ok()?;
            Some((now, u64::try_from(detail.total?).ok()?))
        });
        progress.hear(word.layer.as_deref(), word.status.as_deref().unwrap_or_default(), bytes);
        if logged_at.elapsed() >= EVERY {
            logged_at = Instant::now();
            // a closed log stops nothing
            let _ = log.send(progress.line()).await;
        }
    }
    let _ = log.send(progress.line()).await;
    Ok(())
}
