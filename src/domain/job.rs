//! What a host is handed, and what it hands back. Everything a job needs is in its spec: it is
//! fixed when the job is planned, so that each attempt at it does the same thing.

use super::DEFAULT_VARIANT;
use super::limits::Limits;
use super::outcome::Outcome;
use super::results::{Summary, Tests};
use crate::recipe::{Fetch, Suite};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A unit that a host can claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSpec {
    Image(Box<BuildSpec>),
    Run(Box<RunSpec>),
}

impl JobSpec {
    /// Of the image that is built or used.
    pub fn build_key(&self) -> &str {
        &self.build().build_key
    }

    /// Labels that a host must have.
    pub fn labels(&self) -> BTreeSet<String> {
        match self {
            JobSpec::Image(_) => BTreeSet::new(),
            JobSpec::Run(run) => run.labels.clone(),
        }
    }

    /// The image that is built or used.
    pub fn build(&self) -> &BuildSpec {
        match self {
            JobSpec::Image(build) => build,
            JobSpec::Run(run) => &run.image.build,
        }
    }

    /// Of the image that is built or used.
    pub fn build_mut(&mut self) -> &mut BuildSpec {
        match self {
            JobSpec::Image(build) => build,
            JobSpec::Run(run) => &mut run.image.build,
        }
    }

    /// For logs: what is done, and on what.
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
    pub revision: String,
    pub branch: String,
    /// Full version as the tree says, e.g. `3.16.0a0`.
    pub version: String,
    pub variant: String,
    pub profile: crate::profile::Profile,
    pub distribution: crate::profile::Distribution,
    /// Where its image travels. No part of what is planned: said anew with each claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
}

/// A repository of a registry, and what is there of a build key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    /// `registry.example.org/pybots/cpython`
    pub repository: String,
    pub image: Option<RemoteImage>,
}

/// An image that a host can have without building it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteImage {
    /// By digest, so that it can be no other: `registry.example.org/pybots/cpython@sha256:..`.
    pub reference: String,
    /// What it said of itself when it was built.
    pub facts: Facts,
}

impl BuildSpec {
    /// The image's name on an engine.
    pub fn reference(&self) -> String {
        format!("pybots/cpython:{}", &self.build_key[..24.min(self.build_key.len())])
    }

    /// The volume in which a host builds it, one after the other: what is built by another profile, as
    /// another variant, or of another line of Python has nothing in common with it.
    pub fn lane(&self, host: &str) -> String {
        let line: Vec<&str> = self.version.splitn(3, '.').take(2).collect();
        let profile = serde_json::json!([self.profile, line, self.variant]).to_string();
        let toolchain = self.distribution.toolchain_reference();
        let parts = [host.as_bytes(), profile.as_bytes(), toolchain.as_bytes()];
        format!("pybots-lane-{}", &crate::profile::digest(&parts)[..24])
    }

    /// The volume that all lanes of its toolchain share.
    pub fn cache(&self) -> String {
        cache(&self.distribution)
    }

    /// `0ec9fdba30 (trunk)`, or `0ec9fdba30 (trunk, debug)`.
    fn name(&self) -> String {
        let revision = &self.revision[..self.revision.len().min(10)];
        match self.variant.as_str() {
            DEFAULT_VARIANT => format!("{revision} ({})", self.branch),
            variant => format!("{revision} ({}, {variant})", self.branch),
        }
    }
}

/// The volume of what compilers and configure found out, for all lanes of a toolchain.
pub fn cache(distribution: &crate::profile::Distribution) -> String {
    let toolchain = distribution.toolchain_reference();
    format!("pybots-cache-{}", toolchain.rsplit(':').next().unwrap_or("none"))
}

/// A run: one project's suites on one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    pub project: String,
    pub image: ImageUnderTest,
    pub distribution: crate::profile::Distribution,
    pub fetch: Fetch,
    /// Packages of the distribution to add to the image.
    pub system: Vec<String>,
    pub install: Option<Vec<String>>,
    pub install_network: bool,
    pub env: BTreeMap<String, String>,
    pub suites: Vec<Suite>,
    pub limits: Limits,
    /// Labels that a host must have.
    #[serde(default)]
    pub labels: BTreeSet<String>,
}

/// First Python line for which `venv` and `uv` serve.
const FIRST_MODERN: (u64, u64) = (3, 8);

impl RunSpec {
    /// Python before 3.8: no resolver and no `uv`; the recipe says everything.
    pub fn is_legacy(&self) -> bool {
        let numbers = self.fetch.python.split('.');
        let mut numbers = numbers.map(|part| part.parse::<u64>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < FIRST_MODERN
    }
}

/// The CPython that a suite must run on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageUnderTest {
    pub reference: String,
    pub build: BuildSpec,
    pub facts: Facts,
}

/// What an image's own interpreter says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `sys.version`, whole.
    pub sys_version: String,
    /// Major and minor, e.g. `3.16`.
    pub line: String,
    /// The revision that was compiled in, as far as the line records one.
    pub revision: String,
    pub soabi: String,
    /// Digest of headers, pyconfig.h and compile flags, in hex: equal keys can share compiled wheels.
    /// None: the image could not tell, or was probed before there were keys.
    #[serde(default)]
    pub abi_key: Option<String>,
    #[serde(default)]
    pub free_threaded: bool,
    /// Built with `--with-pydebug`.
    #[serde(default)]
    pub debug: bool,
    pub executable: String,
    pub missing_modules: Vec<String>,
}

/// One phase of an attempt, as it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    pub name: String,
    /// Milliseconds since the epoch, UTC.
    pub started_at: i64,
    pub seconds: f64,
    /// None where the phase was ended from outside.
    pub exit_code: Option<i64>,
    /// Where its log begins, in bytes of the attempt's log.
    pub log_from: u64,
}

/// What a host says at the end of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub outcome: Outcome,
    pub phases: Vec<Phase>,
    /// Of an image job.
    pub image: Option<BuiltImage>,
    /// Of a run: the exact versions that were installed, as JSON text.
    pub lock: Option<String>,
    /// Of a run: the interpreter that the suites were seen on (`sys.version`).
    pub interpreter: Option<String>,
    /// Of a run: the modes of those phases that had some, by the phase's name: `-X dev -W error`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modes: BTreeMap<String, String>,
    /// Of a run whose suites tell of their tests. They are kept apart from the rest, which has them in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<Tests>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// The host stopped before the job could end: nothing failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handed_back: bool,
}

impl Report {
    pub fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            phases: Vec::new(),
            image: None,
            lock: None,
            interpreter: None,
            modes: BTreeMap::new(),
            tests: None,
            summary: None,
            handed_back: false,
        }
    }

    /// Of a host that stops.
    pub fn handed_back() -> Self {
        let reason = "the host was stopped".to_owned();
        Self {
            handed_back: true,
            ..Self::of(Outcome::Infra { reason })
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuiltImage {
    pub reference: String,
    /// The engine's content id, `sha256:..`.
    pub digest: String,
    pub size: u64,
    pub facts: Facts,
    #[serde(default)]
    pub layer: Layer,
    /// Where it was pushed to, by digest: see [`RemoteImage::reference`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
}

/// Where an image's files lie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Layers above the key frame; 0: it is one.
    pub depth: u32,
    /// Bytes of its own files.
    pub added: u64,
    /// The image below it, unless it is a key frame.
    pub on: Option<String>,
}
