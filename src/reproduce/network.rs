//! The parts of a user's environment that a reproduction uses: a CA bundle, an index and proxies.

/// The path of the CA bundle inside a container.
pub(super) const CA: &str = "/ca.crt";

/// A shell command that sets `$ca` to the CA bundle of the user. The variable is empty where no bundle is needed.
pub(super) const FIND_CA: &str = "ca=${SSL_CERT_FILE:-${PIP_CERT:-}}";

/// Returns a shell command that sets `$@` to options of `docker run`: index and proxies of the user. Their logins are
/// left out, because the container runs strangers' code and has a network.
pub(super) fn find_network() -> String {
    let names = NETWORK.join(" ");
    format!(
        "set --; for name in {names}; do \
         set -- \"$@\" --env \"$name=$(printenv \"$name\" | sed -E 's,^([A-Za-z]+://)?[^/]*@,\\1,')\"; done"
    )
}

/// The variables of the user's environment that containers get. Where the user has not set one, a build does not get
/// it, and `docker run` gets it empty.
pub(super) const NETWORK: [&str; 7] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "PIP_INDEX_URL",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn containers_get_addresses_without_logins() {
        let script = format!("set -eu\n{}\nfor word do echo \"$word\"; done", find_network());
        let output = Command::new("sh")
            .args(["-c", &script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("PIP_INDEX_URL", "https://reader:p@ss@index.example/simple/@x")
            .env("http_proxy", "user:pass@proxy.example:3128")
            .env("HTTPS_PROXY", "http://proxy.example:3128")
            .env("no_proxy", "localhost,.example")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let values: Vec<&str> = text.lines().filter(|line| *line != "--env").collect();
        assert_eq!(
            values,
            [
                "http_proxy=proxy.example:3128",
                "https_proxy=",
                "no_proxy=localhost,.example",
                "HTTP_PROXY=",
                "HTTPS_PROXY=http://proxy.example:3128",
                "NO_PROXY=",
                "PIP_INDEX_URL=https://index.example/simple/@x",
            ]
        );
    }
}
