//! One look at an inquiry: the runs that it wants next.

use super::super::{Coordinator, plan as planned};
use super::builds::{BUILDS_MOST, FAILURES};
use crate::domain::job::{BuildSpec, Facts, JobSpec, RunSpec};
use crate::domain::outcome::Outcome;
use crate::plan;
use crate::recipe::Registered;
use crate::store::inquiries::InquiryRow;
use crate::store::jobs::{NewJob, Probe};
use crate::store::judge::Step;
use crate::store::runs::NewRun;
use crate::verdict::{End, Finding, Inquiry, Lock, Progress, Ran, Wanted};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

pub enum Next {
    /// These runs, all at the same time.
    Ask(Progress, Vec<(Wanted, Box<RunSpec>, String)>),
    /// Images are being built; so many builds were added.
    Wait(usize),
    /// An image can't be made, and that is nobody's fault but the machinery's.
    Stuck,
    Answered(Vec<Finding>),
}

/// One look at an inquiry.
pub struct Round<'a> {
    pub coordinator: &'a Coordinator,
    pub project: &'a Registered,
    pub inquiry: &'a InquiryRow,
    pub now: i64,
}

/// What stands for a check-in.
enum Standing {
    Ready(Box<BuildSpec>, Box<Facts>, String),
    /// It is being built, or is to be.
    Awaited,
    /// It is to be tried once more, and nobody does by himself: the machinery failed at it, or its build failed for the
    /// first time. The image's id.
    ToTry(String),
    /// It can't be built.
    None,
    /// The machinery failed at it, again and again.
    Stuck,
}

impl Round<'_> {
    /// What is wanted next, and can be had.
    pub async fn next(&self, question: &Inquiry, steps: &[Step], mut ran: Vec<Ran>) -> Result<Next> {
        let places: BTreeMap<&str, &Step> = steps.iter().map(|step| (step.revision_id.as_str(), step)).collect();
        loop {
            let progress = question.progress(&ran);
            if progress.wanted.is_empty() {
                return Ok(Next::Answered(progress.findings));
            }
            let (mut runs, mut awaited, mut settled) = (Vec::new(), BTreeSet::new(), false);
            for wanted in &progress.wanted {
                let step = places
                    .get(wanted.revision.as_str())
                    .context("a check-in that is not in the stretch")?;
                let end = match self.standing(step).await? {
                    Standing::Awaited => {
                        awaited.insert(step.revision_id.clone());
                        continue;
                    }
                    Standing::ToTry(image) => {
                        self.coordinator.queue.again(&image, self.now).await?;
                        awaited.insert(step.revision_id.clone());
                        continue;
                    }
                    Standing::Stuck => return Ok(Next::Stuck),
                    Standing::None => End::NoImage,
                    Standing::Ready(build, facts, image) => match self.spec(wanted, &build, &facts).await? {
                        Ok(spec) => {
                            runs.push((wanted.clone(), spec, image));
                            continue;
                        }
                        Err(reason) => End::Run(Outcome::Skipped { reason }, None),
                    },
                };
                settled = true;
                ran.push(Ran {
                    revision: wanted.revision.clone(),
                    lock: wanted.lock,
                    host: String::new(),
                    end,
                });
            }
            if settled {
                continue; // what nothing can be seen at needs no run to say so
            }
            if !awaited.is_empty() {
                return Ok(Next::Wait(self.hasten(&awaited).await?));
            }
            return Ok(Next::Ask(progress, runs));
        }
    }

    async fn standing(&self, step: &Step) -> Result<Standing> {
        let store = &self.coordinator.store;
        if step.reason.is_some() {
            return Ok(Standing::None);
        }
        let Some(image_id) = &step.image_id else {
            return Ok(Standing::Awaited);
        };
        match (step.image_state.as_deref(), &step.building) {
            (Some("ready"), _) => {}
            (_, Some(_)) => return Ok(Standing::Awaited),
            (Some("wanted"), None) if step.builds > BUILDS_MOST => return Ok(Standing::Stuck),
            (Some("wanted"), None) => return Ok(Standing::ToTry(image_id.clone())),
            (_, None) if step.failures < FAILURES && step.builds < BUILDS_MOST => {
                return Ok(Standing::ToTry(image_id.clone()));
            }
            (_, None) if step.failures < FAILURES => return Ok(Standing::Stuck),
            (_, None) => return Ok(Standing::None),
        }
        let (Some(page), Some(job)) = (store.image(image_id).await?, store.job_of(image_id).await?) else {
            return Ok(Standing::None);
        };
        let JobSpec::Image(mut build) = serde_json::from_str(&job.spec).context("an image's job can't be read")? else {
            return Ok(Standing::None);
        };
        let revision = store
            .revision(&step.revision_id)
            .await?
            .context("a step without its check-in")?;
        // built from another check-in, its image is the same
        build.revision = revision.sha;
        build.branch = self.coordinator.watched(self.inquiry).await?.branch;
        let facts = serde_json::from_str(page.facts.as_deref().unwrap_or("{}"))?;
        Ok(Standing::Ready(build, Box::new(facts), image_id.clone()))
    }

    /// A run by the recipe on a check-in that has an image; None: there is no image, or the project is skipped there.
    pub async fn run_on(&self, step: &Step) -> Result<Option<Box<RunSpec>>> {
        let Standing::Ready(build, facts, _) = self.standing(step).await? else {
            return Ok(None);
        };
        let wanted = Wanted {
            revision: step.revision_id.clone(),
            lock: Lock::Base,
            host: None,
        };
        Ok(self.spec(&wanted, &build, &facts).await?.ok())
    }

    /// The run that is wanted; else why the project is skipped there.
    async fn spec(&self, wanted: &Wanted, build: &BuildSpec, facts: &Facts) -> Result<Result<Box<RunSpec>, String>> {
        let store = &self.coordinator.store;
        let mut revision = store.revision(&wanted.revision).await?.context("no such check-in")?;
        revision.branch.clone_from(&build.branch);
        let limits = &self.coordinator.settings.limits;
        Ok(
            plan::run(self.project, &revision, build, facts, limits).map(|mut spec| {
                spec.fetch.lock.clone_from(match wanted.lock {
                    Lock::Base => &self.inquiry.base_lock,
                    Lock::Now => &self.inquiry.now_lock,
                });
                Box::new(spec)
            }),
        )
    }

    /// Has images built that are awaited, before all others.
    async fn hasten(&self, revisions: &BTreeSet<String>) -> Result<usize> {
        let mut added = 0;
        for id in revisions {
            let store = &self.coordinator.store;
            let mut revision = store.revision(id).await?.context("no such check-in")?;
            revision.branch = self.coordinator.watched(self.inquiry).await?.branch;
            let variant = &self.inquiry.variant;
            added += planned::image_of(self.coordinator, &revision, variant, self.now).await?;
            store
                .hasten_build(id, variant, &self.inquiry.platform, self.now)
                .await?;
        }
        Ok(added)
    }

    /// Queues runs; as what they are, more attempts at the runs that their check-ins have.
    pub async fn add(&self, progress: &Progress, runs: Vec<(Wanted, Box<RunSpec>, String)>) -> Result<usize> {
        let Coordinator { store, queue, .. } = self.coordinator;
        let InquiryRow {
            id, variant, platform, ..
        } = self.inquiry;
        let mut tx = store.begin().await?;
        let added = runs.len();
        for (wanted, spec, image) in runs {
            let new = NewRun {
                revision_id: &wanted.revision,
                project: &self.inquiry.project,
                variant,
                platform,
                recipe: &self.inquiry.recipe,
                image_id: Some(&image),
                skip_reason: None,
            };
            let run = store.run_for(&mut tx, &new, self.now).await?;
            let usual = store.lock_of_run(&mut tx, &run).await?;
            let crossed = usual.is_some() && spec.fetch.lock.is_some() && usual != spec.fetch.lock;
            let spec = JobSpec::Run(spec);
            let new = NewJob {
                image: &image,
                run: Some(&run),
                platform,
                priority: self.now,
                spec: &spec,
                probe: Some(Probe {
                    inquiry: Some(id),
                    lock_of: match wanted.lock {
                        Lock::Base => "base",
                        Lock::Now => "now",
                    },
                    crossed,
                    host: wanted.host.as_deref(),
                }),
            };
            queue.add(&mut tx, &new, self.now).await?;
        }
        if progress.searches {
            store.inquiry_round(&mut tx, id).await?;
        }
        tx.commit().await?;
        Ok(added)
    }
}
