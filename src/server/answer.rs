//! Responds to one request: checks it, passes it to the routes, and replaces their response where they can't give one.

use super::body::{Holding, Timely};
use super::house::ConnectionPermit;
use super::patience::Patience;
use super::target;
use crate::config::HttpSettings;
use crate::store::presence::Presence;
use crate::web::{self, Error, Resumable};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body::Body;
use hyper::body::Incoming;
use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tower_service::Service;
use warp::filters::BoxedFilter;
use warp::http::header::{self, HeaderValue};
use warp::http::{Method, Request, Response, StatusCode};

/// Makes browsers use only TLS for 30 days after a response over TLS (RFC 6797).
const TLS_ONLY: &str = "max-age=2592000";

/// The state that all connections share.
pub struct Shared {
    pub routes: BoxedFilter<(warp::reply::Response,)>,
    pub settings: HttpSettings,
    pub patience: Patience,
    pub presence: Presence,
}

impl Shared {
    /// Responds to a request on a connection. Never fails.
    pub async fn answer(
        self: Arc<Self>,
        place: Arc<ConnectionPermit>,
        request: Request<Incoming>,
    ) -> Result<Response<impl Body<Data = Bytes, Error = warp::Error>>, Infallible> {
        let working = place.work();
        let path = request.uri().path().to_owned();
        // after a request that could not be interpreted, the rest of the connection can't be either
        let is_odd = *request.method() == Method::CONNECT || !path.starts_with('/');
        let mut response = match target::check(&request, &self.settings) {
            Ok(()) => self.route(&place, &path, request).await,
            Err(error) if path.starts_with("/api/v1/") => web::plain_failure(&path, &error),
            Err(error) => web::secure(error.respond(format!("{error}\n"))),
        };
        if self.settings.is_tls() {
            let headers = response.headers_mut();
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TLS_ONLY));
        }
        // the rest of a body that is too long was not read
        if is_odd || response.status() == StatusCode::PAYLOAD_TOO_LARGE {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if response.extensions().get::<Resumable>().is_some() {
            working.note_resumable();
        }
        Ok(response.map(|body| Holding { body, _held: working }))
    }

    async fn route(
        &self,
        place: &ConnectionPermit,
        path: &str,
        mut request: Request<Incoming>,
    ) -> warp::reply::Response {
        let forwarded = request.headers().get_all("x-forwarded-for").iter().next_back();
        let peer = place.peer(forwarded.and_then(|value| value.to_str().ok()));
        request.extensions_mut().insert(peer);
        let is_late = Arc::new(AtomicBool::new(false));
        let request = request.map(|body| Timely::new(body, self.patience, is_late.clone()));
        let mut routes = warp::service(self.routes.clone());
        let call = async { routes.call(request).await };
        let answered = AssertUnwindSafe(call).catch_unwind();
        let answered = tokio::select! {
            biased;
            () = self.presence.away(), if !web::needs_no_store(path) => {
                return web::plain_failure(path, &Error::database_away());
            }
            answered = answered => answered,
        };
        match answered {
            Ok(Ok(_)) if is_late.load(Ordering::SeqCst) => {
                let late = Error::Timeout("the body of the request came too slowly".into());
                let mut response = web::plain_failure(path, &late);
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
                response
            }
            // a query that is in progress may fail with any error before the store counts as away
            Ok(Ok(response))
                if response.status() == StatusCode::INTERNAL_SERVER_ERROR && self.presence.is_away_soon().await =>
            {
                web::plain_failure(path, &Error::database_away())
            }
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(panic) => {
                let panic = anyhow::anyhow!("the handler panicked: {}", message(panic.as_ref()));
                web::plain_failure(path, &Error::Internal(panic))
            }
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied())
        .unwrap_or("it gave no reason")
}
