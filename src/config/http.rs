//! `[http]`: the names of the coordinator, and the limits of its connections.

use crate::domain::access::{CHANGES_PER_MINUTE, WRONG_TOKENS_PER_MINUTE};
use crate::domain::limits::Seconds;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Names under which browsers and hosts call the coordinator, besides `localhost` and addresses.
    pub names: Vec<String>,
    /// Addresses of reverse proxies, whose header `X-Forwarded-For` names the client.
    pub proxies: Vec<IpAddr>,
    /// The most connections at the same time. The limit of open files may allow fewer.
    pub connections: usize,
    /// The most connections of one address, unless it belongs to a host, to a proxy or to this machine.
    pub connections_per_address: usize,
    /// The most growing logs that one address can follow at the same time.
    pub log_readers_per_address: usize,
    /// The most wrong access tokens of one address in a minute. Further tries get the response 429.
    pub wrong_tokens_per_minute: NonZeroU32,
    /// The most changes of one account in a minute.
    pub changes_per_minute: NonZeroU32,
    /// The address at which people reach the pages, such as `https://pybots.example.org`. If it begins with `https://`,
    /// browsers send the cookies of sessions over TLS only.
    pub url: String,
    /// The certificate (PEM), followed by its issuers' certificates. If it is set, the coordinator serves TLS.
    pub tls_certificate: PathBuf,
    /// The private key of that certificate (PEM).
    pub tls_key: PathBuf,
    /// Whether everybody may read pages and results without a login.
    pub public_read: bool,
    /// The time without a complete request after which a connection is closed.
    pub idle: Seconds,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            proxies: Vec::new(),
            connections: 4096,
            connections_per_address: 64,
            log_readers_per_address: 20,
            wrong_tokens_per_minute: WRONG_TOKENS_PER_MINUTE,
            changes_per_minute: CHANGES_PER_MINUTE,
            url: String::new(),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            public_read: true,
            idle: Seconds(30),
        }
    }
}

impl HttpSettings {
    /// Checks the values. The error says what to write instead.
    pub(super) fn sane(&self) -> Result<(), String> {
        if let Some(bad) = self.names.iter().find(|name| !is_name(name)) {
            return Err(format!(
                "`http.names` can't have {bad:?}; write names without scheme, port and path: `pybots.example.org`"
            ));
        }
        for (key, value) in [
            ("connections", self.connections),
            ("connections_per_address", self.connections_per_address),
            ("log_readers_per_address", self.log_readers_per_address),
        ] {
            if value == 0 {
                return Err(format!("`http.{key}` must be at least 1"));
            }
        }
        if !self.url.is_empty() && self.name_of_url().is_none() {
            return Err(format!(
                "`http.url` can't be {:?}; write one such as `https://pybots.example.org`",
                self.url
            ));
        }
        let is_set = |path: &Path| !path.as_os_str().is_empty();
        match (is_set(&self.tls_certificate), is_set(&self.tls_key)) {
            (true, false) => {
                return Err("`http.tls_certificate` is set, and `http.tls_key` is not; set both or neither".to_owned());
            }
            (false, true) => {
                return Err("`http.tls_key` is set, and `http.tls_certificate` is not; set both or neither".to_owned());
            }
            (true, true) if !self.url.is_empty() && !self.is_https() => {
                return Err(format!(
                    "the coordinator speaks TLS (`http.tls_certificate`), so `http.url` can't be {:?}; write it with https://",
                    self.url
                ));
            }
            _ => {}
        }
        match self.idle.0 {
            0 => Err("`http.idle` must be at least 1s".to_owned()),
            _ => Ok(()),
        }
    }

    /// Returns whether people reach the pages over TLS, from the coordinator itself or from a proxy.
    pub fn is_tls(&self) -> bool {
        self.tls().is_some() || self.is_https()
    }

    /// Returns the files of the certificate and of its key, or `None` if the coordinator serves no TLS itself.
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        let is_set = !self.tls_certificate.as_os_str().is_empty();
        is_set.then_some((&self.tls_certificate, &self.tls_key))
    }

    /// Returns the URL at which a program reaches the coordinator's own server. It is `url` if the coordinator serves
    /// TLS itself and `url` is set, otherwise one with `address` and without a path.
    pub fn own_url(&self, address: SocketAddr) -> String {
        match self.tls() {
            None => format!("http://{address}"),
            // a certificate is valid for a name, and usually not for an address
            Some(_) if !self.url.is_empty() => self.url.trim_end_matches('/').to_owned(),
            Some(_) => format!("https://{address}"),
        }
    }

    fn is_https(&self) -> bool {
        url::Url::parse(&self.url).is_ok_and(|url| url.scheme() == "https")
    }

    /// Returns the host name in `url`, or `None` if `url` is empty or neither http nor https.
    fn name_of_url(&self) -> Option<String> {
        let url = url::Url::parse(&self.url).ok()?;
        let is_web = ["http", "https"].contains(&url.scheme());
        url.host_str().filter(|_| is_web).map(str::to_owned)
    }

    /// Returns whether the coordinator responds under `host`, the host of a URL or of the header `Host`, without the
    /// port. A page of another site can let its own name point here (DNS rebinding), but the browser then sends that
    /// name. It never sends an address, so addresses are safe.
    pub fn answers_to(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if bare.unwrap_or(host).parse::<IpAddr>().is_ok() {
            return true;
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let is_local = host == "localhost" || host.ends_with(".localhost");
        is_local
            || self.name_of_url().is_some_and(|name| name.eq_ignore_ascii_case(&host))
            || self
                .names
                .iter()
                .any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(&host))
    }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= 253 && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_and_all_addresses_are_answered() {
        let settings = HttpSettings {
            names: vec!["pybots.example.org".into()],
            ..HttpSettings::default()
        };
        for own in [
            "localhost",
            "LocalHost.",
            "x.localhost",
            "127.0.0.1",
            "10.1.2.3",
            "[::1]",
            "pybots.example.org",
            "PYBOTS.example.org.",
        ] {
            assert!(settings.answers_to(own), "{own}");
        }
        for foreign in [
            "",
            "evil.example.org",
            "pybots.example.org.evil.example",
            "127.0.0.1.evil.example",
            "notlocalhost",
            "example.org",
            "[evil]",
            "0x7f000001.evil.example",
        ] {
            assert!(!settings.answers_to(foreign), "{foreign}");
        }
    }

    #[test]
    fn tls_needs_both_files_and_an_address_that_says_so() {
        let of = |certificate: &str, key: &str, url: &str| HttpSettings {
            tls_certificate: certificate.into(),
            tls_key: key.into(),
            url: url.into(),
            ..HttpSettings::default()
        };
        for (certificate, key, url, expected) in [
            ("c", "", "", "`http.tls_key` is not"),
            ("", "k", "", "`http.tls_certificate` is not"),
            ("c", "k", "http://x.example", "write it with https://"),
        ] {
            let error = of(certificate, key, url).sane().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let address = "127.0.0.1:1".parse().unwrap();
        for (settings, url, is_tls) in [
            (of("", "", ""), "http://127.0.0.1:1", false),
            // a proxy speaks TLS
            (of("", "", "https://x.example"), "http://127.0.0.1:1", true),
            (of("c", "k", ""), "https://127.0.0.1:1", true),
            (of("c", "k", "https://x.example/"), "https://x.example", true),
        ] {
            settings.sane().unwrap();
            assert_eq!((settings.own_url(address).as_str(), settings.is_tls()), (url, is_tls));
        }
    }

    #[test]
    fn a_name_is_no_url() {
        for bad in ["", "https://x.example", "x.example:80", "x.example/", "a b", "*"] {
            let settings = HttpSettings {
                names: vec![bad.into()],
                ..HttpSettings::default()
            };
            assert!(settings.sane().unwrap_err().contains("http.names"), "{bad}");
        }
        let none = HttpSettings {
            connections: 0,
            ..HttpSettings::default()
        };
        assert!(none.sane().unwrap_err().contains("http.connections"));
        HttpSettings::default().sane().unwrap();
    }
}
