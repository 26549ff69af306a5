//! `make eras`: builds one revision of each era of CPython as a host does, asks each image which of
//! its modules in C import, and prints the table of `docs/eras.md`. Progress goes to stderr.
//!
//! Arguments: branches or tags of the repository; `--verbose` for the whole log of each build.
//! `PYBOTS_CPYTHON_REPO` names the repository, by address or path. Other settings are taken from the
//! environment as the program itself takes them, e.g. `PYBOTS_DATA`.

mod modules;
mod table;

use anyhow::{Context, Result, anyhow, bail};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use pybots::config::Settings;
use pybots::domain::DEFAULT_VARIANT;
use pybots::domain::job::{BuildSpec, JobSpec, Phase};
use pybots::domain::limits::{Limits, Seconds};
use pybots::domain::tree::{TreeChange, Wanted};
use pybots::domain::version::PythonVersion;
use pybots::host::log::{Log, Sink};
use pybots::host::{Host, Supply, phase};
use pybots::logfile::Chunk;
use pybots::plan;
use pybots::profile::Profiles;
use pybots::runtime::docker::DockerRuntime;
use pybots::runtime::{BUILD_TREE_LABEL, Container, HOST_LABEL, Runtime, labels};
use pybots::store::new_id;
use pybots::store::revisions::Revision;
use pybots::watch::git::Mirror;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};
use table::{Era, Found};

/// The eras that a profile is to build; `v2.5`, `v2.6` and `legacy-trunk` are tags.
const ERAS: [&str; 12] = [
    "v2.5",
    "2.5",
    "v2.6",
    "legacy-trunk",
    "2.7",
    "3.9",
    "3.11",
    "3.12",
    "3.13",
    "3.14",
    "3.15",
    "main",
];

const SCRIPT: &str = include_str!("ask.py");

/// Last lines of a build's log that are shown when it fails.
const LAST_LINES: usize = 30;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let (options, mut references): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    if let Some(unknown) = options.iter().find(|option| *option != "--verbose") {
        bail!("there is no option {unknown}; give branches or tags, and --verbose to see each build's log");
    }
    if references.is_empty() {
        references = ERAS.map(str::to_owned).to_vec();
    }
    let bench = Bench::open(!options.is_empty()).await?;
    tokio::select! {
        code = bench.all(references) => code,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            bench.clean().await?;
            bail!("stopped")
        }
    }
}

/// What all eras are built with.
struct Bench {
    mirror: Mirror,
    profiles: Profiles,
    host: Host,
    platform: String,
    verbose: bool,
}

impl Bench {
    /// Builds one after the other; what can't be built does not stop the rest.
    async fn all(&self, references: Vec<String>) -> Result<ExitCode> {
        println!("{}", table::HEAD);
        let mut eras = Vec::new();
        for reference in references {
            eprintln!("{reference}: looking for it in {}", self.mirror.url());
            let found = self.era(&reference).await.map_err(|error| format!("{error:#}"));
            match &found {
                Ok(found) => eprintln!(
                    "{reference}: {} modules import, {} do not",
                    found.here,
                    found.gaps.len()
                ),
                Err(error) => eprintln!("{reference}: {error}"),
            }
            let era = Era { reference, found };
            // at once: the whole table takes an hour
            println!("{}", table::row(&era));
            eras.push(era);
        }
        print!("{}{}", table::profiles(&eras), table::gaps(&eras));
        Ok(match eras.iter().all(|era| era.found.is_ok()) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    async fn open(verbose: bool) -> Result<Self> {
        let environment: BTreeMap<String, String> = std::env::vars().collect();
        let mut settings = Settings::load(None, &environment)?.settings;
        if let Ok(repository) = std::env::var("PYBOTS_CPYTHON_REPO") {
            settings.source.git = repository.into();
        }
        settings.slots = 1;
        let mirror = Mirror::open(&settings.data.join("mirror.git"), &settings.source.git).await?;
        let runtime = Arc::new(DockerRuntime::connect(&settings.engine.socket()).await?);
        let platform = runtime.engine().await?.platform;
        let supply = Arc::new(Local(mirror.clone()));
        Ok(Self {
            profiles: Profiles::load(settings.images_folder())?,
            host: Host::new(format!("eras-{}", new_id()), runtime, supply, &settings),
            mirror,
            platform,
            verbose,
        })
    }

    /// Builds a ref's newest revision and asks the image.
    async fn era(&self, reference: &str) -> Result<Found> {
        let revision = self.revision(reference).await?;
        let profile = plan::profile(&revision, &self.profiles, DEFAULT_VARIANT).map_err(anyhow::Error::msg)?;
        let inputs = self.mirror.inputs(&revision.sha, &profile.ignore).await?;
        let distribution = &self.profiles.distribution;
        let spec = plan::build(
            &revision,
            profile,
            distribution,
            &inputs,
            DEFAULT_VARIANT,
            &self.platform,
        )
        .map_err(anyhow::Error::msg)?;
        eprintln!(
            "{reference}: Python {} by profile {:?}",
            spec.version, spec.profile.name
        );

        let attempt = new_id();
        let built = self.build(&attempt, &spec).await;
        let asked = match &built {
            Ok(_) => self.ask(&attempt, &spec).await,
            Err(_) => Ok(BTreeMap::new()),
        };
        self.clean().await?;
        let (phases, answers) = (built?, asked?);
        let version: PythonVersion = spec.version.parse()?;
        let steps = phases.iter().filter(|phase| phase.name != "probe");
        let seconds: f64 = steps.map(|phase| phase.seconds).sum();
        Ok(Found {
            here: answers.values().filter(|problem| problem.is_empty()).count(),
            gaps: answers.into_iter().filter(|(_, problem)| !problem.is_empty()).collect(),
            profile: self
                .profiles
                .for_version(&version)
                .context("a profile was found before")?
                .clone(),
            version,
            revision: revision.sha,
            seconds: (seconds > 0.0).then_some(seconds),
        })
    }

    /// Leaves nothing but images; the trees that were built in are of no use to anybody else.
    async fn clean(&self) -> Result<()> {
        for label in [HOST_LABEL, BUILD_TREE_LABEL] {
            self.host.runtime.reap(label, &self.host.id).await?;
        }
        Ok(())
    }

    async fn revision(&self, reference: &str) -> Result<Revision> {
        let tips = self.mirror.tips(&[reference.to_owned()]).await?;
        let tip = tips.into_iter().next().flatten();
        let tip = tip.with_context(|| format!("there is no such branch or tag in {}", self.mirror.url()))?;
        let sha = self.mirror.fetch(&format!("eras-{reference}"), &tip).await?;
        Ok(Revision::of(reference, self.mirror.revision(&sha).await?))
    }

    /// Makes the image; returns the steps that it took.
    async fn build(&self, attempt: &str, spec: &BuildSpec) -> Result<Vec<Phase>> {
        let shown = Arc::new(Shown::new(self.verbose));
        let (log, delivered) = Log::start(shown.clone());
        let report = self
            .host
            .perform(attempt, &JobSpec::Image(Box::new(spec.clone())), &log)
            .await;
        drop(log);
        delivered.await??;
        if report.image.is_some() {
            return Ok(report.phases);
        }
        shown.show_last();
        Err(anyhow!("{}", report.outcome))
    }

    /// Each module, with the reason why it does not import; empty where it does.
    async fn ask(&self, attempt: &str, spec: &BuildSpec) -> Result<BTreeMap<String, String>> {
        let limits = Limits::default();
        let mut command = vec![spec.profile.python.clone(), "-c".to_owned(), SCRIPT.to_owned()];
        command.extend(self.listed(&spec.revision)?);
        let container = Container {
            image: spec.reference(),
            command,
            user: "1000:1000".into(),
            workdir: "/tmp".into(),
            env: BTreeMap::from([("HOME".to_owned(), "/tmp".to_owned())]),
            network: pybots::runtime::Network::Loopback,
            volumes: Vec::new(),
            memory: limits.memory,
            pids: limits.pids,
            cpus: limits.cpus,
            labels: labels(&self.host.id, self.host.instances.own(), attempt),
        };
        let plan = phase::PhaseLimits {
            name: "ask",
            timeout: Seconds(300),
            silence: Seconds(120),
            log: limits.log,
            before_kill: None,
            secrets: &Default::default(),
        };
        let (log, _delivered) = Log::start(Arc::new(Shown::new(self.verbose)));
        let ran = phase::run(self.host.runtime.as_ref(), &log, &plan, container).await?;
        let output = String::from_utf8_lossy(&ran.output).into_owned();
        let mut answers = BTreeMap::new();
        let mut whole = false;
        for line in output.lines().filter_map(|line| line.strip_prefix("pybots-eras\t")) {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["here", module] => drop(answers.insert(module.to_owned(), String::new())),
                ["gap", module, problem] => drop(answers.insert(module.to_owned(), problem.to_owned())),
                ["end"] => whole = true,
                _ => {}
            }
        }
        match whole {
            true => Ok(answers),
            false => Err(anyhow!("the image did not answer to the end: {output}")),
        }
    }

    /// The modules in C that a tree lists.
    fn listed(&self, sha: &str) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for path in modules::LISTS {
            // not every line has all lists
            if let Ok(text) = self.git(&["show", &format!("{sha}:{path}")]) {
                names.extend(modules::listed(path, &text));
            }
        }
        names.extend(modules::codecs(&self.git(&[
            "ls-tree",
            "--name-only",
            sha,
            modules::CODECS,
        ])?));
        Ok(names)
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(self.mirror.folder()).args(arguments);
        let output = command.output().context("failed to run git")?;
        if !output.status.success() {
            bail!(
                "git {arguments:?} failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The log of a build: whole on stderr, or its last lines when it failed.
struct Shown {
    verbose: bool,
    last: Mutex<VecDeque<u8>>,
}

impl Shown {
    fn new(verbose: bool) -> Self {
        let last = Mutex::default();
        Self { verbose, last }
    }

    fn show_last(&self) {
        if self.verbose {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(last.make_contiguous()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        eprintln!("{}", lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"));
    }
}

#[async_trait]
impl Sink for Shown {
    async fn write(&self, chunk: Chunk) -> Result<()> {
        let bytes = chunk.text;
        if self.verbose {
            // a terminal that is gone must not end the build
            let _ = std::io::stderr().write_all(&bytes);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.extend(bytes.iter());
        let surplus = last.len().saturating_sub(64 << 10);
        last.drain(..surplus);
        Ok(())
    }
}

/// Sources from this machine.
struct Local(Mirror);

#[async_trait]
impl Supply for Local {
    async fn tree(&self, revision: &str, wanted: &Wanted) -> Result<BoxStream<'static, std::io::Result<Bytes>>> {
        Ok(self.0.archive(revision, wanted)?.boxed())
    }

    async fn changes(&self, _from: &str, _to: &str, _ignore: &[String]) -> Result<Option<Vec<TreeChange>>> {
        // every build here begins with a clean tree
        Ok(None)
    }

    async fn folder(&self, _digest: &str) -> Result<Vec<u8>> {
        bail!("an image needs no folder of a recipe")
    }
}
