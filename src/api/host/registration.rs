//! The calls by which a host starts, asks for its registration, and reports its capabilities.

use super::caller::Caller;
use crate::clock::now;
use crate::domain::host::Capabilities;
use crate::protocol::Welcome;
use crate::store::hosts::HostRow;
use crate::web::HandlerResult;
use warp::Reply;
use warp::reply::Response;

/// Registers the start of a host's daemon. Gives up the leases that the host had before, and queues again the jobs that
/// its infrastructure failed.
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
    // the cause of the earlier infrastructure failures may be corrected
    let revived = coordinator.queue.revive(&host.id, now()).await?;
    if revived > 0 {
        tracing::info!(revived, "jobs that this host had failed are queued again");
    }
    Ok(welcome(host))
}

/// Returns how the coordinator has registered the host.
pub async fn who(caller: Caller) -> HandlerResult {
    Ok(welcome(caller.host))
}

/// Records the capabilities of a host that asks for no job, as when it pauses or takes jobs again.
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
