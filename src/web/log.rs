//! Downloads of raw logs.

use super::attempts;
use super::error::{Error, HandlerResult};
use super::forms::see_other;
use super::response;
use super::route::{Query, Web};
use crate::domain::id::AttemptId;
use crate::store::attempts::Attempt;
use anyhow::Result;

/// Responds with the raw log of the attempt at a run or an image that [`attempts::chosen`] returns.
pub async fn newest(id: String, web: Web, query: Query) -> HandlerResult {
    let attempt = chosen_attempt(&web, &id, &query).await?;
    download(&web, &attempt.ok_or_else(Error::not_found)?).await
}

/// `/attempt/ID`: leads to the page of the run or image, where the attempt is chosen.
pub async fn place(id: AttemptId, web: Web) -> HandlerResult {
    let (kind, id_of_page) = web.store.page_of_attempt(&id).await?.ok_or_else(Error::not_found)?;
    let all = web.store.attempts_of(&id_of_page).await?;
    let index = all
        .iter()
        .position(|attempt| attempt.id == id)
        .ok_or_else(Error::not_found)?;
    see_other(&format!("/{}/{id_of_page}?attempt={}", kind.name(), index + 1))
}

/// Responds with the raw log of one attempt.
pub async fn whole(id: AttemptId, web: Web) -> HandlerResult {
    // only an attempt's id from the store may become the name of a file
    let attempt = web.store.attempt(&id).await?;
    download(&web, &attempt.ok_or_else(Error::not_found)?).await
}

async fn download(web: &Web, attempt: &Attempt) -> HandlerResult {
    let reader = web.objects.open_log(&attempt.id).await?;
    let reader = reader.ok_or_else(Error::not_found)?;
    let length = web.objects.read_log(&attempt.id, u64::MAX, 0).await?.total;
    response::download(reader, length, &format!("pybots-{}.log", attempt.id))
}

/// Returns the attempt at a run or an image that [`attempts::chosen`] returns, or `None` if there is no attempt.
pub async fn chosen_attempt(web: &Web, run_or_image: &str, query: &Query) -> Result<Option<Attempt>> {
    let mut all = web.store.attempts_of(run_or_image).await?;
    let index = attempts::chosen(&all, query).checked_sub(1);
    Ok(index.map(|index| all.swap_remove(index)))
}
