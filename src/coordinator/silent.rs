//! Hosts that have fallen silent: their owners are told, once for each silence.

use super::Coordinator;
use crate::clock::show;
use crate::store::hosts::HostRow;
use anyhow::{Context, Result, bail};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A mail command that takes longer is given up.
const MAIL_MOST: Duration = Duration::from_secs(30);

pub(super) async fn look(coordinator: &Coordinator, now: i64) -> Result<()> {
    let owners = &coordinator.settings.owners;
    let since = now
        - i64::try_from(owners.silent_after.0)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
    for host in coordinator.store.silent_hosts(since).await? {
        let seen = host.seen_at.map(show).unwrap_or_default();
        tracing::warn!(host = host.name, owner = host.owner, seen, "a host has fallen silent");
        // first, so that a mail that can't be sent is not tried each second
        coordinator.store.flag_host(&host.id, now).await?;
        if let Some((program, arguments)) = owners.mail.split_first() {
            // the leases do not wait for a mail
            let (mail, mut command) = (mail(&host, &seen), Command::new(program));
            command.args(arguments);
            tokio::spawn(async move {
                if let Err(error) = send(command, &mail).await {
                    tracing::error!(error = format!("{error:#}"), "failed to write to a host's owner");
                }
            });
        }
    }
    Ok(())
}

fn mail(host: &HostRow, seen: &str) -> String {
    let name = &host.name;
    format!(
        "To: {owner}\nSubject: Pybots: your host {name} has fallen silent\n\n\
         Your host {name} made its last call on {seen} UTC. What it had in work is given to others.\n\
         If it is to go on: see that `pybots host` runs on it, and what its log says; `pybots host doctor`\n\
         finds what is wrong with its engine, disk, clock and network. If it is to rest, there is nothing to\n\
         do; a maintainer takes it off the list by `pybots host remove {name}`.\n",
        owner = host.owner,
    )
}

async fn send(mut command: Command, mail: &str) -> Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
    let mut child = command
        .spawn()
        .context("failed to start the command of `owners.mail`")?;
    let mut stdin = child.stdin.take().context("the command has no input")?;
    let sent = async {
        stdin.write_all(mail.as_bytes()).await?;
        drop(stdin);
        child.wait().await
    };
    let status = tokio::time::timeout(MAIL_MOST, sent)
        .await
        .context("the command of `owners.mail` did not end")?
        .context("the command of `owners.mail` did not take the mail")?;
    if !status.success() {
        bail!("the command of `owners.mail` ended with {status}");
    }
    Ok(())
}
