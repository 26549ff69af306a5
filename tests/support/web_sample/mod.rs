//! A store as it looks after some days of work: every state that a page can show.

use pybots::domain::id::AttemptId;
use pybots::domain::id::HostId;
use pybots::domain::id::ImageId;
use pybots::domain::id::JobId;
use pybots::domain::id::RevisionId;
use pybots::domain::job::{BuiltImage, Facts, Phase, Report};
use pybots::domain::outcome::{Outcome, Timeout};
use pybots::domain::time::Timestamp;
use pybots::logfile::{Chunk, Stream};
use pybots::store::branches::Watched;
use pybots::store::images::NewImage;
use pybots::store::logs::Objects;
use pybots::store::projects::Project;
use pybots::store::revisions::{BranchMove, NewRevision};
use pybots::store::runs::NewRun;
use pybots::store::{Store, new_id};

pub const PLATFORM: &str = "linux/amd64";

const PROJECTS: [&str; 12] = [
    "attrs",
    "cloudpickle",
    "django",
    "docutils",
    "idna",
    "jinja2",
    "more-itertools",
    "packaging",
    "pluggy",
    "roundup",
    "twisted",
    "typing_extensions",
];

pub struct Sample {
    pub store: Store,
    pub objects: Objects,
    pub now: Timestamp,
}

pub fn sha(n: u64) -> String {
    format!(
        "{:016x}{:016x}{:08x}",
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        n.wrapping_mul(0xbf58_476d_1ce4_e5b9),
        n as u32
    )
}

pub fn failed() -> Outcome {
    Outcome::Failed { exit_code: 1 }
}

impl Sample {
    pub async fn new(url: &str, data: &std::path::Path) -> Self {
        Self {
            store: Store::open(url).await.unwrap(),
            objects: Objects::open(data).unwrap(),
            now: pybots::clock::now(),
        }
    }

    pub async fn branches(&self, names: &[&str]) {
        let named: Vec<_> = names
            .iter()
            .map(|name| Watched {
                name: (*name).to_owned(),
                reference: format!("refs/{name}"),
                source: "sample".into(),
            })
            .collect();
        self.store.set_branches(&named).await.unwrap();
    }

    pub async fn projects(&self, names: &[&str]) {
        let project = |name: &&str| {
            let project = Project {
                name: (*name).to_owned(),
                summary: format!("What {name} is for"),
                homepage: format!("https://{name}.example"),
                recipe: format!("digest-of-{name}"),
                submitted: false,
                tags: Default::default(),
            };
            (
                project,
                format!(
                    "name = \"{name}\"\nsource = {{ pypi = \"{name}\" }}\n\n[[suite]]\nname = \"unit\"\nrun = \"python -m pytest -q\"\n"
                ),
            )
        };
        let refused = [(
            "projects/odd.toml".to_owned(),
            "error: `odd <b>` can't be a project's name\n  at line 1, column 8".to_owned(),
        )];
        self.store
            .set_projects(&names.iter().map(project).collect::<Vec<_>>(), &refused, self.now - 1)
            .await
            .unwrap();
    }

    /// Adds revisions to a branch, oldest first, each an hour after the other; returns their rows' ids.
    pub async fn revisions(&self, branch: &str, version: &str, first: u64, subjects: &[&str]) -> Vec<RevisionId> {
        let branch = self
            .store
            .watched_branches()
            .await
            .unwrap()
            .into_iter()
            .find(|known| known.name == branch)
            .unwrap();
        let hour = 3_600_000;
        let new: Vec<_> = subjects
            .iter()
            .zip(0..)
            .map(|(subject, at)| NewRevision {
                sha: sha(first + at),
                tree: sha(first + at + 500),
                parent: None,
                author: ["Guido van Rossum", "Łukasz Langa", "Serhiy Storchaka"][at as usize % 3].to_owned(),
                subject: (*subject).to_owned(),
                committed_at: self.now - hour * (subjects.len() as i64 - at as i64) - (first as i64 % 7) * 60_000,
                version: Some(version.to_owned()),
                svn: None,
            })
            .collect();
        let head = new.last().unwrap().sha.clone();
        assert!(
            self.store
                .advance_branch(
                    &branch.id,
                    branch.head.as_deref(),
                    &BranchMove::onto(&head, &new),
                    self.now
                )
                .await
                .unwrap()
        );
        let mut ids = Vec::new();
        for revision in &new {
            ids.push(self.store.revision_by_sha(&revision.sha).await.unwrap().unwrap().id);
        }
        ids
    }

    /// Gives a revision an image; `end`: Some(true) built, Some(false) failed, None still wanted.
    pub async fn image(&self, revision: &str, key: &str, end: Option<bool>) -> String {
        self.image_as("default", revision, key, end).await
    }

    pub async fn image_as(&self, variant: &str, revision: &str, key: &str, end: Option<bool>) -> String {
        let new = NewImage {
            revision_id: &RevisionId::from(revision),
            variant,
            platform: PLATFORM,
            build_key: key,
            plans_runs: true,
        };
        let mut tx = self.store.begin().await.unwrap();
        let (id, _) = self.store.attach_image(&mut tx, &new, self.now).await.unwrap();
        if let Some(built) = end {
            let facts = Facts {
                sys_version: "3.16.0a0 (heads/main:1a2b3c4, Aug 21 2026, 17:02:11) [GCC 12.2.0]".to_owned(),
                soabi: "cpython-316-x86_64-linux-gnu".to_owned(),
                ..Facts::default()
            };
            let image = BuiltImage {
                layer: Default::default(),
                remote: None,
                reference: format!("pybots/cpython:{key}"),
                digest: format!("sha256:{}", sha(9)),
                size: 187_000_000,
                facts,
            };
            self.store
                .image_built(&mut tx, &id, built.then_some(&image), self.now)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        id.into_string()
    }

    pub async fn run(&self, revision: &str, image: &str, project: &str, skip: Option<&str>) -> String {
        self.run_as("default", revision, image, project, skip).await
    }

    pub async fn run_as(
        &self,
        variant: &str,
        revision: &str,
        image: &str,
        project: &str,
        skip: Option<&str>,
    ) -> String {
        let new = NewRun {
            revision_id: &RevisionId::from(revision),
            project,
            variant,
            platform: PLATFORM,
            recipe: &format!("digest-of-{project}"),
            image_id: Some(&ImageId::from(image)),
            skip_reason: skip,
        };
        let mut tx = self.store.begin().await.unwrap();
        let id = self.store.insert_run(&mut tx, &new, self.now).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        id.into_string()
    }

    /// A job of a run or an image. The pages never read a job's spec, so it has none.
    pub async fn job(&self, run: Option<&str>, image: Option<&str>, state: &str) -> String {
        let id = new_id();
        sqlx::query(
            "INSERT INTO job (id, kind, image_id, run_id, state, priority, not_before, created_at, spec)
             VALUES ($1, $2, $3, $4, $5, 0, 0, $6, '{}')",
        )
        .bind(id.clone())
        .bind(if run.is_some() { "run" } else { "image" })
        .bind(image.map(str::to_owned))
        .bind(run.map(str::to_owned))
        .bind(state.to_owned())
        .bind(self.now)
        .execute(self.store.pool())
        .await
        .unwrap();
        id
    }

    /// An attempt at a job; without an outcome it is in work.
    pub async fn attempt(&self, job: &str, seconds: f64, outcome: Option<&Outcome>, log: &[u8]) -> String {
        let mut tx = self.store.begin().await.unwrap();
        let begun = self.now - (seconds * 1000.0) as i64 - 60_000;
        let attempt = self
            .store
            .insert_attempt(
                &mut tx,
                &JobId::from(job),
                &HostId::from("lab-3"),
                self.now + 60_000,
                begun,
            )
            .await
            .unwrap();
        if let Some(outcome) = outcome {
            let code = match outcome {
                Outcome::TimedOut { .. } => None,
                other => other.exit_code().or(Some(1)),
            };
            let phase = |name: &str, share: f64, exit_code, at: usize| Phase {
                name: name.to_owned(),
                started_at: begun,
                seconds: seconds * share,
                exit_code,
                log_from: at as u64,
            };
            let mut report = Report::of(outcome.clone());
            report.phases = vec![
                phase("fetch", 0.1, Some(0), 0),
                phase("install", 0.2, Some(0), log.len() / 10),
                phase("test: unit", 0.7, code, log.len() / 4),
            ];
            report.modes = [("test: unit".to_owned(), "-X dev -W error".to_owned())].into();
            report.lock = Some("{\"attrs\":\"26.1.0\",\"pytest\":\"9.1.1\"}".to_owned());
            report.interpreter = Some("3.16.0a0 (heads/main:1a2b3c4)".to_owned());
            assert!(
                self.store
                    .end_attempt(&mut tx, &attempt.id, &report, false, self.now - 60_000)
                    .await
                    .unwrap()
            );
        }
        tx.commit().await.unwrap();
        self.write(attempt.id.as_str(), Stream::Stdout, log).await;
        attempt.id.into_string()
    }

    /// Adds to the log of an attempt.
    pub async fn write(&self, attempt: &str, stream: Stream, text: &[u8]) {
        let mut offset = self
            .objects
            .read_log(&AttemptId::from(attempt), u64::MAX, 0)
            .await
            .unwrap()
            .total;
        for part in text.chunks(200_000) {
            let chunk = Chunk::of(offset, stream, self.now.as_millis(), part.to_vec().into());
            offset = self
                .objects
                .append_log(&AttemptId::from(attempt), &chunk)
                .await
                .unwrap();
        }
    }

    /// A run with one attempt that ended; returns (run, attempt).
    pub async fn ended(
        &self,
        revision: &str,
        image: &str,
        project: &str,
        outcome: &Outcome,
        log: &[u8],
    ) -> (String, String) {
        let run = self.run(revision, image, project, None).await;
        let job = self.job(Some(&run), None, "finished").await;
        let attempt = self
            .attempt(&job, 1.0 + project.len() as f64 * 7.3, Some(outcome), log)
            .await;
        (run, attempt)
    }

    /// Fills the store with a bit of everything.
    pub async fn everything(&self) {
        self.branches(&["trunk", "3.14", "3.13", "2.5"]).await;
        self.projects(&PROJECTS).await;
        let trunk = self
            .revisions(
                "trunk",
                "3.16.0a0",
                100,
                &[
                    "gh-91048: Add support for reconstructing async call stacks",
                    "gh-120057: Docs: fix a typo in the os module",
                    "gh-137627: Make csv.Sniffer.sniff() 2 times faster",
                    "gh-127081: <b>Fix</b> a race in the & free-threaded build",
                    "gh-135228: When slots are added, update the fallback closure",
                    "gh-138122: Small fixes and refactorings for the sampling profiler",
                    "gh-139000: Remove the deprecated things",
                    "gh-139211: Just checked in",
                ],
            )
            .await;
        let old = self
            .revisions(
                "2.5",
                "2.5.6c1",
                300,
                &["#9000: backport of a fix to the last of its line"],
            )
            .await;
        let maintained = self
            .revisions(
                "3.14",
                "3.14.5+",
                200,
                &["[3.14] gh-137627: Make it faster", "[3.14] gh-1: Fix"],
            )
            .await;

        for (at, revision) in trunk.iter().take(5).enumerate() {
            // the second differs in its documentation only
            let image = self
                .image(
                    revision.as_str(),
                    &format!("key-{}-0123456789abcdef", if at == 1 { 0 } else { at }),
                    Some(true),
                )
                .await;
            if at != 1 {
                let job = self.job(None, Some(&image), "finished").await;
                self.attempt(&job, 312.0, Some(&Outcome::Passed), &build_log()).await;
            }
            self.runs(revision.as_str(), &image, at as u64).await;
        }
        let building = self.image(trunk[6].as_str(), "key-building", None).await;
        let job = self.job(None, Some(&building), "leased").await;
        self.attempt(&job, 40.0, None, &build_log()).await;
        let broken = self.image(trunk[5].as_str(), "key-broken", Some(false)).await;
        let job = self.job(None, Some(&broken), "finished").await;
        let reason = Outcome::SetupFailed {
            reason: "make failed".to_owned(),
            exit_code: Some(2),
        };
        self.attempt(&job, 61.0, Some(&reason), &build_log()).await;
        self.store
            .no_image(
                &RevisionId::from(old[0].as_str()),
                "default",
                PLATFORM,
                "no profile of images/ builds 2.5.6c1",
            )
            .await
            .unwrap();
        let image = self.image(maintained[0].as_str(), "key-314", Some(true)).await;
        self.runs(maintained[0].as_str(), &image, 0).await;
        self.image(maintained[1].as_str(), "key-315", None).await;
        self.debug(&trunk[..2], "key-debug-0").await;
        self.debug(&trunk[4..5], "key-debug-4").await;
        let reason = "the build profile \"2.5\" has no variant \"debug\"";
        self.store
            .no_image(&RevisionId::from(old[0].as_str()), "debug", PLATFORM, reason)
            .await
            .unwrap();
        let known = self.store.watched_branches().await.unwrap();
        self.store
            .branch_checked(
                &known[2].id,
                self.now - 600_000,
                Some("refs/3.13 does not exist in the repository"),
            )
            .await
            .unwrap();
    }

    /// The variant `debug` of revisions that share its image. One project's recipe excludes it, and what
    /// passes elsewhere may fail on it.
    async fn debug(&self, revisions: &[RevisionId], key: &str) {
        for revision in revisions {
            let image = self.image_as("debug", revision.as_str(), key, Some(true)).await;
            for project in PROJECTS {
                let skip = (project == "django").then_some("ten times as slow: four hours");
                let run = self.run_as("debug", revision.as_str(), &image, project, skip).await;
                if skip.is_none() {
                    let job = self.job(Some(&run), None, "finished").await;
                    let outcome = match project {
                        "idna" => Outcome::Crashed { signal: 6 },
                        _ => Outcome::Passed,
                    };
                    self.attempt(&job, 41.0, Some(&outcome), &test_log(project)).await;
                }
            }
        }
    }

    async fn runs(&self, revision: &str, image: &str, at: u64) {
        for (project, column) in PROJECTS.iter().zip(0..) {
            let log = test_log(project);
            let outcome = match (at, column) {
                (1, 3) => Outcome::Infra {
                    reason: "host lab-3 fell silent; its lease ran out".to_owned(),
                },
                (2, 2) => Outcome::TimedOut {
                    which: Timeout::Silence,
                },
                (2.., 10) => failed(),
                (3.., 5) => Outcome::Crashed { signal: 11 },
                (3, 7) => Outcome::OutOfMemory,
                (4, 9) => Outcome::SetupFailed {
                    reason: "a dependency does not build".to_owned(),
                    exit_code: Some(1),
                },
                (_, 1) => Outcome::Skipped {
                    reason: "no section for this Python".to_owned(),
                },
                (4, 0) => Outcome::RecipeError {
                    reason: "no such release".to_owned(),
                },
                _ => Outcome::Passed,
            };
            match (at, column) {
                (_, 1) => drop(
                    self.run(revision, image, project, Some("no section for this Python"))
                        .await,
                ),
                (4, 2) => {
                    let run = self.run(revision, image, project, None).await;
                    let job = self.job(Some(&run), None, "leased").await;
                    self.attempt(&job, 12.0, None, &log).await;
                }
                (4, 11) => {
                    let run = self.run(revision, image, project, None).await;
                    self.job(Some(&run), None, "queued").await;
                }
                (4, 8) => {
                    let run = self.run(revision, image, project, None).await;
                    let job = self.job(Some(&run), None, "finished").await;
                    self.attempt(&job, 9.0, Some(&failed()), &log).await;
                    let job = self.job(Some(&run), None, "finished").await;
                    self.attempt(&job, 9.0, Some(&Outcome::Passed), &log).await;
                }
                _ => drop(self.ended(revision, image, project, &outcome, &log).await),
            }
        }
        self.store
            .revision_planned(&RevisionId::from(revision), self.now)
            .await
            .unwrap();
    }
}

fn build_log() -> Vec<u8> {
    let mut log = b"\x1b[1m== configure\x1b[0m\nchecking build system type... x86_64-pc-linux-gnu\nchecking for --enable-shared... no\n".to_vec();
    for n in 0..6000 {
        log.extend(format!("gcc -c -fno-strict-overflow -Wsign-compare -DNDEBUG -O3 -Wall -std=c11 -I./Include -o Objects/part{n}.o Objects/part{n}.c\n").bytes());
    }
    log.extend(b"\x1b[33mwarning:\x1b[0m unused variable 'x' [-Wunused-variable]\nThe following modules are *missing*: \x1b[31m_tkinter\x1b[0m\n");
    log
}

fn test_log(project: &str) -> Vec<u8> {
    let mut log = format!("\x1b[1m== fetch\x1b[0m\n{project}-26.1.0.tar.gz  10%\r{project}-26.1.0.tar.gz  55%\r{project}-26.1.0.tar.gz 100%\n\x1b[1m== install\x1b[0m\n").into_bytes();
    log.extend(b"\x1b[2mResolved \x1b[1m4 packages\x1b[0m\x1b[2m in 12ms\x1b[0m\n \x1b[32m+\x1b[39m \x1b[1mpytest\x1b[0m==9.1.1\n");
    log.extend(b"\x1b[1m== test: unit\x1b[0m\n\x1b[1m============ test session starts ============\x1b[0m\nplatform linux -- Python 3.16.0a0, pytest-9.1.1\n");
    for n in 0..40 {
        log.extend(
            format!(
                "tests/test_part{n}.py \x1b[32m........................\x1b[0m\x1b[32m [{:3}%]\x1b[0m\n",
                n * 100 / 40
            )
            .bytes(),
        );
    }
    log.extend("\x1b[31m\x1b[1mFAILED\x1b[0m tests/test_make.py::\x1b[1mTestAttributes::test_types\x1b[0m - AssertionError: assert <class 'int'> == \"<script>alert(1)</script>\"\n".bytes());
    log.extend(b"\x1b]8;;https://docs.example/\x1b\\a link\x1b]8;;\x1b\\ and bytes \xff\xfe and a \x1b[7mreversed\x1b[0m word, \x1b[48;5;25m 256 colours \x1b[0m\n");
    log.extend(b"\x1b[31m============ \x1b[31m\x1b[1m1 failed\x1b[0m, \x1b[32m955 passed\x1b[0m in 8.41s \x1b[31m============\x1b[0m\n");
    log
}
