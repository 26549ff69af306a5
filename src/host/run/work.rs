//! The work folder of a run: a volume of limited size that its phases share.

use super::course::{Course, Since};
use super::environment::{self, CACHE_AT, OURS};
use super::results;
use super::scripts;
use super::site;
use super::wheels::{self, Wheels};
use crate::domain::job::RunSpec;
use crate::domain::limits::Seconds;
use crate::domain::retention::VolumeKind;
use crate::domain::suite::Suite;
use crate::host::gateway::Gateway;
use crate::host::log::Log;
use crate::host::phase::PhaseEnd;
use crate::host::{Host, Stop};
use crate::runtime::tar::{self, FileOwner};
use crate::runtime::{Container, KIND_LABEL, Network, PROJECT_LABEL, RuntimeError, Volume};
use anyhow::Context;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most bytes of a file of our own that is read back, such as a lock.
const READ_MOST: usize = 1 << 20;
/// How long copies between the work folder and a cache may take.
const SERVE_WITHIN: Duration = Duration::from_secs(600);
/// Path of the CA bundle in a container that may use the network.
const CA: &str = "/work/.pybots/ca.crt";
/// The volume of downloads, by hash. Only the fetch phase mounts it, which runs no project code.
const DOWNLOADS: &str = "pybots-cache-downloads";

/// Returns the seconds after which a run is certainly over. The holder of a host that died ends after this time.
fn longest(spec: &RunSpec) -> u64 {
    let phases = 2 + spec.suites.len() as u64;
    let of_phases = spec.limits.timeout.0.saturating_mul(phases);
    of_phases.min(spec.limits.run_timeout.0).saturating_add(3600)
}

/// A file that each image has, and that no run can change.
const OF_IMAGE: &str = "/etc/passwd";

/// The engine's answer about a path of the work folder.
enum Opened {
    Stream(BoxStream<'static, std::io::Result<Bytes>>),
    Missing,
    Refused,
}

/// A file that a phase may have left.
pub enum LeftFile {
    Missing,
    /// The engine can't read it.
    Refused,
    TooLarge,
    Read(Vec<u8>),
}

pub struct Work<'a> {
    host: &'a Host,
    attempt: String,
    spec: &'a RunSpec,
    image: String,
    volume: String,
    /// The volume of [`site`].
    site: String,
    /// A container that keeps the volume mounted. The volume is in memory, and loses its content when no container uses
    /// it.
    holder: String,
    ca: Option<Vec<u8>>,
    course: Course,
}

impl<'a> Work<'a> {
    /// Creates the volume, keeps it mounted, and puts the files of the phases into it. Fails if an earlier attempt
    /// should have made a phase but did not.
    pub async fn open(
        host: &'a Host,
        attempt: &str,
        spec: &'a RunSpec,
        image: &str,
        course: Course,
    ) -> Result<Self, Stop> {
        let volume = format!("pybots-{attempt}-work");
        let labels = host.labels(attempt);
        let runtime = &host.runtime;
        runtime
            .create_volume(&Volume {
                name: volume.clone(),
                size: Some(spec.limits.work),
                labels: labels.clone(),
            })
            .await?;
        let site = site::volume(attempt, labels);
        runtime.create_volume(&site).await?;
        let mut work = Self {
            host,
            attempt: attempt.to_owned(),
            spec,
            image: image.to_owned(),
            volume,
            site: site.name,
            holder: String::new(),
            ca: host.ca().await?,
            course,
        };
        let sleep = format!("exec sleep {}", longest(spec));
        let holder = work.with_site(work.container(image, sleep, BTreeMap::new(), Network::Loopback));
        work.holder = runtime.create(&holder).await?;
        // the holder writes nothing, so the stream is dropped
        drop(runtime.start(&work.holder).await?);
        if let Some(mark) = course.since.mark()
            && work.read(mark).await?.is_none()
        {
            return Err(anyhow::anyhow!(
                "no work folder of an earlier trial is there in which this phase could begin; `pybots try --keep` leaves one"
            )
            .into());
        }
        work.fill().await?;
        Ok(work)
    }

    async fn fill(&self) -> Result<(), Stop> {
        let fetch = serde_json::to_vec(&self.spec.fetch).context("failed to write fetch.json")?;
        let mut files: Vec<(&str, &[u8], bool)> = vec![
            (".pybots/fetch.json", &fetch, false),
            (".pybots/witness.py", scripts::WITNESS.as_bytes(), false),
        ];
        files.extend(
            scripts::RECORDERS
                .iter()
                .chain(&scripts::FETCH)
                .map(|(name, text)| (*name, text.as_bytes(), *name == scripts::TUNNEL)),
        );
        if let Some(ca) = &self.ca {
            files.push((".pybots/ca.crt", ca, false));
        }
        let mut bytes = tar::folders(FileOwner::Runner, &[".pybots", "src", "home"]);
        bytes.extend(tar::files(FileOwner::Runner, &files));
        self.host.runtime.put(&self.holder, "/work", tar::stream(bytes)).await?;
        let site = tar::stream(site::files());
        self.host
            .runtime
            .put(&self.holder, &site::folder(self.spec), site)
            .await?;
        for (name, digest) in &self.spec.fetch.folders {
            let folder = self.host.supply.folder(digest).await?;
            let place = scripts::folder_place(self.course, name, digest);
            let mut bytes = tar::folders(FileOwner::Runner, &[".pybots/folders", &place]);
            bytes.extend(tar::end());
            self.host.runtime.put(&self.holder, "/work", tar::stream(bytes)).await?;
            self.host
                .runtime
                .put(&self.holder, &format!("/work/{place}"), tar::stream(folder))
                .await?;
        }
        Ok(())
    }

    /// Opens a gateway for a phase.
    pub async fn gateway(&self, log: &Log) -> Result<Gateway<'a>, Stop> {
        let image = self.spec.distribution.toolchain_reference();
        Gateway::open(self.host, &self.attempt, &image, Seconds(longest(self.spec)), log).await
    }

    /// Returns the container of fetch: on the toolchain image, with the gateway, without project code. Creates the
    /// volume of downloads.
    pub async fn fetch(&self, gateway: &Gateway<'_>) -> Result<Container, Stop> {
        self.fetch_by(scripts::fetch(self.course), gateway).await
    }

    /// Returns a container as [`Work::fetch`] does, for the sources alone.
    pub async fn fetch_sources(&self, gateway: &Gateway<'_>) -> Result<Container, Stop> {
        self.fetch_by(scripts::fetch_sources(), gateway).await
    }

    /// Returns a container that reads the sources for statements about their tests, and puts its program into the work
    /// folder: on the toolchain image, without network and without project code.
    pub async fn survey(&self) -> Result<Container, Stop> {
        let files = scripts::SURVEY.map(|(name, text)| (name, text.as_bytes(), false));
        let bytes = tar::files(FileOwner::Runner, &files);
        self.host.runtime.put(&self.holder, "/work", tar::stream(bytes)).await?;
        let image = self.spec.distribution.toolchain_reference();
        let env = environment::base_environment("/usr/local/bin:/usr/bin:/bin");
        Ok(self.container(&image, scripts::survey(), env, Network::Loopback))
    }

    async fn fetch_by(&self, script: String, gateway: &Gateway<'_>) -> Result<Container, Stop> {
        let cache = Volume {
            name: DOWNLOADS.to_owned(),
            size: None,
            labels: BTreeMap::from([(KIND_LABEL.to_owned(), VolumeKind::Downloads.name().to_owned())]),
        };
        self.host.runtime.create_volume(&cache).await?;
        let path = "/opt/pybots/bin:/usr/local/bin:/usr/bin:/bin";
        let mut env = environment::base_environment(path);
        env.extend(gateway.environment(self.ca.as_ref().map(|_| CA)));
        env.insert("UV_CACHE_DIR".to_owned(), "/work/.uv-cache".to_owned());
        env.insert("PYBOTS_FETCH_CACHE".to_owned(), CACHE_AT.to_owned());
        let most = self.host.retention.downloads.0.to_string();
        env.insert("PYBOTS_FETCH_CACHE_MOST".to_owned(), most);
        let image = self.spec.distribution.toolchain_reference();
        let mut container = self.container(&image, script, env, gateway.network());
        container.volumes.push((DOWNLOADS.to_owned(), CACHE_AT.to_owned()));
        Ok(container)
    }

    /// Records that the phase before `next` was made, for a later attempt that begins there.
    pub async fn mark(&self, next: Since) -> Result<(), Stop> {
        let Some(mark) = next.mark().filter(|_| self.course.keeps) else {
            return Ok(());
        };
        let file = format!(".pybots/{mark}");
        let bytes = tar::files(FileOwner::Runner, &[(file.as_str(), b"", false)]);
        Ok(self.host.runtime.put(&self.holder, "/work", tar::stream(bytes)).await?)
    }

    /// Copies wheels from the cache into the work folder, unless the run has to build all of them.
    pub async fn take_wheels(&self, wheels: &Wheels) -> Result<(), Stop> {
        self.host.runtime.create_volume(&wheels.volume).await?;
        if !self.spec.wheels_anew {
            self.serve(wheels, wheels.take()).await?;
        }
        Ok(())
    }

    /// Copies the wheels that install built into the cache.
    pub async fn keep_wheels(&self, wheels: &Wheels, log: &Log) -> Result<(), Stop> {
        let output = self.serve(wheels, wheels.keep()).await?;
        for line in output.lines() {
            log.say(line).await;
        }
        Ok(())
    }

    /// Runs a command that serves a phase, with the cache of wheels and without code of strangers. Returns the
    /// beginning of its output, or a note that it took too long. The next run does again whatever the command leaves
    /// undone.
    async fn serve(&self, wheels: &Wheels, command: Vec<String>) -> Result<String, Stop> {
        let image = self.spec.distribution.toolchain_reference();
        let env = environment::base_environment("/usr/local/bin:/usr/bin:/bin");
        let mut container = self.container(&image, String::new(), env, Network::Loopback);
        container.command = command;
        container
            .volumes
            .push((wheels.volume.name.clone(), CACHE_AT.to_owned()));
        let runtime = &self.host.runtime;
        let id = runtime.create(&container).await?;
        let output = async {
            let mut text = Vec::new();
            let mut output = runtime.start(&id).await?;
            while let Some(part) = output.next().await {
                let part = part.map_err(|error| RuntimeError::Refused(error.to_string()))?;
                text.extend_from_slice(&part.bytes[..part.bytes.len().min(READ_MOST - text.len())]);
            }
            Ok::<_, Stop>(String::from_utf8_lossy(&text).into_owned())
        };
        let output = tokio::time::timeout(SERVE_WITHIN, output).await;
        runtime.remove(&id).await?;
        output.unwrap_or_else(|_| {
            Ok(format!(
                "the cache of wheels took longer than {} s",
                SERVE_WITHIN.as_secs()
            ))
        })
    }

    /// Returns the container of install: on the image under test, with a gateway if the recipe asks for the network.
    pub async fn install(&self, wheels: Option<&Wheels>, gateway: Option<&Gateway<'_>>) -> Result<Container, Stop> {
        let mut env = environment::environment(self.spec);
        env.extend(environment::install_environment(self.spec));
        let mut network = Network::Loopback;
        if let Some(gateway) = gateway {
            env.extend(gateway.environment(self.ca.as_ref().map(|_| CA)));
            network = gateway.network();
        }
        let script = scripts::again(self.spec, self.course) + &scripts::install(self.spec, wheels);
        let container = self.container(&self.image, script, env, network);
        if wheels.is_some() {
            let files = [(".pybots/wheels.sh", wheels::SCRIPT.as_bytes(), false)];
            let bytes = tar::files(FileOwner::Runner, &files);
            self.host.runtime.put(&self.holder, "/work", tar::stream(bytes)).await?;
        }
        Ok(container)
    }

    /// Returns the container of a suite: on the image under test, with loopback only.
    pub fn test(&self, suite: &Suite) -> Container {
        let env = environment::test_environment(self.spec, suite);
        let script = scripts::test_again(self.course, suite) + &scripts::test(self.spec, suite);
        self.with_site(self.container(&self.image, script, env, Network::Loopback))
    }

    /// Adds the folder of the image's own packages to a container.
    fn with_site(&self, mut container: Container) -> Container {
        container.volumes.push((self.site.clone(), site::folder(self.spec)));
        container
    }

    /// Reads a file of our own. Returns `None` if the phases did not leave it, or left it unreadable or too large.
    pub async fn read(&self, name: &str) -> Result<Option<String>, Stop> {
        let file = self.read_bytes(&format!("{OURS}/{name}"), READ_MOST).await?;
        Ok(match file {
            LeftFile::Read(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            LeftFile::Missing | LeftFile::Refused | LeftFile::TooLarge => None,
        })
    }

    /// Returns the address of the source for which the fetch waited when it ended, or `None` if it waited for no
    /// source.
    pub async fn awaited_source(&self) -> Result<Option<String>, Stop> {
        let address = self.read("fetching").await?;
        Ok(address.filter(|address| self.spec.fetch.is_source(address)))
    }

    /// Returns the work that a fetch was doing when its time was over, without waiting for a server. Returns `None` if
    /// there was none.
    pub async fn busy_with(&self, end: PhaseEnd) -> Result<Option<String>, Stop> {
        match end {
            PhaseEnd::TimedOut(_) => self.read("busy").await,
            PhaseEnd::Exited(_) => Ok(None),
        }
    }

    /// Reads a suite's JUnit reports: the one that its recipe names, or those that pytest was asked for.
    pub async fn read_reports(&self, suite: &Suite) -> Result<Vec<LeftFile>, Stop> {
        if let Some(path) = environment::report_file(self.spec, suite) {
            return Ok(vec![self.read_bytes(&path, results::FILE_MOST).await?]);
        }
        let stream = match self.get(&environment::reports_folder(suite)).await? {
            Opened::Stream(stream) => stream,
            Opened::Missing => return Ok(Vec::new()),
            Opened::Refused => return Ok(vec![LeftFile::Refused]),
        };
        let files = tar::all_files(stream, results::FILE_MOST).await;
        let (files, is_cut) = files.context("failed to read the reports in the work folder")?;
        let files = files.into_iter().map(LeftFile::Read);
        Ok(files.chain(is_cut.then_some(LeftFile::TooLarge)).collect())
    }

    /// Reads the files that the recorders of a suite wrote. Also returns whether they wrote more than is read.
    pub async fn read_results(&self, suite: &Suite) -> Result<(Vec<Vec<u8>>, bool), Stop> {
        let folder = environment::results_folder(suite);
        let Opened::Stream(stream) = self.get(&folder).await? else {
            return Ok((Vec::new(), false));
        };
        let files = tar::all_files(stream, results::FILE_MOST).await;
        Ok(files.context("failed to read the results in the work folder")?)
    }

    /// Opens a file or folder that project code may have made. If the engine refuses this path alone, for example
    /// because of a time stamp that it can't express, the engine has not failed.
    async fn get(&self, path: &str) -> Result<Opened, Stop> {
        let runtime = &self.host.runtime;
        match runtime.get(&self.holder, path).await {
            Ok(stream) => Ok(Opened::Stream(stream)),
            Err(RuntimeError::NoFile(_)) => Ok(Opened::Missing),
            Err(RuntimeError::Refused(_)) if runtime.get(&self.holder, OF_IMAGE).await.is_ok() => Ok(Opened::Refused),
            Err(error) => Err(error.into()),
        }
    }

    async fn read_bytes(&self, path: &str, most: usize) -> Result<LeftFile, Stop> {
        let stream = match self.get(path).await? {
            Opened::Stream(stream) => stream,
            Opened::Missing => return Ok(LeftFile::Missing),
            Opened::Refused => return Ok(LeftFile::Refused),
        };
        match tar::first_file(stream, most).await {
            Ok(bytes) => Ok(LeftFile::Read(bytes)),
            // project code filled our file up, or replaced it by something else
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => Ok(LeftFile::TooLarge),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(LeftFile::Missing),
            Err(error) => Err(anyhow::Error::from(error)
                .context("failed to read from the work folder")
                .into()),
        }
    }

    fn container(&self, image: &str, script: String, env: BTreeMap<String, String>, network: Network) -> Container {
        let limits = &self.spec.limits;
        let mut labels = self.host.labels(&self.attempt);
        labels.insert(PROJECT_LABEL.to_owned(), self.spec.project.clone());
        Container {
            image: image.to_owned(),
            command: vec!["/bin/sh".into(), "-c".into(), scripts::guarded(&script)],
            user: "1000:1000".into(),
            workdir: "/work".into(),
            env,
            network,
            volumes: vec![(self.volume.clone(), "/work".into())],
            memory: limits.memory,
            pids: limits.pids,
            cpus: limits.cpus,
            labels,
        }
    }
}
