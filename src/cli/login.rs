//! `pybots login`: saves an access token for a coordinator on another machine.

use super::server::Logins;
use crate::client::Client;
use crate::domain::confidential::is_confidential;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

#[derive(Args)]
pub struct Login {
    /// Address of the coordinator, such as `https://pybots.example.org`.
    #[arg(long, env = "PYBOTS_SERVER", value_name = "URL")]
    server: String,
    /// Remove the saved token of this coordinator instead.
    #[arg(long)]
    forget: bool,
}

impl Login {
    /// Reads an access token from PYBOTS_TOKEN or standard input, checks it, and saves it for later commands. With
    /// `--forget`, removes the saved token.
    pub async fn run(&self) -> Result<ExitCode> {
        let mut logins = Logins::read()?;
        if self.forget {
            logins.keep(&self.server, None)?;
            outln!(
                "the token of {} is forgotten; it stays valid until it is revoked",
                self.server
            );
            return Ok(ExitCode::SUCCESS);
        }
        if sends_openly(&self.server) {
            errln!(
                "warning: {} has no TLS, so everybody on the way can read the token; use https:// if the coordinator has it",
                self.server
            );
        }
        let token = token()?;
        let me = Client::remote(&self.server, Some(&token))?.me().await?;
        let file = logins.keep(&self.server, Some(&token))?;
        outln!("logged in as {} ({})", me.account, roles(&me.roles));
        errln!("the token is kept in {}", file.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns whether a token would travel unencrypted between machines.
fn sends_openly(server: &str) -> bool {
    url::Url::parse(server).is_ok_and(|url| url.scheme() == "http" && !is_confidential(&url))
}

/// Reads the token. It is not an argument, because other users of the machine can read arguments.
fn token() -> Result<String> {
    if let Some(token) = std::env::var("PYBOTS_TOKEN").ok().filter(|token| !token.is_empty()) {
        return Ok(token);
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        errln!("paste your access token, and press Enter:");
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).context("failed to read the token")?;
    match line.trim() {
        "" => bail!("there is no token; a page of the coordinator, /account, issues one"),
        token => Ok(token.to_owned()),
    }
}

fn roles(roles: &[String]) -> String {
    match roles.is_empty() {
        true => "no role".to_owned(),
        false => roles.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stays_on_this_machine_or_travels_over_tls() {
        for server in [
            "http://127.0.0.1:8042",
            "http://localhost",
            "http://[::1]:1",
            "https://x.example",
            "x",
        ] {
            assert!(!sends_openly(server), "{server}");
        }
        for server in [
            "http://x.example",
            "http://10.0.0.1:8042",
            "http://localhost.example",
            "http://[fd00::1]",
        ] {
            assert!(sends_openly(server), "{server}");
        }
    }
}
