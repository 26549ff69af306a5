//! A coordinator, hosts, their lines, disks and engine; and what a fault does to them.

use super::disk::{Disk, fill};
use super::engine::{Do, Engine};
use super::lines::SAMPLES;
use super::net::Network;
use super::plan::{Able, Fault, What, Who};
use super::program::{Program, Shim};
use super::proxy::{Mode, Proxy};
use crate::support::Repository;
use crate::support::engine::OwnEngine;
use crate::support::up::{pybots, settings, toy_repository};
use pybots::profile::Profiles;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Hosts, and how many of them have a network of their own.
const HOSTS: usize = 4;
const APART: usize = 2;
const SLOTS: usize = 2;

// Fields are dropped in this order: programs before what they stand on.
pub struct World {
    coordinator: Program,
    hosts: Vec<Program>,
    lines: Vec<Proxy>,
    networks: Vec<Option<Network>>,
    pub engine: Engine,
    repository: Repository,
    disk: Option<Disk>,
    shim: bool,
    /// Until when a coordinator that ends is excused: its disk is full, or was just now.
    excused: Option<Instant>,
    restarted: Instant,
    count: usize,
    /// Revisions so far.
    pub revisions: Vec<String>,
    pub address: SocketAddr,
    pub runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
}

impl World {
    /// None, with a word, where the machine has no engine for it.
    pub fn new() -> Option<Self> {
        let engine = OwnEngine::start(3072)?;
        let below = Profiles::load(None).unwrap().distribution;
        engine.copy(&[below.toolchain_reference(), below.runtime_reference()]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let shim = Shim::build(path);
        let disk = Disk::mount(&path.join("data"), 192);
        let repository = toy_repository(path);
        let projects = path.join("projects");
        for sample in SAMPLES {
            let project = projects.join(sample.name);
            std::fs::create_dir_all(project.join("src")).unwrap();
            std::fs::write(project.join(format!("{}.toml", sample.name)), sample.recipe()).unwrap();
            std::fs::write(project.join("src/suite.py"), sample.suite()).unwrap();
        }
        // the same place after each restart
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        settings(
            path,
            &projects,
            &[("trunk", "main", 1)],
            "[retention]\nmin_free_gib = 0\n",
        );
        let file = path.join("pybots.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text
            .replace("127.0.0.1:0", &address.to_string())
            .replace("\"2s\"", "\"1s\"");
        std::fs::write(&file, text).unwrap();

        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut world = Self {
            coordinator: Program::new("coordinator", path, &["serve"], None, shim.clone()),
            hosts: Vec::new(),
            lines: Vec::new(),
            networks: (0..HOSTS)
                .map(|n| (n < APART).then(|| Network::new(n)).flatten())
                .collect(),
            engine: Engine::new(engine),
            revisions: vec![repository.git(&["rev-parse", "HEAD"])],
            repository,
            disk,
            shim: shim.is_some(),
            excused: None,
            restarted: Instant::now(),
            count: 0,
            address,
            runtime,
            folder,
        };
        if world.networks.iter().flatten().count() < APART {
            println!("SKIPPED: networks of their own for hosts, for this machine does not allow them");
        }
        world.coordinator.start();
        let healthy = format!("http://{address}/healthz");
        let start = Instant::now();
        while world.runtime.block_on(super::check::get(&healthy)).is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "{}", world.coordinator.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        for n in 0..HOSTS {
            world.add_host(n, shim.clone());
        }
        Some(world)
    }

    fn add_host(&mut self, n: usize, shim: Option<Shim>) {
        let line = self.runtime.block_on(Proxy::start(self.address));
        let network = self.networks[n].as_ref();
        let gateway = network.map_or("127.0.0.1", |network| &network.gateway);
        let url = format!("http://{gateway}:{}", line.port);
        let name = format!("host-{n}");
        let add = [
            "host",
            "add",
            &name,
            "--owner",
            "o@example.org",
            "--builds",
            "--url",
            &url,
        ];
        let output = pybots(self.folder.path(), &add);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let words = String::from_utf8(output.stdout).unwrap();
        let words: Vec<&str> = words.split_whitespace().skip(1).collect();
        let folder = self.folder.path().join(&name);
        let mut host = Program::new(
            &name,
            &folder,
            &words,
            network.map(|network| network.name.clone()),
            shim,
        );
        let text = format!(
            "data = \"data\"\nslots = {SLOTS}\n[engine]\nsocket = {:?}\nmin_free_gib = 0\n[retention]\nevery = \"10s\"\n",
            self.engine.socket
        );
        std::fs::write(folder.join("pybots.toml"), text).unwrap();
        host.start();
        self.hosts.push(host);
        self.lines.push(line);
    }

    pub fn able(&self) -> Able {
        Able {
            hosts: HOSTS,
            shim: self.shim,
            disk: self.disk.is_some(),
        }
    }

    pub fn database(&self) -> String {
        format!("sqlite://{}", self.folder.path().join("data/pybots.sqlite").display())
    }

    /// Requests that something was done to.
    pub fn hits(&self) -> usize {
        self.lines.iter().map(Proxy::hits).sum()
    }

    pub fn revision(&mut self, image: bool) {
        self.count += 1;
        // what no build reads, or what each has to
        let place = if image { "Lib/unique.txt" } else { "NEWS" };
        self.repository.write(place, &format!("revision {}", self.count));
        self.revisions.push(self.repository.commit("a revision"));
    }

    pub fn apply(&mut self, what: What) {
        match what {
            What::NewRevision { image } => self.revision(image),
            What::Begin(fault) => self.begin(fault),
            What::End(fault) => self.end(fault),
        }
    }

    fn program(&mut self, who: Who) -> &mut Program {
        match who {
            Who::Coordinator => &mut self.coordinator,
            Who::Host(n) => &mut self.hosts[n],
        }
    }

    fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(who) => self.program(who).kill_9(),
            Fault::Freeze(who) => self.program(who).freeze(true),
            Fault::Stop(n) => self.hosts[n].ask_to_stop(),
            Fault::EngineStops => self.engine.todo(Do::Stop),
            Fault::EngineKilled => self.engine.todo(Do::Kill),
            Fault::Cut(n) => self.cut(n, true),
            Fault::Clock(who, by) => self.program(who).clock(by),
            Fault::DataFull => self.fill_data(true),
            Fault::EngineFull => self.engine.todo(Do::Fill(true)),
            Fault::Slow(who, by) => self.program(who).slow(by),
            Fault::Requests(n, trouble) => self.lines[n].set(Mode::Trouble(trouble)),
        }
    }

    fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(who) => self.program(who).start(),
            Fault::Freeze(who) => self.program(who).freeze(false),
            Fault::Stop(n) => {
                self.hosts[n].stop();
                self.hosts[n].start();
            }
            Fault::EngineStops | Fault::EngineKilled => self.engine.todo(Do::Start),
            Fault::Cut(n) => self.cut(n, false),
            Fault::Clock(who, _) => self.program(who).clock(0),
            Fault::DataFull => self.fill_data(false),
            Fault::EngineFull => self.engine.todo(Do::Fill(false)),
            Fault::Slow(who, _) => self.program(who).slow(0),
            Fault::Requests(n, _) => self.lines[n].set(Mode::Plain),
        }
    }

    fn cut(&mut self, n: usize, cut: bool) {
        match &self.networks[n] {
            Some(network) => network.cut(cut),
            None => self.lines[n].set(if cut { Mode::Cut } else { Mode::Plain }),
        }
    }

    fn fill_data(&mut self, full: bool) {
        if let Some(disk) = &self.disk {
            fill(&disk.path, full);
        }
        self.excused = Some(Instant::now() + Duration::from_secs(if full { 3600 } else { 3 }));
    }

    /// Starts again, as service managers do, whatever ended by itself; says what should not have.
    pub fn supervise(&mut self) -> Vec<String> {
        let mut ended = Vec::new();
        if self.restarted.elapsed() < Duration::from_secs(1) {
            return ended;
        }
        self.restarted = Instant::now();
        let excused = self.excused.is_some_and(|until| Instant::now() < until);
        for program in std::iter::once(&mut self.coordinator).chain(&mut self.hosts) {
            if let Some(status) = program.supervise()
                && !(excused && program.name == "coordinator")
            {
                let log = program.log();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                ended.push(format!("{} ended by itself ({status}): {last:?}", program.name));
            }
        }
        ended
    }

    /// Jobs that gave up on the machinery wait for a host that starts.
    pub fn wake(&mut self) -> bool {
        let stopped = self.hosts[0].stop();
        self.hosts[0].start();
        stopped
    }

    /// Panics in the logs of programs, since somebody looked last.
    pub fn panics(&mut self) -> Vec<String> {
        let programs = std::iter::once(&mut self.coordinator).chain(&mut self.hosts);
        let new = programs.map(|program| (program.name.clone(), program.new_log()));
        new.flat_map(|(name, log)| {
            let panicked = log.lines().filter(|line| line.contains("panicked at"));
            panicked.map(|line| format!("{name}: {line}")).collect::<Vec<_>>()
        })
        .collect()
    }

    /// For whoever looks for the cause of a violation: where the logs are from now on.
    pub fn keep_logs(&self) -> String {
        let kept = std::env::temp_dir().join(format!("pybots-faults-{}", std::process::id()));
        std::fs::create_dir_all(&kept).unwrap();
        for program in std::iter::once(&self.coordinator).chain(&self.hosts) {
            let _ = std::fs::copy(
                program.folder.join("up.log"),
                kept.join(format!("{}.log", program.name)),
            );
        }
        let _ = std::fs::copy(
            self.folder.path().join("data/pybots.sqlite"),
            kept.join("pybots.sqlite"),
        );
        let _ = std::fs::copy(
            self.folder.path().join("data/pybots.sqlite-wal"),
            kept.join("pybots.sqlite-wal"),
        );
        kept.display().to_string()
    }
}
