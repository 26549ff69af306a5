//! The calls by which a host reports its images, and an image that it has pushed to the registry.

use super::caller::Caller;
use crate::clock::now;
use crate::domain::retention::Inventory;
use crate::protocol::PushedRequest;
use crate::web::{Error, HandlerResult};
use warp::Reply;

/// Records the inventory of a host. Returns what the host may remove.
pub async fn inventory(caller: Caller, inventory: Inventory) -> HandlerResult {
    inventory.sane().map_err(|reason| Error::TooLarge(reason.into()))?;
    let _turn = caller.costly.inventories.wait(&caller.host.id).await?;
    let builds = caller.host.builds;
    // a host reports for itself only
    let inventory = Inventory {
        host: caller.host.id.into_string(),
        ..inventory
    };
    let verdicts = caller.coordinator.keeper().receive(&inventory, builds, now()).await?;
    Ok(warp::reply::json(&verdicts).into_response())
}

/// Records the place of an image in the registry. Fails for a host that may not build images, because runs on other
/// hosts trust the image.
pub async fn pushed(build_key: String, caller: Caller, request: PushedRequest) -> HandlerResult {
    if !caller.host.builds {
        let message = "this host may not build images, so it may not push any";
        return Err(Error::Forbidden(message.into()));
    }
    match caller.coordinator.pushed(&build_key, &request.reference).await? {
        true => Ok(warp::reply::json(&true).into_response()),
        false => Err(Error::NotFound("there is no such image, or no such repository".into())),
    }
}
