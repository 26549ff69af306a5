//! The spec of a job, which a host gets, and the report, which it sends. The spec has all that an attempt needs. It is
//! fixed when the job is planned, so that every attempt does the same.

use super::DEFAULT_VARIANT;
use super::digest::digest;
use super::host::Labels;
use super::id::HostId;
use super::limits::Limits;
use super::outcome::Outcome;
use super::profile::{Distribution, Profile};
use super::results::{Summary, Tests};
use super::suite::{Fetch, Suite};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A unit that a host can claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSpec {
    Image(Box<BuildSpec>),
    Run(Box<RunSpec>),
}

impl JobSpec {
    /// Returns the build key of the image that the job builds or uses.
    pub fn build_key(&self) -> &str {
        &self.build().build_key
    }

    /// Returns the labels that a host must have to do the job.
    pub fn labels(&self) -> Labels {
        match self {
            JobSpec::Image(_) => Labels::default(),
            JobSpec::Run(run) => run.labels.clone(),
        }
    }

    /// Returns the build of the image that the job builds or uses.
    pub fn build(&self) -> &BuildSpec {
        match self {
            JobSpec::Image(build) => build,
            JobSpec::Run(run) => &run.image.build,
        }
    }

    /// Returns the same as [`JobSpec::build`], to change it.
    pub fn build_mut(&mut self) -> &mut BuildSpec {
        match self {
            JobSpec::Image(build) => build,
            JobSpec::Run(run) => &mut run.image.build,
        }
    }

    /// Returns a title for logs, such as `image of 0ec9fdba30 (trunk)` or `attrs on 0ec9fdba30 (trunk)`.
    pub fn title(&self) -> String {
        match self {
            JobSpec::Image(build) => format!("image of {}", build.name()),
            JobSpec::Run(run) => format!("{} on {}", run.project, run.image.build.name()),
        }
    }
}

/// An image build: one tree of CPython by one profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildSpec {
    pub build_key: String,
    /// The id in git of the revision.
    pub revision: String,
    pub branch: String,
    /// The full version in the tree, such as `3.16.0a0`.
    pub version: String,
    pub variant: String,
    pub profile: Profile,
    pub distribution: Distribution,
    /// Where the image is in the registry. The plan leaves this empty; each claim fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
}

/// A repository of a registry, and its image of a build key if it has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    /// `registry.example.org/pybots/cpython`
    pub repository: String,
    pub image: Option<RemoteImage>,
}

/// An image that a host can pull instead of building it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteImage {
    /// The reference by digest, which no other image can have: `registry.example.org/pybots/cpython@sha256:..`.
    pub reference: String,
    /// The facts that the probe found when the image was built.
    pub facts: Facts,
}

impl BuildSpec {
    /// Returns the name of the image on engines.
    pub fn reference(&self) -> String {
        format!("pybots/cpython:{}", beginning(&self.build_key, 24))
    }

    /// Returns the name of the volume of the build tree in which a host builds the image. Builds of one host share a
    /// tree if profile, variant, minor version of Python and toolchain are equal.
    pub fn build_tree(&self, host: &HostId) -> String {
        let line: Vec<&str> = self.version.splitn(3, '.').take(2).collect();
        let profile = serde_json::json!([self.profile, line, self.variant]).to_string();
        let toolchain = self.distribution.toolchain_reference();
        let parts = [host.as_str().as_bytes(), profile.as_bytes(), toolchain.as_bytes()];
        format!("pybots-lane-{}", &digest(&parts)[..24])
    }

    /// Returns the name of the volume of the cache that all build trees of the toolchain share.
    pub fn cache(&self) -> String {
        cache(&self.distribution)
    }

    /// Returns a name for logs: `0ec9fdba30 (trunk)`, or `0ec9fdba30 (trunk, debug)`.
    fn name(&self) -> String {
        let revision = beginning(&self.revision, 10);
        match self.variant.as_str() {
            DEFAULT_VARIANT => format!("{revision} ({})", self.branch),
            variant => format!("{revision} ({}, {variant})", self.branch),
        }
    }
}

/// Returns the first `most` bytes of a text that another machine sent, without a torn character.
fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// Returns the name of the volume that caches the output of compilers and the results of `configure`, for all build
/// trees of a toolchain.
pub fn cache(distribution: &Distribution) -> String {
    let toolchain = distribution.toolchain_reference();
    format!("pybots-cache-{}", toolchain.rsplit(':').next().unwrap_or("none"))
}

/// A run: one project's suites on one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    pub project: String,
    pub image: ImageUnderTest,
    pub distribution: Distribution,
    pub fetch: Fetch,
    /// Packages of the distribution that the run adds to the image.
    pub system: Vec<String>,
    pub install: Option<Vec<String>>,
    pub install_network: bool,
    pub env: BTreeMap<String, String>,
    pub suites: Vec<Suite>,
    pub limits: Limits,
    /// Whether install builds every wheel, although the cache may have some. A run that proves a change must not depend
    /// on wheels that an earlier revision compiled.
    #[serde(default)]
    pub wheels_anew: bool,
    /// The labels that a host must have to do the run.
    #[serde(default)]
    pub labels: Labels,
}

/// The first version of Python that `uv` supports.
const FIRST_MODERN: (u64, u64) = (3, 8);

impl RunSpec {
    /// Returns whether Python is too old for `uv`. Then the recipe names every package to install.
    pub fn is_legacy(&self) -> bool {
        let numbers = self.fetch.python.split('.');
        let mut numbers = numbers.map(|part| part.parse::<u64>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < FIRST_MODERN
    }
}

/// The image on which a suite must run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageUnderTest {
    pub reference: String,
    pub build: BuildSpec,
    pub facts: Facts,
}

/// The facts that the probe of an image learned from its interpreter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The whole `sys.version`.
    pub sys_version: String,
    /// Major and minor version, such as `3.16`.
    pub line: String,
    /// The revision that the interpreter reports; empty for versions of Python that report none.
    pub revision: String,
    pub soabi: String,
    /// The ABI key: the digest of headers, `pyconfig.h` and compile flags, in hex. Images with equal keys share
    /// compiled wheels. `None` if the probe could not compute it, or was done before there were keys.
    #[serde(default)]
    pub abi_key: Option<String>,
    #[serde(default)]
    pub free_threaded: bool,
    /// Whether CPython was built with `--with-pydebug`.
    #[serde(default)]
    pub debug: bool,
    pub executable: String,
    /// Modules of the profile that can't be imported: `NAME: WHY`. An image that lacks one is degraded.
    pub missing_modules: Vec<String>,
}

impl Facts {
    /// Returns the missing modules: the name of each, and why it can't be imported.
    pub fn missing(&self) -> impl Iterator<Item = (&str, &str)> {
        let missing = self.missing_modules.iter();
        missing.map(|module| module.split_once(": ").unwrap_or((module, "")))
    }
}

/// One phase of an attempt that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    pub name: String,
    pub started_at: Timestamp,
    pub seconds: f64,
    /// `None` if the host ended the phase.
    pub exit_code: Option<i64>,
    /// The offset in the attempt's log at which the phase begins.
    pub log_from: u64,
}

/// The name of the phase that fetches sources and packages.
pub const FETCH: &str = "fetch";

/// How long an attempt at a run may take beyond the time limit of its run, in seconds: to build or pull the image, to
/// add packages of the distribution, and to deliver log and report.
const ATTEMPT_MARGIN: u64 = 2 * 3600;
/// How long an attempt at a build may take, in seconds. Its limit is a setting of the host, an hour by default.
const BUILD_MOST: u64 = 12 * 3600;

/// Returns how long an attempt at a job may take, in milliseconds. `None` stands for a job that can't be read.
pub fn attempt_most_ms(job: Option<&JobSpec>) -> i64 {
    let seconds = match job {
        Some(JobSpec::Run(run)) => run.limits.run_timeout.0.saturating_add(ATTEMPT_MARGIN),
        Some(JobSpec::Image(_)) | None => BUILD_MOST,
    };
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}

/// The least age of an overdue attempt, in milliseconds.
pub const ATTEMPT_LEAST_MS: i64 = ATTEMPT_MARGIN as i64 * 1000;

/// The report that a host sends at the end of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub outcome: Outcome,
    pub phases: Vec<Phase>,
    /// The image that an image job built.
    pub image: Option<BuiltImage>,
    /// The lock that a run installed, as JSON text.
    pub lock: Option<String>,
    /// A lock that other hosts must not install: a host that may not build reported it, and its job did not name it.
    /// The coordinator moves such a lock here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed_lock: Option<String>,
    /// The `sys.version` on which the suites ran.
    pub interpreter: Option<String>,
    /// The content ids (`sha256:..`) of the images that a run used, by what they are: `toolchain`, `base`, `runtime` and
    /// `cpython`, and `project` if the recipe adds packages of the distribution. `base` and `runtime` are below `cpython`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// The modes of a run's phases by the names of the phases, such as `-X dev -W error`. Phases without a mode are
    /// left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modes: BTreeMap<String, String>,
    /// The results of a run's tests, if its suites report any. The coordinator stores them as an object; the row keeps
    /// the summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<Tests>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// The address of the source that did not answer, if that kept the run from being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
    /// The space limit that a phase reached, as a sentence, if it failed for lack of space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Whether the host was stopped before the job could end. Then nothing failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handed_back: bool,
}

impl Report {
    /// Creates a report that only has an outcome.
    pub fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            phases: Vec::new(),
            image: None,
            lock: None,
            unconfirmed_lock: None,
            interpreter: None,
            images: BTreeMap::new(),
            modes: BTreeMap::new(),
            tests: None,
            summary: None,
            unreachable: None,
            limit: None,
            handed_back: false,
        }
    }

    /// Returns whether the fetch ended with an error of the recipe, which may mean that something in a lock has
    /// vanished. Returns `false` for a report without phases.
    pub fn is_unfetchable(&self) -> bool {
        let ended_in_fetch = self.phases.last().is_some_and(|phase| phase.name == FETCH);
        ended_in_fetch && matches!(self.outcome, Outcome::RecipeError { .. })
    }

    /// Creates the report of a job that a stopped host hands back.
    pub fn handed_back() -> Self {
        let reason = "the host was stopped".to_owned();
        Self {
            handed_back: true,
            ..Self::of(Outcome::Infra { reason })
        }
    }
}

/// An image that a host built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuiltImage {
    pub reference: String,
    /// The content id on the engine, `sha256:..`.
    pub digest: String,
    /// The size in bytes, with all layers.
    pub size: u64,
    pub facts: Facts,
    #[serde(default)]
    pub layer: Layer,
    /// The reference in the registry if the host pushed it; see [`RemoteImage::reference`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
}

/// The layer that a build adds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// How many layers are between it and its key frame; 0 for a key frame.
    pub depth: u32,
    /// The bytes of the files that it adds.
    pub added: u64,
    /// The image below; `None` for a key frame.
    pub on: Option<String>,
}
