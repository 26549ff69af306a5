//! The builds and runs of one project on many revisions, on this machine's engine.

use super::options::{AsOf, RunOptions, is_not_installed};
use super::runner::LocalRunner;
use crate::domain::day::Day;
use crate::domain::id::{HostId, RevisionId};
use crate::domain::job::{BuiltImage, JobSpec, Report};
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::text::plain;
use crate::plan;
use crate::recipe::Registered;
use crate::store::revisions::Revision;
use crate::verdict::{
    Change, Finding, Investigation, InvestigationProgress, LockSide, LogDifference, ProbeResult, RunEnd, Subject,
    log_difference,
};
use anyhow::{Result, bail};
use futures_util::stream::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Mutex, OnceCell};

/// The name of this machine in the hosts of a search.
const HERE: &str = "here";

/// The number of infrastructure failures of one job after which the search gives up.
const INFRA_FAILURES: usize = 3;

/// Makes the builds and runs of one project when a search needs them.
pub struct Runs<'a> {
    pub runner: &'a LocalRunner,
    project: &'a Registered,
    branch: &'a str,
    options: &'a RunOptions,
    /// The day of the dependencies that all runs install. `None` means the day in the recipe, or else today.
    as_of: Option<Day>,
    /// The images by revision.
    images: Mutex<BTreeMap<String, Arc<OnceCell<ImageResult>>>>,
    /// The lock of the first run, by Python version. All later runs install it too.
    locks: Mutex<BTreeMap<String, String>>,
    /// The tail of the log of the newest run, by revision.
    logs: Mutex<BTreeMap<String, String>>,
    all: Vec<ProbeResult>,
    pub rounds: usize,
    builds: AtomicUsize,
}

/// The result of the image build of a revision.
#[derive(Clone)]
enum ImageResult {
    Built(Box<(Revision, crate::domain::job::BuildSpec, BuiltImage)>),
    Unbuildable,
}

impl<'a> Runs<'a> {
    pub fn new(runner: &'a LocalRunner, project: &'a Registered, branch: &'a str, options: &'a RunOptions) -> Self {
        Self {
            runner,
            project,
            branch,
            options,
            as_of: options.as_of.first(),
            images: Mutex::default(),
            locks: Mutex::default(),
            logs: Mutex::default(),
            all: Vec::new(),
            rounds: 0,
            builds: AtomicUsize::new(0),
        }
    }

    /// Returns the number of images that were built. Images that the engine had already do not count.
    pub fn builds(&self) -> usize {
        self.builds.load(Ordering::Relaxed)
    }

    /// Returns this machine once for each slot, so that a round has one run per slot.
    fn hosts(&self) -> Vec<HostId> {
        vec![HERE.into(); self.runner.settings.slots.max(1)]
    }

    /// Returns the lines that are in the log of `bad` and not in the log of `good`.
    pub async fn difference(&self, good: &str, bad: &str) -> LogDifference {
        let logs = self.logs.lock().await;
        match (logs.get(good), logs.get(bad)) {
            (Some(good), Some(bad)) => log_difference(good, bad),
            _ => LogDifference::default(),
        }
    }

    /// Returns the end of the log of the newest run on a revision, or an empty string if there was none.
    pub async fn log_of(&self, revision: &str) -> String {
        self.logs.lock().await.get(revision).cloned().unwrap_or_default()
    }

    /// Returns the day of the dependencies that all runs install. `None` means the day in the recipe, or else today.
    pub fn as_of(&self) -> Option<Day> {
        self.as_of
    }

    /// Makes one run, to find out which subjects to search for. The run is no evidence, because its result decided
    /// about the search. Fails if the recipe can't be used.
    pub async fn one(&self, revision: &str) -> Result<RunEnd> {
        usable(self.run(revision, false).await?)
    }

    /// Makes one run on each of two revisions, as [`Self::one`] does. If the project installs on neither and `--as-of`
    /// is `auto`, tries the dependencies of the newer revision's day. If the runs work with them, all later runs use
    /// them.
    pub async fn both(&mut self, old: &str, new: &str) -> Result<(RunEnd, RunEnd)> {
        let mut ends = (self.run(old, false).await?, self.run(new, false).await?);
        let is_not_installed = |end: &RunEnd| matches!(end, RunEnd::Run(outcome, _) if is_not_installed(outcome));
        if self.options.as_of == AsOf::Auto && is_not_installed(&ends.0) && is_not_installed(&ends.1) {
            let revision = self.runner.revision_on(self.branch, new).await?;
            if let Some(day) = Day::of(revision.committed_at) {
                errln!("the project installs at neither end; trying the dependencies of {day}, the newer end's day");
                self.as_of = Some(day);
                let locks = std::mem::take(self.locks.get_mut());
                let then = (self.run(old, false).await?, self.run(new, false).await?);
                match (usable(then.0), usable(then.1)) {
                    (Ok(old), Ok(new)) => ends = (old, new),
                    // the index may not state upload times, or that day may have no set of versions that fits
                    (Err(error), _) | (_, Err(error)) => {
                        errln!("{error:#}; going on with today's");
                        self.as_of = None;
                        *self.locks.get_mut() = locks;
                    }
                }
            }
        }
        Ok((usable(ends.0)?, usable(ends.1)?))
    }

    /// Makes all runs that the search asks for, up to one per slot at a time.
    async fn round(&mut self, investigation: &Investigation, progress: &InvestigationProgress) -> Result<()> {
        let what = if progress.searches {
            self.rounds += 1;
            format!("round {}", self.rounds)
        } else {
            "confirming both ends".to_owned()
        };
        let names: BTreeSet<&str> = progress
            .wanted
            .iter()
            .map(|wanted| short(wanted.revision.as_str()))
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        errln!("{what}: {} runs on {}", progress.wanted.len(), names.join(", "));
        let revisions: Vec<RevisionId> = progress.wanted.iter().map(|wanted| wanted.revision.clone()).collect();
        let this = &*self;
        let finished: Vec<ProbeResult> = futures_util::stream::iter(revisions)
            .map(|revision| async move {
                let end = this.run(revision.as_str(), investigation.is_end(&revision)).await?;
                errln!("  {} {}", short(revision.as_str()), summary(&end));
                Ok::<_, anyhow::Error>(ran(revision, end))
            })
            .buffer_unordered(this.runner.settings.slots.max(1))
            .try_collect()
            .await?;
        self.all.extend(finished);
        Ok(())
    }

    /// Runs revisions until there is an answer about each subject. Assumes that the first revision is before the
    /// change, and the last one after it.
    pub async fn search(
        &mut self,
        change: Change,
        revisions: Vec<String>,
        subjects: Vec<Subject>,
    ) -> Result<Vec<Finding>> {
        let investigation = Investigation {
            change,
            revisions: revisions.into_iter().map(RevisionId::from).collect(),
            subjects,
            lock_difference: None,
            hosts: self.hosts(),
            flaky: Vec::new(),
            hint: None,
            rate: None,
        };
        loop {
            let progress = investigation.progress(&self.all);
            if progress.wanted.is_empty() {
                return Ok(progress.findings);
            }
            self.round(&investigation, &progress).await?;
        }
    }

    /// Makes one run, and repeats it if the infrastructure fails. For `wheels_anew`, see
    /// [`RunSpec::wheels_anew`](crate::domain::job::RunSpec::wheels_anew).
    async fn run(&self, sha: &str, wheels_anew: bool) -> Result<RunEnd> {
        let cell = self.images.lock().await.entry(sha.to_owned()).or_default().clone();
        let image = cell.get_or_try_init(|| self.image(sha)).await?;
        let ImageResult::Built(built) = image else {
            return Ok(RunEnd::NoImage);
        };
        let (revision, build, image) = &**built;
        let limits = &self.runner.settings.limits;
        let mut spec = match plan::run(self.project, revision, build, &image.facts, limits) {
            Ok(spec) => spec,
            Err(reason) => return Ok(RunEnd::Run(Outcome::Skipped { reason }, None)),
        };
        spec.wheels_anew = wheels_anew;
        spec.fetch.as_of = self.as_of.or(spec.fetch.as_of);
        for _ in 0..INFRA_FAILURES {
            let python = spec.fetch.python.clone();
            spec.fetch.lock = self.locks.lock().await.get(&python).cloned();
            let job = JobSpec::Run(Box::new(spec.clone()));
            let (report, log) = self.runner.perform(&job, self.options.verbose).await?;
            let Report {
                outcome, tests, lock, ..
            } = report;
            self.logs.lock().await.insert(sha.to_owned(), log);
            if let Some(lock) = lock {
                self.locks.lock().await.entry(python).or_insert(lock);
            }
            match outcome.blame() {
                Blame::Operator => errln!("  {} {outcome}; trying again", short(sha)),
                _ => return Ok(RunEnd::Run(outcome, tests)),
            }
        }
        bail!("this machine failed {INFRA_FAILURES} times to run {}", short(sha))
    }

    /// Builds the image of a revision. A build has to fail twice before the revision counts as unbuildable.
    async fn image(&self, sha: &str) -> Result<ImageResult> {
        let revision = self.runner.revision_on(self.branch, sha).await?;
        let build = self.runner.build(&revision, &self.options.variant).await?;
        let job = JobSpec::Image(Box::new(build.clone()));
        let mut failed = 0;
        for _ in 0..INFRA_FAILURES {
            let (report, _) = self.runner.perform(&job, self.options.verbose).await?;
            if report.phases.iter().any(|phase| phase.name == "make") {
                self.builds.fetch_add(1, Ordering::Relaxed);
            }
            match (report.image, report.outcome.blame()) {
                (Some(built), _) => {
                    if !built.facts.missing_modules.is_empty() {
                        let missing = plain(&built.facts.missing_modules.join("; "));
                        errln!("  {} has a degraded image: it can't import {missing}", short(sha));
                    }
                    return Ok(ImageResult::Built(Box::new((revision, build, built))));
                }
                (None, Blame::Code) if failed == 1 => return Ok(ImageResult::Unbuildable),
                (None, Blame::Code) => failed += 1,
                (None, _) => errln!("  {} no image: {}; trying again", short(sha), report.outcome),
            }
        }
        bail!("this machine failed {INFRA_FAILURES} times to build {}", short(sha))
    }
}

/// Fails for a run which shows that the recipe can't be used.
fn usable(end: RunEnd) -> Result<RunEnd> {
    match end {
        RunEnd::Run(outcome, _) if outcome.blame() == Blame::RecipeOwner => {
            bail!("the recipe can't be used: {outcome}")
        }
        end => Ok(end),
    }
}

fn ran(revision: RevisionId, end: RunEnd) -> ProbeResult {
    ProbeResult {
        revision,
        lock: LockSide::Base,
        host: HERE.into(),
        end,
    }
}

fn summary(end: &RunEnd) -> String {
    match end {
        RunEnd::NoImage => "can't be built".to_owned(),
        RunEnd::Run(outcome, Some(tests)) => {
            format!("{outcome}: {} of {} tests failed", tests.failed.len(), tests.total())
        }
        RunEnd::Run(outcome, None) => outcome.to_string(),
    }
}

/// Returns the first 10 characters of an id.
pub fn short(sha: &str) -> &str {
    &sha[..sha.len().min(10)]
}
