//! The narrow contract with a container engine. It knows no host paths (the daemon may itself be a
//! container): files go in and out as tar streams, and what phases share is a volume. [`docker`] is
//! the only importer of bollard; [`fake`] is a strict stand-in that checks its caller.

pub mod docker;
pub mod fake;
mod inventory;
pub mod progress;
pub mod tar;

pub use inventory::{Disk, DiskUsage, StoredImage, StoredVolume, Users};

use crate::domain::limits::Size;
use crate::domain::login::Login;
use crate::logfile::Stream;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// Label on everything that a host makes: its id. What bears it after a restart is a leftover.
pub const HOST_LABEL: &str = "org.pybots.host";

/// Label on what belongs to one attempt: its id.
pub const ATTEMPT_LABEL: &str = "org.pybots.attempt";

/// Label on a container of a run, and on a volume of wheels: the project.
pub const PROJECT_LABEL: &str = "org.pybots.project";

/// Label on a container that is a phase: its name.
pub const PHASE_LABEL: &str = "org.pybots.phase";

/// Label on what outlives attempts, and may be dropped when nobody needs it any more: what it is.
pub const KIND_LABEL: &str = "org.pybots.kind";

/// Label on the volume of a lane: the host that builds in it.
pub const LANE_LABEL: &str = "org.pybots.lane-of";

/// Label on a volume of wheels: the ABI key that they were compiled for.
pub const ABI_LABEL: &str = "org.pybots.abi";

/// Label on a volume that one host alone may use: its id. Unlike [`HOST_LABEL`] it makes no leftover.
pub const OWNER_LABEL: &str = "org.pybots.kept-by";

/// Label on an image with a CPython in it: the build key of that.
pub const BUILD_KEY_LABEL: &str = "org.pybots.build-key";

/// Labels on an image of CPython: what it was built from, and where its files lie.
pub mod image_label {
    pub const REVISION: &str = "org.pybots.revision";
    pub const BRANCH: &str = "org.pybots.branch";
    pub const VARIANT: &str = "org.pybots.variant";
    pub const VERSION: &str = "org.pybots.version";
    /// Layers above the key frame.
    pub const DEPTH: &str = "org.pybots.layer-depth";
    /// Bytes of its own files.
    pub const ADDED: &str = "org.pybots.layer-bytes";
    /// The image below it; empty for a key frame.
    pub const ON: &str = "org.pybots.layer-on";
    /// Bytes of all layers above the key frame.
    pub const CHAIN: &str = "org.pybots.chain-bytes";
    /// Bytes of all files of this CPython.
    pub const ALL: &str = "org.pybots.all-bytes";
}

/// The labels of what a host makes for an attempt.
pub fn labels(host: &str, attempt: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (HOST_LABEL.to_owned(), host.to_owned()),
        (ATTEMPT_LABEL.to_owned(), attempt.to_owned()),
    ])
}

/// What an engine on this machine runs.
pub fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        _ => "linux/other",
    }
}

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("the container engine does not answer at {socket}: {reason}; start it, or set `engine.socket`")]
    Unreachable { socket: String, reason: String },
    #[error(
        "the container engine is too old: it speaks API {found}, and {needed} is needed; install Docker 20.10 or newer"
    )]
    TooOld { found: String, needed: &'static str },
    #[error("there is no image {0} on this engine")]
    NoImage(String),
    #[error("there is no file {0} in the container")]
    NoFile(String),
    /// A build step ended with an error; its log says more.
    #[error("the image build failed: {0}")]
    BuildFailed(String),
    #[error("the engine's disk is full: {0}; remove old images, or give it more room")]
    DiskFull(String),
    #[error("the container engine refused: {0}")]
    Refused(String),
}

pub type Result<T> = std::result::Result<T, RuntimeError>;

/// What the engine is.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    pub version: String,
    pub api: String,
    /// OS and architecture of what it runs, e.g. `linux/amd64`.
    pub platform: String,
    /// Free space of its disk, where this process can see that.
    pub free_gib: Option<u64>,
    pub traits: Traits,
}

/// What an engine says of itself and its machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traits {
    /// Its name as far as it is not Docker, e.g. `Podman Engine`.
    pub name: String,
    /// The folder with all that it keeps.
    pub root: String,
    pub rootless: bool,
    pub cpus: u64,
    pub memory: u64,
    /// Limits of the sandbox that it can't set.
    pub cannot_limit: Vec<&'static str>,
    pub seccomp: bool,
}

/// An image that the engine holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Content id, `sha256:..`.
    pub id: String,
    /// Bytes, layers that others share included.
    pub size: u64,
    pub labels: BTreeMap<String, String>,
}

/// An image to build from a Dockerfile.
pub struct Build {
    pub tag: String,
    /// A tar stream with `Dockerfile` in it.
    pub context: BoxStream<'static, std::io::Result<Bytes>>,
    /// Predefined arguments such as `HTTP_PROXY`: seen by `RUN`, kept in no layer.
    pub args: BTreeMap<String, String>,
    /// Network of `RUN` steps.
    pub network: String,
}

/// A volume to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub name: String,
    /// In memory and bounded, owned by the user of the runs; None: on disk, unbounded.
    pub size: Option<Size>,
    pub labels: BTreeMap<String, String>,
}

/// A container to make. What is not named here is the safe choice: all capabilities dropped, no new
/// privileges, default seccomp, read-only image, no engine socket, no host path.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub image: String,
    pub command: Vec<String>,
    /// `1000:1000`, or `0:0` for what installs into an image.
    pub user: String,
    pub workdir: String,
    pub env: BTreeMap<String, String>,
    /// None: loopback only.
    pub network: Option<String>,
    /// Volume -> where it is mounted.
    pub volumes: Vec<(String, String)>,
    pub memory: Size,
    pub pids: u64,
    pub cpus: f64,
    pub labels: BTreeMap<String, String>,
}

/// An image to make of another one and one layer.
pub struct Layered {
    /// The image below it; the engine holds it.
    pub base: String,
    pub tag: String,
    /// What the image runs when nothing is said.
    pub command: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// SHA-256 of the layer, hex.
    pub digest: String,
    /// Whether there are any marks in it.
    pub has_marks: bool,
    /// A tar stream with one file, `layer.tar`: files from the root of the image, and an empty file
    /// `.wh.NAME` where NAME is gone.
    pub layer: BoxStream<'static, std::io::Result<Bytes>>,
}

/// What a container wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub stream: Stream,
    pub bytes: Bytes,
}

/// An image on its way between this engine and a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// With the registry's name in front: `registry.example.org/pybots/cpython:TAG`, or `..@sha256:..`.
    pub reference: String,
    pub login: Option<Login>,
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// 128 + signal where a signal ended it.
    pub code: i64,
    /// The kernel killed a process of it for want of memory.
    pub out_of_memory: bool,
}

/// What a container has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_ns: u64,
    pub io_bytes: u64,
}

/// A container engine.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Asks the engine who it is; fails if it does not answer or is too old.
    async fn engine(&self) -> Result<Engine>;

    /// None where the engine does not hold it.
    async fn image(&self, reference: &str) -> Result<Option<Image>>;
    /// Gets an image; `log` gets a line now and then on how far it is. What is dropped half-way ends there.
    async fn pull(&self, transfer: &Transfer, log: mpsc::Sender<String>) -> Result<()>;
    /// Gives an image, under a name with a tag that it bears, to a registry. Returns its name there by digest.
    async fn push(&self, transfer: &Transfer, log: mpsc::Sender<String>) -> Result<String>;
    /// Builds and tags; `log` gets the output as it comes.
    async fn build(&self, build: Build, log: mpsc::Sender<Bytes>) -> Result<Image>;
    /// Puts one layer on an image, without a container. Equal parts make an equal image.
    async fn layer(&self, layered: Layered) -> Result<Image>;
    /// Gives an image one more name.
    async fn tag(&self, reference: &str, name: &str) -> Result<()>;
    /// Takes a name away, and with its last one the image. Idempotent.
    async fn remove_image(&self, reference: &str) -> Result<()>;
    /// Removes untagged images with this label and what only they needed.
    async fn prune_images(&self, label: &str) -> Result<()>;

    /// Idempotent.
    async fn create_volume(&self, volume: &Volume) -> Result<()>;
    /// Idempotent; fails while a container uses it.
    async fn remove_volume(&self, name: &str) -> Result<()>;

    /// Makes a container and returns its id.
    async fn create(&self, container: &Container) -> Result<String>;
    /// Unpacks a tar stream below a folder of the container.
    async fn put(&self, id: &str, path: &str, tar: BoxStream<'static, std::io::Result<Bytes>>) -> Result<()>;
    /// A file or folder of the container as a tar stream; the names in it begin with its last part.
    async fn get(&self, id: &str, path: &str) -> Result<BoxStream<'static, std::io::Result<Bytes>>>;
    /// Starts it. The stream carries stdout and stderr and ends when the container has ended; as long
    /// as nobody reads it, the container is held up.
    async fn start(&self, id: &str) -> Result<BoxStream<'static, std::io::Result<Output>>>;
    /// Waits for its end.
    async fn wait(&self, id: &str) -> Result<Exit>;
    async fn usage(&self, id: &str) -> Result<Usage>;
    /// Kills every process in it. Idempotent.
    async fn kill(&self, id: &str) -> Result<()>;
    /// Kills and removes it with its anonymous volumes. Idempotent.
    async fn remove(&self, id: &str) -> Result<()>;

    /// Removes all containers, then all volumes that bear a label; returns how many.
    async fn reap(&self, label: &str, value: &str) -> Result<usize>;

    /// Images that bear a label, whatever its value.
    async fn images(&self, label: &str) -> Result<Vec<StoredImage>>;
    /// Volumes that bear a label, whatever its value.
    async fn volumes(&self, label: &str) -> Result<Vec<StoredVolume>>;
    /// What containers use, be they running or not.
    async fn users(&self) -> Result<Users>;
    /// The disk with the engine's data root; None where this process can't see that.
    async fn disk(&self) -> Result<Option<Disk>>;
    /// What each image and volume takes. The engine adds up files for it, which may take long.
    async fn disk_usage(&self) -> Result<DiskUsage>;
}
