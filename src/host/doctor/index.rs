//! Checks the connection from a container to the package index, through the gateway, with the network settings.

use super::Diagnosis;
use super::engine::AnsweringEngine;
use crate::config::Settings;
use crate::domain::limits::Seconds;
use crate::host::gateway::Gateway;
use crate::host::log::{Log, Sink};
use crate::host::phase::{self, PhaseEnd, PhaseLimits};
use crate::host::unique::unique_name;
use crate::host::{Host, Stop, Supply};
use crate::logfile::Chunk;
use crate::profile::Profiles;
use crate::runtime::tar::{self, FileOwner};
use crate::runtime::{ATTEMPT_LABEL, Container, Volume};
use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

/// Asks the index for one package, as a fetch does.
const SCRIPT: &str = "import os, urllib.error, urllib.request
index = os.environ.get('PIP_INDEX_URL') or 'https://pypi.org/simple'
try:
    with urllib.request.urlopen(index.rstrip('/') + '/pip/', timeout=20) as answer:
        answer.read(1000)
except urllib.error.HTTPError as error:
    if error.code != 404:  # an index of one's own need not have it
        print(f'it answered {error}')
        raise SystemExit(1)
except Exception as error:
    print(f'{type(error).__name__}: {error}')
    raise SystemExit(1)
";

/// How long the answer may take, in seconds.
const WITHIN_S: u64 = 60;

/// Path of the CA bundle in the container.
const FOLDER: &str = "/var/cache/pybots";

pub async fn examine(settings: &Settings, engine: AnsweringEngine) -> Diagnosis {
    let reference = match Profiles::load(settings.images_folder()) {
        Ok(profiles) => profiles.distribution.toolchain_reference(),
        Err(error) => return Diagnosis::fail("index", format!("{error:#}"), "correct `images`"),
    };
    match engine.runtime.image(&reference).await {
        Ok(Some(_)) => {}
        _ => {
            return Diagnosis::ok(
                "index",
                "not checked from a container: the first job brings the image for that",
            );
        }
    }
    let host = Host::new("doctor".to_owned(), engine.runtime, Arc::new(Nothing), settings);
    let attempt = unique_name();
    let tried = ask(&host, &attempt, &reference).await;
    if let Err(error) = host.runtime.reap(ATTEMPT_LABEL, &attempt).await {
        tracing::warn!(%error, "failed to remove the doctor's container");
    }
    match tried {
        Ok(None) => Diagnosis::ok("index", "a container reaches the package index"),
        Ok(Some(why)) => Diagnosis::fail(
            "index",
            format!(
                "a container does not reach the package index: {}",
                settings.network.mask_in(&why)
            ),
            "set `engine.network`, and proxies, CA bundle and index in `[network]`; runs with a fetch fail without it",
        ),
        Err(stop) => Diagnosis::fail("index", stop.to_string(), "correct the setting that it names"),
    }
}

/// Asks the index from a container. Returns why it did not answer, or `None` if it did.
async fn ask(host: &Host, attempt: &str, image: &str) -> Result<Option<String>, Stop> {
    let ca = host.ca().await?;
    let labels = host.labels(attempt);
    let volume = format!("pybots-{attempt}-doctor");
    let made = Volume {
        name: volume.clone(),
        size: None,
        labels: labels.clone(),
    };
    host.runtime.create_volume(&made).await?;
    let at = format!("{FOLDER}/ca.crt");
    let limits = &crate::domain::limits::Limits::default();
    let (log, _written) = Log::start(Arc::new(Nothing));
    let gateway = Gateway::open(host, attempt, image, Seconds(WITHIN_S), &log).await?;
    let container = Container {
        image: image.to_owned(),
        command: vec!["python3".into(), "-c".into(), SCRIPT.into()],
        user: "1000:1000".into(),
        workdir: "/".into(),
        env: gateway.environment(ca.as_ref().map(|_| at.as_str())),
        network: gateway.network(),
        volumes: vec![(volume, FOLDER.to_owned())],
        memory: limits.memory,
        pids: limits.pids,
        cpus: host.policy.current().cap(limits).cpus,
        labels,
    };
    let id = host.runtime.create(&container).await?;
    if let Some(ca) = ca {
        let file = tar::files(FileOwner::Runner, &[("ca.crt", &ca, false)]);
        host.runtime.put(&id, FOLDER, tar::stream(file)).await?;
    }
    let plan = PhaseLimits {
        name: "doctor",
        timeout: Seconds(WITHIN_S),
        silence: Seconds(WITHIN_S),
        log: limits.log,
        before_kill: None,
        secrets: &host.secrets,
    };
    let ran = phase::run_in(host.runtime.as_ref(), &log, &plan, &id).await?;
    let output = String::from_utf8_lossy(&ran.output);
    let last = output.lines().rev().find(|line| !line.trim().is_empty());
    Ok(match ran.end {
        end if end.succeeded() => None,
        PhaseEnd::TimedOut(_) => Some("no answer within a minute".to_owned()),
        PhaseEnd::Exited(_) => Some(last.unwrap_or("it wrote nothing").trim().to_owned()),
    })
}

/// A log without readers, and a supply without content.
struct Nothing;

#[async_trait]
impl Sink for Nothing {
    async fn write(&self, _chunk: Chunk) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Supply for Nothing {
    async fn tree(
        &self,
        _revision: &str,
        _wanted: &crate::domain::tree::Wanted,
    ) -> Result<futures_util::stream::BoxStream<'static, std::io::Result<Bytes>>> {
        anyhow::bail!("the doctor builds nothing")
    }

    async fn changes(
        &self,
        _from: &str,
        _to: &str,
        _ignore: &[String],
    ) -> Result<Option<Vec<crate::domain::tree::TreeChange>>> {
        Ok(None)
    }

    async fn folder(&self, _digest: &str) -> Result<Vec<u8>> {
        anyhow::bail!("the doctor runs nothing")
    }
}
