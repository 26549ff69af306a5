//! Which coordinator a command speaks to: one at an address, as an account, or the one whose store this machine has.

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

/// The coordinator to call. Without an address, a command works on the store that the settings name.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerOption {
    /// Address of the coordinator, such as `https://pybots.example.org`; `pybots login` keeps a token for it. Without one, the
    /// command works on the coordinator of this machine's settings.
    #[arg(long, global = true, env = "PYBOTS_SERVER", value_name = "URL")]
    pub server: Option<String>,
}

impl ServerOption {
    /// A client of the chosen coordinator. `name` is who makes the changes where nobody logs in.
    pub async fn client(&self, settings: &Settings, name: Option<&str>) -> Result<Client> {
        match &self.server {
            Some(server) => remote(server),
            None => local(settings, name).await,
        }
    }

    /// A client of a coordinator at an address: the given one, or the only one with a kept token.
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

/// The access token for a coordinator: that of PYBOTS_TOKEN, or the one that `pybots login` kept.
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

/// The address of a coordinator as it is kept.
fn key(server: &str) -> String {
    server.trim_end_matches('/').to_owned()
}

/// The tokens that `pybots login` keeps, by the address of the coordinator.
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
        // the text of an error could repeat a token
        let read = toml::from_str(&text)
            .map_err(|_| anyhow::anyhow!("{} can't be read; remove it, and log in again", file.display()));
        Ok(Self(read?))
    }

    /// Keeps a token, or forgets the one that is kept.
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

/// The file of the tokens: in the folder for configuration that the system names.
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
