//! Turns the run requests of an investigation into jobs.

use super::build_failures::{BUILDS_MOST, FAILURES};
use super::context::Context;
use super::model::{Investigated, WantedImage};
use crate::domain::id::{HostId, ImageId, RevisionId};
use crate::domain::job::{BuildSpec, Facts, JobSpec, RunSpec};
use crate::domain::outcome::Outcome;
use crate::plan;
use crate::recipe::Registered;
use crate::store::jobs::{NewJob, Probe};
use crate::store::probes::lock_name;
use crate::store::results::{Candidate, CandidateImage};
use crate::store::revisions::Revision;
use crate::store::runs::NewRun;
use crate::verdict::{Finding, Investigation, InvestigationProgress, LockSide, ProbeRequest, ProbeResult, RunEnd};
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The next step of an investigation.
pub enum NextStep {
    /// The investigation makes these runs, all at the same time.
    Run(Vec<RunRequest>, InvestigationProgress),
    /// The investigation waits for these images.
    Build(Vec<WantedImage>),
    /// An image can't be built, because the machinery failed too often.
    Stuck,
    Answered(Vec<Finding>),
}

/// A run that an investigation wants, with its spec and its image.
pub struct RunRequest {
    wanted: ProbeRequest,
    spec: Box<RunSpec>,
    /// The id of the image.
    image: ImageId,
}

/// Makes run requests for one investigation.
#[derive(Clone, Copy)]
pub struct Requests<'a> {
    pub context: &'a Context<'a>,
    pub project: &'a Registered,
    pub investigated: &'a Investigated,
}

/// Whether runs on a revision are possible.
enum Readiness {
    Ready {
        build: Box<BuildSpec>,
        facts: Box<Facts>,
        image: ImageId,
    },
    /// The revision's image is being built, or is to be planned. An image with another profile or distribution than the
    /// present one is planned anew: otherwise runs would differ in more than CPython.
    Awaited,
    /// The revision's image is to be built once more, because the machinery failed, or because the code failed fewer
    /// than [`FAILURES`] builds. Holds the id of the image.
    BuildAgain(ImageId),
    /// No image of the revision can be built. The revision may have one by an earlier profile, but runs on it would differ
    /// in more than CPython.
    NoImage,
    /// The machinery failed too often to build the revision's image.
    Stuck,
}

/// The plan of a recipe for a revision.
enum Planned {
    Run(Box<RunSpec>),
    /// The recipe skips the project on the revision, for this reason.
    Skipped(String),
}

impl Requests<'_> {
    /// Returns the next step of an investigation, from the runs that have ended. Queues builds that have to be
    /// repeated.
    pub async fn next(
        &self,
        question: &Investigation,
        candidates: &[Candidate],
        mut ran: Vec<ProbeResult>,
    ) -> Result<NextStep> {
        let by_id: BTreeMap<&RevisionId, &Candidate> = candidates
            .iter()
            .map(|candidate| (&candidate.revision_id, candidate))
            .collect();
        loop {
            let progress = question.progress(&ran);
            if progress.wanted.is_empty() {
                return Ok(NextStep::Answered(progress.findings));
            }
            let (mut requests, mut awaited, mut has_learned) = (Vec::new(), BTreeSet::new(), false);
            for wanted in &progress.wanted {
                let candidate = by_id.get(&wanted.revision).context("a revision outside of the range")?;
                let end = match self.readiness(candidate).await? {
                    Readiness::Awaited => {
                        awaited.insert(wanted.revision.clone());
                        continue;
                    }
                    Readiness::BuildAgain(image) => {
                        self.context.queue.rerun(image.as_str(), self.context.now).await?;
                        awaited.insert(wanted.revision.clone());
                        continue;
                    }
                    Readiness::Stuck => return Ok(NextStep::Stuck),
                    Readiness::NoImage => RunEnd::NoImage,
                    Readiness::Ready { build, facts, image } => match self.plan(wanted, &build, &facts).await? {
                        Planned::Run(mut spec) => {
                            // the two ends must not differ in wheels that an earlier revision compiled
                            spec.wheels_anew = question.is_end(&wanted.revision);
                            requests.push(RunRequest {
                                wanted: wanted.clone(),
                                spec,
                                image,
                            });
                            continue;
                        }
                        Planned::Skipped(reason) => RunEnd::Run(Outcome::Skipped { reason }, None),
                    },
                };
                has_learned = true;
                ran.push(ProbeResult {
                    revision: wanted.revision.clone(),
                    lock: wanted.lock,
                    host: HostId::default(),
                    end,
                });
            }
            // no job is needed to find out that a revision can't be run, so the question is asked again at once
            if has_learned {
                continue;
            }
            if awaited.is_empty() {
                return Ok(NextStep::Run(requests, progress));
            }
            let mut images = Vec::new();
            for revision in &awaited {
                images.push(self.wanted_image(revision).await?);
            }
            return Ok(NextStep::Build(images));
        }
    }

    async fn readiness(&self, candidate: &Candidate) -> Result<Readiness> {
        let store = self.context.store;
        let image = match &candidate.image {
            CandidateImage::Impossible => return Ok(Readiness::NoImage),
            CandidateImage::Unplanned => return Ok(Readiness::Awaited),
            CandidateImage::Wanted { id, .. }
            | CandidateImage::Failed { id, .. }
            | CandidateImage::Ready { id, .. } => id,
        };
        let revision = self.revision(candidate).await?;
        let Some(build) = self.build_of(&revision, image).await? else {
            return Ok(Readiness::NoImage);
        };
        let profiles = self.context.profiles;
        let Ok(profile) = plan::profile(&revision, profiles, &build.variant) else {
            return Ok(Readiness::NoImage);
        };
        if profile != build.profile || !build.distribution.is_same(&profiles.distribution) {
            return Ok(Readiness::Awaited);
        }
        let is_believed = candidate.failures >= FAILURES;
        Ok(match &candidate.image {
            CandidateImage::Wanted { is_building: true, .. } | CandidateImage::Failed { is_building: true, .. } => {
                Readiness::Awaited
            }
            CandidateImage::Wanted { .. } if candidate.builds > BUILDS_MOST => Readiness::Stuck,
            CandidateImage::Failed { .. } if is_believed => Readiness::NoImage,
            CandidateImage::Failed { .. } if candidate.builds >= BUILDS_MOST => Readiness::Stuck,
            CandidateImage::Ready { .. } => match store.image(image).await? {
                Some(row) => Readiness::Ready {
                    build,
                    facts: Box::new(row.facts.context("a ready image has no facts")?),
                    image: image.clone(),
                },
                None => Readiness::NoImage,
            },
            _ => Readiness::BuildAgain(image.clone()),
        })
    }

    /// Returns the build of an image, with the given revision and the watched branch. Returns `None` if the image has
    /// no build job.
    async fn build_of(&self, revision: &Revision, image: &ImageId) -> Result<Option<Box<BuildSpec>>> {
        let job = self.context.store.job_of(image.as_str()).await?;
        let Some(JobSpec::Image(mut build)) = job.map(|job| job.spec).transpose()? else {
            return Ok(None);
        };
        // the image may have been built from another revision with the same build key
        build.revision.clone_from(&revision.sha);
        build.branch.clone_from(&self.investigated.watched().branch);
        Ok(Some(build))
    }

    async fn revision(&self, candidate: &Candidate) -> Result<Revision> {
        let revision = self.context.store.revision(&candidate.revision_id).await?;
        revision.context("no such revision")
    }

    /// Returns the run of the recipe on a candidate, as an example of all runs of the recipe. The investigation may
    /// replace its image. Returns `None` if there is no image yet, or if the recipe skips the project there.
    pub async fn run_on(&self, candidate: &Candidate) -> Result<Option<Box<RunSpec>>> {
        let CandidateImage::Ready { id, .. } = &candidate.image else {
            return Ok(None);
        };
        let revision = self.revision(candidate).await?;
        let (Some(build), Some(row)) = (self.build_of(&revision, id).await?, self.context.store.image(id).await?)
        else {
            return Ok(None);
        };
        let facts = row.facts.context("a ready image has no facts")?;
        let wanted = ProbeRequest {
            revision: candidate.revision_id.clone(),
            lock: LockSide::Base,
            host: None,
        };
        match self.plan(&wanted, &build, &facts).await? {
            Planned::Run(spec) => Ok(Some(spec)),
            Planned::Skipped(_) => Ok(None),
        }
    }

    async fn plan(&self, wanted: &ProbeRequest, build: &BuildSpec, facts: &Facts) -> Result<Planned> {
        let revision = self
            .context
            .store
            .revision(&RevisionId::from(wanted.revision.as_str()))
            .await?;
        let mut revision = revision.context("no such revision")?;
        revision.branch.clone_from(&build.branch);
        let row = &self.investigated.row;
        Ok(
            match plan::run(self.project, &revision, build, facts, self.context.limits) {
                Ok(mut spec) => {
                    spec.fetch.lock.clone_from(match wanted.lock {
                        LockSide::Base => &row.base_lock,
                        LockSide::Now => &row.now_lock,
                    });
                    Planned::Run(Box::new(spec))
                }
                Err(reason) => Planned::Skipped(reason),
            },
        )
    }

    async fn wanted_image(&self, revision: &RevisionId) -> Result<WantedImage> {
        let revision = self.context.store.revision(revision).await?;
        let mut revision = revision.context("no such revision")?;
        revision.branch.clone_from(&self.investigated.watched().branch);
        let series = &self.investigated.row.series;
        Ok(WantedImage {
            revision,
            variant: series.variant.clone(),
            platform: series.platform.clone(),
        })
    }

    /// Queues the requested runs, as further jobs of the runs that their revisions have. `are_proven` says that no new
    /// host may make them, except a run that names its host. Returns the number of jobs.
    pub async fn queue(
        &self,
        requests: Vec<RunRequest>,
        progress: &InvestigationProgress,
        are_proven: bool,
    ) -> Result<usize> {
        let Context { store, queue, now, .. } = *self.context;
        let row = &self.investigated.row;
        let mut tx = store.begin().await?;
        let added = requests.len();
        for RunRequest { wanted, spec, image } in requests {
            let (revision, host) = (wanted.revision, wanted.host);
            let new = NewRun {
                revision_id: &revision,
                project: &row.series.project,
                variant: &row.series.variant,
                platform: &row.series.platform,
                recipe: &row.recipe,
                image_id: Some(&image),
                skip_reason: None,
            };
            let run = store.run_for(&mut tx, &new, now).await?;
            let own = store.lock_of_run(&mut tx, &run).await?;
            let crossed = own.is_some() && spec.fetch.lock.is_some() && own != spec.fetch.lock;
            let new = NewJob {
                image: &image,
                run: Some(&run),
                platform: &row.series.platform,
                priority: now.as_millis(),
                spec: &JobSpec::Run(spec),
                proven: are_proven && host.is_none(),
                probe: Some(Probe {
                    investigation: Some(&row.id),
                    lock_of: lock_name(wanted.lock),
                    crossed,
                    host: host.as_ref(),
                }),
            };
            queue.add(&mut tx, &new, now).await?;
        }
        if progress.searches {
            store.investigation_round(&mut tx, &row.id).await?;
        }
        tx.commit().await?;
        Ok(added)
    }
}
