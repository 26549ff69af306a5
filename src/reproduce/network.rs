//! What a reproduction takes from the environment of whoever runs it: a CA bundle, an index and proxies.

/// The path of the CA bundle inside a container.
pub(super) const CA: &str = "/ca.crt";

/// A shell command that sets `$ca` to the CA bundle of whoever runs it. It is empty where no bundle is needed.
pub(super) const FIND_CA: &str = "ca=${SSL_CERT_FILE:-${PIP_CERT:-}}";

/// The variables of whoever runs a reproduction that containers get. Docker leaves out those that are not set.
pub(super) const NETWORK: [&str; 7] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "PIP_INDEX_URL",
];
