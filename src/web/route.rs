//! Types and filters that the routes of pages and of the public API share.

use super::error::{Error, HandlerResult};
use super::patches::Patches;
use super::rates::Rates;
use crate::domain::trust::Trust;
use crate::incidents::IncidentReader;
use crate::oidc::Provider;
use crate::store::Store;
use crate::store::logs::Objects;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;

/// The parts of the coordinator that handlers read.
#[derive(Clone)]
pub struct Web {
    pub store: Store,
    pub objects: Objects,
    /// Decides whose results are enough to name an author.
    pub trust: Arc<Trust>,
    /// The number of repeated results of a project that have to agree in a row before its burn-in ends.
    pub burn_in: u32,
    /// The rate limits of addresses and accounts.
    pub rates: Arc<Rates>,
    pub door: Door,
    /// The patches of revisions.
    pub patches: Arc<Patches>,
    /// The identity provider by which people log in, if the settings name one.
    pub provider: Option<Arc<Provider>>,
}

/// The access settings of the web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Whether everybody may read pages and results without a login.
    pub public_read: bool,
    /// Whether browsers reach the coordinator over TLS. If so, cookies are never sent without it.
    pub is_tls: bool,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            public_read: true,
            is_tls: false,
        }
    }
}

impl Web {
    /// Builds a `Web` that everybody can read without a login.
    pub fn open(store: Store, objects: Objects, trust: Trust) -> Self {
        Self {
            store,
            objects,
            trust: Arc::new(trust),
            burn_in: 0,
            rates: Arc::default(),
            door: Door::default(),
            patches: Arc::new(Patches::new(true)),
            provider: None,
        }
    }

    pub fn incidents(&self) -> IncidentReader<'_> {
        IncidentReader {
            store: &self.store,
            trust: &self.trust,
        }
    }
}

/// One address and its handler. It is boxed, so that the combined type of many routes stays small.
pub type Route = BoxedFilter<(HandlerResult,)>;

/// The query of an address, after `?`. A query that can't be parsed counts as empty.
pub type Query = BTreeMap<String, String>;

pub fn query() -> impl Filter<Extract = (Query,), Error = Infallible> + Clone {
    warp::query::<Query>().or_else(|_| async { Ok::<_, Infallible>((Query::new(),)) })
}

/// Passes `web` to a handler.
pub fn with(web: &Web) -> impl Filter<Extract = (Web,), Error = Infallible> + Clone + use<> {
    let web = web.clone();
    warp::any().map(move || web.clone())
}

/// Responds to GET and HEAD by the first route that matches, or with "not found" if none does. Responds to other
/// methods with "method not allowed".
pub fn read_only(routes: Vec<Route>) -> Route {
    let none = warp::any().map(|| Err(Error::not_found())).boxed();
    let found = routes
        .into_iter()
        .rev()
        .fold(none, |later, route| route.or(later).unify().boxed());
    warp::get()
        .or(warp::head())
        .unify()
        .and(found)
        .or(warp::any().map(|| Err(Error::MethodNotAllowed)))
        .unify()
        .boxed()
}
