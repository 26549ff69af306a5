//! The host's side of the protocol: HTTP calls to the coordinator, each with a time limit.

use super::Supply;
use crate::clock::now;
use crate::domain::address::Address;
use crate::domain::causes::causes;
use crate::domain::host::Capabilities;
use crate::domain::retention::{Decisions, Inventory};
use crate::domain::tree::{TreeChange, Wanted};
use crate::logfile::file;
use crate::protocol::{
    CLOCK_HEADER, Claim, FinishRequest, INSTANCE_HEADER, LogGap, PROTOCOL, PROTOCOL_HEADER, PushedRequest, Receipt,
    RenewRequest, Renewed, Welcome, without_nul,
};
use anyhow::{Context, Result, anyhow, bail};
use async_trait::async_trait;
use backon::{BackoffBuilder, ConstantBuilder, ExponentialBuilder, Retryable};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Serialize;
use std::time::Duration;

/// Returns the waits between tries to reach the coordinator: 250 ms, doubled up to 7.5 s. Up to as much again is added
/// at random, so that the hosts of a coordinator that comes back do not all call at the same moment.
pub(super) fn retry_delays() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(MAX_RETRY_DELAY / 2)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
}

/// The longest wait between two tries.
pub(super) const MAX_RETRY_DELAY: Duration = Duration::from_secs(15);

/// Returns the waits before a call is made again that the coordinator refused because too many calls of this host were
/// in work. Each wait is as long as the coordinator asks for, and up to as much again at random. Together they take 30
/// s at most, which is less than a lease.
fn busy_delays() -> impl Iterator<Item = Duration> {
    let delays = ConstantBuilder::new().with_delay(Duration::from_secs(5));
    delays.with_max_times(3).with_jitter().build()
}

/// A connection to the coordinator. Clones share it.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    server: String,
    token: String,
    /// The instance of the daemon that calls.
    instance: Option<String>,
}

/// A refusal of a call by the coordinator, for example because another host holds the lease now.
#[derive(Debug, thiserror::Error)]
#[error("the coordinator refused ({status}): {text}")]
pub struct CallRefused {
    status: StatusCode,
    text: String,
}

impl CallRefused {
    /// Returns whether another daemon has taken the place of this one.
    pub fn is_replaced(&self) -> bool {
        self.status == StatusCode::GONE
    }

    /// Returns whether the request itself is at fault, so that the same request with another token or from another
    /// version would be refused as well.
    pub fn is_final(&self) -> bool {
        matches!(
            self.status,
            StatusCode::BAD_REQUEST
                | StatusCode::NOT_FOUND
                | StatusCode::CONFLICT
                | StatusCode::GONE
                | StatusCode::PAYLOAD_TOO_LARGE
        )
    }

    /// Returns whether the request has more bytes than the coordinator accepts.
    pub fn is_too_large(&self) -> bool {
        self.status == StatusCode::PAYLOAD_TOO_LARGE
    }
}

/// A response of the coordinator, unchanged, for the doctor.
pub struct RawResponse {
    pub status: u16,
    pub text: String,
    /// The coordinator's clock, from the header `date`: whole seconds.
    pub date: Option<String>,
}

/// The coordinator's answer to a frame of a log.
pub(super) enum Appended {
    Stored(file::Extent),
    /// The coordinator's log ends at this offset, before the frame begins.
    Gap(u64),
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
            // before the coordinator closes an idle connection (`http.idle`), so that no call meets its end
            .pool_idle_timeout(Duration::from_secs(20))
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            server: server.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
            instance: None,
        })
    }

    /// Returns the same connection for an instance of the daemon. The coordinator refuses calls of an instance that
    /// another has replaced.
    pub fn as_instance(&self, instance: &str) -> Self {
        Self {
            instance: Some(instance.to_owned()),
            ..self.clone()
        }
    }

    /// Begins a call that only the newest instance may make.
    fn post_as_instance<T: Serialize>(&self, path: &str, body: &T) -> Result<RequestBuilder> {
        let request = self
            .post(&self.url(path), body)?
            .header(CLOCK_HEADER, now().as_millis());
        Ok(match &self.instance {
            Some(instance) => request.header(INSTANCE_HEADER, instance),
            None => request,
        })
    }

    /// Reports that this host starts afresh, which ends all attempts that it had leased, and returns how it is
    /// registered. Repeats the call until the coordinator has accepted or refused it.
    pub async fn hello(&self, capabilities: &Capabilities) -> Result<Welcome> {
        insist(|| async {
            let request = self.post_as_instance("hello", capabilities)?;
            let answer = self.send(request.timeout(Duration::from_secs(10))).await?;
            // a person starts this host and waits for the reason; a host at work waits for the coordinator's settings
            if answer.status() == StatusCode::MISDIRECTED_REQUEST {
                return Err(refused(answer).await.into());
            }
            Ok(good(answer).await?.json().await?)
        })
        .await
    }

    /// Asks how this host is registered, and whether the coordinator accepts it. Changes nothing.
    pub async fn ask(&self) -> Result<RawResponse> {
        let request = self.http.get(self.url("hello")).bearer_auth(&self.token);
        let answer = self.send(request.timeout(Duration::from_secs(10))).await?;
        let date = answer.headers().get(reqwest::header::DATE);
        Ok(RawResponse {
            status: answer.status().as_u16(),
            date: date.and_then(|date| Some(date.to_str().ok()?.to_owned())),
            text: answer.text().await.unwrap_or_default(),
        })
    }

    /// Reports this host's capabilities without claiming a job.
    pub async fn capabilities(&self, capabilities: &Capabilities) -> Result<()> {
        let request = self.post_as_instance("capabilities", capabilities)?;
        good(self.send(request.timeout(Duration::from_secs(10))).await?)
            .await
            .map(drop)
    }

    /// Waits for a job, up to 25 seconds at the coordinator. Returns `None` if there was none.
    pub async fn claim(&self, capabilities: &Capabilities) -> Result<Option<Claim>> {
        let request = self.post_as_instance("claim", capabilities)?;
        let answer = self.send(request.timeout(Duration::from_secs(60))).await?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(None),
            _ => Ok(Some(good(answer).await?.json().await?)),
        }
    }

    /// Reports which images and volumes this host holds, and returns a decision about each, and the images to push.
    pub async fn images(&self, inventory: &Inventory) -> Result<Decisions> {
        let request = self
            .post(&self.url("images"), inventory)?
            .timeout(Duration::from_secs(60));
        Ok(good(self.send(request).await?).await?.json().await?)
    }

    /// Reports where an image is in the registry.
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
        good(self.send(request).await?).await.map(drop)
    }

    /// Prolongs the lease, and lets the coordinator hold its answer for `hold` unless the attempt is cancelled. Fails
    /// with [`CallRefused`] if the lease is gone.
    pub async fn renew(&self, claim: &Claim, hold: Duration) -> Result<Renewed> {
        let body = RenewRequest {
            fence: claim.fence.clone(),
            hold_s: hold.as_secs(),
        };
        let request = self
            .post_as_instance(&format!("attempts/{}/renew", claim.attempt), &body)?
            .timeout(hold + Duration::from_secs(10));
        Ok(good(self.send(request).await?).await?.json().await?)
    }

    /// Ends the attempt. Repeats the call until the coordinator has accepted or refused the report.
    pub async fn finish(&self, attempt: &str, body: &FinishRequest) -> Result<Receipt> {
        let url = self.url(&format!("attempts/{attempt}/finish"));
        insist(|| async {
            let request = self.post(&url, body)?.timeout(Duration::from_secs(30));
            Ok(good(self.send(request).await?).await?.json().await?)
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
        let answer = self.send(request).await?;
        if answer.status() != StatusCode::CONFLICT {
            return Ok(Appended::Stored(good(answer).await?.json().await?));
        }
        let (status, text) = (answer.status(), answer.text().await?);
        match serde_json::from_str::<LogGap>(&text) {
            Ok(gap) => Ok(Appended::Gap(gap.ends_at)),
            Err(_) => Err(CallRefused { status, text }.into()),
        }
    }

    /// Makes a call. Repeats it a few times while the coordinator has too many calls of this host in work.
    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        for delay in busy_delays() {
            let Some(same) = request.try_clone() else { break };
            let answer = self.send_once(same).await?;
            if answer.status() != StatusCode::TOO_MANY_REQUESTS {
                return Ok(answer);
            }
            tokio::time::sleep(delay).await;
        }
        self.send_once(request).await
    }

    /// Makes a call. The error names the coordinator's address, without a login.
    async fn send_once(&self, request: RequestBuilder) -> Result<Response> {
        request.send().await.map_err(|error| {
            let (server, causes) = (Address::new(self.server.as_str()), causes(&error.without_url()));
            anyhow!("the coordinator does not answer at {server}: {causes}; check that it runs, and the address")
        })
    }

    /// Begins a call whose body may have text of suites. NULs are removed, because the coordinator accepts none.
    fn post(&self, url: &str, body: &impl Serialize) -> Result<RequestBuilder> {
        let json = without_nul(serde_json::to_vec(body)?);
        let request = self.http.post(url).bearer_auth(&self.token);
        Ok(request.header(CONTENT_TYPE, "application/json").body(json))
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
        let answer = good(self.send(request).await?)
            .await
            .context("failed to get the sources")?;
        Ok(answer.bytes_stream().map_err(std::io::Error::other).boxed())
    }

    async fn changes(&self, from: &str, to: &str, ignore: &[String]) -> Result<Option<Vec<TreeChange>>> {
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
        let answer = good(self.send(request).await?)
            .await
            .context("failed to get the changes of the sources")?;
        Ok(answer.json().await?)
    }

    async fn folder(&self, digest: &str) -> Result<Vec<u8>> {
        let request = self
            .http
            .get(self.url(&format!("folders/{digest}")))
            .bearer_auth(&self.token);
        let answer = good(self.send(request).await?)
            .await
            .context("failed to get a source folder")?;
        Ok(answer.bytes().await?.to_vec())
    }
}

/// Repeats a call until the coordinator has answered or refused it.
async fn insist<F, T, R>(call: F) -> Result<R>
where
    F: FnMut() -> T,
    T: Future<Output = Result<R>>,
{
    call.retry(retry_delays())
        .when(|error| !error.is::<CallRefused>())
        .notify(|error, _| {
            tracing::debug!(
                error = format!("{error:#}"),
                "the coordinator does not answer; trying again"
            );
        })
        .await
}

async fn good(answer: Response) -> Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    // the network was too slow, there were too many other calls, or the coordinator's settings lack a name: none of
    // these is the fault of the call
    let passes = matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::MISDIRECTED_REQUEST | StatusCode::TOO_MANY_REQUESTS
    );
    if status.is_client_error() && !passes {
        return Err(refused(answer).await.into());
    }
    let text = answer.text().await.unwrap_or_default();
    bail!("the coordinator answered {status}: {text}")
}

async fn refused(answer: Response) -> CallRefused {
    CallRefused {
        status: answer.status(),
        text: answer.text().await.unwrap_or_default(),
    }
}
