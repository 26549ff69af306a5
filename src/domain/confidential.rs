//! Finds out whether others can read what is sent to an address.

use url::{Host, Url};

/// Returns whether the address uses TLS, or is on this machine.
pub fn is_confidential(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// Returns whether the address is on the loopback interface.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_only_loopback_is_confidential() {
        let is = |url: &str| is_confidential(&Url::parse(url).unwrap());
        for good in [
            "https://login.example.org",
            "http://localhost:5000/",
            "http://127.0.0.1:5000",
            "http://[::1]:1",
        ] {
            assert!(is(good), "{good}");
        }
        for bad in [
            "http://login.example.org",
            "http://127.0.0.1.example.org",
            "http://10.0.0.1",
            "ftp://localhost",
        ] {
            assert!(!is(bad), "{bad}");
        }
    }
}
