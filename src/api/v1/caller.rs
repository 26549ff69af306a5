//! Who calls: everybody who may read, or somebody who is logged in.

use crate::access::Actor;
use crate::coordinator::Coordinator;
use crate::web::{CSRF_HEADER, Error, Visitor, Web, visitor};
use std::fmt;
use warp::filters::BoxedFilter;
use warp::{Filter, Rejection};

/// Somebody who is logged in, and the coordinator that it calls.
#[derive(Clone)]
pub struct Person {
    pub coordinator: Coordinator,
    pub actor: Actor,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.actor.fmt(f)
    }
}

/// Lets everybody through who may read.
pub fn reader(web: &Web) -> BoxedFilter<(Web,)> {
    let web = web.clone();
    visitor(&web)
        .and_then(move |visitor: Visitor| {
            let web = web.clone();
            async move {
                match web.door.public_read || visitor.actor.is_some() {
                    true => Ok(web),
                    false => Err(reject(visitor.actor().map(drop))),
                }
            }
        })
        .boxed()
}

/// Lets somebody through who is logged in. A browser has to send the token of its session's forms too.
pub fn person(coordinator: &Coordinator, web: &Web) -> BoxedFilter<(Person,)> {
    let coordinator = coordinator.clone();
    visitor(web)
        .and(warp::header::optional::<String>(CSRF_HEADER))
        .and(warp::method())
        .and_then(move |visitor: Visitor, csrf: Option<String>, method: warp::http::Method| {
            let coordinator = coordinator.clone();
            async move {
                let actor = visitor.actor().cloned().map_err(|error| reject(Err(error)))?;
                if method != warp::http::Method::GET {
                    visitor
                        .check_form(csrf.as_deref().unwrap_or_default())
                        .map_err(|error| reject(Err(error)))?;
                }
                Ok::<_, Rejection>(Person { coordinator, actor })
            }
        })
        .boxed()
}

fn reject(refused: Result<(), Error>) -> Rejection {
    match refused {
        Err(error) => warp::reject::custom(error),
        Ok(()) => warp::reject::not_found(),
    }
}
