//! Renders logs on threads of its own, a few logs at a time. Rendering a log can take long, and must not delay other
//! pages.

use anyhow::Result;
use tokio::sync::Semaphore;

/// The most logs that are rendered at the same time.
const AT_ONCE: usize = 4;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// Runs work on a blocking thread, once there is a place for it. Fails if the work panics.
pub async fn drawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let place = PLACES.acquire().await?;
    let work = move || {
        // the work holds its place even if the request is dropped
        let _place = place;
        work()
    };
    Ok(tokio::task::spawn_blocking(work).await?)
}
