//! A cache of the metadata and the keys that the provider publishes. People and tokens can't influence how often it is
//! refreshed.

use super::error::ProviderError;
use super::http::{CallError, Http};
use crate::domain::text::is_odd;
use openidconnect::core::CoreProviderMetadata;
use openidconnect::{DiscoveryError, IssuerUrl};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long metadata and keys stay in use.
const FRESH: Duration = Duration::from_secs(3600);
/// The shortest time between two refreshes because no key fits a token.
const KEYS: Duration = Duration::from_secs(60);
/// How long a failure is returned to later callers, so that they do not wait one after the other.
const FAILED: Duration = Duration::from_secs(5);

pub struct Directory {
    keys: Duration,
    kept: Mutex<Kept>,
}

/// The most characters of a reason that quotes the provider.
const REASON_MOST: usize = 300;

#[derive(Default)]
struct Kept {
    found: Option<(Arc<CoreProviderMetadata>, Instant)>,
    failed: Option<(ProviderError, Instant)>,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            keys: KEYS,
            kept: Mutex::default(),
        }
    }
}

impl Directory {
    /// Sets the age from which [`Directory::renewed`] refreshes the cache.
    pub fn asking_for_keys_every(mut self, time: Duration) -> Self {
        self.keys = time;
        self
    }

    /// Returns the metadata and keys of the provider, read at most an hour ago. After a failure, returns the same error
    /// for a few seconds.
    pub async fn get(&self, http: &Http, issuer: &str) -> Result<Arc<CoreProviderMetadata>, ProviderError> {
        self.younger_than(FRESH, http, issuer).await
    }

    /// Returns metadata and keys for a token that no key of [`Directory::get`] fits. Refreshes the cache, by default at
    /// most once a minute.
    pub async fn renewed(&self, http: &Http, issuer: &str) -> Result<Arc<CoreProviderMetadata>, ProviderError> {
        self.younger_than(self.keys, http, issuer).await
    }

    async fn younger_than(
        &self,
        age: Duration,
        http: &Http,
        issuer: &str,
    ) -> Result<Arc<CoreProviderMetadata>, ProviderError> {
        // the lock allows one refresh at a time
        let mut kept = self.kept.lock().await;
        if let Some((found, at)) = &kept.found
            && at.elapsed() < age
        {
            return Ok(found.clone());
        }
        if let Some((error, at)) = &kept.failed
            && at.elapsed() < FAILED
        {
            return Err(error.clone());
        }
        match ask(http, issuer).await {
            Ok(found) => {
                let found = Arc::new(found);
                *kept = Kept {
                    found: Some((found.clone(), Instant::now())),
                    failed: None,
                };
                Ok(found)
            }
            Err(error) => {
                kept.failed = Some((error.clone(), Instant::now()));
                Err(error)
            }
        }
    }
}

async fn ask(http: &Http, issuer: &str) -> Result<CoreProviderMetadata, ProviderError> {
    let url = IssuerUrl::new(issuer.to_owned()).map_err(|error| ProviderError::Unusable(error.to_string()))?;
    let answer = CoreProviderMetadata::discover_async(url, http).await;
    answer.map_err(|error: DiscoveryError<CallError>| match error {
        DiscoveryError::Request(error) => error.into(),
        DiscoveryError::Response(status, ..) if !status.is_success() => {
            ProviderError::Unusable(format!("it answers {status} where it should describe itself"))
        }
        // the reason quotes the issuer that the provider claims, often `oidc.issuer` with another ending
        DiscoveryError::Validation(reason) => {
            let reason: String = reason.chars().filter(|c| !is_odd(*c)).take(REASON_MOST).collect();
            ProviderError::Unusable(format!("it calls itself otherwise than `oidc.issuer` does: {reason}"))
        }
        _ => ProviderError::Unusable("its description of itself can't be read".to_owned()),
    })
}
