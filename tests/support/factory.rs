//! Images of revisions of one repository, made as a host makes them; and the same from nothing.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use pybots::config::Settings;
use pybots::domain::job::{BuildSpec, BuiltImage, JobSpec, Report};
use pybots::domain::tree::{TreeChange, Wanted};
use pybots::host::log::{Log, Sink};
use pybots::host::{Host, Supply, scratch};
use pybots::logfile::Chunk;
use pybots::plan;
use pybots::profile::Profiles;
use pybots::runtime::docker::DockerRuntime;
use pybots::runtime::{BUILD_TREE_LABEL, HOST_LABEL, Runtime};
use pybots::store::new_id;
use pybots::store::revisions::Revision;
use pybots::watch::git::Mirror;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A host with one repository at hand.
pub struct Factory {
    pub runtime: Arc<DockerRuntime>,
    pub mirror: Mirror,
    pub profiles: Profiles,
    pub host: Host,
}

struct Local(Mirror);

#[async_trait]
impl Supply for Local {
    async fn tree(
        &self,
        revision: &str,
        wanted: &Wanted,
    ) -> anyhow::Result<BoxStream<'static, std::io::Result<Bytes>>> {
        Ok(self.0.archive(revision, wanted)?.boxed())
    }

    async fn changes(&self, from: &str, to: &str, ignore: &[String]) -> anyhow::Result<Option<Vec<TreeChange>>> {
        Ok(Some(self.0.changes(from, to, ignore).await?))
    }

    async fn folder(&self, _: &str) -> anyhow::Result<Vec<u8>> {
        anyhow::bail!("an image has no source folders")
    }
}

/// Keeps the log of a build.
#[derive(Default)]
pub struct Memory(pub Mutex<Vec<u8>>);

#[async_trait]
impl Sink for Memory {
    async fn write(&self, chunk: Chunk) -> anyhow::Result<()> {
        self.0.lock().unwrap().extend_from_slice(&chunk.text);
        Ok(())
    }
}

/// One image, and how it came about.
pub struct Made {
    pub spec: BuildSpec,
    pub report: Report,
    pub log: String,
    pub seconds: f64,
}

impl Made {
    pub fn image(&self) -> &BuiltImage {
        self.report
            .image
            .as_ref()
            .unwrap_or_else(|| panic!("no image: {}\n{}", self.report.outcome, tail(&self.log)))
    }
}

pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

impl Factory {
    /// `repository` is a bare or plain git repository; `images` a folder of profiles, or those built in.
    pub async fn open(repository: &Path, images: Option<&Path>, settings: &Settings) -> Self {
        let git = repository.join(".git");
        let folder = if git.exists() { git } else { repository.to_owned() };
        let mirror = Mirror::open(&folder, &repository.display().to_string().into())
            .await
            .unwrap();
        let runtime = Arc::new(DockerRuntime::connect(&settings.engine.socket()).await.unwrap());
        let supply = Arc::new(Local(mirror.clone()));
        Self {
            host: Host::new(format!("factory-{}", new_id()), runtime.clone(), supply, settings),
            profiles: Profiles::load(images).unwrap(),
            mirror,
            runtime,
        }
    }

    /// The same, on a host of other settings.
    pub fn with(&self, host: Host) -> Self {
        Self {
            host,
            runtime: self.runtime.clone(),
            mirror: self.mirror.clone(),
            profiles: self.profiles.clone(),
        }
    }

    /// What is to be built of a revision.
    pub async fn spec(&self, sha: &str, variant: &str) -> Result<BuildSpec, String> {
        let sha = self.mirror.commit(sha).await.map_err(|error| error.to_string())?;
        let found = self.mirror.revision(&sha).await.map_err(|error| error.to_string())?;
        let revision = Revision {
            id: String::new().into(),
            branch_id: String::new().into(),
            branch: "main".into(),
            seq: 0,
            sha,
            label: None,
            tree: found.tree,
            author: found.author,
            subject: found.subject,
            committed_at: found.committed_at,
            version: found.version,
            left_at: None,
        };
        let profile = plan::profile(&revision, &self.profiles, variant)?;
        let inputs = self.mirror.inputs(&revision.sha, &profile.ignore).await;
        let inputs = inputs.map_err(|error| error.to_string())?;
        plan::build(
            &revision,
            profile,
            &self.profiles.distribution,
            &inputs,
            variant,
            "linux/amd64",
        )
    }

    /// Does the job as a host does it.
    pub async fn make(&self, sha: &str, variant: &str) -> Made {
        let spec = self.spec(sha, variant).await.unwrap();
        self.make_spec(spec).await
    }

    pub async fn make_spec(&self, spec: BuildSpec) -> Made {
        let memory = Arc::new(Memory::default());
        let (log, delivered) = Log::start(memory.clone());
        let clock = Instant::now();
        let job = JobSpec::Image(Box::new(spec.clone()));
        let report = self.host.perform(&new_id(), &job, &log).await;
        let seconds = clock.elapsed().as_secs_f64();
        drop(log);
        delivered.await.unwrap().unwrap();
        let log = String::from_utf8_lossy(&memory.0.lock().unwrap()).into_owned();
        Made {
            spec,
            report,
            log,
            seconds,
        }
    }

    /// Builds the same from nothing; seconds, and the end of the log if it failed.
    pub async fn scratch(&self, spec: &BuildSpec, tag: &str, jobs: usize) -> Result<f64, String> {
        let sources = self.mirror.archive(&spec.revision, &Wanted::default()).unwrap().boxed();
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Bytes>(64);
        let listen = tokio::spawn(async move {
            let mut log = Vec::new();
            while let Some(bytes) = receiver.recv().await {
                log.extend_from_slice(&bytes);
            }
            String::from_utf8_lossy(&log).into_owned()
        });
        let clock = Instant::now();
        let built = scratch::build(self.runtime.as_ref(), spec, sources, jobs, tag, sender).await;
        let log = listen.await.unwrap();
        match built {
            Ok(_) => Ok(clock.elapsed().as_secs_f64()),
            Err(error) => Err(format!("{error:#}\n{}", tail(&log))),
        }
    }

    /// Takes away what outlives a host's attempts: its build_trees.
    pub async fn close(self) {
        self.runtime.reap(HOST_LABEL, &self.host.id).await.unwrap();
        self.runtime.reap(BUILD_TREE_LABEL, &self.host.id).await.unwrap();
    }
}
