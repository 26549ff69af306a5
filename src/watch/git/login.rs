//! Passes the login of a repository to git in its environment, because every user of the machine can see the arguments
//! of a process.

use crate::domain::address::Address;
use tokio::process::Command;

/// A credential helper that answers from the environment. It replaces the machine's own helper.
const HELPER: [&str; 4] = [
    "-c",
    "credential.helper=",
    "-c",
    "credential.helper=!f() { printf 'username=%s\\npassword=%s\\n' \"$PYBOTS_GIT_USER\" \"$PYBOTS_GIT_PASSWORD\"; }; f",
];

/// Prepares a command for a repository. Returns the address for its arguments. The login is removed only from an HTTP
/// address.
pub fn apart(command: &mut Command, url: &Address) -> String {
    match url.apart() {
        (shown, Some(login)) if shown.starts_with("http") => {
            command
                .args(HELPER)
                .env("PYBOTS_GIT_USER", login.user)
                .env("PYBOTS_GIT_PASSWORD", login.password);
            shown
        }
        _ => url.with_login().to_owned(),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use std::io::{Read, Write};

    /// Serves as a git server that asks for a login. Returns the head of the first request with a login. Checks at each
    /// request that no process has the secret in its arguments.
    pub fn serve(listener: &std::net::TcpListener, secret: &str) -> String {
        loop {
            let (mut connection, _) = listener.accept().unwrap();
            let (mut head, mut part) = (Vec::new(), [0; 4096]);
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                let length = connection.read(&mut part).unwrap();
                assert!(length > 0);
                head.extend_from_slice(&part[..length]);
            }
            for process in std::fs::read_dir("/proc").unwrap().flatten() {
                let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                let arguments = String::from_utf8_lossy(&arguments).into_owned();
                assert!(!arguments.contains(secret), "{arguments}");
            }
            let head = String::from_utf8(head).unwrap();
            let has_login = head.to_lowercase().contains("authorization:");
            let status = if has_login { "404 Not Found" } else { "401 Unauthorized" };
            let more = "WWW-Authenticate: Basic realm=\"x\"\r\nConnection: close\r\nContent-Length: 0";
            write!(connection, "HTTP/1.1 {status}\r\n{more}\r\n\r\n").unwrap();
            if has_login {
                return head;
            }
        }
    }

    #[tokio::test]
    async fn git_gets_the_login_and_its_arguments_have_none() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://hal9000:v3ry-s3cr%40t@{}/x", listener.local_addr().unwrap());
        let server = tokio::task::spawn_blocking(move || serve(&listener, "v3ry-s3cr"));
        let mut command = Command::new("git");
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("no_proxy", "*")
            .kill_on_drop(true);
        let shown = apart(&mut command, &Address::new(url));
        command.args(["ls-remote", "--", &shown]);
        let arguments = format!("{:?}", command.as_std().get_args().collect::<Vec<_>>());
        assert!(
            !arguments.contains("hal9000") && !arguments.contains("s3cr"),
            "{arguments}"
        );
        let output = command.output().await.unwrap();
        assert!(!output.status.success());
        let basic = BASE64_STANDARD.encode("hal9000:v3ry-s3cr@t");
        let head = server.await.unwrap();
        assert!(head.contains(&format!("Basic {basic}")), "{head}");
    }

    #[test]
    fn other_addresses_stay_what_they_are() {
        for text in [
            "https://h.org/x",
            "ssh://git@h.org/x",
            "git@h.org:x",
            "/a/folder",
            "file:///x",
        ] {
            let mut command = Command::new("git");
            assert_eq!(apart(&mut command, &Address::new(text)), text);
            assert_eq!(command.as_std().get_args().count(), 0);
        }
    }
}
