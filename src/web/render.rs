//! Draws logs away from the threads that answer requests, and few at a time: a log can take long to draw, and other pages
//! go on meanwhile.

use anyhow::Result;
use tokio::sync::Semaphore;

/// How many logs are drawn at the same time.
const AT_ONCE: usize = 4;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// Does some work on a thread that may be busy, once there is a place for it.
pub async fn drawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let place = PLACES.acquire().await?;
    let work = move || {
        // the work keeps its place, also if nobody waits for it any more
        let _place = place;
        work()
    };
    Ok(tokio::task::spawn_blocking(work).await?)
}
