//! Notifies the owners of silent hosts, once for each silence.

use super::Coordinator;
use crate::clock::show;
use crate::domain::time::Timestamp;
use crate::store::hosts::HostRow;
use anyhow::{Context, Result, bail};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The time limit of the mail command.
const MAIL_MOST: Duration = Duration::from_secs(30);

/// Notifies the owners of hosts that made no call for `owners.silent_after`, and records that. Without the setting
/// `owners.mail`, only logs it.
pub(super) async fn look(coordinator: &Coordinator, now: Timestamp) -> Result<()> {
    let owners = &coordinator.settings.owners;
    let since = now - Duration::from_secs(owners.silent_after.0);
    for host in coordinator.store.silent_hosts(since).await? {
        let seen = host.seen_at.map(show).unwrap_or_default();
        tracing::warn!(host = host.name, owner = host.owner, seen, "a host fell silent");
        // recorded before the mail, so that a mail that can't be sent is not tried every second
        coordinator.store.silence_reported(&host.id, now).await?;
        if let Some((program, arguments)) = owners.mail.split_first() {
            // in a separate task, because leases must not wait for a mail
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
         Your host {name} made its last call on {seen} UTC. Other hosts get its jobs.\n\
         If it should work: make sure that `pybots host` runs on it, and read its log. `pybots host doctor`\n\
         checks its engine, disk, clock and network. If it should not work, you need not do anything; an\n\
         operator removes it with `pybots host remove {name}`.\n",
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
