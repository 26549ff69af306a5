//! A host introduces itself.

use super::caller::Caller;
use crate::clock::now;
use crate::domain::host::Capabilities;
use crate::protocol::Welcome;
use crate::store::hosts::HostRow;
use crate::web::HandlerResult;
use warp::Reply;
use warp::reply::Response;

/// A host starts: what it had leased before is given up.
pub async fn hello(caller: Caller, capabilities: Capabilities) -> HandlerResult {
    let Caller {
        coordinator,
        host,
        instance,
        ..
    } = caller;
    coordinator.store.save_capabilities(&host, &capabilities).await?;
    coordinator.store.set_instance(&host.id, instance.as_deref()).await?;
    coordinator.queue.abandon(&host.id, now()).await?;
    // what made its machinery fail may be corrected
    let revived = coordinator.queue.revive(&host.id, now()).await?;
    if revived > 0 {
        tracing::info!(revived, "jobs that this host had failed are queued again");
    }
    Ok(welcome(host))
}

/// A host asks who it is.
pub async fn who(caller: Caller) -> HandlerResult {
    Ok(welcome(caller.host))
}

/// A host reports its capabilities without asking for work: it pauses, or takes jobs again.
pub async fn capabilities(caller: Caller, capabilities: Capabilities) -> HandlerResult {
    let Caller { coordinator, host, .. } = caller;
    coordinator.store.save_capabilities(&host, &capabilities).await?;
    Ok(warp::reply::json(&true).into_response())
}

fn welcome(host: HostRow) -> Response {
    let welcome = Welcome {
        builds: host.builds,
        id: host.id.into_string(),
        name: host.name,
    };
    warp::reply::json(&welcome).into_response()
}
