//! The container engine, and what stays on it.

use super::Settings;
use crate::domain::limits::{Limits, Seconds, Size};
use crate::domain::retention::Policy;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSettings {
    /// The container engine's socket; empty: the first that is found, see [`EngineSettings::socket`].
    pub socket: PathBuf,
    /// Network of the fetch phase, and of installs that ask for one.
    pub network: String,
    /// Free disk, in GiB of the engine's data root, below which no job is started.
    pub min_free_gib: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            socket: PathBuf::new(),
            network: "bridge".to_owned(),
            min_free_gib: 5,
        }
    }
}

const DOCKER: &str = "/var/run/docker.sock";

impl EngineSettings {
    /// The socket that is set, else the first that is there: Docker's, Docker's without root, Podman's without
    /// root, Podman's. Where there is none, the name of the usual one.
    pub fn socket(&self) -> PathBuf {
        if !self.socket.as_os_str().is_empty() {
            return self.socket.clone();
        }
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let own = |name: &str| own.as_ref().map(|folder| folder.join(name));
        let usual = [
            Some(DOCKER.into()),
            own("docker.sock"),
            own("podman/podman.sock"),
            Some("/run/podman/podman.sock".into()),
        ];
        let found = usual.into_iter().flatten().find(|socket| socket.exists());
        found.unwrap_or_else(|| DOCKER.into())
    }

    /// `unix:///var/run/docker.sock`, as `DOCKER_HOST` has it, is a path with three letters too many.
    pub(super) fn take_scheme_off(&mut self) {
        if let Some(path) = self.socket.to_str().and_then(|text| text.strip_prefix("unix://")) {
            self.socket = path.into();
        }
    }

    pub(super) fn sane(&self) -> Result<(), String> {
        match self.socket.to_str().and_then(|text| text.split_once("://")) {
            Some((scheme, _)) => Err(format!(
                "`engine.socket` (or DOCKER_HOST) is an address of {scheme}; give the path of a socket on this machine"
            )),
            None => Ok(()),
        }
    }
}

/// What an image build gets. Its tree is a plain volume on the engine's disk, whose size nothing limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuildLimits {
    /// Wall-clock time of all steps.
    pub timeout: Seconds,
    /// Time without output, CPU time or I/O.
    pub silence: Seconds,
    /// Memory, without swap.
    pub memory: Size,
    /// Log bytes kept: half from the head, half from the tail.
    pub log: Size,
    pub pids: u64,
    /// Processors, as a quota; `make` runs as many jobs, shared among the host's slots.
    pub cpus: f64,
}

impl Default for BuildLimits {
    fn default() -> Self {
        let Limits { log, pids, .. } = Limits::default();
        Self {
            timeout: Seconds(3600),
            silence: Seconds(15 * 60),
            memory: Size(4 << 30),
            log,
            pids,
            cpus: std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64),
        }
    }
}

/// How long images and volumes stay. What goes is made again where a run needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSettings {
    /// Days for which each image stays after its check-in, and after its last use.
    pub days: u32,
    /// Whether key frames stay longer.
    pub key_frames: bool,
    /// Days for which they do.
    pub key_frame_days: u32,
    /// Free disk, in GiB of the engine's data root, below which what was used longest ago goes too.
    pub min_free_gib: u64,
    /// How often a host looks at what it holds.
    pub every: Seconds,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            days: 14,
            key_frames: true,
            key_frame_days: 365,
            min_free_gib: 10,
            every: Seconds(5 * 60),
        }
    }
}

impl Settings {
    /// The rules of [`crate::domain::retention`], as they are set.
    pub fn policy(&self) -> Policy {
        let RetentionSettings {
            days,
            key_frames,
            key_frame_days,
            min_free_gib,
            ..
        } = self.retention;
        let own = self
            .branch
            .iter()
            .filter_map(|branch| Some((branch.name.clone(), branch.keep_days?)));
        Policy {
            days,
            branch_days: own.collect(),
            key_frames,
            key_frame_days,
            min_free: min_free_gib.saturating_mul(1 << 30),
        }
    }
}
