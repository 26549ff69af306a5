//! `pybots bisect PROJECT --good A --bad B`: which check-in broke a project, or mended it, here and now.

mod found;
mod hosts;

use super::local::{self, How, Runs, Workshop, short};
use super::up::platform;
use crate::config::Settings;
use crate::verdict::{Answer, Change, Finding, Row, Subject, suspicions};
use anyhow::{Result, bail};
use clap::Args;
use found::Found;
use std::process::ExitCode;

#[derive(Args)]
pub struct Bisect {
    /// A recipe file, or the name of a registered project.
    project: String,
    /// A branch (its newest check-in) or a check-in on which it passes.
    #[arg(long, value_name = "BRANCH|CHECK-IN")]
    good: String,
    /// One on which it fails. Where that is the older one, it is looked for what mended it.
    #[arg(long, value_name = "BRANCH|CHECK-IN")]
    bad: String,
    /// Only this test, as `SUITE: CLASS.NAME`; may be said again. Otherwise all that differ.
    #[arg(long, value_name = "ID")]
    test: Vec<String>,
    /// Ask the coordinator's hosts instead of this machine; the project is registered, both check-ins are on one watched
    /// branch.
    #[arg(long)]
    on_hosts: bool,
    #[command(flatten)]
    how: How,
}

impl Bisect {
    /// Exit code 0: a check-in, or a range of them; 1: something else is the cause, or nothing can be said; 2: it
    /// could not be tried.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        if self.on_hosts {
            return Ok(self.tell(&self.ask_hosts(settings, platform()).await?));
        }
        let workshop = Workshop::open(
            settings,
            vec![local::project(settings, &self.project)?],
            &self.how.variant,
        )
        .await?;
        let found = self.find(&workshop).await;
        workshop.close().await?;
        Ok(self.tell(&found?))
    }

    fn tell(&self, found: &Found) -> ExitCode {
        if self.how.json {
            outln!("{}", found.json());
        } else {
            out!("{}", found.text());
        }
        match found.names_check_ins() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    async fn find(&self, workshop: &Workshop) -> Result<Found> {
        let (good, bad) = (
            workshop.revision(&self.good).await?,
            workshop.revision(&self.bad).await?,
        );
        let mirror = &workshop.sources.mirror;
        let (change, old, new) = if good.sha == bad.sha {
            bail!("the good check-in and the bad one are the same, {}", good.sha);
        } else if mirror.is_before(&good.sha, &bad.sha).await {
            (Change::Broke, good, bad)
        } else if mirror.is_before(&bad.sha, &good.sha).await {
            (Change::Fixed, bad, good)
        } else {
            let Some(parting) = mirror.parting(&good.sha, &bad.sha).await else {
                bail!("{} and {} have nothing in common", self.good, self.bad);
            };
            let (good, which) = (&self.good, short(&parting));
            eprintln!(
                "{good} and {} went apart at {which}, which is taken for the good one",
                self.bad
            );
            (Change::Broke, workshop.check_in(&bad.branch, &parting).await?, bad)
        };
        let mut revisions = mirror.since(&new.sha, &old.sha).await?;
        revisions.insert(0, old.sha.clone());
        eprintln!("{} check-ins to choose from", revisions.len() - 1);

        let mut runs = Runs::new(
            workshop,
            workshop.project(),
            &new.branch,
            &self.how.variant,
            self.how.verbose,
        );
        let subjects = self.subjects(&mut runs, change, &old.sha, &new.sha).await?;
        let mut found = Found::new(change);
        if subjects.is_empty() {
            found.nothing("both ends say the same of everything");
        } else {
            let findings = runs.search(change, revisions.clone(), subjects).await?;
            for finding in findings {
                self.look_inside(&mut runs, &mut found, finding, &revisions).await?;
            }
        }
        found.count(&runs);
        found.describe(workshop).await?;
        Ok(found)
    }

    /// What is looked into: what was asked for, or all that differs between the two ends.
    async fn subjects(&self, runs: &mut Runs<'_>, change: Change, old: &str, new: &str) -> Result<Vec<Subject>> {
        if !self.test.is_empty() {
            return Ok(self.test.iter().cloned().map(Subject::Test).collect());
        }
        let mut rows = Vec::new();
        for revision in [old, new] {
            rows.push(Row {
                revision: revision.to_owned(),
                end: runs.one(revision).await?,
                lock: String::new(),
            });
        }
        let suspicions = suspicions(&rows, &[]).into_iter();
        Ok(suspicions
            .filter(|suspicion| suspicion.change == change)
            .flat_map(|suspicion| suspicion.subjects)
            .collect())
    }

    /// A merge brought many check-ins: the search goes on among them. Where neither of its sides alone shows it, it is
    /// the merge.
    async fn look_inside(
        &self,
        runs: &mut Runs<'_>,
        found: &mut Found,
        finding: Finding,
        revisions: &[String],
    ) -> Result<()> {
        let finding = self.on_its_parent(runs, found.change, finding, revisions).await?;
        let brought = match finding.answer {
            Answer::Culprit { place, .. } => runs.workshop.sources.mirror.brought(&revisions[place]).await?,
            _ => None,
        };
        let Some(brought) = brought else {
            found.add(runs, finding, revisions).await;
            return Ok(());
        };
        eprintln!("it is a merge of {} check-ins; looking among them", brought.len() - 1);
        let subjects = finding.subjects.clone();
        for inner in runs.search(found.change, brought.clone(), subjects).await? {
            let inner = self.on_its_parent(runs, found.change, inner, &brought).await?;
            if let Answer::Culprit { .. } | Answer::Range { .. } = inner.answer {
                found.add(runs, inner, &brought).await;
            } else {
                let merge = Finding {
                    subjects: inner.subjects,
                    answer: finding.answer.clone(),
                };
                found.add(runs, merge, revisions).await;
            }
        }
        Ok(())
    }

    /// Where lines cross, the check-in before it in the list is not the one that it was made on: that one has to say
    /// so too.
    async fn on_its_parent(
        &self,
        runs: &mut Runs<'_>,
        change: Change,
        finding: Finding,
        revisions: &[String],
    ) -> Result<Finding> {
        let Answer::Culprit { place, .. } = finding.answer else {
            return Ok(finding);
        };
        let culprit = &revisions[place];
        let parent = runs.workshop.sources.mirror.check_in(culprit).await?.parent;
        let Some(parent) = parent.filter(|parent| *parent != revisions[place - 1]) else {
            return Ok(finding);
        };
        let both = vec![parent, culprit.clone()];
        let again = runs.search(change, both, finding.subjects.clone()).await?;
        let proved = |found: &Finding| matches!(found.answer, Answer::Culprit { .. });
        if again.iter().all(proved) {
            return Ok(finding);
        }
        let reason = format!("{} was made on another line, on which it was so before", short(culprit));
        Ok(Finding {
            answer: Answer::Inconclusive(reason),
            ..finding
        })
    }
}
