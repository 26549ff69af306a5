//! The image factory with the toy CPython: a repository, a host, and what it makes.

use super::factory::{Factory, Made};
use super::up::toy_repository;
use super::{Repository, here};
use pybots::config::Settings;
use std::process::Command;

pub struct Toy {
    pub repository: Repository,
    pub factory: Factory,
    pub folder: tempfile::TempDir,
}

impl Toy {
    pub async fn new(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = toy_repository(folder.path());
        let images = folder.path().join("images");
        std::fs::create_dir_all(&images).unwrap();
        for (from, to) in [
            ("images/distribution.toml", "distribution.toml"),
            ("tests/fixtures/toy-cpython.toml", "toy.toml"),
        ] {
            std::fs::copy(here().join(from), images.join(to)).unwrap();
        }
        let factory = Factory::open(&repository.path, Some(&images), &settings).await;
        Self {
            repository,
            factory,
            folder,
        }
    }

    pub fn commit(&self, subject: &str, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            self.repository.write(path, text);
        }
        self.repository.commit(subject)
    }

    pub async fn make(&self, sha: &str) -> Made {
        self.factory.make(sha, "default").await
    }

    /// What a line of Python prints in an image.
    pub fn python(&self, made: &Made, line: &str) -> String {
        let image = &made.image().reference;
        let output = Command::new("docker")
            .args(["run", "--rm", "--network", "none", image, "python3", "-c", line])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub async fn close(self) {
        self.factory.close().await;
        // its images are named by its revisions, so it goes before its folder
        drop(self.repository);
        drop(self.folder);
    }
}

/// The module that tests change, with something more in it.
pub fn toy(more: &str) -> String {
    format!(
        "{}\n{more}\n",
        std::fs::read_to_string(here().join("tests/fixtures/toy-cpython/Lib/toy.py")).unwrap()
    )
}
