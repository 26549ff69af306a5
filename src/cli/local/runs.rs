//! The builds and runs of one project on many check-ins, on this machine's engine.

use super::Workshop;
use crate::domain::job::{BuiltImage, JobSpec, Report};
use crate::domain::outcome::{Blame, Outcome};
use crate::plan;
use crate::recipe::Registered;
use crate::store::revisions::Revision;
use crate::verdict::{Change, End, Finding, Inquiry, Lock, LogDifference, Progress, Ran, Subject, log_difference};
use anyhow::{Result, bail};
use futures_util::stream::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Mutex, OnceCell};

/// What this machine is called.
const HERE: &str = "here";

/// Runs that the machinery failed before the search gives up.
const INFRA_MOST: usize = 3;

pub struct Runs<'a> {
    pub workshop: &'a Workshop,
    project: &'a Registered,
    branch: &'a str,
    variant: &'a str,
    tells: bool,
    /// By check-in.
    images: Mutex<BTreeMap<String, Arc<OnceCell<Image>>>>,
    /// By line of Python: the versions that the first run installed, which all later ones install again.
    locks: Mutex<BTreeMap<String, String>>,
    /// By check-in: the end of the log of its newest run.
    logs: Mutex<BTreeMap<String, String>>,
    all: Vec<Ran>,
    pub rounds: usize,
    builds: AtomicUsize,
}

/// What became of the image of a check-in.
#[derive(Clone)]
enum Image {
    Built(Box<(Revision, crate::domain::job::BuildSpec, BuiltImage)>),
    No,
}

impl<'a> Runs<'a> {
    pub fn new(
        workshop: &'a Workshop,
        project: &'a Registered,
        branch: &'a str,
        variant: &'a str,
        tells: bool,
    ) -> Self {
        Self {
            workshop,
            project,
            branch,
            variant,
            tells,
            images: Mutex::default(),
            locks: Mutex::default(),
            logs: Mutex::default(),
            all: Vec::new(),
            rounds: 0,
            builds: AtomicUsize::new(0),
        }
    }

    /// Images that were made, not counting those that were there.
    pub fn builds(&self) -> usize {
        self.builds.load(Ordering::Relaxed)
    }

    /// This machine, as often as it has slots: so many runs at a time.
    fn hosts(&self) -> Vec<String> {
        vec![HERE.to_owned(); self.workshop.settings.slots.max(1)]
    }

    /// What the log of one check-in says and that of another does not.
    pub async fn difference(&self, good: &str, bad: &str) -> LogDifference {
        let logs = self.logs.lock().await;
        match (logs.get(good), logs.get(bad)) {
            (Some(good), Some(bad)) => log_difference(good, bad),
            _ => LogDifference::default(),
        }
    }

    /// One run, to see what there is to look into. It is no proof, for it was looked at first.
    pub async fn one(&self, revision: &str) -> Result<End> {
        self.run(revision).await
    }

    /// Makes all runs that are wanted, as many at a time as there are slots.
    async fn round(&mut self, progress: &Progress) -> Result<()> {
        let what = if progress.searches {
            self.rounds += 1;
            format!("round {}", self.rounds)
        } else {
            "both sides again".to_owned()
        };
        let places: BTreeSet<&str> = progress.wanted.iter().map(|wanted| short(&wanted.revision)).collect();
        let places: Vec<&str> = places.into_iter().collect();
        eprintln!("{what}: {} runs on {}", progress.wanted.len(), places.join(", "));
        let singles: Vec<String> = progress.wanted.iter().map(|wanted| wanted.revision.clone()).collect();
        let this = &*self;
        let done: Vec<Ran> = futures_util::stream::iter(singles)
            .map(|revision| async move {
                let end = this.run(&revision).await?;
                eprintln!("  {} {}", short(&revision), told(&end));
                Ok::<_, anyhow::Error>(ran(&revision, end))
            })
            .buffer_unordered(this.workshop.settings.slots.max(1))
            .try_collect()
            .await?;
        self.all.extend(done);
        Ok(())
    }

    /// Looks into what may have changed, until there is an answer about each subject.
    pub async fn search(
        &mut self,
        change: Change,
        revisions: Vec<String>,
        subjects: Vec<Subject>,
    ) -> Result<Vec<Finding>> {
        let inquiry = Inquiry {
            change,
            revisions,
            subjects,
            differ: None,
            hosts: self.hosts(),
            noisy: Vec::new(),
            hint: None,
            rate: None,
        };
        loop {
            let progress = inquiry.progress(&self.all);
            if progress.wanted.is_empty() {
                return Ok(progress.findings);
            }
            self.round(&progress).await?;
        }
    }

    async fn run(&self, sha: &str) -> Result<End> {
        let cell = self.images.lock().await.entry(sha.to_owned()).or_default().clone();
        let image = cell.get_or_try_init(|| self.image(sha)).await?;
        let Image::Built(built) = image else {
            return Ok(End::NoImage);
        };
        let (revision, build, image) = &**built;
        let limits = &self.workshop.settings.limits;
        let mut spec = match plan::run(self.project, revision, build, &image.facts, limits) {
            Ok(spec) => spec,
            Err(reason) => return Ok(End::Run(Outcome::Skipped { reason }, None)),
        };
        for _ in 0..INFRA_MOST {
            let line = spec.fetch.python.clone();
            spec.fetch.lock = self.locks.lock().await.get(&line).cloned();
            let job = JobSpec::Run(Box::new(spec.clone()));
            let (report, log) = self.workshop.perform(&job, self.tells).await?;
            let Report {
                outcome, tests, lock, ..
            } = report;
            self.logs.lock().await.insert(sha.to_owned(), log);
            if let Some(lock) = lock {
                self.locks.lock().await.entry(line).or_insert(lock);
            }
            match outcome.blame() {
                Blame::Operator => eprintln!("  {} {outcome}; again", short(sha)),
                Blame::RecipeOwner if self.all.is_empty() => bail!("the recipe can't be used: {outcome}"),
                _ => return Ok(End::Run(outcome, tests)),
            }
        }
        bail!("this machine failed {INFRA_MOST} times at {}", short(sha))
    }

    /// The image of a check-in, as far as it can be built. That it can't is believed after a second time.
    async fn image(&self, sha: &str) -> Result<Image> {
        let revision = self.workshop.check_in(self.branch, sha).await?;
        let build = self.workshop.build(&revision, self.variant).await?;
        let job = JobSpec::Image(Box::new(build.clone()));
        let mut failed = 0;
        for _ in 0..INFRA_MOST {
            let (report, _) = self.workshop.perform(&job, self.tells).await?;
            if report.phases.iter().any(|phase| phase.name == "make") {
                self.builds.fetch_add(1, Ordering::Relaxed);
            }
            match (report.image, report.outcome.blame()) {
                (Some(built), _) => return Ok(Image::Built(Box::new((revision, build, built)))),
                (None, Blame::Code) if failed == 1 => return Ok(Image::No),
                (None, Blame::Code) => failed += 1,
                (None, _) => eprintln!("  {} no image: {}; again", short(sha), report.outcome),
            }
        }
        bail!("this machine failed {INFRA_MOST} times to build {}", short(sha))
    }
}

fn ran(revision: &str, end: End) -> Ran {
    Ran {
        revision: revision.to_owned(),
        lock: Lock::Base,
        host: HERE.to_owned(),
        end,
    }
}

fn told(end: &End) -> String {
    match end {
        End::NoImage => "can't be built".to_owned(),
        End::Run(outcome, Some(tests)) => {
            format!("{outcome}: {} of {} tests failed", tests.failed.len(), tests.total())
        }
        End::Run(outcome, None) => outcome.to_string(),
    }
}

pub fn short(sha: &str) -> &str {
    &sha[..sha.len().min(10)]
}
