//! The trials of a proposal. Each trial suggests a change for the next one.

use super::location::RecipeLocation;
use crate::cli::local::LocalRunner;
use crate::domain::job::{BuildSpec, Facts, JobSpec};
use crate::plan;
use crate::recipe::propose::{ChoiceReason, Observed, Proposal, Survey, TrialResult, corrected, trial_result, untried};
use crate::store::revisions::Revision;
use anyhow::{Result, bail};

/// The most changes that are tried one after the other.
const CHANGES_MOST: usize = 4;

/// The inputs of the trials.
pub struct Rounds<'a> {
    pub runner: &'a LocalRunner,
    pub revision: &'a Revision,
    pub build: BuildSpec,
    pub location: &'a RecipeLocation,
    pub survey: &'a Survey,
    pub shows_log: bool,
    /// Whether the user allows the network during install.
    pub allows_network: bool,
}

/// The next proposal to try, and the reasons for its changes.
type NextProposal = (Proposal, Vec<ChoiceReason>);

impl Rounds<'_> {
    /// Tries a proposal, and then changed ones: until nothing is left to change, or [`CHANGES_MOST`] changes were
    /// tried. Returns the best proposal and its result. Returns a changed proposal untried if its trial would need
    /// something that the user does not allow.
    pub async fn run(&mut self, proposal: Proposal) -> Result<(Proposal, TrialResult)> {
        errln!(
            "building CPython {} ({}), unless its image is there",
            self.revision.branch,
            self.revision.name()
        );
        let job = JobSpec::Image(Box::new(self.build.clone()));
        let (image, _) = self.runner.perform(&job, self.shows_log).await?;
        let Some(built) = image.image else {
            bail!(
                "the image could not be built: {}; --no-try writes the recipe without it",
                image.outcome
            );
        };
        let mut proposal = proposal;
        let mut best: Option<(Proposal, TrialResult)> = None;
        for round in 0..=CHANGES_MOST {
            errln!("trying the recipe");
            let (ended, changed) = self.trial(&proposal, &built.facts).await?;
            outln!("trial {}: {}", round + 1, ended.sentence());
            let is_better = best.as_ref().is_none_or(|(_, before)| rank(&ended) >= rank(before));
            if is_better {
                best = Some((proposal, ended));
            }
            match changed {
                Some((changed, reasons)) if round < CHANGES_MOST => {
                    say(&reasons);
                    if let Some(result) = untried(&changed, self.allows_network) {
                        return Ok((changed, result));
                    }
                    proposal = changed;
                }
                Some(_) => {
                    errln!("{CHANGES_MOST} changes were tried, which is all");
                    break;
                }
                None => break,
            }
        }
        match best {
            Some(best) => Ok(best),
            None => bail!("nothing was tried"),
        }
    }

    /// Tries a proposal once. Returns its result, and the change to try next.
    async fn trial(&self, proposal: &Proposal, facts: &Facts) -> Result<(TrialResult, Option<NextProposal>)> {
        let registered = self.location.register(&proposal.text(&[]))?;
        let limits = &self.runner.settings.limits;
        let spec = match plan::run(&registered, self.revision, &self.build, facts, limits) {
            Ok(spec) => spec,
            Err(reason) => return Ok((TrialResult::Failed(format!("skipped: {reason}")), None)),
        };
        let job = JobSpec::Run(Box::new(spec));
        let (report, log) = self.runner.perform(&job, self.shows_log).await?;
        let observed = Observed {
            outcome: &report.outcome,
            tests: report.tests.as_ref(),
            phase: report
                .phases
                .last()
                .map(|phase| phase.name.as_str())
                .unwrap_or_default(),
            log: &log,
        };
        let changed = corrected(proposal, self.survey, &observed);
        Ok((trial_result(proposal, &observed), changed))
    }
}

/// Returns the order of a result. The best proposal is written; among equals, the last.
fn rank(result: &TrialResult) -> (usize, usize) {
    match result {
        TrialResult::Failed(_) => (0, 0),
        TrialResult::NoTests => (1, 0),
        // more passed tests count, not fewer failures: a test that does not run can't fail
        TrialResult::Red { failed, run, .. } => (2, run.saturating_sub(*failed)),
        TrialResult::Green { .. } => (3, 0),
    }
}

/// Prints choices with their reasons.
pub fn say(reasons: &[ChoiceReason]) {
    for ChoiceReason { choice, why } in reasons {
        outln!("{choice}: {why}");
    }
}
