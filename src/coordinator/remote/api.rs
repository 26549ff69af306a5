//! The calls that the coordinator itself makes to a container registry, by the OCI distribution specification. They
//! find out whether an image is there, and delete images. Only engines push and pull.

use crate::config::{NetworkSettings, RegistrySettings};
use crate::domain::address::Address;
use crate::domain::causes::causes;
use crate::domain::confidential::is_loopback;
use crate::domain::login::Login;
use anyhow::{Context, Result, anyhow, bail};
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use std::collections::BTreeMap;
use std::time::Duration;

/// All types of manifests. A registry reports an image as missing if the request does not accept the image's type.
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// A client of one repository in a registry.
pub struct Api {
    http: reqwest::Client,
    base: String,
    login: Option<Login>,
}

impl Api {
    pub fn open(registry: &RegistrySettings, network: &NetworkSettings, repository: &str) -> Result<Self> {
        let (host, path) = repository.split_once('/').context("a repository has a path")?;
        let near = is_near(host);
        // engines do the same: a registry on the loopback interface needs no certificate
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

    /// Returns whether the repository has the image with this digest.
    pub async fn has(&self, digest: &str) -> Result<bool> {
        let answer = self.ask(Method::HEAD, digest).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            status => bail!("the registry answered {status} for {digest}"),
        }
    }

    /// Deletes an image with all its tags. An image that the registry does not have is no error. The registry frees its
    /// layers when it next collects garbage.
    pub async fn delete(&self, digest: &str) -> Result<()> {
        let answer = self.ask(Method::DELETE, digest).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            StatusCode::METHOD_NOT_ALLOWED => {
                bail!("the registry does not allow deletion, so images stay there; set its `storage.delete.enabled`")
            }
            status => bail!("the registry answered {status} to the deletion of {digest}"),
        }
    }

    async fn ask(&self, method: Method, digest: &str) -> Result<Response> {
        let url = format!("{}/{digest}", self.base);
        let request = || self.http.request(method.clone(), &url).header(ACCEPT, MANIFESTS);
        let plain = request().send().await.map_err(|error| self.silent(error))?;
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
        let answer = request.send().await.map_err(|error| self.silent(error))?;
        if matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            bail!("the registry does not accept the login of `registry.user`");
        }
        Ok(answer)
    }

    /// Returns the error for a registry that does not answer. It names the address and the cause.
    fn silent(&self, error: reqwest::Error) -> anyhow::Error {
        let (base, causes) = (Address::new(self.base.as_str()), causes(&error.without_url()));
        anyhow!("the registry does not answer at {base}: {causes}; check that it runs, and `registry.repository`")
    }

    /// Gets a token from the token server that the registry names.
    async fn token(&self, fields: &BTreeMap<String, String>, login: Option<&Login>) -> Result<String> {
        let realm = fields
            .get("realm")
            .context("the registry does not name its token server")?;
        let mut url = Url::parse(realm).context("the registry names a token server that is not a URL")?;
        // never send a password unencrypted
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
        let answer = request.send().await.map_err(|error| {
            let (server, causes) = (Address::new(realm.as_str()), causes(&error.without_url()));
            anyhow!("the registry's token server does not answer at {server}: {causes}")
        })?;
        let status = answer.status();
        if !status.is_success() {
            bail!("the registry's token server answered {status}");
        }
        let body: BTreeMap<String, serde_json::Value> = answer.json().await?;
        let token = ["token", "access_token"]
            .iter()
            .find_map(|name| body.get(*name)?.as_str());
        Ok(token.context("the registry's token server gave no token")?.to_owned())
    }
}

/// Returns whether a registry is on the loopback interface of this machine.
fn is_near(host: &str) -> bool {
    url::Url::parse(&format!("http://{host}")).is_ok_and(|url| is_loopback(&url))
}

/// Returns the fields of `Bearer realm="..",service="..",scope=".."`, or `None` for another kind of login.
fn challenge(text: &str) -> Option<BTreeMap<String, String>> {
    let rest = text.strip_prefix("Bearer ")?;
    let mut fields = BTreeMap::new();
    let mut rest = rest;
    // a value may contain commas
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
