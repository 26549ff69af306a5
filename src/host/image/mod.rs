//! An image job: builds a tree of CPython into a container image, and probes it.

mod build_tree;
mod cause;
mod dockerfile;
pub mod layers;
mod pack;
mod probe;
pub mod scratch;
mod steps;
pub mod travel;

use super::log::Log;
use super::phase::{self, PhaseEnd, PhaseLimits, StepMark};
use super::{Host, Stop};
use crate::domain::job::{BuildSpec, BuiltImage, Facts, Phase, Report};
use crate::domain::outcome::Timeout;
use crate::domain::tree::{Update, Wanted};
use crate::runtime::tar::{self, FileOwner};
use crate::runtime::{Container, EngineImage, Network, PHASE_LABEL, RuntimeError, image_label};
use build_tree::{BuildTree, LastImage, TreeState};
use probe::ImageProbe;

pub use steps::from_scratch;

/// Exit codes of a container whose first process was ended by SIGKILL or SIGTERM.
const KILLED: i64 = 137;
const TERMINATED: i64 = 143;

/// The phase of the one container that does all steps.
const PHASE: &str = "build";

/// The message of programs on a full disk.
const FULL: &str = "No space left on device";

/// Ensures the image, pushes it if there is a registry, and fills the report. A failed push does not fail the job.
pub async fn build(host: &Host, attempt: &str, spec: &BuildSpec, log: &Log, report: &mut Report) -> Result<(), Stop> {
    let mut built = ensure(host, attempt, spec, log, report).await?;
    built.remote = travel::push(host, attempt, spec, log, report).await;
    report.image = Some(built);
    Ok(())
}

/// Returns the image of a spec: the one that this engine holds, or else one that is pulled or built now. An image gets
/// its name only after it passed its probe. If two slots want the same image, one makes it and the other waits. Fails
/// if the engine lacks the image, no registry gives it, and the host may not build.
pub async fn ensure(
    host: &Host,
    attempt: &str,
    spec: &BuildSpec,
    log: &Log,
    report: &mut Report,
) -> Result<BuiltImage, Stop> {
    let reference = spec.reference();
    let _held = host.images.hold(&reference).await;
    let probe = ImageProbe {
        host,
        attempt,
        spec,
        log,
    };
    let (image, facts) = match host.runtime.image(&reference).await? {
        Some(image) => {
            log.say(&format!("this engine holds image {reference} already")).await;
            let origin = image.labels.get(image_label::REVISION).unwrap_or(&spec.revision);
            let facts = probe.ask(&reference, origin, report).await?;
            (image, facts)
        }
        None => match travel::pull(&probe, report).await? {
            Some(pulled) => pulled,
            None if !host.builds => {
                return Err(anyhow::anyhow!("this host does not hold {reference}, and may not build images").into());
            }
            None => {
                let runtime = layers::ensure_runtime(host, &spec.distribution, log).await?;
                make(&probe, &reference, &runtime, report).await?
            }
        },
    };
    Ok(BuiltImage {
        layer: pack::layer_of(&image),
        reference,
        digest: image.id,
        size: image.size,
        facts,
        remote: None,
    })
}

/// The state of the build tree in which a build begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// The tree of the last build, if a build can continue in it.
    Kept,
    CleanTree,
}

/// Builds the image. A degraded image is proved by a build in a clean tree, because a module may be missing only due to
/// remains of an earlier build.
async fn make(
    probe: &ImageProbe<'_>,
    reference: &str,
    runtime: &EngineImage,
    report: &mut Report,
) -> Result<(EngineImage, Facts), Stop> {
    let build_tree_name = build_tree::name(probe.host, probe.spec);
    let _build_tree = probe.host.images.hold(&build_tree_name).await;
    let mut start = Start::Kept;
    loop {
        if let Some(made) = make_from(start, probe, reference, runtime, report).await? {
            return Ok(made);
        }
        start = Start::CleanTree;
    }
}

/// Builds in the build tree, packs the image, probes it, and only then names it. Returns `None` if the image is
/// degraded and the build continued in the tree of another one.
async fn make_from(
    start: Start,
    probe: &ImageProbe<'_>,
    reference: &str,
    runtime: &EngineImage,
    report: &mut Report,
) -> Result<Option<(EngineImage, Facts)>, Stop> {
    let ImageProbe {
        host,
        attempt,
        spec,
        log,
    } = *probe;
    let container = open(host, attempt, spec, &build_tree::name(host, spec)).await?;
    let build_tree = BuildTree {
        host,
        container: &container,
    };
    let update = match start {
        Start::Kept => build_tree.update(spec, log).await?,
        Start::CleanTree => None,
    };
    // an image lies on the runtime image that its build key names, so a layer never lies on an image with another one
    let last = build_tree
        .last()
        .await?
        .filter(|last| pack::lies_on(&last.image, runtime));
    supply(&build_tree, attempt, spec, update.as_ref(), last.as_ref()).await?;
    run(&build_tree, log, report).await?;
    // two processes on one engine may build the same image, so each candidate has a name of its own
    let candidate = format!("{reference}-{attempt}");
    let image = pack::pack(&build_tree, spec, (runtime, last.as_ref()), &candidate, log).await?;
    let asked = probe.ask(&candidate, &spec.revision, report).await;
    let is_degraded = asked.as_ref().is_ok_and(|facts| !facts.missing_modules.is_empty());
    let is_proved = update.is_none() || !is_degraded;
    if asked.is_ok() && is_proved {
        host.runtime.tag(&candidate, reference).await?;
        build_tree.made(reference, &image).await?;
    }
    host.runtime.remove_image(&candidate).await?;
    let facts = asked?;
    if is_degraded {
        let modules = facts.missing_modules.join("; ");
        let then = if is_proved {
            ""
        } else {
            "; building it once more in a clean tree"
        };
        log.say(&format!("modules can't be imported: {modules}{then}")).await;
    }
    Ok(is_proved.then_some((image, facts)))
}

/// Creates the build container without starting it.
async fn open(host: &Host, attempt: &str, spec: &BuildSpec, build_tree: &str) -> Result<String, Stop> {
    let cache = build_tree::cache(spec);
    let mut labels = host.labels(attempt);
    labels.insert(PHASE_LABEL.to_owned(), PHASE.to_owned());
    host.runtime
        .create_volume(&build_tree::volume(host, build_tree))
        .await?;
    host.runtime.create_volume(&cache).await?;
    let container = Container {
        image: spec.distribution.toolchain_reference(),
        command: vec!["/bin/sh".into(), format!("{}/build.sh", order(attempt))],
        // installed files must belong to root; without capabilities root can do nothing else
        user: "0:0".into(),
        workdir: steps::BUILD.into(),
        env: steps::environment(spec),
        network: Network::Loopback,
        volumes: vec![
            (build_tree.to_owned(), steps::BUILD.into()),
            (cache.name, "/cache".into()),
        ],
        memory: host.build.memory,
        pids: host.build.pids,
        cpus: host.build.cpus,
        labels,
    };
    Ok(host.runtime.create(&container).await?)
}

/// Returns the folder in the build tree with the files of one attempt.
fn order(attempt: &str) -> String {
    format!("{}/order-{attempt}", steps::BUILD)
}

/// Puts the steps and the sources into the build tree.
async fn supply(
    build_tree: &BuildTree<'_>,
    attempt: &str,
    spec: &BuildSpec,
    update: Option<&Update>,
    last: Option<&LastImage>,
) -> Result<(), Stop> {
    let host = build_tree.host;
    let folder = order(attempt);
    let script = steps::script(spec, &folder, host.build_jobs(), update);
    let tree = TreeState {
        revision: spec.revision.clone(),
    };
    let room = last.and_then(|last| Some((&last.reference, pack::room(&last.image)?)));
    let (parent, room) = room.map_or((None, 0), |(parent, room)| (Some(parent), room));
    let layer = serde_json::json!({ "name": spec.reference(), "parent": parent, "room": room });
    let names = |names: &[String]| {
        names
            .iter()
            .flat_map(|name| [name.as_bytes(), b"\0"].concat())
            .collect::<Vec<u8>>()
    };
    let files: [(&str, Vec<u8>); 7] = [
        ("build.sh", script.into_bytes()),
        ("install.py", steps::INSTALL.into()),
        ("layer.py", steps::LAYER.into()),
        ("tree.json", serde_json::to_vec(&tree).map_err(anyhow::Error::from)?),
        ("layer.json", layer.to_string().into_bytes()),
        ("put", names(update.map_or(&[], |update| &update.put))),
        ("delete", names(update.map_or(&[], |update| &update.delete))),
    ];
    let folder = folder.trim_start_matches("/build/");
    let names: Vec<String> = files.iter().map(|(name, _)| format!("{folder}/{name}")).collect();
    let entries: Vec<(&str, &[u8], bool)> = names
        .iter()
        .zip(&files)
        .map(|(name, (_, content))| (name.as_str(), content.as_slice(), false))
        .collect();
    let mut bytes = tar::folders(FileOwner::Root, &[folder]);
    bytes.extend(tar::files(FileOwner::Root, &entries));
    host.runtime
        .put(build_tree.container, steps::BUILD, tar::stream(bytes))
        .await?;
    let wanted = Wanted {
        ignore: spec.profile.ignore.clone(),
        only: update.map(|update| update.put.clone()),
    };
    if wanted.only.as_ref().is_none_or(|only| !only.is_empty()) {
        let sources = host.supply.tree(&spec.revision, &wanted).await?;
        host.runtime.put(build_tree.container, &order(attempt), sources).await?;
    }
    Ok(())
}

/// Runs the steps, and reports each as a phase.
async fn run(build_tree: &BuildTree<'_>, log: &Log, report: &mut Report) -> Result<(), Stop> {
    let host = build_tree.host;
    let plan = PhaseLimits {
        name: PHASE,
        timeout: host.build.timeout,
        silence: host.build.silence,
        log: host.build.log,
        before_kill: None,
        secrets: &host.secrets,
    };
    let ran = phase::run_in(host.runtime.as_ref(), log, &plan, build_tree.container).await?;
    let step = ran.marks.last().map_or(PHASE, |mark| mark.name.as_str()).to_owned();
    report.phases.extend(phases(&ran.marks, &ran.phase));
    if ran.end.succeeded() {
        return Ok(());
    }
    // a full disk says nothing about CPython
    host.well().await.map_err(anyhow::Error::msg)?;
    if String::from_utf8_lossy(&ran.output).contains(FULL) {
        return Err(RuntimeError::DiskFull(format!("during {step}")).into());
    }
    Err(match ran.end {
        PhaseEnd::TimedOut(Timeout::Total) => {
            Stop::image_failed(format!("{step}: the build took longer than {}", plan.timeout), None)
        }
        PhaseEnd::TimedOut(Timeout::Silence) => {
            Stop::image_failed(format!("{step} was silent and idle for {}", plan.silence), None)
        }
        PhaseEnd::Exited(exit) if exit.out_of_memory => Stop::image_failed(
            format!("{step} needs more memory than {}", host.build.memory),
            Some(exit.code),
        ),
        // a signal comes from outside: an engine that stops, or a person
        PhaseEnd::Exited(exit) if matches!(exit.code, KILLED | TERMINATED) => anyhow::anyhow!(
            "the build was killed from outside during {step}, exit code {}",
            exit.code
        )
        .into(),
        // everything after `make install` is our own work
        PhaseEnd::Exited(exit) if step == "layer" => anyhow::anyhow!(
            "the layer could not be made from the install root, exit code {}",
            exit.code
        )
        .into(),
        PhaseEnd::Exited(exit) => Stop::image_failed(
            format!("{step} ended with exit code {}{}", exit.code, cause::hint(&ran.output)),
            Some(exit.code),
        ),
    })
}

/// Returns the steps of a build as phases: each ends where the next one begins.
fn phases(marks: &[StepMark], whole: &Phase) -> Vec<Phase> {
    let end = whole.started_at + (whole.seconds * 1000.0) as i64;
    let ends = marks.iter().skip(1).map(|mark| (mark.at, Some(0)));
    marks
        .iter()
        .zip(ends.chain([(end, whole.exit_code)]))
        .map(|(mark, (end, exit_code))| Phase {
            name: mark.name.clone(),
            started_at: mark.at,
            seconds: (end - mark.at).max(0) as f64 / 1000.0,
            exit_code,
            log_from: mark.position,
        })
        .collect()
}
