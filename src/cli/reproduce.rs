//! `pybots reproduce INCIDENT`: prints a command or a script that reproduces an incident on a machine with Docker. With
//! `--run`, runs the script on this machine.

use super::log_lines::LogLines;
use super::output::has_colours;
use crate::config::{NetworkSettings, Settings};
use crate::logfile::Stream;
use crate::reproduce::{self, Reproduction};
use crate::store::logs::Objects;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

#[derive(Args)]
pub struct Reproduce {
    /// Number of the incident.
    incident: i64,
    /// Print a script that builds the image if the engine does not have it, and then reproduces the failure.
    #[arg(long)]
    script: bool,
    /// Run that script on this machine, with its network settings.
    #[arg(long, conflicts_with = "script")]
    run: bool,
}

impl Reproduce {
    /// Runs the command. With `--run`, the exit code is that of the suite.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let store = super::open::store(settings).await?;
        let objects = Objects::open(&settings.data)?;
        let found = match reproduce::of(&store, &objects, &settings.trust(), self.incident).await? {
            Ok(found) => found,
            Err(reason) => bail!(reason),
        };
        if self.run {
            return run_script(&found, &settings.network).await;
        }
        match found.line().filter(|_| !self.script) {
            Some(line) => super::output::script(&format!("{line}\n")),
            None => super::output::script(&found.script()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Copies the output of a suite to a terminal, with or without colours.
async fn show(from: Option<impl AsyncRead + Unpin>, stream: Stream, to: (impl Write, bool)) -> Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let (mut to, colours) = to;
    let mut lines = LogLines::new(None, false, colours);
    let mut bytes = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut bytes).await?;
        to.write_all(&lines.take(stream, 0, &bytes[..length]))?;
        to.write_all(&if length == 0 { lines.end() } else { lines.preview() })?;
        to.flush()?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// Runs the script. It takes CA bundle, index and proxies from its environment.
async fn run_script(reproduction: &Reproduction, network: &NetworkSettings) -> Result<ExitCode> {
    let ca = Some(&network.ca).filter(|ca| !ca.as_os_str().is_empty());
    let find = |ca: &PathBuf| {
        let found = std::fs::canonicalize(ca);
        found.with_context(|| format!("failed to find the CA bundle {}", ca.display()))
    };
    let ca = ca.map(find).transpose()?.map(|ca| ca.display().to_string());
    // in a file, because the script may be too long for an argument
    let script = tempfile::NamedTempFile::new().context("failed to make a file for the script")?;
    std::fs::write(script.path(), reproduction.script()).context("failed to write the script")?;
    let mut shell = Command::new("sh");
    shell.envs(network.with_logins(ca.as_deref()));
    shell.arg(script.path()).stdin(Stdio::null());
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    // a terminal gets the cleaned output, as for a log; a file gets each byte
    let pipe = |is_terminal| if is_terminal { Stdio::piped() } else { Stdio::inherit() };
    shell
        .stdout(pipe(stdout.is_terminal()))
        .stderr(pipe(stderr.is_terminal()));
    let mut child = shell.spawn().context("failed to start a shell")?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let colours = (has_colours(&stdout), has_colours(&stderr));
    tokio::try_join!(
        show(out, Stream::Stdout, (stdout, colours.0)),
        show(err, Stream::Stderr, (stderr, colours.1))
    )?;
    let status = child.wait().await.context("failed to wait for a shell")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(u8::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_suite_that_is_run_again_does_not_control_the_terminal() {
        let output = &b"\x1b]52;c;x\x07\x1b[2Jone\r\n[pybots] two"[..];
        let mut shown = Vec::new();
        show(Some(output), Stream::Stdout, (&mut shown, false)).await.unwrap();
        assert_eq!(String::from_utf8(shown).unwrap(), "one\n[stdout: pybots] two\n");
    }
}
