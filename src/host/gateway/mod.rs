//! The only way from strangers' code to the network. A container with a network runs a proxy, which adds the logins of
//! the package index and of further proxies, and refuses addresses near this machine. A second container has no
//! network. It passes connections from its loopback address on to the proxy, through a socket in a volume that both
//! mount. A phase shares the loopback address of the second one, so it reaches nothing but the proxy.

mod neighbours;

use super::log::Log;
use super::{Host, Stop};
use crate::domain::limits::{Limits, Seconds, Size};
use crate::logfile::Stream;
use crate::runtime::tar::{self, FileOwner};
use crate::runtime::{Container, Network, Output, Volume};
use anyhow::{Context, anyhow};
use futures_util::stream::{BoxStream, StreamExt};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

/// The program of both containers, for the Python of the toolchain image.
const PROGRAM: &str = include_str!("gateway.py");
/// The folder at which both containers mount their volume.
const FOLDER: &str = "/gateway";
/// The last file that is put into the volume. It shows that the others are complete.
const COMPLETE: &str = "complete";
/// The address of the relay for a phase. `gateway.py` has the port, too.
const PROXY: &str = "http://127.0.0.1:3128";
/// How long the program may take to start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long the engine may take to deliver the last lines of a removed container.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(2);
const MEMORY: Size = Size(256 << 20);
const PIDS: u64 = 256;

/// The task of one of the two containers.
enum Part {
    Serve,
    Relay,
}

pub struct Gateway<'a> {
    host: &'a Host,
    containers: [String; 2],
    /// The task that writes the refusals to the log. It ends with the container, or when this is dropped.
    refusals: JoinSet<()>,
}

impl<'a> Gateway<'a> {
    /// Starts both containers, which end by themselves after `lasts`. `image` has the toolchain's Python. Fails if they
    /// are not ready within [`READY_WITHIN`].
    pub async fn open(
        host: &'a Host,
        attempt: &str,
        image: &str,
        lasts: Seconds,
        log: &Log,
    ) -> Result<Gateway<'a>, Stop> {
        let runtime = host.runtime.as_ref();
        let volume = Volume {
            name: format!("pybots-{attempt}-gateway"),
            size: Some(Size(8 << 20)),
            labels: host.labels(attempt),
        };
        runtime.create_volume(&volume).await?;
        let container = |part| container(host, attempt, image, &volume.name, lasts, part);
        let proxy = runtime.create(&container(Part::Serve)).await?;
        let output_of_proxy = runtime.start(&proxy).await?;
        let files = files(host).await?;
        runtime.put(&proxy, FOLDER, tar::stream(files)).await?;
        let relay = runtime.create(&container(Part::Relay)).await?;
        let mut output = runtime.start(&relay).await?;
        match tokio::time::timeout(READY_WITHIN, output.next()).await {
            Ok(Some(Ok(first))) if first.bytes.starts_with(b"ready") => {}
            Ok(Some(Ok(other))) => {
                let text = String::from_utf8_lossy(&other.bytes).trim().to_owned();
                return Err(anyhow!("the gateway to the network did not start: {text}").into());
            }
            _ => return Err(anyhow!("the gateway to the network did not start within a minute").into()),
        }
        let mut refusals = JoinSet::new();
        refusals.spawn(report(output_of_proxy, log.clone()));
        Ok(Self {
            host,
            containers: [relay, proxy],
            refusals,
        })
    }

    /// Returns the network for a phase.
    pub fn network(&self) -> Network {
        Network::SharedLoopback(self.containers[0].clone())
    }

    /// Returns the variables for a phase, without any login. `ca` is the path of the CA bundle in its container.
    pub fn environment(&self, ca: Option<&str>) -> BTreeMap<String, String> {
        self.host.network.behind_proxy(PROXY, ca)
    }

    /// Removes both containers. Afterwards the log has all refusals. Fails if the proxy ended before: then a failure of
    /// a phase says nothing about the project.
    pub async fn close(mut self) -> Result<(), Stop> {
        let has_ended = self.refusals.try_join_next().is_some();
        for id in &self.containers {
            self.host.runtime.remove(id).await?;
        }
        // the lines are for people: an engine that is late with them must not fail the run
        let _ = tokio::time::timeout(LAST_LINES_WITHIN, self.refusals.join_next()).await;
        match has_ended {
            true => Err(anyhow!("the gateway to the network ended before the phase did").into()),
            false => Ok(()),
        }
    }
}

fn container(host: &Host, attempt: &str, image: &str, volume: &str, lasts: Seconds, part: Part) -> Container {
    let (word, network) = match part {
        Part::Serve => ("serve", Network::Open(host.engine.network.clone())),
        Part::Relay => ("relay", Network::Loopback),
    };
    let script = format!(
        "until [ -e {FOLDER}/{COMPLETE} ]; do sleep 0.02; done\nexec timeout {} python3 -ISB {FOLDER}/gateway.py {word}",
        lasts.0
    );
    Container {
        image: image.to_owned(),
        command: vec!["/bin/sh".to_owned(), "-c".to_owned(), script],
        user: "1000:1000".to_owned(),
        workdir: "/".to_owned(),
        env: BTreeMap::new(),
        network,
        volumes: vec![(volume.to_owned(), FOLDER.to_owned())],
        memory: MEMORY,
        pids: PIDS,
        cpus: host.policy.current().cap(&Limits::default()).cpus,
        labels: host.labels(attempt),
    }
}

/// Returns a tar of the files of the volume. The last one is the mark that they are complete.
async fn files(host: &Host) -> Result<Vec<u8>, Stop> {
    let ca = host.ca().await?;
    let config = host
        .network
        .of_gateway(ca.is_some().then_some("ca.crt"), &neighbours::neighbours().await);
    let config = serde_json::to_vec(&config).context("failed to write the gateway's settings")?;
    let mut files: Vec<(&str, &[u8], bool)> = vec![
        ("gateway.py", PROGRAM.as_bytes(), false),
        ("config.json", &config, false),
    ];
    if let Some(ca) = &ca {
        files.push(("ca.crt", ca, false));
    }
    files.push((COMPLETE, b"", false));
    Ok(tar::files(FileOwner::Runner, &files))
}

/// Writes the refusals of the proxy to the log. The proxy prints at most 20 lines on stdout, one for each destination.
/// Python's own messages on stderr are no refusals and may hold a login, so they are left out.
async fn report(mut output: BoxStream<'static, std::io::Result<Output>>, log: Log) {
    let mut text = Vec::new();
    while let Some(Ok(part)) = output.next().await {
        if part.stream != Stream::Stdout {
            continue;
        }
        text.extend_from_slice(&part.bytes);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            log.say(&format!("a connection was refused: {}", line.trim())).await;
        }
    }
}
