//! The commands that manage registered hosts, in a store on this machine or through a coordinator's API.

use crate::api::v1::types::{HostBody, HostView};
use crate::cli::server::ServerOption;
use crate::cli::table;
use crate::clock::show;
use crate::config::Settings;
use crate::decisions::HostMove;
use crate::domain::host::HostState;
use crate::domain::skew::skew;
use crate::store::Store;
use crate::store::hosts::HostRow;
use anyhow::{Context, Result};
use clap::Subcommand;
use std::process::ExitCode;

#[derive(Subcommand)]
pub enum Action {
    /// Register a host, and print the command for its owner to start it.
    Add {
        /// Name of the new host.
        name: String,
        /// Mail address of the owner.
        #[arg(long, value_name = "MAIL")]
        owner: String,
        /// Allow the host to build images.
        #[arg(long)]
        builds: bool,
        /// Address of the coordinator in that command. The default is derived from `listen`.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// List the registered hosts.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give a host a new token; the earlier one stops working.
    Rotate {
        name: String,
        /// Address of the coordinator in the printed command. The default is derived from `listen`.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Revoke a host's token; its jobs go to other hosts.
    Revoke { name: String },
    /// Allow a host to build images, or forbid it with `--no`.
    Trust {
        name: String,
        /// Forbid image builds.
        #[arg(long)]
        no: bool,
    },
    /// Give a host no new jobs; it finishes the ones it has.
    Drain { name: String },
    /// Give jobs again to a host that is drained or in quarantine.
    Resume { name: String },
    /// Remove a host; the results of its jobs stay.
    Remove { name: String },
}

impl Action {
    /// Runs the command. `server` is the address of a coordinator on another machine.
    pub async fn run(self, settings: &Settings, server: Option<String>) -> Result<ExitCode> {
        if let (Action::Add { .. }, None) = (&self, &server) {
            // a host may be registered before the coordinator's first start
            std::fs::create_dir_all(&settings.data)
                .with_context(|| format!("failed to make the data folder {}; set `data`", settings.data.display()))?;
        }
        let option = ServerOption { server: server.clone() };
        let client = option.client(settings, None).await?;
        match self {
            Action::Add {
                name,
                owner,
                builds,
                url,
            } => {
                let body = HostBody {
                    name,
                    owner: owner.clone(),
                    builds,
                };
                let host = client.add_host(&body).await?;
                print_start_command(settings, &host, &owner, url.or(server));
            }
            Action::Rotate { name, url } => {
                let host = client.move_host(&name, HostMove::Rotate).await?;
                print_start_command(settings, &host, "its owner", url.or(server));
            }
            Action::Revoke { name } => {
                client.move_host(&name, HostMove::Revoke).await?;
                outln!("the token of {name} is revoked; its jobs go to other hosts within a minute");
            }
            Action::Trust { name, no: true } => {
                client.move_host(&name, HostMove::Distrust).await?;
                outln!("{name} may no longer build images; this applies from its next job on");
            }
            Action::Trust { name, no: false } => {
                client.move_host(&name, HostMove::Trust).await?;
                outln!("{name} may build images; this applies from its next job on");
            }
            Action::Drain { name } => {
                client.move_host(&name, HostMove::Drain).await?;
                outln!("{name} gets no new jobs, and finishes the ones it has");
            }
            Action::Resume { name } => {
                client.move_host(&name, HostMove::Resume).await?;
                outln!("{name} gets jobs again");
            }
            Action::Remove { name } => {
                client.move_host(&name, HostMove::Remove).await?;
                outln!("{name} is removed; the results of its jobs stay");
            }
            Action::List { json } => match server {
                None => list(&crate::cli::open::store(settings).await?, json).await?,
                Some(_) => list_remote(&client.hosts().await?, json)?,
            },
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints the command for the owner. It contains the token, which is not shown again.
fn print_start_command(settings: &Settings, host: &HostView, owner: &str, url: Option<String>) {
    errln!(
        "Give this command to {owner}. It contains the token of {}, which is not shown again:",
        host.name
    );
    let url = url.unwrap_or_else(|| settings.http.own_url(settings.listen));
    outln!(
        "pybots host --server {url} --token {}",
        host.token.as_deref().unwrap_or_default()
    );
    let name = url::Url::parse(&url)
        .ok()
        .and_then(|url| Some(url.host_str()?.to_owned()));
    if let Some(name) = name.filter(|name| !settings.http.answers_to(name)) {
        errln!(
            "The coordinator does not answer to that name yet: add {name:?} to `http.names` in its settings, and restart it"
        );
    }
}

async fn list(store: &Store, json: bool) -> Result<()> {
    let hosts = store.hosts().await?;
    if json {
        let rows: Vec<_> = hosts.iter().map(as_json).collect();
        crate::cli::output::json(&rows)?;
        return Ok(());
    }
    if hosts.is_empty() {
        errln!("no host is registered; `pybots host add NAME --owner MAIL` registers one");
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
    for host in &hosts {
        if let Some(skew) = host.clock_offset_ms.and_then(skew) {
            outln!("the clock of {} is {skew}", host.name);
        }
    }
    Ok(())
}

fn list_remote(hosts: &[HostView], json: bool) -> Result<()> {
    if json {
        return crate::cli::output::json(&hosts);
    }
    let row = |host: &HostView| {
        vec![
            host.name.clone(),
            host.state.to_string(),
            if host.builds { "yes" } else { "no" }.to_owned(),
            host.slots.to_string(),
            host.platform.clone(),
            host.version.clone(),
            host.seen_at.map_or_else(|| "never".to_owned(), show),
        ]
    };
    let heads = ["host", "state", "builds", "slots", "platform", "version", "last seen"];
    out!("{}", table::plain(&heads, &hosts.iter().map(row).collect::<Vec<_>>()));
    Ok(())
}

fn as_row(host: &HostRow) -> Vec<String> {
    let capabilities = host.capabilities.clone().unwrap_or_default();
    let state = match (host.state, &host.token) {
        (HostState::Active | HostState::Draining, None) => "no token".to_owned(),
        (state, _) => state.to_string(),
    };
    vec![
        host.name.clone(),
        host.owner.clone(),
        state,
        if host.builds { "yes" } else { "no" }.to_owned(),
        capabilities.slots.to_string(),
        capabilities.platform,
        capabilities.version,
        host.seen_at.map(show).unwrap_or_else(|| "never".to_owned()),
    ]
}

fn as_json(host: &HostRow) -> serde_json::Value {
    serde_json::json!({
        "id": host.id,
        "name": host.name,
        "owner": host.owner,
        "state": host.state.name(),
        "has_token": host.token.is_some(),
        "builds": host.builds,
        "added_at": host.added_at,
        "seen_at": host.seen_at,
        "clock_offset_ms": host.clock_offset_ms,
        "capabilities": host.capabilities.clone(),
    })
}
