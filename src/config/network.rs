//! `[network]`: how containers reach the network.

use crate::domain::address::{Address, Secrets};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// The variables by which programs find the CA bundle.
const CA_VARIABLES: [&str; 5] = [
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
];

/// The way in which containers with network access reach the network. It is never part of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// CA bundle (PEM). Defaults to `SSL_CERT_FILE`, then to `PIP_CERT`.
    pub ca: PathBuf,
    pub http_proxy: Address,
    pub https_proxy: Address,
    pub no_proxy: String,
    /// Package index (Simple API). Defaults to `PIP_INDEX_URL`, then to `UV_INDEX_URL`, then to the public index.
    pub index: Address,
    /// Targets that runs may reach besides public addresses: host names (`.example.org` for all below it), addresses
    /// and networks.
    pub allow: Vec<String>,
}

impl NetworkSettings {
    /// Masks the logins of the proxies and of the index in the output of a program that had them.
    pub fn mask_in(&self, text: &str) -> String {
        let addresses = [&self.http_proxy, &self.https_proxy, &self.index];
        addresses
            .iter()
            .fold(text.to_owned(), |text, address| address.mask_in(&text))
    }

    /// Returns the logins of the proxies and of the index.
    pub fn secrets(&self) -> Secrets {
        Secrets::of([&self.http_proxy, &self.https_proxy, &self.index])
    }

    /// Returns the environment variables, with logins, for a program that runs no third-party code, such as the build
    /// of a base image. `ca` is the path of the CA bundle.
    pub fn with_logins(&self, ca: Option<&str>) -> BTreeMap<String, String> {
        let mut env = Variables::default();
        env.set(&["http_proxy", "HTTP_PROXY"], self.http_proxy.with_login());
        env.set(&["https_proxy", "HTTPS_PROXY"], self.https_proxy.with_login());
        env.set(&["no_proxy", "NO_PROXY"], &self.no_proxy);
        env.set(&["PIP_INDEX_URL", "UV_DEFAULT_INDEX"], self.index.with_login());
        env.set(&CA_VARIABLES, ca.unwrap_or_default());
        env.0
    }

    /// Returns the settings of the gateway, the proxy between third-party code and the network. `ca` is the name of the
    /// CA bundle in its folder. `near` lists addresses and networks that are refused although they are public.
    pub fn of_gateway(&self, ca: Option<&str>, near: &[String]) -> serde_json::Value {
        serde_json::json!({
            "allow": self.allow,
            "near": near,
            "index": self.index.with_login(),
            "http_proxy": self.http_proxy.with_login(),
            "https_proxy": self.https_proxy.with_login(),
            "no_proxy": self.no_proxy,
            "ca": ca,
        })
    }

    /// Returns the environment variables of a container that reaches the network through a proxy, which adds the
    /// logins. `ca` is the path of the CA bundle in the container. The proxy can add a login to plain HTTP only. An
    /// index with a login therefore has an `http` address in the container; the proxy itself uses TLS.
    pub fn behind_proxy(&self, proxy: &str, ca: Option<&str>) -> BTreeMap<String, String> {
        let mut env = Variables::default();
        env.set(&["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"], proxy);
        let index = self.index.without_login();
        // the container must reach an index on this machine's loopback address through the proxy too
        let own = ["localhost", "127.0.0.1", "::1"]
            .into_iter()
            .filter(|host| !index.contains(host));
        env.set(&["no_proxy", "NO_PROXY"], &own.collect::<Vec<_>>().join(","));
        match Secrets::of([&self.index]).is_empty() {
            true => env.set(&["PIP_INDEX_URL", "UV_DEFAULT_INDEX"], &index),
            false => {
                let place = index.split_once("://").map_or(index.as_str(), |(_, place)| place);
                env.set(&["PIP_INDEX_URL", "UV_DEFAULT_INDEX"], &format!("http://{place}"));
                let host = place.split('/').next().unwrap_or_default();
                env.set(&["PIP_TRUSTED_HOST"], host); // pip asks for it, since it sees no TLS
            }
        }
        env.set(&CA_VARIABLES, ca.unwrap_or_default());
        env.0
    }

    /// Checks that all programs understand the addresses in the same way, that proxies use plain HTTP, and that `allow`
    /// contains only names, addresses and networks. No message quotes an address, because it may contain a login.
    pub(super) fn sane(&self) -> Result<(), String> {
        let proxies = [("http_proxy", &self.http_proxy), ("https_proxy", &self.https_proxy)];
        let parses =
            |text: &str| url::Url::parse(text).is_ok_and(|url| url.has_host() && url.scheme().starts_with("http"));
        for (key, proxy) in proxies {
            let text = proxy.with_login();
            let text = if text.contains("://") {
                text.to_owned()
            } else {
                format!("http://{text}")
            };
            let is_plain = parses(&text) && text.starts_with("http://");
            if !proxy.is_empty() && !is_plain {
                return Err(format!(
                    "`network.{key}` is no address of a proxy such as \"http://proxy.example.org:3128\"; percent-encode special \
                     characters of its login, and name a proxy without TLS"
                ));
            }
        }
        if !self.index.is_empty() && !parses(self.index.with_login()) {
            return Err("`network.index` is no address such as \"https://index.example.org/simple/\"; percent-encode special characters \
                        of its login"
                .to_owned());
        }
        let wrong = self.allow.iter().find(|entry| !is_destination(entry));
        match wrong {
            Some(entry) => Err(format!(
                "`network.allow` has {entry:?}; write a name such as \"git.example.org\" or \".example.org\", an address, or a network \
                 such as \"10.1.0.0/16\", without scheme, port and path"
            )),
            None => Ok(()),
        }
    }
}

#[derive(Default)]
struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Sets variables to a value, unless it is empty.
    fn set(&mut self, names: &[&str], value: &str) {
        if !value.is_empty() {
            let named = names.iter().map(|name| ((*name).to_owned(), value.to_owned()));
            self.0.extend(named);
        }
    }
}

fn is_destination(entry: &str) -> bool {
    let is_name = |name: &str| {
        let name = name.strip_prefix('.').unwrap_or(name);
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !name.is_empty() && name.chars().all(fits)
    };
    match entry.split_once('/') {
        Some((address, bits)) => match (address.parse::<IpAddr>(), bits.parse::<u8>()) {
            (Ok(IpAddr::V4(_)), Ok(bits)) => bits <= 32,
            (Ok(IpAddr::V6(_)), Ok(bits)) => bits <= 128,
            _ => false,
        },
        None => entry.parse::<IpAddr>().is_ok() || is_name(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_get_no_login() {
        let settings = NetworkSettings {
            http_proxy: "http://me:secret@proxy.example.org:8080".into(),
            https_proxy: "http://me:secret@proxy.example.org:8080".into(),
            index: "https://me:secret@index.example.org/simple/".into(),
            ..NetworkSettings::default()
        };
        let env = settings.behind_proxy("http://127.0.0.1:1", Some("/ca"));
        let all = format!("{env:?}");
        assert!(!all.contains("secret") && !all.contains("me:"), "{all}");
        assert_eq!(env["PIP_INDEX_URL"], "http://index.example.org/simple/");
        assert_eq!(env["PIP_TRUSTED_HOST"], "index.example.org");
        assert_eq!((&*env["https_proxy"], &*env["PIP_CERT"]), ("http://127.0.0.1:1", "/ca"));
        assert!(settings.of_gateway(None, &[]).to_string().contains("me:secret@index"));

        let open = NetworkSettings {
            index: "https://index.example.org/simple".into(),
            ..NetworkSettings::default()
        };
        let env = open.behind_proxy("http://127.0.0.1:1", None);
        assert_eq!(env["PIP_INDEX_URL"], "https://index.example.org/simple");
        assert!(!env.contains_key("PIP_TRUSTED_HOST") && !env.contains_key("PIP_CERT"));
    }

    #[test]
    fn an_address_that_programs_read_differently_is_refused_and_not_quoted() {
        let sane = |index: &str, proxy: &str| {
            let settings = NetworkSettings {
                index: index.into(),
                https_proxy: proxy.into(),
                ..NetworkSettings::default()
            };
            settings.sane()
        };
        assert_eq!(
            sane(
                "https://me:p%2Fw@index.example.org/simple/",
                "me:secret@proxy.example.org:1"
            ),
            Ok(())
        );
        for (index, proxy) in [
            ("https://me:p/w@index.example.org/", ""),
            ("https://index.example.org:84433/", ""),
            ("index.example.org", ""),
            ("file:///srv/index", ""),
            ("", "https://me:p@proxy.example.org"),
            ("", "http://me:p/w@proxy.example.org"),
        ] {
            let error = sane(index, proxy).unwrap_err();
            assert!(
                error.contains("network.") && !error.contains("me:") && !error.contains("p/w"),
                "{error}"
            );
        }
    }

    #[test]
    fn exceptions_are_names_addresses_and_networks() {
        let sane = |entry: &str| {
            let settings = NetworkSettings {
                allow: vec![entry.to_owned()],
                ..NetworkSettings::default()
            };
            settings.sane()
        };
        for entry in [
            "git.example.org",
            ".example.org",
            "10.0.0.7",
            "10.0.0.0/8",
            "fd00::/8",
            "fd00::1",
            "git_1",
        ] {
            assert_eq!(sane(entry), Ok(()), "{entry}");
        }
        for entry in [
            "",
            ".",
            "https://git.example.org",
            "git.example.org:80",
            "a/b",
            "10.0.0.0/33",
            "fd00::/129",
            "*.example.org",
        ] {
            assert!(sane(entry).is_err(), "{entry}");
        }
    }
}
