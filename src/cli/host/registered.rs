//! What a maintainer does with hosts, on the coordinator's machine.

use crate::cli::table;
use crate::clock::{now_ms, show};
use crate::config::Settings;
use crate::domain::host::HostState;
use crate::registry::{self, Token};
use crate::store::Store;
use crate::store::hosts::HostRow;
use anyhow::{Context, Result};
use clap::Subcommand;
use std::process::ExitCode;

#[derive(Subcommand)]
pub enum Action {
    /// Register a host, and print the line for its owner.
    Add {
        name: String,
        /// Mail address of whoever lends it.
        #[arg(long, value_name = "MAIL")]
        owner: String,
        /// Trust it with image builds.
        #[arg(long)]
        builds: bool,
        /// The coordinator's address for that line.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// List the registered hosts.
    List {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Give a host another token; the one before holds no longer.
    Rotate {
        name: String,
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Let a host's token hold no longer.
    Revoke { name: String },
    /// Let a host build images (`--no` for not any more).
    Trust {
        name: String,
        #[arg(long)]
        no: bool,
    },
    /// Give a host nothing new; it ends what it has.
    Drain { name: String },
    /// Give a drained host work again.
    Resume { name: String },
    /// Forget a host but for its history.
    Remove { name: String },
}

impl Action {
    pub async fn run(self, settings: &Settings) -> Result<ExitCode> {
        if let Action::Add { .. } = &self {
            // a host may be registered before the coordinator ran for the first time
            std::fs::create_dir_all(&settings.data)
                .with_context(|| format!("failed to make the data folder {}; set `data`", settings.data.display()))?;
        }
        let store = crate::cli::store(settings).await?;
        match self {
            Action::Add {
                name,
                owner,
                builds,
                url,
            } => {
                let (host, token) = registry::add(&store, &name, &owner, builds, now_ms()).await?;
                hand_over(settings, &host, &token, url);
            }
            Action::Rotate { name, url } => {
                let (host, token) = registry::rotate(&store, &name, now_ms()).await?;
                hand_over(settings, &host, &token, url);
            }
            Action::Revoke { name } => {
                let host = registry::revoke(&store, &name, now_ms()).await?;
                outln!(
                    "no token of {} holds any more; what it had leased is given to others within a minute",
                    host.name
                );
            }
            Action::Trust { name, no } => {
                let host = registry::trust(&store, &name, !no).await?;
                let may = if no {
                    "may not build images any more"
                } else {
                    "may build images"
                };
                outln!("{} {may}, from its next job on", host.name);
            }
            Action::Drain { name } => {
                let host = registry::bring(&store, &name, HostState::Draining).await?;
                outln!("{} gets nothing new, and ends what it has", host.name);
            }
            Action::Resume { name } => {
                let host = registry::bring(&store, &name, HostState::Active).await?;
                outln!("{} gets work again", host.name);
            }
            Action::Remove { name } => {
                let host = registry::bring(&store, &name, HostState::Removed).await?;
                outln!("{} is removed; what it has done stays", host.name);
            }
            Action::List { json } => list(&store, json).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The one line for the owner. The token is not shown again.
fn hand_over(settings: &Settings, host: &HostRow, token: &Token, url: Option<String>) {
    eprintln!(
        "Hand this line to {}. It holds the token of {}, which is shown only now:",
        host.owner, host.name
    );
    let url = url.unwrap_or_else(|| format!("http://{}", settings.listen));
    outln!("pybots host --server {url} --token {}", token.secret());
}

async fn list(store: &Store, json: bool) -> Result<()> {
    let hosts = store.hosts().await?;
    if json {
        let rows: Vec<_> = hosts.iter().map(as_json).collect();
        outln!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    if hosts.is_empty() {
        eprintln!("no host is registered; `pybots host add NAME --owner MAIL` adds one");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = hosts.iter().map(as_row).collect();
    let heads = [
        "host",
        "owner",
        "state",
        "builds",
        "slots",
        "platform",
        "version",
        "last seen",
    ];
    out!("{}", table::plain(&heads, &rows));
    Ok(())
}

fn as_row(host: &HostRow) -> Vec<String> {
    let offer = host.offer().unwrap_or_default();
    let state = match (host.state(), &host.token) {
        (HostState::Active | HostState::Draining, None) => "no token".to_owned(),
        (state, _) => state.to_string(),
    };
    vec![
        host.name.clone(),
        host.owner.clone(),
        state,
        if host.builds == 1 { "yes" } else { "no" }.to_owned(),
        offer.slots.to_string(),
        offer.platform,
        offer.version,
        host.seen_at.map(show).unwrap_or_else(|| "never".to_owned()),
    ]
}

fn as_json(host: &HostRow) -> serde_json::Value {
    serde_json::json!({
        "id": host.id,
        "name": host.name,
        "owner": host.owner,
        "state": host.state().name(),
        "has_token": host.token.is_some(),
        "builds": host.builds == 1,
        "added_at": host.added_at,
        "seen_at": host.seen_at,
        "offer": host.offer(),
    })
}
