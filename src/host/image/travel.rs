//! Images in the registry: one host builds and pushes an image, and the others pull it.

use super::probe::ImageProbe;
use crate::clock::now;
use crate::domain::job::{BuildSpec, Facts, Phase, RemoteImage, Report};
use crate::domain::time::Timestamp;
use crate::host::log::Log;
use crate::host::{Host, Stop};
use crate::runtime::{BUILD_KEY_LABEL, EngineImage, RuntimeError, Transfer, image_label};
use std::time::Instant;
use tokio::sync::mpsc;

/// Pulls the image of a build from the registry, checks its build key and facts, and gives it the name by which jobs
/// find it. Returns `None` if the coordinator named no image in the registry, or if the pull or the check fails and
/// this host may build the image itself. Fails if the engine can't be reached or its disk is full.
pub async fn pull(probe: &ImageProbe<'_>, report: &mut Report) -> Result<Option<(EngineImage, Facts)>, Stop> {
    let ImageProbe { host, spec, log, .. } = *probe;
    let Some(remote) = spec.remote.as_ref().and_then(|remote| remote.image.as_ref()) else {
        return Ok(None);
    };
    let why = match pulled(probe, remote, report).await {
        Ok(found) => return Ok(Some(found)),
        // building does not help if the engine is gone or full
        Err(Stop::Runtime(error @ (RuntimeError::Unreachable { .. } | RuntimeError::DiskFull(_)))) => {
            return Err(error.into());
        }
        Err(why) => why,
    };
    let reason = format!("{} can't be pulled: {why}", remote.reference);
    if !host.builds {
        return Err(anyhow::anyhow!("{reason}; this host may not build it").into());
    }
    log.say(&format!("{reason}; building it")).await;
    Ok(None)
}

async fn pulled(
    probe: &ImageProbe<'_>,
    remote: &RemoteImage,
    report: &mut Report,
) -> Result<(EngineImage, Facts), Stop> {
    let ImageProbe {
        host,
        attempt,
        spec,
        log,
    } = *probe;
    let runtime = &host.runtime;
    let repository = spec.remote.as_ref().map_or("", |remote| remote.repository.as_str());
    let transfer = transfer(host, &remote.reference, repository)?;
    log.say(&format!("pulling {}", remote.reference)).await;
    let phase = TimedPhase::begin("pull", log);
    with_progress(log, |sender| runtime.pull(&transfer, sender)).await?;
    report.phases.push(phase.end());
    // under a candidate's name until it has passed
    let name = spec.reference();
    let candidate = format!("{name}-{attempt}");
    runtime.tag(&remote.reference, &candidate).await?;
    runtime.remove_image(&remote.reference).await?;
    let proved = prove(probe, remote, &candidate, report).await;
    if proved.is_ok() {
        runtime.tag(&candidate, &name).await?;
    }
    runtime.remove_image(&candidate).await?;
    proved
}

/// Checks a pulled image. Its digest needs no check, because it was pulled by the digest that the coordinator sent. Its
/// build key must equal the spec's, and its facts must equal the facts that were recorded when it was built.
async fn prove(
    probe: &ImageProbe<'_>,
    remote: &RemoteImage,
    candidate: &str,
    report: &mut Report,
) -> Result<(EngineImage, Facts), Stop> {
    let none = || RuntimeError::NoImage(remote.reference.clone());
    let image = probe.host.runtime.image(candidate).await?.ok_or_else(none)?;
    let key = image.labels.get(BUILD_KEY_LABEL).map_or("none", String::as_str);
    if key != probe.spec.build_key {
        return Err(anyhow::anyhow!("its build key is {key}, not {}", probe.spec.build_key).into());
    }
    let origin = image.labels.get(image_label::REVISION).unwrap_or(&probe.spec.revision);
    let facts = probe.ask(candidate, origin, report).await?;
    if !same(&remote.facts, &facts) {
        return Err(anyhow::anyhow!(
            "it reports {:?}, but was built as {:?}",
            facts.sys_version,
            remote.facts.sys_version
        )
        .into());
    }
    Ok((image, facts))
}

/// Returns whether a pulled image has the recorded facts. Images that were probed before there were ABI keys have none
/// recorded.
fn same(built: &Facts, found: &Facts) -> bool {
    let abi_key = built.abi_key.clone().or_else(|| found.abi_key.clone());
    let built = Facts {
        abi_key,
        ..built.clone()
    };
    built == *found
}

/// Pushes the image of a build to the registry, unless it is there, and returns its name there by digest. Returns
/// `None` if there is no registry, or if the push fails. A registry that refuses it does not fail the build:
/// [`crate::host::janitor`] tries again later.
pub async fn push(host: &Host, attempt: &str, spec: &BuildSpec, log: &Log, report: &mut Report) -> Option<String> {
    let remote = spec.remote.as_ref()?;
    if let Some(image) = &remote.image {
        return Some(image.reference.clone());
    }
    let name = spec.reference();
    log.say(&format!("pushing {name} to {}", remote.repository)).await;
    let phase = TimedPhase::begin("push", log);
    let pushed = with_progress(log, |sender| push_image(host, &name, &remote.repository, sender)).await;
    match pushed {
        Ok(reference) => {
            log.say(&format!("pushed as {reference}")).await;
            report.phases.push(phase.end());
            Some(reference)
        }
        Err(error) => {
            tracing::warn!(attempt, name, %error, "failed to push an image; trying again later");
            log.say(&format!("not pushed: {error}; trying again later")).await;
            None
        }
    }
}

/// Pushes an image that the engine holds under `name`, with the same tag. Returns its name in the registry by digest.
pub async fn push_image(
    host: &Host,
    name: &str,
    repository: &str,
    log: mpsc::Sender<String>,
) -> Result<String, RuntimeError> {
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    let there = format!("{repository}:{tag}");
    let transfer = transfer(host, &there, repository)?;
    host.runtime.tag(name, &there).await?;
    let pushed = host.runtime.push(&transfer, log).await.map_err(|error| match error {
        // a push fills the disk of the registry, not that of the host
        RuntimeError::DiskFull(text) => RuntimeError::Refused(text),
        other => other,
    });
    // remove the second name that the push needed
    host.runtime.remove_image(&there).await?;
    pushed
}

fn transfer(host: &Host, reference: &str, repository: &str) -> Result<Transfer, RuntimeError> {
    let login = host.registry.login(repository);
    Ok(Transfer {
        reference: reference.to_owned(),
        login: login.map_err(|error| RuntimeError::Refused(error.to_string()))?,
    })
}

/// Runs a transfer, with the engine's progress in the attempt's log.
async fn with_progress<T, F>(log: &Log, work: impl FnOnce(mpsc::Sender<String>) -> F) -> T
where
    F: Future<Output = T>,
{
    let (sender, mut receiver) = mpsc::channel::<String>(16);
    let forward = async {
        while let Some(line) = receiver.recv().await {
            log.say(&line).await;
        }
    };
    tokio::join!(work(sender), forward).0
}

/// A phase that needs no container.
struct TimedPhase {
    name: &'static str,
    started_at: Timestamp,
    clock: Instant,
    log_from: u64,
}

impl TimedPhase {
    fn begin(name: &'static str, log: &Log) -> Self {
        Self {
            name,
            started_at: now(),
            clock: Instant::now(),
            log_from: log.position(),
        }
    }

    fn end(self) -> Phase {
        Phase {
            name: self.name.to_owned(),
            started_at: self.started_at,
            seconds: self.clock.elapsed().as_secs_f64(),
            exit_code: Some(0),
            log_from: self.log_from,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_equal_or_were_not_recorded() {
        let found = Facts {
            sys_version: "3.16".into(),
            abi_key: Some("a".into()),
            ..Facts::default()
        };
        let with = |version: &str, abi: Option<&str>| Facts {
            sys_version: version.into(),
            abi_key: abi.map(str::to_owned),
            ..Facts::default()
        };
        assert!(same(&with("3.16", Some("a")), &found));
        assert!(same(&with("3.16", None), &found));
        assert!(!same(&with("3.16", Some("b")), &found));
        assert!(!same(&with("3.15", Some("a")), &found));
    }
}
