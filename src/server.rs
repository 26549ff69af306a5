//! Everything that the coordinator serves over HTTP, composed of its areas, and the server in front of it.

mod accept;
mod answer;
mod body;
mod house;
mod open_files;
mod patience;
mod places;
mod target;

pub use accept::Server;
pub use patience::Patience;

use crate::coordinator::Coordinator;
use crate::web::Web;
use crate::{api, web};
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// All routes. Answers every request.
pub fn routes(coordinator: Coordinator) -> BoxedFilter<(Response,)> {
    let web = Web {
        store: coordinator.store.for_pages(),
        objects: coordinator.objects.clone(),
        trust: Arc::new(coordinator.settings.trust()),
    };
    api::host(coordinator).or(site(web)).unify().boxed()
}

/// The pages and the public API, which need no token.
pub fn site(web: Web) -> BoxedFilter<(Response,)> {
    api::public(web.clone()).or(web::routes(web)).unify().boxed()
}
