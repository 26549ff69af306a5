//! The engine under test: it is stopped, killed and started again while others go on.

use super::disk::fill;
use crate::support::engine::OwnEngine;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

pub enum Do {
    Stop,
    Kill,
    Start,
    /// Its disk, or not any more.
    Fill(bool),
    /// Answered when all before it is done.
    Tell(Sender<()>),
}

pub struct Engine {
    pub socket: PathBuf,
    todo: Option<Sender<Do>>,
    worker: Option<JoinHandle<()>>,
}

impl Engine {
    pub fn new(engine: OwnEngine) -> Self {
        let socket = engine.socket();
        let (todo, list) = channel();
        let worker = std::thread::spawn(move || {
            let mut engine = engine;
            for what in list {
                match what {
                    Do::Stop => engine.stop(),
                    Do::Kill => engine.kill_9(),
                    Do::Start => engine.again(),
                    Do::Fill(full) => fill(&engine.root(), full),
                    Do::Tell(done) => drop(done.send(())),
                }
            }
        });
        Self {
            socket,
            todo: Some(todo),
            worker: Some(worker),
        }
    }

    /// One after the other, while the caller goes on.
    pub fn todo(&self, what: Do) {
        self.todo.as_ref().unwrap().send(what).unwrap();
    }

    pub fn wait(&self) {
        let (sender, done) = channel();
        self.todo(Do::Tell(sender));
        done.recv().unwrap();
    }

    /// Lines of what the command prints.
    pub fn docker(&self, arguments: &[&str]) -> Vec<String> {
        let output = Command::new("docker")
            .arg("--host")
            .arg(format!("unix://{}", self.socket.display()))
            .args(arguments)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "docker {arguments:?}: {errors}");
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Containers, volumes and networks that no host should have left; images and caches stay.
    pub fn left(&self) -> Vec<String> {
        let stays = |name: &str| {
            ["pybots-lane-", "pybots-cache-", "pybots-wheels-"]
                .iter()
                .any(|kept| name.starts_with(kept))
        };
        let mut left = Vec::new();
        for container in self.docker(&["ps", "--all", "--format", "{{.Names}} ({{.Status}}, {{.Labels}})"]) {
            left.push(format!("container {container}"));
        }
        for volume in self.docker(&["volume", "ls", "--format", "{{.Name}}"]) {
            if !stays(&volume) {
                left.push(format!("volume {volume}"));
            }
        }
        for network in self.docker(&["network", "ls", "--filter", "type=custom", "--format", "{{.Name}}"]) {
            left.push(format!("network {network}"));
        }
        left
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.todo = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}
