//! Tests that need the network.

use super::Faults;
use crate::domain::pattern::{is_match, pattern};
use crate::domain::results::Failure;
use crate::recipe::propose::write;
use std::collections::BTreeMap;

/// The most cases of a parametrized test to deselect one by one. Beyond that, the whole test is deselected.
const CASES_MOST: usize = 3;

pattern!(
    NO_NETWORK,
    r"(?i)name resolution|name or service not|no address associated with hostname|nodename nor servname|getaddrinfo failed|network is unreachable|gaierror|NameResolutionError|could not resolve host"
);
pattern!(
    NO_CONNECTION,
    r"(?i)Cannot connect to host|Max retries exceeded|Connection refused|timed out"
);
pattern!(ON_LOOPBACK, r"(?i)localhost|127\.0\.0\.\d|\[?::1\]?|0\.0\.0\.0");
pattern!(HAS_ADDRESS, r"(?i)https?://|host=|Cannot connect to host");

/// Returns whether an error comes from the missing network. An error of a server on loopback does not, because every
/// suite may have one.
pub(super) fn is_of_network(message: &str) -> bool {
    let is_remote = || is_match(&NO_CONNECTION, message) && is_match(&HAS_ADDRESS, message);
    is_match(&NO_NETWORK, message) || (is_remote() && !is_match(&ON_LOOPBACK, message))
}

impl Faults<'_> {
    /// Deselects tests that need the network, which no suite has.
    pub(super) fn network(&mut self, failed: &[Failure]) {
        let failed: Vec<&Failure> = failed
            .iter()
            .filter(|failure| is_of_network(&failure.message))
            .collect();
        let mut cases: BTreeMap<&str, usize> = BTreeMap::new();
        for failure in &failed {
            *cases
                .entry(failure.test.split('[').next().unwrap_or_default())
                .or_default() += 1;
        }
        for failure in &failed {
            let whole = failure.test.split('[').next().unwrap_or_default();
            let many = cases.get(whole).copied().unwrap_or_default() > CASES_MOST;
            let named = if many { whole } else { failure.test.as_str() };
            let reason = format!("it needs the network: {}", write::line(&failure.message));
            self.leave_out(named, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_network_differs_from_one_of_loopback() {
        for (message, is) in [
            ("OSError: [Errno -5] No address associated with hostname", true),
            ("OSError: [Errno 101] Network is unreachable", true),
            (
                "ConnectionError: HTTPConnectionPool(host='example.org', port=80): Max retries exceeded with url: /",
                true,
            ),
            (
                "aiohttp.ClientConnectorError: Cannot connect to host example.org:443",
                true,
            ),
            (
                "ConnectionError: HTTPConnectionPool(host='127.0.0.1', port=80): Max retries exceeded with url: /",
                false,
            ),
            ("ConnectionRefusedError: [Errno 111] Connection refused", false),
        ] {
            assert_eq!(is_of_network(message), is, "{message}");
        }
    }
}
