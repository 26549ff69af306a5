//! HTTP calls to the provider, each with a limit of time and size. Its responses are not trusted.

use super::error::ProviderError;
use crate::domain::causes::causes;
use crate::domain::confidential::is_confidential;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::StatusCode;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::OnceCell;
use url::Url;

/// The time limit of a call.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// The most bytes of a response.
const ANSWER_MOST: usize = 256 << 10;

pub struct Http {
    client: OnceCell<reqwest::Client>,
    /// Whether the provider is on this machine, and serves no TLS.
    is_plain: bool,
    timeout: Duration,
}

/// Why a call failed. No message contains an address, a code or a secret.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{0}")]
    Unreachable(String),
    #[error("it answers {0}")]
    Failed(StatusCode),
    #[error("it answers with a redirect")]
    Redirect,
    #[error("it answers with more than {} KiB", ANSWER_MOST >> 10)]
    TooLarge,
    #[error("it names an address without TLS")]
    NoTls,
}

impl From<reqwest::Error> for CallError {
    fn from(error: reqwest::Error) -> Self {
        CallError::Unreachable(causes(&error.without_url()))
    }
}

impl From<CallError> for ProviderError {
    fn from(error: CallError) -> Self {
        match error {
            error @ (CallError::Unreachable(_) | CallError::Failed(_)) => ProviderError::Away(error.to_string()),
            error => ProviderError::Unusable(error.to_string()),
        }
    }
}

impl Http {
    pub fn new(is_plain: bool) -> Self {
        Self {
            client: OnceCell::new(),
            is_plain,
            timeout: TIMEOUT,
        }
    }

    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Checks an address that the provider names as its own. It must use TLS; a provider on this machine may also name
    /// addresses on this machine without TLS.
    pub fn check(&self, url: &Url) -> Result<(), CallError> {
        match url.scheme() == "https" || (self.is_plain && is_confidential(url)) {
            true => Ok(()),
            false => Err(CallError::NoTls),
        }
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, CallError> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| CallError::NoTls)?;
        self.check(&url)?;
        let build = async || {
            let mut client = reqwest::Client::builder();
            if self.is_plain {
                client = client.no_proxy();
            }
            client
                .connect_timeout(CONNECT)
                .timeout(self.timeout)
                // the code or the secret must not follow a redirect to another server
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .build()
        };
        let client = self.client.get_or_try_init(build).await?;
        let mut answer = client.execute(request.try_into()?).await?;
        if answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS {
            return Err(CallError::Failed(answer.status()));
        }
        if answer.status().is_redirection() {
            return Err(CallError::Redirect);
        }
        let mut response = HttpResponse::new(Vec::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        while let Some(part) = answer.chunk().await? {
            if response.body().len() + part.len() > ANSWER_MOST {
                return Err(CallError::TooLarge);
            }
            response.body_mut().extend_from_slice(&part);
        }
        Ok(response)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, CallError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_provider_on_this_machine_has_addresses_without_tls() {
        let check = |is_plain, url: &str| Http::new(is_plain).check(&Url::parse(url).unwrap()).is_ok();
        assert!(check(false, "https://login.example.org/token"));
        assert!(check(true, "http://127.0.0.1:5000/token"));
        assert!(!check(false, "http://127.0.0.1:5000/token"));
        assert!(!check(true, "http://login.example.org/token"));
    }
}
