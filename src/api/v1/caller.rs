//! Who calls: everybody who may read, or somebody who is logged in.

use super::desk::Desk;
use crate::access::Actor;
use crate::web::{CSRF_HEADER, Error, Visitor, Web, visitor};
use std::fmt;
use warp::filters::BoxedFilter;
use warp::{Filter, Rejection};

/// Somebody who is logged in, and what it changes.
#[derive(Clone)]
pub struct Person {
    pub desk: Desk,
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
pub fn person(desk: &Desk, web: &Web) -> BoxedFilter<(Person,)> {
    let (desk, changes) = (desk.clone(), web.changes.clone());
    visitor(web)
        .and(warp::header::optional::<String>(CSRF_HEADER))
        .and(warp::method())
        .and_then(
            move |visitor: Visitor, csrf: Option<String>, method: warp::http::Method| {
                let (desk, changes) = (desk.clone(), changes.clone());
                async move {
                    let actor = visitor.actor().cloned().map_err(|error| reject(Err(error)))?;
                    if !method.is_safe() {
                        visitor
                            .check_form(csrf.as_deref().unwrap_or_default())
                            .map_err(|error| reject(Err(error)))?;
                        changes.check(Some(&actor)).map_err(|error| reject(Err(error)))?;
                    }
                    Ok::<_, Rejection>(Person { desk, actor })
                }
            },
        )
        .boxed()
}

fn reject(refused: Result<(), Error>) -> Rejection {
    match refused {
        Err(error) => warp::reject::custom(error),
        Ok(()) => warp::reject::not_found(),
    }
}
