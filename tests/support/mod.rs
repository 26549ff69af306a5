//! What several test programs need. Each uses a part of it.
#![allow(dead_code)]

pub mod browser;
pub mod cpython;
pub mod engine;
pub mod factory;
pub mod git_server;
pub mod histories;
pub mod identity_provider;
pub mod index;
pub mod large;
pub mod people;
pub mod registry;
pub mod sim;
pub mod svn;
pub mod toy;
pub mod up;
pub mod web_sample;
pub mod work;
pub mod world;

use pybots::config::{BranchSettings, Settings, SourceSettings};
use pybots::store::Store;
use pybots::store::branches::Watched;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Settings for tests on the engine: the defaults, with this machine's way to the network.
pub fn settings() -> Settings {
    let environment = std::env::vars().collect();
    Settings {
        network: Settings::load(None, &environment).unwrap().settings.network,
        ..Settings::default()
    }
}

/// An empty database to test on.
pub struct TestDatabase {
    pub name: &'static str,
    pub url: String,
    _folder: tempfile::TempDir,
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the test failed while it had a database on {}", self.name);
        }
    }
}

/// Every database that is there: SQLite always, PostgreSQL when its URL is given. Each call gets
/// empty ones.
pub async fn databases() -> Vec<TestDatabase> {
    let folder = tempfile::tempdir().unwrap();
    let mut all = vec![TestDatabase {
        name: "sqlite",
        url: format!("sqlite://{}?mode=rwc", folder.path().join("db.sqlite").display()),
        _folder: folder,
    }];
    match std::env::var("PYBOTS_TEST_POSTGRES") {
        Ok(server) => all.push(TestDatabase {
            name: "postgres",
            url: new_database(&server).await,
            _folder: tempfile::tempdir().unwrap(),
        }),
        Err(_) => {
            println!("SKIPPED: PostgreSQL, for PYBOTS_TEST_POSTGRES names no server (scripts/with-postgres starts one)")
        }
    }
    all
}

/// A store to test on, and what keeps it alive.
pub struct TestStore {
    pub name: &'static str,
    pub store: Store,
    _database: TestDatabase,
}

/// A store on every database that is there.
pub async fn stores() -> Vec<TestStore> {
    let mut stores = Vec::new();
    for database in databases().await {
        stores.push(TestStore {
            name: database.name,
            store: Store::open(&database.url).await.unwrap(),
            _database: database,
        });
    }
    stores
}

/// The URL of a new database for a story, or an empty text for SQLite. scripts/test runs the stories once more with it.
pub async fn story_database() -> String {
    match std::env::var("PYBOTS_TEST_STORIES_ON") {
        Ok(server) => new_database(&server).await,
        Err(_) => String::new(),
    }
}

/// Makes a database of its own on the server and returns its URL.
pub async fn new_database(server: &str) -> String {
    use sqlx::{Connection, Executor};
    sqlx::any::install_default_drivers();
    let name = format!("t{}", pybots::store::new_id().replace('-', ""));
    let mut connection = sqlx::AnyConnection::connect(server).await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    connection.execute(sqlx::query(create)).await.unwrap();
    let (base, query) = server
        .split_once('?')
        .map_or((server, String::new()), |(a, b)| (a, format!("?{b}")));
    let (base, _) = base.rsplit_once('/').unwrap();
    format!("{base}/{name}{query}")
}

pub fn branch(name: &str, reference: &str, first: u32) -> BranchSettings {
    BranchSettings {
        first,
        ..BranchSettings::new(name, reference)
    }
}

/// Branches as the coordinator gives them to the store.
pub fn watched(settings: &[BranchSettings], source: &SourceSettings) -> Vec<Watched> {
    let one = |branch: &BranchSettings| Watched {
        name: branch.name.clone(),
        reference: branch.reference.clone(),
        source: source.of(branch).clone(),
    };
    settings.iter().map(one).collect()
}

/// A git repository in a folder, with commits whose dates follow each other.
pub struct Repository {
    pub path: PathBuf,
    clock: std::cell::Cell<i64>,
}

impl Repository {
    pub fn new(path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let repository = Self {
            path: path.to_owned(),
            clock: 1_700_000_000.into(),
        };
        repository.git(&["init", "--quiet", "-b", "main"]);
        repository
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let date = format!("{} +0000", self.clock.get());
        let output = Command::new("git")
            .current_dir(&self.path)
            .args([
                "-c",
                "user.name=Test",
                "-c",
                "user.email=test@example.org",
                "-c",
                "gc.auto=0",
            ])
            .args(arguments)
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_DATE", &date)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Commits whatever was written, and returns the id.
    pub fn commit(&self, subject: &str) -> String {
        self.clock.set(self.clock.get() + 60);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// Takes the images that were built from its revisions off the engine: they serve nobody else.
impl Drop for Repository {
    fn drop(&mut self) {
        if std::env::var_os("PYBOTS_TEST_ENGINE").is_none() {
            return;
        }
        // One look at all images: a generated history has a thousand revisions. An image goes after those that lie on
        // it, so that the ends of all chains are the first.
        let script = r#"export LC_ALL=C
            mine=$(git rev-parse --absolute-git-dir)/removed
            git rev-list --all | sort >"$mine"
            for turn in $(seq 70); do
                ids=$(docker image ls --quiet --no-trunc --filter label=org.pybots.revision | sort -u |
                    xargs -r docker image inspect --format '{{index .Config.Labels "org.pybots.revision"}} {{.Id}}' |
                    sort | join -t ' ' "$mine" - | cut -d ' ' -f 2)
                if [ -z "$ids" ]; then exit 0; fi
                docker image rm --force $ids >/dev/null 2>&1 || true
            done
            exit 1"#;
        let removed = Command::new("sh").current_dir(&self.path).args(["-c", script]).output();
        if !removed.is_ok_and(|output| output.status.success()) {
            eprintln!("failed to remove the images of {}", self.path.display());
        }
    }
}

/// Copies a folder with its modes.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

pub fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
