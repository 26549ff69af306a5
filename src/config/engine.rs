//! `[engine]`, `[build]` and `[retention]`: the container engine, the limits of builds, and what stays on the engine.

use crate::domain::limits::{Limits, Seconds, Size};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSettings {
    /// The socket of the container engine. If empty, [`EngineSettings::socket`] chooses one.
    pub socket: PathBuf,
    /// The network of the fetch phase, and of installs whose recipes ask for one.
    pub network: String,
    /// Free disk space of the engine's data root, in GiB, that a host needs to start a job.
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
    /// Returns the socket that is set. If none is, returns the first existing one of Docker, rootless Docker, rootless
    /// Podman and Podman. If none exists, returns the path of Docker's.
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

    /// Turns an address such as `unix:///var/run/docker.sock`, the form of `DOCKER_HOST`, into a path.
    pub(super) fn strip_scheme(&mut self) {
        if let Some(path) = self.socket.to_str().and_then(|text| text.strip_prefix("unix://")) {
            self.socket = path.into();
        }
    }

    /// Checks that the socket is a path, and not an address with a scheme. The error says what to write instead.
    pub(super) fn sane(&self) -> Result<(), String> {
        match self.socket.to_str().and_then(|text| text.split_once("://")) {
            Some((scheme, _)) => Err(format!(
                "`engine.socket` (or DOCKER_HOST) is an address of type {scheme}; write the path of a socket on this machine"
            )),
            None => Ok(()),
        }
    }
}

/// The limits of an image build. Nothing limits the size of its build tree, a volume on the engine's disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuildLimits {
    /// The time limit of the whole build.
    pub timeout: Seconds,
    /// The longest time without output, CPU time or I/O.
    pub silence: Seconds,
    /// The memory limit, without swap.
    pub memory: Size,
    /// The most bytes of log to keep: half from the head, half from the tail.
    pub log: Size,
    pub pids: u64,
    /// The limit of processors, as a quota. `make` runs that many jobs, shared among the host's slots.
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

/// How long images, volumes, downloads and the audit log stay. A removed image is built again when a run needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSettings {
    /// Days for which an image stays after its revision was committed, and after its last use.
    pub days: u32,
    /// Whether key frames stay longer.
    pub key_frames: bool,
    /// Days for which key frames stay.
    pub key_frame_days: u32,
    /// Free disk space of the engine's data root, in GiB. If less is free, the least recently used images are removed
    /// too.
    pub min_free_gib: u64,
    /// The size limit of the cache of downloads, which all hosts on an engine share. A fetch may exceed it while it
    /// runs.
    pub downloads: Size,
    /// The time between two removals of images and volumes that no longer stay.
    pub every: Seconds,
    /// Days for which entries of the audit log stay.
    pub audit_days: NonZeroU32,
}

/// The default of `audit_days`: two years.
const AUDIT_DAYS: NonZeroU32 = NonZeroU32::MIN.saturating_add(729);

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            days: 14,
            key_frames: true,
            key_frame_days: 365,
            min_free_gib: 10,
            downloads: Size(4 << 30),
            every: Seconds(5 * 60),
            audit_days: AUDIT_DAYS,
        }
    }
}
