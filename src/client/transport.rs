//! The transport of calls: over HTTP, or straight to the handlers.

use crate::api::v1::{Desk, v1};
use crate::domain::address::Address;
use crate::domain::causes::causes;
use crate::web::{LocalPerson, Web};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use std::time::Duration;
use tower_service::Service;
use warp::filters::BoxedFilter;
use warp::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use warp::http::{Method, Request, StatusCode};
use warp::reply::Response;

/// The time limit of a response. The largest is a list of a hundred items.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The most bytes of a response.
const ANSWER_MOST: usize = 16 << 20;

pub enum Transport {
    Remote {
        http: reqwest::Client,
        server: String,
        token: Option<String>,
    },
    Local {
        routes: BoxedFilter<(Response,)>,
        person: LocalPerson,
    },
}

impl Transport {
    pub fn remote(server: &str, token: Option<&str>) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .timeout(TIMEOUT)
            // a token must not follow a redirect to another server
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self::Remote {
            http,
            server: server.trim_end_matches('/').to_owned(),
            token: token.map(str::to_owned),
        })
    }

    pub fn local(web: Web, name: &str) -> Self {
        Self::Local {
            routes: v1(&Desk::beside(&web.store), web),
            person: LocalPerson(name.to_owned()),
        }
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<(StatusCode, Bytes)> {
        match self {
            Self::Remote { http, server, token } => {
                let mut request = http.request(method, format!("{server}{path}"));
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                if let Some(body) = body {
                    request = request.header(CONTENT_TYPE, "application/json").body(body);
                }
                remote(request, &Address::new(server)).await
            }
            Self::Local { routes, person } => local(routes, person, (method, path, body)).await,
        }
    }
}

async fn remote(request: reqwest::RequestBuilder, server: &Address) -> Result<(StatusCode, Bytes)> {
    let answer = request.send().await.map_err(|error| {
        let causes = causes(&error.without_url());
        anyhow::anyhow!("the coordinator does not answer at {server}: {causes}; check that it runs, and `--server`")
    });
    let mut answer = answer?;
    let status = answer.status();
    if status.is_redirection() {
        bail!("{server} answers with a redirect; take the address that it points to as `--server`");
    }
    let mut whole = Vec::new();
    while let Some(part) = answer.chunk().await.context("the connection broke during the answer")? {
        whole.extend_from_slice(&part);
        if whole.len() > ANSWER_MOST {
            bail!(
                "{server} answers with more than {} MiB; is it a coordinator?",
                ANSWER_MOST >> 20
            );
        }
    }
    Ok((status, whole.into()))
}

async fn local(
    routes: &BoxedFilter<(Response,)>,
    person: &LocalPerson,
    (method, path, body): (Method, &str, Option<Vec<u8>>),
) -> Result<(StatusCode, Bytes)> {
    let body = body.unwrap_or_default();
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_LENGTH, body.len())
        .body(Full::new(Bytes::from(body)))
        .context("the path of a call is not good")?;
    request.extensions_mut().insert(person.clone());
    let answer = match warp::service(routes.clone()).call(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let status = answer.status();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}
