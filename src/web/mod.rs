//! The pages: the matrix of revisions and projects, and behind each cell its run with the log. Each request reads the
//! store again. No page needs a script; in a browser with scripts, a growing log is shown as it is
//! written, and a page follows its content while work is open.

mod account;
mod ansi;
mod attempts;
mod choices;
mod compare;
mod error;
mod follow;
mod forms;
mod frame;
mod grid;
mod health;
mod home;
mod hosts;
mod image;
mod incident;
mod incidents;
mod live;
mod log;
mod matrix;
mod oidc;
mod patch;
mod patches;
mod peer;
mod plot;
mod projects;
mod queue;
mod rates;
mod recipe;
pub mod reference;
mod render;
mod response;
mod revision;
mod route;
mod run;
mod run_verdict;
mod search;
mod status_badge;
mod submit;
mod template;
mod test_history;
mod vanished_lock;
mod visitor;
mod window;
mod wording;

pub use error::{Error, HandlerResult};
pub use follow::{Follower, LogNews};
pub use frame::plain_failure;
pub use log::chosen_attempt;
pub use patches::Patches;
pub use peer::{ClientNetwork, Peer, peer};
pub use rates::Rates;
pub use response::{Resumable, json, problem, secure};
pub use route::{Door, Query, Route, Web, query, read_only, with};
pub use visitor::{CSRF_HEADER, LocalPerson, Visitor, gate, unauthorized, visitor};

use crate::domain::id::{AttemptId, ImageId, RunId};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;

/// Returns whether the response to a path does not need the store, or itself reports that the store is away.
pub fn needs_no_store(path: &str) -> bool {
    ["/healthz", "/live.js", "/style.css"].contains(&path)
}

/// The paths that are always public.
const OPEN: [&str; 6] = [
    "/login",
    "/login/oidc",
    crate::oidc::CALLBACK,
    "/style.css",
    "/live.js",
    "/healthz",
];

/// Routes all pages. Responds to every request, with an error page if need be, so place other routes before it.
pub fn routes(web: Web) -> BoxedFilter<(Response,)> {
    let sent = sent(&web).into_iter().rev();
    let shown = gate(&web, &OPEN, forms::to_login)
        .or(read_only(pages(&web)))
        .unify()
        .boxed();
    let all = sent.fold(shown, |later, form| form.or(later).unify().boxed());
    warp::path::full()
        .and(all)
        .then(move |path: FullPath, outcome: HandlerResult| {
            let web = web.clone();
            async move {
                let response = match outcome {
                    Ok(response) => response,
                    Err(error) => frame::failed(&web, path.as_str(), &error).await,
                };
                secure(response)
            }
        })
        .boxed()
}

/// Builds the routes of forms, one line for each.
#[rustfmt::skip]
fn sent(web: &Web) -> Vec<Route> {
    use warp::{path, post};
    let form = || post().and(forms::form(web));
    vec![
        path!("login").and(post()).and(forms::login_form(web)).then(account::login).boxed(),
        path!("logout").and(form()).then(account::logout).boxed(),
        path!("account" / "tokens").and(form()).then(account::issue).boxed(),
        path!("account" / "tokens" / String / "revoke").and(form()).then(account::revoke).boxed(),
        path!("submit").and(form()).then(submit::submit).boxed(),
        path!("incident" / i64 / "decision").and(form()).then(incident::decide).boxed(),
        path!("recipe" / String / i64 / "decision").and(form()).then(recipe::decide).boxed(),
        path!("recipe" / String / "state").and(form()).then(recipe::set_state).boxed(),
        path!("recipe" / String / "owner").and(form()).then(recipe::hand_over).boxed(),
        path!("recipe" / String / "hand-over").and(form()).then(recipe::answer_hand_over).boxed(),
    ]
}

/// Builds the routes of pages, one line for each address.
#[rustfmt::skip]
fn pages(web: &Web) -> Vec<Route> {
    use warp::{header, header::headers_cloned, path};
    let guest = || visitor::guest(web);
    let web = || with(web);
    vec![
        path::end().and(web()).and(query()).then(matrix::of_all).boxed(),
        path!("branch" / String).and(web()).and(query()).then(matrix::of_branch).boxed(),
        path!("revision" / String).and(web()).then(revision::page).boxed(),
        path!("revision" / String / "patch").and(web()).then(patch::text).boxed(),
        path!("run" / RunId).and(web()).and(query()).then(run::page).boxed(),
        path!("run" / String / "log").and(web()).and(query()).then(log::newest).boxed(),
        path!("image" / ImageId).and(web()).and(query()).then(image::page).boxed(),
        path!("image" / String / "log").and(web()).and(query()).then(log::newest).boxed(),
        path!("attempt" / AttemptId).and(web()).then(log::place).boxed(),
        path!("attempt" / AttemptId / "log").and(web()).then(log::whole).boxed(),
        path!("attempt" / AttemptId / "events").and(web()).and(query()).and(headers_cloned()).and(peer()).then(live::events).boxed(),
        path!("project" / String).and(web()).and(query()).then(projects::page).boxed(),
        path!("project" / String / "tests").and(web()).and(query()).then(test_history::page).boxed(),
        path!("recipes").and(web()).then(projects::all).boxed(),
        path!("login").and(web()).and(query()).then(account::login_page).boxed(),
        path!("login" / "oidc").and(web()).and(query()).and(header::optional(forms::SITE)).and(peer()).then(oidc::begin).boxed(),
        path!("login" / "oidc" / "callback").and(web()).and(query()).and(headers_cloned()).and(guest()).and(peer()).then(oidc::end).boxed(),
        path!("account").and(web()).and(guest()).then(account::page).boxed(),
        path!("submit").and(web()).and(guest()).and(query()).then(submit::page).boxed(),
        path!("recipe" / String).and(web()).and(guest()).then(recipe::versions).boxed(),
        path!("recipe" / String / i64).and(web()).and(guest()).then(recipe::version).boxed(),
        path!("hosts").and(web()).then(hosts::all).boxed(),
        path!("host" / String).and(web()).then(hosts::page).boxed(),
        path!("queue").and(web()).then(queue::page).boxed(),
        path!("incidents").and(web()).then(incidents::all).boxed(),
        path!("incident" / i64).and(web()).and(guest()).then(incident::page).boxed(),
        path!("incident" / i64 / "reproduce.sh").and(web()).then(incident::script).boxed(),
        path!("search").and(web()).and(query()).then(search::page).boxed(),
        path!("badge" / String).and(web()).and(query()).then(status_badge::svg).boxed(),
        path!("compare").and(web()).and(query()).then(compare::choose).boxed(),
        path!("compare" / String / String).and(web()).then(compare::page).boxed(),
        path!("compare" / String / String / "markdown").and(web()).then(compare::markdown).boxed(),
        path!("live.js").and(headers_cloned()).then(response::script).boxed(),
        path!("style.css").and(headers_cloned()).then(response::style).boxed(),
        path!("recipe.schema.json").and(headers_cloned()).then(response::recipe_schema).boxed(),
        path!("healthz").and(web()).then(health::healthz).boxed(),
    ]
}
