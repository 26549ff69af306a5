//! The implementation of the contract by Docker's API, which Podman supports as well. Only this module and its
//! submodules use bollard.

mod image;
mod inventory;
mod sandbox;
pub mod shell;
mod transfer;
mod translate;

use super::{
    Container, Disk, DiskUsage, Engine, EngineImage, Exit, ImageBuild, Layered, Network, Output, Result, Runtime,
    RuntimeError, StoredImage, StoredVolume, Transfer, Usage, Users, Volume,
};
use crate::domain::causes::causes;
use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions};
use bollard::models::{ContainerCreateBody, VolumeCreateRequest};
use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::path::Path;
use tokio::sync::mpsc;
use translate::{missing, output, refused, status, to_io, usage};

/// The first version of Docker's API with one-shot statistics, of Docker 20.10.
const NEEDED: (usize, usize) = (1, 41);

/// How long a build or a wait may be silent, in seconds.
const PATIENCE_S: u64 = 4 * 3600;

#[derive(Clone)]
pub struct DockerRuntime {
    docker: Docker,
    socket: String,
    /// Whether the engine accepts an image without the lower layers that it holds.
    loads_layers: bool,
}

impl DockerRuntime {
    /// Connects to the engine's socket and negotiates a version of the API. Fails if the engine does not answer, or
    /// lacks version 1.41 of the API.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let socket = socket.display().to_string();
        let unreachable = |error: Error| RuntimeError::Unreachable {
            socket: socket.clone(),
            reason: causes(&error),
        };
        let docker =
            Docker::connect_with_unix(&socket, PATIENCE_S, bollard::API_DEFAULT_VERSION).map_err(unreachable)?;
        let docker = docker.negotiate_version().await.map_err(unreachable)?;
        let found = docker.client_version();
        if (found.major_version, found.minor_version) < NEEDED {
            return Err(RuntimeError::TooOld {
                found: format!("{}.{}", found.major_version, found.minor_version),
                needed: "1.41",
            });
        }
        // an engine that is starting or stopping must not count as one with fewer features
        let loads_layers = image::layers_are_loaded(&docker).await.map_err(unreachable)?;
        Ok(Self {
            docker,
            socket,
            loads_layers,
        })
    }

    /// Behaves as on an engine that makes images only by building them.
    pub fn without_loading_layers(self) -> Self {
        Self {
            loads_layers: false,
            ..self
        }
    }

    fn error(&self, error: Error) -> RuntimeError {
        match error {
            Error::DockerResponseServerError { message, .. } | Error::DockerStreamError { error: message } => {
                refused(message)
            }
            Error::DockerContainerWaitError { error, .. } => refused(error),
            error => RuntimeError::Unreachable {
                socket: self.socket.clone(),
                reason: causes(&error),
            },
        }
    }

    /// Accepts an object that is missing, for calls that are idempotent.
    fn gone_is_fine<T: Default>(&self, result: std::result::Result<T, Error>) -> Result<T> {
        match result {
            Err(error) if matches!(status(&error), Some(404 | 304)) => Ok(T::default()),
            other => other.map_err(|error| self.error(error)),
        }
    }
}

fn name_and_tag(name: &str) -> (&str, &str) {
    name.rsplit_once(':').unwrap_or((name, "latest"))
}

#[async_trait]
impl Runtime for DockerRuntime {
    async fn engine(&self) -> Result<Engine> {
        let version = self.docker.version().await.map_err(|error| self.error(error))?;
        let info = self.docker.info().await.map_err(|error| self.error(error))?;
        let traits = translate::traits(&version, &info);
        let os = version.os.unwrap_or_else(|| "linux".to_owned());
        let arch = version.arch.unwrap_or_else(|| "amd64".to_owned());
        Ok(Engine {
            version: version.version.unwrap_or_default(),
            api: version.api_version.unwrap_or_default(),
            platform: format!("{os}/{arch}"),
            free_gib: inventory::disk_below(&traits.root).map(|disk| disk.free >> 30),
            traits,
        })
    }

    async fn image(&self, reference: &str) -> Result<Option<EngineImage>> {
        match self.docker.inspect_image(reference).await {
            Ok(image) => Ok(Some(EngineImage {
                id: image.id.unwrap_or_default(),
                size: image.size.unwrap_or_default().unsigned_abs(),
                labels: image
                    .config
                    .and_then(|config| config.labels)
                    .unwrap_or_default()
                    .into_iter()
                    .collect(),
            })),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.error(error)),
        }
    }

    async fn pull(&self, transfer: &Transfer, log: mpsc::Sender<String>) -> Result<()> {
        transfer::pull(self, transfer, log).await
    }

    async fn push(&self, transfer: &Transfer, log: mpsc::Sender<String>) -> Result<String> {
        transfer::push(self, transfer, log).await
    }

    async fn build(&self, build: ImageBuild, log: mpsc::Sender<Bytes>) -> Result<EngineImage> {
        image::build(self, build, log).await
    }

    async fn layer(&self, layered: Layered) -> Result<EngineImage> {
        image::put_on(self, layered).await
    }

    async fn tag(&self, reference: &str, name: &str) -> Result<()> {
        let (repository, tag) = name_and_tag(name);
        let options = query::TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
        self.docker
            .tag_image(reference, Some(options))
            .await
            .map_err(|error| self.error(error))
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        let removed = self
            .docker
            .remove_image(reference, None::<query::RemoveImageOptions>, None)
            .await;
        self.gone_is_fine(removed).map(drop)
    }

    async fn prune_images(&self, label: &str) -> Result<()> {
        inventory::prune_images(self, label).await
    }

    async fn create_volume(&self, volume: &Volume) -> Result<()> {
        let options = volume.size.map(|size| {
            HashMap::from([
                ("type".to_owned(), "tmpfs".to_owned()),
                ("device".to_owned(), "tmpfs".to_owned()),
                (
                    "o".to_owned(),
                    format!(
                        "size={},nr_inodes=1000000,uid=1000,gid=1000,mode=0755,nosuid,nodev",
                        size.0
                    ),
                ),
            ])
        });
        let request = VolumeCreateRequest {
            name: Some(volume.name.clone()),
            driver: Some("local".to_owned()),
            driver_opts: options,
            labels: Some(volume.labels.clone().into_iter().collect()),
            ..VolumeCreateRequest::default()
        };
        self.docker
            .create_volume(request)
            .await
            .map(drop)
            .map_err(|error| self.error(error))
    }

    async fn remove_volume(&self, name: &str) -> Result<()> {
        let removed = self
            .docker
            .remove_volume(name, None::<query::RemoveVolumeOptions>)
            .await;
        self.gone_is_fine(removed)
    }

    async fn create(&self, container: &Container) -> Result<String> {
        let body = ContainerCreateBody {
            image: Some(container.image.clone()),
            cmd: Some(container.command.clone()),
            user: Some(container.user.clone()),
            working_dir: Some(container.workdir.clone()),
            hostname: (container.network == Network::Loopback).then(|| sandbox::HOST_NAME.to_owned()),
            env: Some(
                container
                    .env
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect(),
            ),
            labels: Some(container.labels.clone().into_iter().collect()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            host_config: Some(sandbox::host_config(container)),
            ..ContainerCreateBody::default()
        };
        match self
            .docker
            .create_container(None::<query::CreateContainerOptions>, body)
            .await
        {
            Ok(created) => Ok(created.id),
            Err(error) if status(&error) == Some(404) => Err(RuntimeError::NoImage(container.image.clone())),
            Err(error) => Err(self.error(error)),
        }
    }

    async fn put(&self, id: &str, path: &str, tar: BoxStream<'static, std::io::Result<Bytes>>) -> Result<()> {
        let options = query::UploadToContainerOptionsBuilder::new().path(path).build();
        let body = bollard::body_try_stream(tar);
        self.docker
            .upload_to_container(id, Some(options), body)
            .await
            .map_err(|error| self.error(error))
    }

    async fn get(&self, id: &str, path: &str) -> Result<BoxStream<'static, std::io::Result<Bytes>>> {
        let options = query::DownloadFromContainerOptionsBuilder::new().path(path).build();
        let docker = self.docker.clone();
        let id = id.to_owned();
        let mut stream = Box::pin(docker.download_from_container(&id, Some(options)).map_err(to_io));
        // the first chunk reports a missing path; read it here, where the caller can react
        match stream.next().await {
            Some(Err(error)) if missing(&error) => Err(RuntimeError::NoFile(path.to_owned())),
            Some(Err(error)) => Err(RuntimeError::Refused(error.to_string())),
            Some(Ok(first)) => Ok(futures_util::stream::once(async move { Ok(first) })
                .chain(stream)
                .boxed()),
            None => Ok(futures_util::stream::empty().boxed()),
        }
    }

    async fn start(&self, id: &str) -> Result<BoxStream<'static, std::io::Result<Output>>> {
        let options = query::AttachContainerOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .stream(true)
            .build();
        let attached = self
            .docker
            .attach_container(id, Some(options))
            .await
            .map_err(|error| self.error(error))?;
        let started = self
            .docker
            .start_container(id, None::<query::StartContainerOptions>)
            .await;
        started.map_err(|error| self.error(error))?;
        Ok(attached.output.map_ok(output).map_err(to_io).boxed())
    }

    async fn wait(&self, id: &str) -> Result<Exit> {
        let mut waits = Box::pin(self.docker.wait_container(id, None::<query::WaitContainerOptions>));
        while let Some(answer) = waits.next().await {
            match answer {
                Ok(_) => {}
                // bollard turns every exit code but 0 into an error; the state below has the code
                Err(Error::DockerContainerWaitError { .. }) => break,
                Err(error) => return Err(self.error(error)),
            }
        }
        let options = None::<query::InspectContainerOptions>;
        let state = self
            .docker
            .inspect_container(id, options)
            .await
            .map_err(|error| self.error(error))?
            .state;
        let state = state.unwrap_or_default();
        if state.running == Some(true) {
            return Err(RuntimeError::Unreachable {
                socket: self.socket.clone(),
                reason: "it stopped answering while a container ran".to_owned(),
            });
        }
        if let Some(error) = state.error.filter(|error| !error.is_empty()) {
            return Err(refused(error));
        }
        Ok(Exit {
            code: state.exit_code.unwrap_or(-1),
            out_of_memory: state.oom_killed.unwrap_or(false),
        })
    }

    async fn usage(&self, id: &str) -> Result<Usage> {
        let options = query::StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let mut stats = Box::pin(self.docker.stats(id, Some(options)));
        let Some(stats) = stats.next().await else {
            return Ok(Usage::default());
        };
        let stats = stats.map_err(|error| self.error(error))?;
        Ok(usage(stats))
    }

    async fn exec(&self, id: &str, command: &[&str]) -> Result<()> {
        let config = CreateExecOptions {
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            ..CreateExecOptions::<String>::default()
        };
        let created = match self.docker.create_exec(id, config).await {
            Ok(created) => created,
            Err(error) if status(&error) == Some(409) => return Ok(()), // it has ended
            Err(error) => return self.gone_is_fine(Err(error)),
        };
        let detached = StartExecOptions {
            detach: true,
            ..StartExecOptions::default()
        };
        match self.docker.start_exec(&created.id, Some(detached)).await {
            Err(error) if status(&error) == Some(409) => Ok(()),
            other => self.gone_is_fine(other.map(drop)),
        }
    }

    async fn kill(&self, id: &str) -> Result<()> {
        let killed = self
            .docker
            .kill_container(id, None::<query::KillContainerOptions>)
            .await;
        match killed {
            Err(error) if status(&error) == Some(409) => Ok(()), // it has ended
            other => self.gone_is_fine(other),
        }
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let options = query::RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed = self.docker.remove_container(id, Some(options)).await;
        match removed {
            Err(error) if status(&error) == Some(409) => Ok(()), // its removal is under way
            other => self.gone_is_fine(other),
        }
    }

    async fn reap(&self, label: &str, value: &str) -> Result<usize> {
        inventory::reap(self, label, value).await
    }

    async fn images(&self, label: &str) -> Result<Vec<StoredImage>> {
        inventory::images(self, label).await
    }

    async fn volumes(&self, label: &str) -> Result<Vec<StoredVolume>> {
        inventory::volumes(self, label).await
    }

    async fn users(&self) -> Result<Users> {
        inventory::users(self).await
    }

    async fn disk(&self) -> Result<Option<Disk>> {
        Ok(inventory::disk(self).await)
    }

    async fn disk_usage(&self) -> Result<DiskUsage> {
        inventory::disk_usage(self).await
    }
}
