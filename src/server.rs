//! Everything that the coordinator serves over HTTP: the routes of all areas, and the server in front of them.

mod accept;
mod answer;
mod body;
mod house;
mod open_files;
mod patience;
mod places;
mod target;
mod tls;

pub use accept::Server;
pub use patience::Patience;
pub use tls::{Tls, TlsError};

use crate::api::v1::Desk;
use crate::coordinator::Coordinator;
use crate::oidc::Provider;
use crate::web::{Door, Patches, Rates, Web};
use crate::{api, web};
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// Returns all routes, which answer every request.
pub fn routes(coordinator: Coordinator) -> BoxedFilter<(Response,)> {
    let provider = Provider::new(&coordinator.settings.oidc, &coordinator.settings.http.url);
    routes_with(coordinator, provider)
}

/// Returns all routes, with an identity provider other than that of the settings.
pub fn routes_with(coordinator: Coordinator, provider: Option<Provider>) -> BoxedFilter<(Response,)> {
    let http = &coordinator.settings.http;
    let web = Web {
        store: coordinator.store.for_pages(),
        objects: coordinator.objects.clone(),
        trust: Arc::new(coordinator.settings.trust()),
        burn_in: coordinator.settings.verdicts.burn_in,
        rates: Arc::new(Rates::new(http.wrong_tokens_per_minute, http.changes_per_minute)),
        door: Door {
            public_read: http.public_read,
            is_tls: http.is_tls(),
        },
        // a repository that needs a login is not for everybody
        patches: Arc::new(Patches::new(!coordinator.settings.source.are_private())),
        provider: provider.map(Arc::new),
    };
    let v1 = api::v1::v1(&Desk::of(&coordinator), web.clone());
    api::host(coordinator).or(v1).unify().or(site(web)).unify().boxed()
}

/// Returns the routes of the pages and of the API that needs no token of a host, without `/api/v1`.
pub fn site(web: Web) -> BoxedFilter<(Response,)> {
    let api = api::reference(&web).or(api::public(web.clone())).unify();
    api.or(web::routes(web)).unify().boxed()
}
