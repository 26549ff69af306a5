//! The narrow contract with a container engine. It has no paths of the host, because the daemon may itself run in a
//! container: files go in and out as tar streams, and phases share volumes. Only [`docker`] uses bollard; [`fake`] is a
//! strict stand-in for tests.

pub mod docker;
pub mod fake;
mod inventory;
mod labels;
pub mod progress;
pub mod tar;

pub use inventory::{Disk, DiskUsage, Owned, StoredImage, StoredVolume, Users};
pub use labels::*;

use crate::domain::limits::Size;
use crate::domain::login::Login;
use crate::logfile::Stream;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// Returns the platform of the images that an engine on this machine runs.
pub fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        _ => "linux/other",
    }
}

/// Why the engine did not fulfil a request.
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
    /// A build step failed; its log says more.
    #[error("the image build failed: {0}")]
    BuildFailed(String),
    #[error("the engine's disk is full: {0}; remove old images, or give it more room")]
    DiskFull(String),
    #[error("the container engine refused: {0}")]
    Refused(String),
}

pub type Result<T> = std::result::Result<T, RuntimeError>;

/// The properties of an engine that answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    pub version: String,
    pub api: String,
    /// The operating system and architecture of its images, for example `linux/amd64`.
    pub platform: String,
    /// The free space of its disk in GiB, or `None` if this process can't see the disk.
    pub free_gib: Option<u64>,
    pub traits: Traits,
}

/// Properties of an engine and its machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traits {
    /// The engine's name, for example `Podman Engine`. Empty if the engine reports none.
    pub name: String,
    /// The folder of its data.
    pub root: String,
    pub rootless: bool,
    pub cpus: u64,
    pub memory: u64,
    /// Limits of the sandbox that it does not support.
    pub cannot_limit: Vec<&'static str>,
    pub seccomp: bool,
}

/// An image that the engine holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineImage {
    /// Content id, `sha256:..`.
    pub id: String,
    /// The size in bytes, including layers that other images share.
    pub size: u64,
    pub labels: BTreeMap<String, String>,
}

/// An image to build from a Dockerfile.
pub struct ImageBuild {
    pub tag: String,
    /// A tar stream with `Dockerfile` in it.
    pub context: BoxStream<'static, std::io::Result<Bytes>>,
    /// Predefined arguments such as `HTTP_PROXY`: `RUN` steps see them, and no layer keeps them.
    pub args: BTreeMap<String, String>,
    /// The network of `RUN` steps.
    pub network: String,
}

/// A volume to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub name: String,
    /// The size of a volume in memory, which belongs to the user of the runs. `None` stands for an unlimited volume on
    /// disk.
    pub size: Option<Size>,
    pub labels: BTreeMap<String, String>,
}

/// The network that a container reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// The container's own loopback addresses.
    Loopback,
    /// The loopback addresses of another running container, given by its id.
    SharedLoopback(String),
    /// A network of the engine, by name. It leads to the outside, to other containers and to services of the machine.
    Open(String),
}

/// A container to create. Every property without a field has the safe value: all capabilities dropped, no new
/// privileges, default seccomp, read-only image, no engine socket, no path of the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub image: String,
    pub command: Vec<String>,
    /// The user and group, `1000:1000`, or `0:0` for a container that installs into an image.
    pub user: String,
    pub workdir: String,
    pub env: BTreeMap<String, String>,
    pub network: Network,
    /// Names of volumes, with the paths where they are mounted.
    pub volumes: Vec<(String, String)>,
    pub memory: Size,
    pub pids: u64,
    pub cpus: f64,
    pub labels: BTreeMap<String, String>,
}

/// An image to make from another image and one layer.
pub struct Layered {
    /// The image below, which the engine holds.
    pub base: String,
    pub tag: String,
    /// The command that the image runs by default.
    pub command: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// The SHA-256 of the layer, in hex.
    pub digest: String,
    /// Whether the layer removes files.
    pub has_marks: bool,
    /// A tar stream with one file, `layer.tar`: files from the root of the image, and an empty file `.wh.NAME` for
    /// each NAME that the layer removes.
    pub layer: BoxStream<'static, std::io::Result<Bytes>>,
}

/// A transfer of an image between this engine and a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The name of the image in the registry: `registry.example.org/pybots/cpython:TAG`, or `..@sha256:..`.
    pub reference: String,
    pub login: Option<Login>,
}

/// A piece of a container's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub stream: Stream,
    pub bytes: Bytes,
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, or 128 + signal if a signal ended the container.
    pub code: i64,
    /// Whether the kernel killed one of its processes because memory ran out.
    pub out_of_memory: bool,
}

/// The resources that a container has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_ns: u64,
    pub io_bytes: u64,
}

/// A container engine.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Asks the engine for its properties. Fails if it does not answer.
    async fn engine(&self) -> Result<Engine>;

    /// Returns an image, or `None` if the engine does not hold it.
    async fn image(&self, reference: &str) -> Result<Option<EngineImage>>;
    /// Pulls an image. `log` receives lines of progress. Dropping the future ends the transfer.
    async fn pull(&self, transfer: &Transfer, log: mpsc::Sender<String>) -> Result<()>;
    /// Pushes an image under one of its names, which must have a tag. Returns its name in the registry by digest.
    async fn push(&self, transfer: &Transfer, log: mpsc::Sender<String>) -> Result<String>;
    /// Builds and tags an image. `log` receives the output as it arrives.
    async fn build(&self, build: ImageBuild, log: mpsc::Sender<Bytes>) -> Result<EngineImage>;
    /// Puts one layer on an image, without a container. Equal parts make an equal image.
    async fn layer(&self, layered: Layered) -> Result<EngineImage>;
    /// Gives an image one more name.
    async fn tag(&self, reference: &str, name: &str) -> Result<()>;
    /// Removes a name of an image, or an image by its id. The last name takes the image with it, which fails while a
    /// container uses the image. Idempotent.
    async fn remove_image(&self, reference: &str) -> Result<()>;
    /// Removes untagged images with this label, and the layers that only they needed.
    async fn prune_images(&self, label: &str) -> Result<()>;

    /// Creates a volume. Idempotent.
    async fn create_volume(&self, volume: &Volume) -> Result<()>;
    /// Removes a volume. Fails while a container uses it. Idempotent.
    async fn remove_volume(&self, name: &str) -> Result<()>;

    /// Creates a container and returns its id. The error is [`RuntimeError::NoImage`] if the engine lacks the image.
    async fn create(&self, container: &Container) -> Result<String>;
    /// Unpacks a tar stream into a folder of the container.
    async fn put(&self, id: &str, path: &str, tar: BoxStream<'static, std::io::Result<Bytes>>) -> Result<()>;
    /// Returns a file or folder of the container as a tar stream. Names in it begin with the last part of `path`. The
    /// error is [`RuntimeError::NoFile`] if nothing is there.
    async fn get(&self, id: &str, path: &str) -> Result<BoxStream<'static, std::io::Result<Bytes>>>;
    /// Starts a container. The stream carries stdout and stderr, and ends with the container. If nobody reads the
    /// stream, the container can't write.
    async fn start(&self, id: &str) -> Result<BoxStream<'static, std::io::Result<Output>>>;
    /// Waits for the end of a container. Fails if the engine stops answering or could not run the container.
    async fn wait(&self, id: &str) -> Result<Exit>;
    async fn usage(&self, id: &str) -> Result<Usage>;
    /// Starts a command in a running container, beside its own process, and does not wait for the command. A container
    /// that has ended is left alone.
    async fn exec(&self, id: &str, command: &[&str]) -> Result<()>;
    /// Kills every process of the container. Idempotent.
    async fn kill(&self, id: &str) -> Result<()>;
    /// Kills and removes the container with its anonymous volumes. Idempotent.
    async fn remove(&self, id: &str) -> Result<()>;

    /// Removes all containers, and then all volumes, with this label and value. Returns how many there were.
    async fn reap(&self, label: &str, value: &str) -> Result<usize>;

    /// Lists images that have a label, whatever its value.
    async fn images(&self, label: &str) -> Result<Vec<StoredImage>>;
    /// Lists volumes that have a label, whatever its value.
    async fn volumes(&self, label: &str) -> Result<Vec<StoredVolume>>;
    /// Counts the containers that use each image and volume, including stopped containers.
    async fn users(&self) -> Result<Users>;
    /// Returns the disk with the engine's data root, or `None` if this process can't see it.
    async fn disk(&self) -> Result<Option<Disk>>;
    /// Returns the sizes of images and volumes. The engine adds up files for this, which may take long.
    async fn disk_usage(&self) -> Result<DiskUsage>;
}
