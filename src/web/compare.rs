//! Two check-ins side by side, for programs.

use super::Web;
use super::answer::{self, Answer};
use crate::compare;
use anyhow::Result;
use warp::http::StatusCode;

/// `/api/compare/BASE[:VARIANT]/NOW[:VARIANT]`
pub async fn json(web: &Web, base: &str, now: &str) -> Result<Option<Answer>> {
    let compared = compare::of(&web.store, &web.objects, base, now).await?;
    Ok(compared.ok().map(|compared| answer::json(&compared, StatusCode::OK)))
}
