//! A store with branches, revisions and runs of them, as if somebody had watched and planned.

use pybots::domain::host::Capabilities;
use pybots::domain::id::ImageId;
use pybots::domain::id::{RevisionId, RunId};
use pybots::domain::job::{BuildSpec, Facts, ImageUnderTest, JobSpec, RunSpec};
use pybots::domain::limits::Limits;
use pybots::domain::suite::{Fetch, Source};
use pybots::domain::time::Timestamp;
use pybots::profile::Profiles;
use pybots::queue::Queue;
use pybots::store::Store;
use pybots::store::branches::Watched;
use pybots::store::images::NewImage;
use pybots::store::jobs::{NewJob, Probe};
use pybots::store::revisions::{BranchMove, NewRevision};
use pybots::store::runs::NewRun;
use std::collections::BTreeMap;

pub const PLATFORM: &str = "linux/amd64";

pub struct World {
    pub name: &'static str,
    pub store: Store,
    pub queue: Queue,
    /// The capabilities of its hosts.
    pub capabilities: Capabilities,
    /// The address of the repository from which new runs come; from the index if this is `None`.
    pub source: Option<String>,
}

/// A revision with its image.
pub struct Built {
    pub revision: String,
    pub image: String,
    pub build: BuildSpec,
}

impl World {
    /// On an empty store.
    pub async fn on(name: &'static str, store: &Store) -> Self {
        let watched = ["trunk", "2.5"].map(|name| Watched {
            name: name.into(),
            reference: name.into(),
            source: "sample".into(),
        });
        store.set_branches(&watched).await.unwrap();
        sqlx::query("INSERT INTO recipe (digest, project, text, seen_at) VALUES ('d', 'p', '', 1)")
            .execute(store.pool())
            .await
            .unwrap();
        World {
            name,
            queue: Queue::new(store.clone()),
            store: store.clone(),
            capabilities: Capabilities {
                platform: PLATFORM.into(),
                ..Capabilities::default()
            },
            source: None,
        }
    }

    /// A revision, made at a time, with its image.
    pub async fn revision(&self, branch: &str, sha: &str, at: i64) -> Built {
        let sha = &format!("{sha:0<8}");
        let branches = self.store.watched_branches().await.unwrap();
        let branch = branches.iter().find(|row| row.name == branch).unwrap();
        let revision = NewRevision {
            sha: sha.into(),
            tree: sha.into(),
            parent: None,
            author: "A <a@example.org>".into(),
            subject: sha.into(),
            committed_at: Timestamp::from_millis(at),
            version: Some("3.14.0".into()),
            svn: None,
        };
        let head = branch.head.as_deref();
        assert!(
            self.store
                .advance_branch(
                    &branch.id,
                    head,
                    &BranchMove::onto(sha, &[revision]),
                    Timestamp::from_millis(1)
                )
                .await
                .unwrap()
        );
        let revision = self.store.revision_by_sha(sha).await.unwrap().unwrap();
        let profiles = Profiles::load(None).unwrap();
        let profile = pybots::plan::profile(&revision, &profiles, "default").unwrap();
        let distribution = &profiles.distribution;
        let build = pybots::plan::build(&revision, profile, distribution, sha, "default", PLATFORM).unwrap();
        let mut tx = self.store.begin().await.unwrap();
        let new = NewImage {
            revision_id: &revision.id,
            variant: "default",
            platform: PLATFORM,
            build_key: &build.build_key,
            plans_runs: true,
        };
        let (image, _) = self
            .store
            .attach_image(&mut tx, &new, Timestamp::from_millis(1))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        Built {
            revision: revision.id.into_string(),
            image: image.into_string(),
            build,
        }
    }

    /// Queues the build of a revision's image.
    pub async fn build(&self, built: &Built) {
        self.build_at(built, 1).await;
    }

    /// Queues a rerun of a run, as an investigation does.
    pub async fn rerun(&self, run: &str, built: &Built) {
        let run = RunId::from(run);
        let job = self.store.job_of(run.as_str()).await.unwrap().unwrap();
        let new = NewJob {
            image: &ImageId::from(built.image.as_str()),
            run: Some(&run),
            platform: PLATFORM,
            priority: 1_000_000,
            spec: &job.spec.unwrap(),
            proven: false,
            probe: Some(Probe {
                investigation: None,
                lock_of: "now",
                crossed: true,
                host: None,
            }),
        };
        let mut tx = self.store.begin().await.unwrap();
        self.queue.add(&mut tx, &new, Timestamp::from_millis(1)).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Queues the build of a revision's image, with a priority.
    pub async fn build_at(&self, built: &Built, priority: i64) {
        let spec = JobSpec::Image(Box::new(built.build.clone()));
        let new = NewJob {
            image: &ImageId::from(built.image.as_str()),
            run: None,
            platform: PLATFORM,
            priority,
            spec: &spec,
            probe: None,
            proven: false,
        };
        let mut tx = self.store.begin().await.unwrap();
        self.queue.add(&mut tx, &new, Timestamp::from_millis(1)).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Queues a run of a project on a revision; returns its id.
    pub async fn run(&self, project: &str, built: &Built, at: i64) -> String {
        let Built { revision, image, build } = built;
        let mut tx = self.store.begin().await.unwrap();
        let new = NewRun {
            revision_id: &RevisionId::from(revision.as_str()),
            project,
            variant: "default",
            platform: PLATFORM,
            recipe: "d",
            image_id: Some(&ImageId::from(image.as_str())),
            skip_reason: None,
        };
        let run = self
            .store
            .insert_run(&mut tx, &new, Timestamp::from_millis(1))
            .await
            .unwrap()
            .unwrap();
        let spec = JobSpec::Run(Box::new(RunSpec {
            project: project.into(),
            image: ImageUnderTest {
                reference: build.reference(),
                build: build.clone(),
                facts: Facts::default(),
            },
            distribution: build.distribution.clone(),
            fetch: self.fetch(project),
            system: Vec::new(),
            install: None,
            install_network: false,
            wheels_anew: false,
            env: BTreeMap::new(),
            suites: Vec::new(),
            limits: Limits::default(),
            labels: Default::default(),
        }));
        let new = NewJob {
            image: &ImageId::from(image.as_str()),
            run: Some(&run),
            platform: PLATFORM,
            priority: at,
            spec: &spec,
            proven: false,
            probe: None,
        };
        self.queue.add(&mut tx, &new, Timestamp::from_millis(1)).await.unwrap();
        tx.commit().await.unwrap();
        run.into_string()
    }
}

impl World {
    fn fetch(&self, project: &str) -> Fetch {
        let mut fetch = fetch(project);
        if let Some(address) = &self.source {
            fetch.sources = vec![Source::of_git(address, "main")];
        }
        fetch
    }
}

fn fetch(project: &str) -> Fetch {
    let text = format!("name = \"{project}\"\nsource = {{ pypi = \"x\" }}\n[[suite]]\nname = \"t\"\nrun = \"true\"\n");
    let registered = pybots::recipe::folder::register(&format!("{project}.toml"), text, None).unwrap();
    let version = "3.14.0".parse().unwrap();
    let cap = Limits::default();
    match pybots::recipe::choose(
        &registered.recipe,
        &registered.folders,
        "trunk",
        &version,
        "default",
        &cap,
    ) {
        pybots::recipe::Choice::Run(chosen) => chosen.fetch,
        pybots::recipe::Choice::Skip(reason) => panic!("{reason}"),
    }
}
