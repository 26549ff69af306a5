//! Who calls: everybody who may read, or somebody who is logged in.

use super::desk::Desk;
use crate::access::Actor;
use crate::web::{CSRF_HEADER, Visitor, Web, visitor, with};
use warp::filters::BoxedFilter;
use warp::http::Method;
use warp::{Filter, Rejection};

/// Somebody who is logged in, and what it changes.
#[derive(Clone)]
pub struct Person {
    pub desk: Desk,
    pub actor: Actor,
}

/// Lets everybody through who may read.
pub fn reader(web: &Web) -> BoxedFilter<(Web,)> {
    let passed = with(web);
    if web.door.public_read {
        return passed.boxed();
    }
    visitor(web)
        .and(passed)
        .and_then(|visitor: Visitor, web: Web| async move {
            visitor.actor().map_err(warp::reject::custom)?;
            Ok::<_, Rejection>(web)
        })
        .boxed()
}

/// Lets somebody through who is logged in. A browser has to send the token of its session's forms too.
pub fn person(desk: &Desk, web: &Web) -> BoxedFilter<(Person,)> {
    let (desk, rates) = (desk.clone(), web.rates.clone());
    visitor(web)
        .and(warp::header::optional::<String>(CSRF_HEADER))
        .and(warp::method())
        .and_then(move |visitor: Visitor, csrf: Option<String>, method: Method| {
            let (desk, rates) = (desk.clone(), rates.clone());
            async move {
                let actor = visitor.actor().cloned().map_err(warp::reject::custom)?;
                if !method.is_safe() {
                    let sent = visitor.check_form(csrf.as_deref().unwrap_or_default());
                    sent.and_then(|()| rates.change(Some(&actor)))
                        .map_err(warp::reject::custom)?;
                }
                Ok::<_, Rejection>(Person { desk, actor })
            }
        })
        .boxed()
}
