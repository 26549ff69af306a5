//! `[network]`: how containers reach the network.

use crate::domain::address::{Address, Secrets};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Given to the containers that may use the network; never part of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// CA bundle (PEM). Defaults to `SSL_CERT_FILE`, then to `PIP_CERT`.
    pub ca: PathBuf,
    pub http_proxy: Address,
    pub https_proxy: Address,
    pub no_proxy: String,
    /// Package index (Simple API). Defaults to `PIP_INDEX_URL`, then to the public one.
    pub index: Address,
}

impl NetworkSettings {
    /// Masks the logins of proxies and index in a text that a program printed which had them.
    pub fn mask_in(&self, text: &str) -> String {
        let addresses = [&self.http_proxy, &self.https_proxy, &self.index];
        addresses
            .iter()
            .fold(text.to_owned(), |text, address| address.mask_in(&text))
    }

    /// The logins of proxies and index.
    pub fn secrets(&self) -> Secrets {
        Secrets::of([&self.http_proxy, &self.https_proxy, &self.index])
    }

    /// The environment variables of a container that may use the network. `ca` is the path of the bundle inside it.
    pub fn environment(&self, ca: Option<&str>) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        let mut set = |names: &[&str], value: &str| {
            if !value.is_empty() {
                env.extend(names.iter().map(|name| ((*name).to_owned(), value.to_owned())));
            }
        };
        set(&["http_proxy", "HTTP_PROXY"], self.http_proxy.with_login());
        set(&["https_proxy", "HTTPS_PROXY"], self.https_proxy.with_login());
        set(&["no_proxy", "NO_PROXY"], &self.no_proxy);
        set(&["PIP_INDEX_URL", "UV_DEFAULT_INDEX"], self.index.with_login());
        set(
            &[
                "SSL_CERT_FILE",
                "PIP_CERT",
                "REQUESTS_CA_BUNDLE",
                "CURL_CA_BUNDLE",
                "GIT_SSL_CAINFO",
            ],
            ca.unwrap_or_default(),
        );
        env
    }
}
