//! Filters that find out who makes a call: a reader, or a person who is logged in.

use super::desk::Desk;
use crate::access::Actor;
use crate::web::{CSRF_HEADER, Visitor, Web, visitor, with};
use warp::filters::BoxedFilter;
use warp::http::Method;
use warp::{Filter, Rejection};

/// A caller that is logged in, and the coordinator that its call changes.
#[derive(Clone)]
pub struct Person {
    pub desk: Desk,
    pub actor: Actor,
}

/// Accepts every caller that may read.
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

/// Accepts callers that are logged in. For a change, a browser also has to send the form token of its session. A change
/// counts towards the rate limit of the account.
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
