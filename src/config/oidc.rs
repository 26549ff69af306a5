//! `[oidc]`: the identity provider by which people log in.

use crate::domain::access::NewAccounts;
use crate::domain::confidential::is_confidential;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use url::Url;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OidcSettings {
    /// The address of the provider (OpenID Connect). If empty, people log in with access tokens only.
    pub issuer: String,
    /// The id of this coordinator at the provider.
    pub client_id: String,
    /// A file with the secret that the provider issued to this coordinator.
    pub client_secret_file: PathBuf,
    /// The name of the provider on the login button.
    pub name: String,
    /// Whether people without an account get one when they log in.
    pub accounts: NewAccounts,
}

impl Default for OidcSettings {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            client_id: String::new(),
            client_secret_file: PathBuf::new(),
            name: "single sign-on".to_owned(),
            accounts: NewAccounts::default(),
        }
    }
}

/// The most characters of the name on the button.
const NAME_MOST: usize = 40;

impl OidcSettings {
    pub fn is_on(&self) -> bool {
        !self.issuer.is_empty()
    }

    /// Returns whether the provider is on this machine, and serves no TLS.
    pub fn is_plain(&self) -> bool {
        Url::parse(&self.issuer).is_ok_and(|url| url.scheme() == "http")
    }

    /// Checks the values. `http_url` is the setting `http.url`, to which the provider redirects browsers.
    pub(super) fn sane(&self, http_url: &str) -> Result<(), String> {
        if !self.is_on() {
            return match self.client_id.is_empty() && self.client_secret_file.as_os_str().is_empty() {
                true => Ok(()),
                false => Err("`oidc.issuer` is not set; name the address of the identity provider".to_owned()),
            };
        }
        if !is_issuer(&self.issuer) {
            return Err(format!(
                "`oidc.issuer` can't be {:?}; write an address such as `https://login.example.org`, without login and query; http:// is \
                 for loopback only",
                self.issuer
            ));
        }
        if self.client_id.is_empty() {
            return Err("`oidc.client_id` is not set; the identity provider gives it to this coordinator".to_owned());
        }
        if self.client_secret_file.as_os_str().is_empty() {
            return Err(
                "`oidc.client_secret_file` is not set; write the client's secret into a file, and name it".to_owned(),
            );
        }
        if self.name.trim().is_empty() || self.name.chars().count() > NAME_MOST {
            return Err(format!("`oidc.name` has 1 to {NAME_MOST} characters"));
        }
        if http_url.is_empty() {
            return Err("`oidc` needs `http.url`: the identity provider sends people back to it".to_owned());
        }
        match Url::parse(http_url).is_ok_and(|url| is_confidential(&url)) {
            true => Ok(()),
            false => Err(format!(
                "`oidc` needs an `http.url` with https://, and it is {http_url:?}: without TLS, others can read and set the cookies of a login"
            )),
        }
    }
}

fn is_issuer(issuer: &str) -> bool {
    let Ok(url) = Url::parse(issuer) else {
        return false;
    };
    let is_bare = url.username().is_empty() && url.password().is_none();
    let is_bare = is_bare && url.query().is_none() && url.fragment().is_none();
    is_bare && url.has_host() && is_confidential(&url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let good = OidcSettings {
            issuer: "https://login.example.org/realm".into(),
            client_id: "pybots".into(),
            client_secret_file: "/run/secret".into(),
            ..OidcSettings::default()
        };
        let url = "https://pybots.example.org";
        OidcSettings::default().sane("").unwrap();
        good.sane(url).unwrap();
        good.sane("http://localhost:8010").unwrap();
        for wrong in ["", "http://pybots.example.org"] {
            assert!(good.sane(wrong).unwrap_err().contains("http.url"));
        }
        let with = |change: fn(&mut OidcSettings)| {
            let mut settings = good.clone();
            change(&mut settings);
            settings.sane(url).unwrap_err()
        };
        for (key, error) in [
            ("oidc.issuer", with(|settings| settings.issuer.clear())),
            ("oidc.client_id", with(|settings| settings.client_id.clear())),
            (
                "oidc.client_secret_file",
                with(|settings| settings.client_secret_file = PathBuf::new()),
            ),
            ("oidc.name", with(|settings| settings.name = "x".repeat(NAME_MOST + 1))),
        ] {
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn an_issuer_is_a_bare_address() {
        assert!(is_issuer("https://login.example.org/realm"));
        assert!(is_issuer("http://localhost:5000/"));
        for bad in [
            "login.example.org",
            "http://login.example.org",
            "https://me:secret@login.example.org",
            "https://login.example.org/?a=b",
            "https://login.example.org/#a",
        ] {
            assert!(!is_issuer(bad), "{bad}");
        }
    }
}
