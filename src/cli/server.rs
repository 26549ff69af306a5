//! The coordinator that a command uses: a coordinator at an address, or the one whose store is on this machine.

use super::files::write_private;
use super::open;
use crate::client::Client;
use crate::config::Settings;
use crate::store::logs::Objects;
use crate::web::Web;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The coordinator to use. Without an address, a command works on the store of the settings.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerOption {
    /// Address of the coordinator, such as `https://pybots.example.org`; `pybots login` saves a token for it. Without
    /// an address, the command works on the coordinator of this machine's settings.
    #[arg(long, global = true, env = "PYBOTS_SERVER", value_name = "URL")]
    pub server: Option<String>,
}

impl ServerOption {
    /// Returns a client of the chosen coordinator. `name` is the author of changes on this machine, where nobody logs
    /// in; by default it is the user's name.
    pub async fn client(&self, settings: &Settings, name: Option<&str>) -> Result<Client> {
        match &self.server {
            Some(server) => remote(server),
            None => local(settings, name).await,
        }
    }

    /// Returns the address and a client of a remote coordinator. Without an address in the command, this is the only
    /// coordinator with a saved token. Fails if there are several or none.
    pub fn remote(&self) -> Result<(String, Client)> {
        let server = match &self.server {
            Some(server) => server.clone(),
            None => only_login(&Logins::read()?)?,
        };
        Ok((server.clone(), remote(&server)?))
    }
}

fn remote(server: &str) -> Result<Client> {
    Client::remote(server, token_for(server)?.as_deref())
}

/// Returns the access token for a coordinator, from PYBOTS_TOKEN or from `pybots login`. Returns `None` if there is
/// none.
pub fn token_for(server: &str) -> Result<Option<String>> {
    match std::env::var("PYBOTS_TOKEN") {
        Ok(token) if !token.is_empty() => Ok(Some(token)),
        _ => Ok(Logins::read()?.0.get(&key(server)).cloned()),
    }
}

async fn local(settings: &Settings, name: Option<&str>) -> Result<Client> {
    let web = Web::open(
        open::store(settings).await?,
        Objects::open(&settings.data)?,
        settings.trust(),
    );
    let user = || std::env::var("USER").unwrap_or_else(|_| "local".to_owned());
    Ok(Client::local(web, &name.map_or_else(user, str::to_owned)))
}

fn only_login(logins: &Logins) -> Result<String> {
    let mut servers = logins.0.keys();
    match (servers.next(), servers.next()) {
        (Some(server), None) => Ok(server.clone()),
        (None, _) => bail!("name the coordinator with `--server URL`, or log in with `pybots login --server URL`"),
        (Some(_), Some(_)) => bail!(
            "you are logged in at {}; choose one with `--server URL`",
            logins.0.keys().cloned().collect::<Vec<_>>().join(" and ")
        ),
    }
}

/// Returns the key of a coordinator in the saved tokens: its address without a slash at the end.
fn key(server: &str) -> String {
    server.trim_end_matches('/').to_owned()
}

/// The tokens that `pybots login` saved, by the address of the coordinator.
#[derive(Debug, Default)]
pub struct Logins(BTreeMap<String, String>);

impl Logins {
    pub fn read() -> Result<Self> {
        let file = file()?;
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("failed to read {}", file.display())),
        };
        // the error could quote a token
        let read = toml::from_str(&text)
            .map_err(|_| anyhow::anyhow!("{} can't be read; remove it, and log in again", file.display()));
        Ok(Self(read?))
    }

    /// Saves a token, or removes the saved one if `token` is `None`. Returns the file.
    pub fn keep(&mut self, server: &str, token: Option<&str>) -> Result<PathBuf> {
        match token {
            Some(token) => self.0.insert(key(server), token.to_owned()),
            None => self.0.remove(&key(server)),
        };
        let file = file()?;
        let text = toml::to_string(&self.0)?;
        write_private(&file, &text).with_context(|| format!("failed to write {}", file.display()))?;
        Ok(file)
    }
}

/// Returns the file of the tokens, in the user's configuration folder.
fn file() -> Result<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    Ok(folder
        .context("neither HOME nor XDG_CONFIG_HOME is set")?
        .join("pybots/logins.toml"))
}
