//! What the coordinator asks a registry itself, by the API that all registries have: whether an image is there,
//! and to let it go. Images are moved by engines alone.

use crate::config::{NetworkSettings, RegistrySettings};
use crate::domain::login::Login;
use anyhow::{Context, Result, bail};
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use std::collections::BTreeMap;
use std::time::Duration;

/// All kinds of manifests: to one that is not asked for, a registry answers that nothing is there.
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// A repository of a registry.
pub struct Api {
    http: reqwest::Client,
    base: String,
    login: Option<Login>,
}

/// What is under a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Image,
    Nothing,
}

impl Api {
    pub fn open(registry: &RegistrySettings, network: &NetworkSettings, repository: &str) -> Result<Self> {
        let (host, path) = repository.split_once('/').context("a repository has a path")?;
        let near = is_near(host);
        // as engines do it: on loopback a registry needs no certificate
        let scheme = if near { "http" } else { "https" };
        let mut http = reqwest::Client::builder().timeout(Duration::from_secs(30));
        if near {
            http = http.no_proxy();
        }
        if !network.ca.as_os_str().is_empty() {
            let path = network.ca.display();
            let bundle =
                std::fs::read(&network.ca).with_context(|| format!("failed to read {path}; correct `network.ca`"))?;
            for certificate in reqwest::Certificate::from_pem_bundle(&bundle)? {
                http = http.add_root_certificate(certificate);
            }
        }
        Ok(Self {
            http: http.build()?,
            base: format!("{scheme}://{host}/v2/{path}/manifests"),
            login: registry.login(repository)?,
        })
    }

    pub async fn look(&self, digest: &str) -> Result<Found> {
        let answer = self.ask(Method::HEAD, digest).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(Found::Nothing),
            status if status.is_success() => Ok(Found::Image),
            status => bail!("the registry answered {status} for {digest}"),
        }
    }

    /// Takes an image away with all its tags. Its layers go when the registry collects its garbage.
    pub async fn delete(&self, digest: &str) -> Result<()> {
        let answer = self.ask(Method::DELETE, digest).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            StatusCode::METHOD_NOT_ALLOWED => {
                bail!("the registry deletes nothing, so images stay there; allow it: `storage.delete.enabled`")
            }
            status => bail!("the registry answered {status} when {digest} was to go"),
        }
    }

    async fn ask(&self, method: Method, digest: &str) -> Result<Response> {
        let url = format!("{}/{digest}", self.base);
        let request = || self.http.request(method.clone(), &url).header(ACCEPT, MANIFESTS);
        let plain = request().send().await.context("the registry does not answer")?;
        if plain.status() != StatusCode::UNAUTHORIZED {
            return Ok(plain);
        }
        let wanted = plain.headers().get(WWW_AUTHENTICATE);
        let wanted = wanted.and_then(|text| text.to_str().ok()).unwrap_or_default();
        let request = match (challenge(wanted), &self.login) {
            (Some(fields), login) => request().bearer_auth(self.token(&fields, login.as_ref()).await?),
            (None, Some(login)) => request().basic_auth(&login.user, Some(&login.password)),
            (None, None) => bail!("the registry asks for a login; set `registry.user` and `registry.password_file`"),
        };
        let answer = request.send().await.context("the registry does not answer")?;
        if matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            bail!("the registry does not take the login of `registry.user`");
        }
        Ok(answer)
    }

    /// A token of the server that the registry trusts.
    async fn token(&self, fields: &BTreeMap<String, String>, login: Option<&Login>) -> Result<String> {
        let realm = fields
            .get("realm")
            .context("the registry does not say where tokens are")?;
        let mut url = Url::parse(realm).context("the registry says wrongly where tokens are")?;
        // a password goes no way that others can read
        if url.scheme() != "https" && self.base.starts_with("https:") {
            bail!("the registry wants the login sent to {realm}, which is not encrypted");
        }
        for name in ["service", "scope"] {
            if let Some(value) = fields.get(name) {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let mut request = self.http.get(url);
        if let Some(login) = login {
            request = request.basic_auth(&login.user, Some(&login.password));
        }
        let answer = request
            .send()
            .await
            .context("the registry's server of tokens does not answer")?;
        let status = answer.status();
        if !status.is_success() {
            bail!("the registry's server of tokens answered {status}");
        }
        let found: BTreeMap<String, serde_json::Value> = answer.json().await?;
        let token = ["token", "access_token"]
            .iter()
            .find_map(|name| found.get(*name)?.as_str());
        Ok(token.context("the registry's server of tokens gave none")?.to_owned())
    }
}

/// Whether a registry is on this machine's loopback.
fn is_near(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = name.parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The fields of `Bearer realm="..",service="..",scope=".."`; None where another kind of login is wanted.
fn challenge(text: &str) -> Option<BTreeMap<String, String>> {
    let rest = text.strip_prefix("Bearer ")?;
    let mut fields = BTreeMap::new();
    let mut rest = rest;
    // a value may have commas in it
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        fields.insert(name.trim_start_matches([',', ' ']).to_owned(), value.to_owned());
        rest = after;
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_near() {
        for near in ["127.0.0.1:5000", "localhost", "[::1]:5000"] {
            assert!(is_near(near), "{near}");
        }
        for far in ["127.example.org", "10.0.0.1:5000", "registry.example.org"] {
            assert!(!is_near(far), "{far}");
        }
    }

    #[test]
    fn a_challenge_has_fields() {
        let fields =
            challenge(r#"Bearer realm="https://a.org/token",service="r.org", scope="repository:a/b:pull,delete""#);
        let fields = fields.unwrap();
        assert_eq!(fields["realm"], "https://a.org/token");
        assert_eq!(fields["service"], "r.org");
        assert_eq!(fields["scope"], "repository:a/b:pull,delete");
        assert_eq!(challenge("Basic realm=\"x\""), None);
    }
}
