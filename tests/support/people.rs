//! People with accounts, for tests of the front door.

use super::sim::Sim;
use pybots::access::{self, Actor, TokenRequest};
use pybots::clock::now;
use pybots::domain::access::Roles;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Somebody with an account, and a home of its own.
pub struct Person {
    pub token: String,
    pub home: tempfile::TempDir,
    pub server: String,
}

/// What a command printed.
pub struct Printed {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Adds an account with roles, and issues a token for it.
pub async fn person(sim: &Sim, server: &str, name: &str, roles: &str) -> Person {
    let store = &sim.coordinator().store;
    let operator = Actor::local("test");
    let roles: Roles = roles.parse().unwrap();
    let mail = format!("{name}@example.org");
    access::add(store, &operator, (name, &mail), &roles, now())
        .await
        .unwrap();
    let request = TokenRequest {
        account: name.to_owned(),
        name: "test".to_owned(),
        permissions: None,
        days: 1,
    };
    let (_, secret) = access::issue(store, &operator, &request, now()).await.unwrap();
    Person {
        token: secret.secret().to_owned(),
        home: tempfile::tempdir().unwrap(),
        server: server.to_owned(),
    }
}

impl Person {
    /// Runs a command in the person's home, with a text on its standard input.
    pub async fn types(&self, arguments: &[&str], input: &str) -> Printed {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pybots"));
        let home = self.home.path();
        command.args(arguments).current_dir(home).env("HOME", home);
        for name in ["PYBOTS_TOKEN", "PYBOTS_SERVER", "XDG_CONFIG_HOME", "PYBOTS_CONFIG"] {
            command.env_remove(name);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = tokio::time::timeout(Duration::from_secs(90), child.wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("{arguments:?} does not end")).unwrap();
        Printed {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub async fn ok(&self, arguments: &[&str]) -> String {
        let printed = self.types(arguments, "").await;
        assert_eq!(printed.code, 0, "{arguments:?}: {}{}", printed.out, printed.err);
        printed.out
    }

    pub async fn logs_in(&self) -> &Self {
        let printed = self.types(&["login", "--server", &self.server], &self.token).await;
        assert_eq!(printed.code, 0, "{}", printed.err);
        self
    }

    pub fn writes(&self, file: &str, text: &str) {
        std::fs::write(self.home.path().join(file), text).unwrap();
    }

    /// A call of the API: its status and its JSON.
    pub async fn calls(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method: reqwest::Method = method.parse().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.request(method, format!("{}/api/v1/{path}", self.server));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }
}

/// The text of a good recipe.
pub fn recipe(name: &str, more: &str) -> String {
    format!("name = \"{name}\"\n{more}source = {{ pypi = \"{name}\" }}\n[[suite]]\nname = \"suite\"\nrun = \"true\"\n")
}

pub fn mode(file: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}
