//! The host's side of the protocol: HTTP to the coordinator, which it never waits for in vain.

use super::Supply;
use super::doctor::Answer;
use crate::api::{FinishRequest, Hole, PROTOCOL_HEADER, PushedRequest, RenewRequest, Renewed, Welcome};
use crate::domain::host::{Offer, PROTOCOL};
use crate::domain::retention::{Inventory, Verdicts};
use crate::domain::tree::{Change, Wanted};
use crate::logfile::file;
use crate::queue::{Claim, Taken};
use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use reqwest::{Response, StatusCode};
use std::time::Duration;

/// Waiting time between two tries to reach the coordinator, doubled up to the second.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// A host's line to the coordinator; cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    server: String,
    token: String,
}

/// The lease is somebody else's: what this host holds no longer counts.
#[derive(Debug, thiserror::Error)]
#[error("the coordinator refused: {status}: {text}")]
pub struct Lost {
    status: StatusCode,
    text: String,
}

impl Lost {
    /// Whether it is about what was sent: another token or another version would get the same answer.
    pub fn is_final(&self) -> bool {
        matches!(
            self.status,
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE
        )
    }
}

/// What became of a frame of a log.
pub(super) enum Appended {
    Taken(file::Taken),
    /// The coordinator's log ends here, before the frame.
    Hole(u64),
}

impl Client {
    pub fn new(server: &str, token: &str) -> Result<Self> {
        let protocol = reqwest::header::HeaderValue::from(PROTOCOL);
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .default_headers(
                [(reqwest::header::HeaderName::from_static(PROTOCOL_HEADER), protocol)]
                    .into_iter()
                    .collect(),
            )
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            server: server.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        })
    }

    /// Says that this host starts afresh: whatever it had leased is over. Learns who it is.
    pub async fn hello(&self, offer: &Offer) -> Result<Welcome> {
        let url = self.url("hello");
        insist(|| async {
            let request = self.http.post(&url).bearer_auth(&self.token).json(offer);
            Ok(good(request.timeout(Duration::from_secs(10)).send().await?)
                .await?
                .json()
                .await?)
        })
        .await
    }

    /// Asks who this host is, and whether it is let in; changes nothing.
    pub async fn ask(&self) -> Result<Answer> {
        let request = self.http.get(self.url("hello")).bearer_auth(&self.token);
        let answer = request.timeout(Duration::from_secs(10)).send().await?;
        let date = answer.headers().get(reqwest::header::DATE);
        Ok(Answer {
            status: answer.status().as_u16(),
            date: date.and_then(|date| Some(date.to_str().ok()?.to_owned())),
            text: answer.text().await.unwrap_or_default(),
        })
    }

    /// Tells what this host offers, apart from any claim.
    pub async fn offer(&self, offer: &Offer) -> Result<()> {
        let request = self.http.post(self.url("offer")).bearer_auth(&self.token).json(offer);
        good(request.timeout(Duration::from_secs(10)).send().await?)
            .await
            .map(drop)
    }

    /// Waits on the coordinator until there is a job, or a while.
    pub async fn claim(&self, offer: &Offer) -> Result<Option<Claim>> {
        let request = self.http.post(self.url("claim")).bearer_auth(&self.token).json(offer);
        let answer = request.timeout(Duration::from_secs(60)).send().await?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(None),
            _ => Ok(Some(good(answer).await?.json().await?)),
        }
    }

    /// Tells what this host holds, and asks what of it may go.
    pub async fn images(&self, inventory: &Inventory) -> Result<Verdicts> {
        let request = self
            .http
            .post(self.url("images"))
            .bearer_auth(&self.token)
            .json(inventory)
            .timeout(Duration::from_secs(60));
        Ok(good(request.send().await?).await?.json().await?)
    }

    /// Tells where an image is in the registry.
    pub async fn pushed(&self, build_key: &str, reference: &str) -> Result<()> {
        let body = PushedRequest {
            reference: reference.to_owned(),
        };
        let request = self
            .http
            .post(self.url(&format!("images/{build_key}/pushed")))
            .bearer_auth(&self.token)
            .json(&body)
            .timeout(Duration::from_secs(10));
        good(request.send().await?).await.map(drop)
    }

    /// Prolongs the lease, and waits for a while whether the attempt is to end. An error of type [`Lost`] means
    /// that the lease is gone.
    pub async fn renew(&self, claim: &Claim, hold: Duration) -> Result<Renewed> {
        let body = RenewRequest {
            fence: claim.fence.clone(),
            hold_s: hold.as_secs(),
        };
        let url = self.url(&format!("attempts/{}/renew", claim.attempt));
        let request = self
            .http
            .post(url)
            .bearer_auth(&self.token)
            .json(&body)
            .timeout(hold + Duration::from_secs(10));
        Ok(good(request.send().await?).await?.json().await?)
    }

    /// Ends the attempt; goes on trying until the coordinator has taken or refused it.
    pub async fn finish(&self, attempt: &str, body: &FinishRequest) -> Result<Taken> {
        let url = self.url(&format!("attempts/{attempt}/finish"));
        insist(|| async {
            let request = self
                .http
                .post(&url)
                .bearer_auth(&self.token)
                .json(body)
                .timeout(Duration::from_secs(30));
            Ok(good(request.send().await?).await?.json().await?)
        })
        .await
    }

    /// Sends one frame of an attempt's log.
    pub(super) async fn append(&self, attempt: &str, fence: &str, frame: Bytes) -> Result<Appended> {
        let request = self
            .http
            .post(self.url(&format!("attempts/{attempt}/log")))
            .bearer_auth(&self.token)
            .query(&[("fence", fence)])
            .body(frame)
            .timeout(Duration::from_secs(30));
        let answer = request.send().await?;
        if answer.status() != StatusCode::CONFLICT {
            return Ok(Appended::Taken(good(answer).await?.json().await?));
        }
        let (status, text) = (answer.status(), answer.text().await?);
        match serde_json::from_str::<Hole>(&text) {
            Ok(hole) => Ok(Appended::Hole(hole.ends_at)),
            Err(_) => Err(Lost { status, text }.into()),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/host/{path}", self.server)
    }
}

#[async_trait]
impl Supply for Client {
    async fn tree(&self, revision: &str, wanted: &Wanted) -> Result<BoxStream<'static, std::io::Result<Bytes>>> {
        let request = self
            .http
            .post(self.url(&format!("trees/{revision}")))
            .bearer_auth(&self.token)
            .json(wanted);
        let answer = good(request.send().await?).await.context("failed to get the sources")?;
        Ok(answer.bytes_stream().map_err(std::io::Error::other).boxed())
    }

    async fn changes(&self, from: &str, to: &str, ignore: &[String]) -> Result<Option<Vec<Change>>> {
        let wanted = Wanted {
            ignore: ignore.to_vec(),
            only: None,
        };
        let request = self
            .http
            .post(self.url(&format!("trees/{to}/changes/{from}")))
            .bearer_auth(&self.token)
            .json(&wanted)
            .timeout(Duration::from_secs(60));
        let answer = good(request.send().await?)
            .await
            .context("failed to ask what changed in the sources")?;
        Ok(answer.json().await?)
    }

    async fn folder(&self, digest: &str) -> Result<Vec<u8>> {
        let request = self
            .http
            .get(self.url(&format!("folders/{digest}")))
            .bearer_auth(&self.token);
        let answer = good(request.send().await?)
            .await
            .context("failed to get a source folder")?;
        Ok(answer.bytes().await?.to_vec())
    }
}

/// Tries until it is done or refused.
async fn insist<F, T, R>(mut attempt: F) -> Result<R>
where
    F: FnMut() -> T,
    T: Future<Output = Result<R>>,
{
    let mut wait = RETRY.0;
    loop {
        match attempt().await {
            Err(error) if error.downcast_ref::<Lost>().is_none() => {
                tracing::debug!(
                    error = format!("{error:#}"),
                    "the coordinator does not answer; trying again"
                );
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY.1);
            }
            decided => return decided,
        }
    }
}

async fn good(answer: Response) -> Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text = answer.text().await.unwrap_or_default();
    if status.is_client_error() {
        return Err(Lost { status, text }.into());
    }
    bail!("the coordinator answered {status}: {text}")
}
