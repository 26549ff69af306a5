//! `pybots bisect PROJECT --good A --bad B`: finds the revision that broke or fixed a project.

mod answers;
mod ends;
mod hosts;

use super::local::{self, AsOf, LocalRunner, RunOptions, Runs, short};
use super::waiting::WAIT;
use crate::config::Settings;
use crate::domain::limits::Seconds;
use crate::runtime::platform;
use crate::verdict::{Answer, Change, Finding, NoDifference, RunEnd};
use crate::watch::git::ancestry::MergedLine;
use answers::{Answers, MergeView};
use anyhow::{Result, bail};
use clap::Args;
use ends::{EndView, Ends, no_difference, roles, subjects};
use hosts::Question;
use std::process::ExitCode;

/// The most revisions to try in place of an end that can't show the change.
const MOST_TRIED: usize = 8;

#[derive(Args)]
pub struct Bisect {
    /// A recipe file, or the name of a registered project.
    project: String,
    /// A revision on which the project passes, or a branch (its newest revision).
    #[arg(long, value_name = "BRANCH|REVISION")]
    good: String,
    /// A revision on which the project fails, or a branch. If it is older than the good one, the search is for the fix.
    #[arg(long, value_name = "BRANCH|REVISION")]
    bad: String,
    /// Search for this test only, written `SUITE: CLASS.NAME`. Can be repeated. The default is every test that differs.
    #[arg(long, value_name = "ID")]
    test: Vec<String>,
    /// Let the coordinator's hosts build and run. Needs a registered project and two revisions of one watched branch.
    #[arg(long)]
    on_hosts: bool,
    /// Wait no longer than this for the hosts. The investigation goes on after that.
    #[arg(long, value_name = "TIME", default_value = WAIT, requires = "on_hosts")]
    wait: Seconds,
    #[command(flatten)]
    options: RunOptions,
}

/// The revisions to search, oldest first, and the results of one run at the first and the last of them.
struct Range {
    revisions: Vec<String>,
    old: RunEnd,
    new: RunEnd,
}

impl Range {
    async fn ends(&self, runs: &Runs<'_>, change: Change, asked_old: &str, asked_new: &str) -> Ends {
        let view = async |asked, revision: &str, end| {
            EndView::new(asked, revision, Some(end)).with_log(end, &runs.log_of(revision).await)
        };
        let (first, last) = (&self.revisions[0], &self.revisions[self.revisions.len() - 1]);
        let old = view(asked_old, first, &self.old).await;
        Ends::of(change, old, view(asked_new, last, &self.new).await)
    }
}

impl Bisect {
    /// Runs the command. The exit code is 0 if the answer is a revision or a range, and 1 for any other answer. An
    /// error, which means that no search was possible, becomes 2.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        if self.on_hosts {
            if let AsOf::Day(day) = self.options.as_of {
                bail!(
                    "hosts take the dependencies that `as_of` in the recipe names; set it to {day} there, or leave out `--on-hosts`"
                );
            }
            let question = Question {
                project: &self.project,
                good: &self.good,
                bad: &self.bad,
                tests: &self.test,
                variant: &self.options.variant,
                platform: platform(),
                wait: self.wait,
            };
            return self.print(&question.ask(settings).await?);
        }
        let runner = LocalRunner::open(
            settings,
            vec![local::project(settings, &self.project).await?],
            &self.options.variant,
        )
        .await?;
        let answers = self.search(&runner).await;
        runner.close().await?;
        self.print(&answers?)
    }

    fn print(&self, answers: &Answers) -> Result<ExitCode> {
        if self.options.json {
            super::output::json(&answers.json())?;
        } else {
            out!("{}", answers.text());
        }
        match answers.names_revisions() {
            true => Ok(ExitCode::SUCCESS),
            false => Ok(ExitCode::FAILURE),
        }
    }

    /// Searches on this machine.
    async fn search(&self, runner: &LocalRunner) -> Result<Answers> {
        let (good, bad) = (runner.revision(&self.good).await?, runner.revision(&self.bad).await?);
        let mirror = &runner.sources.mirror;
        let (change, old, new) = if good.sha == bad.sha {
            bail!("the good revision and the bad one are the same, {}", good.sha);
        } else if mirror.is_before(&good.sha, &bad.sha).await {
            (Change::Broke, good, bad)
        } else if mirror.is_before(&bad.sha, &good.sha).await {
            (Change::Fixed, bad, good)
        } else {
            let Some(base) = mirror.merge_base(&good.sha, &bad.sha).await else {
                bail!("{} and {} have no common ancestor", self.good, self.bad);
            };
            let (good, which) = (&self.good, short(&base));
            errln!(
                "{good} and {} diverged at {which}, which is taken as the good revision",
                self.bad
            );
            (Change::Broke, runner.revision_on(&bad.branch, &base).await?, bad)
        };
        let mut revisions = mirror.since(&new.sha, &old.sha).await?;
        revisions.insert(0, old.sha.clone());
        errln!("searching {} revisions", revisions.len() - 1);

        let mut runs = Runs::new(runner, runner.project(), &new.branch, &self.options);
        let range = self.usable_range(&mut runs, change, revisions).await?;
        let subjects = subjects(&self.test, change, &range.old, &range.new);
        let mut answers = Answers::new(change, range.ends(&runs, change, &old.sha, &new.sha).await);
        let revisions = range.revisions;
        if subjects.is_empty() {
            answers.add_inconclusive(no_difference(change, &range.old, &range.new).describe());
        } else {
            let findings = runs.search(change, revisions.clone(), subjects).await?;
            for finding in findings {
                self.search_inside_merge(&mut runs, &mut answers, finding, &revisions)
                    .await?;
            }
        }
        answers.count(&runs);
        answers.describe(runner).await?;
        Ok(answers)
    }

    /// Runs both ends once. If an end can't show the change, the nearest usable revision replaces it. Tries at most
    /// [`MOST_TRIED`] revisions for each end; if none is usable, the end stays as it is.
    async fn usable_range(&self, runs: &mut Runs<'_>, change: Change, revisions: Vec<String>) -> Result<Range> {
        let (old, new) = runs.both(&revisions[0], &revisions[revisions.len() - 1]).await?;
        let mut range = Range { revisions, old, new };
        let (old_end, new_end) = roles(change);
        let has_tests = !self.test.is_empty();
        // a setup that fails everywhere does not depend on the revision
        if no_difference(change, &range.old, &range.new) == NoDifference::SetupFails {
            return Ok(range);
        }
        if !old_end.accepts(&range.old, has_tests) {
            for index in 1..(range.revisions.len() - 1).min(MOST_TRIED + 1) {
                let result = self
                    .instead_of(runs, &range.revisions[0], &range.revisions[index])
                    .await?;
                if old_end.accepts(&result, has_tests) {
                    range.old = result;
                    range.revisions.drain(..index);
                    break;
                }
            }
        }
        let last = range.revisions.len() - 1;
        if !new_end.accepts(&range.new, has_tests) {
            for index in (1..last).rev().take(MOST_TRIED) {
                let result = self
                    .instead_of(runs, &range.revisions[last], &range.revisions[index])
                    .await?;
                if new_end.accepts(&result, has_tests) {
                    range.new = result;
                    range.revisions.truncate(index + 1);
                    break;
                }
            }
        }
        Ok(range)
    }

    async fn instead_of(&self, runs: &Runs<'_>, asked: &str, revision: &str) -> Result<RunEnd> {
        errln!("{} can't show the change; trying {}", short(asked), short(revision));
        runs.one(revision).await
    }

    /// Adds a finding to the answers. If its culprit is a merge, first searches among the revisions that the merge
    /// brought. If none of them is the culprit, the answer is the merge.
    async fn search_inside_merge(
        &self,
        runs: &mut Runs<'_>,
        answers: &mut Answers,
        finding: Finding,
        revisions: &[String],
    ) -> Result<()> {
        let finding = self
            .checked_against_parent(runs, answers.change, finding, revisions)
            .await?;
        let lines = match finding.answer {
            Answer::Culprit { index, .. } => runs.runner.sources.mirror.merged_lines(&revisions[index]).await?,
            _ => Vec::new(),
        };
        let merge = match finding.answer {
            Answer::Culprit { index, .. } if !lines.is_empty() => revisions[index].clone(),
            _ => {
                answers.add(runs, finding, revisions, None).await;
                return Ok(());
            }
        };
        let mut left = finding.subjects.clone();
        for MergedLine {
            parent,
            revisions: line,
        } in lines
        {
            if left.is_empty() {
                break;
            }
            let many = line.len() - 1;
            errln!("the culprit is a merge; searching what its parent {parent} brought, {many} revisions");
            let brought = MergeView {
                revision: merge.clone(),
                parent: Some(parent),
            };
            let mut unexplained = Vec::new();
            for inner in runs.search(answers.change, line.clone(), left).await? {
                let inner = self.checked_against_parent(runs, answers.change, inner, &line).await?;
                match inner.answer {
                    Answer::Culprit { .. } | Answer::Range { .. } => {
                        answers.add(runs, inner, &line, Some(brought.clone())).await;
                    }
                    _ => unexplained.extend(inner.subjects),
                }
            }
            left = unexplained;
        }
        if !left.is_empty() {
            let by_itself = MergeView {
                revision: merge,
                parent: None,
            };
            let finding = Finding {
                subjects: left,
                answer: finding.answer,
            };
            answers.add(runs, finding, revisions, Some(by_itself)).await;
        }
        Ok(())
    }

    /// Checks a culprit against its parent. In a history with merges, the revision before it in the list may not be its
    /// parent. If the change does not show between the culprit and its parent, the answer becomes inconclusive.
    async fn checked_against_parent(
        &self,
        runs: &mut Runs<'_>,
        change: Change,
        finding: Finding,
        revisions: &[String],
    ) -> Result<Finding> {
        let Answer::Culprit { index, .. } = finding.answer else {
            return Ok(finding);
        };
        let culprit = &revisions[index];
        let parent = runs.runner.sources.mirror.revision(culprit).await?.parent;
        let Some(parent) = parent.filter(|parent| *parent != revisions[index - 1]) else {
            return Ok(finding);
        };
        let both = vec![parent, culprit.clone()];
        let against_parent = runs.search(change, both, finding.subjects.clone()).await?;
        let proved = |finding: &Finding| matches!(finding.answer, Answer::Culprit { .. });
        if against_parent.iter().all(proved) {
            return Ok(finding);
        }
        let reason = format!("{} shows no change against its own parent", short(culprit));
        Ok(Finding {
            answer: Answer::Inconclusive(reason),
            ..finding
        })
    }
}
