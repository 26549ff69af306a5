//! An investigation searches one range of revisions for the changes of several subjects of a project. The subjects
//! share their reruns, because one run tests all of them.

use super::answer::Answer;
use super::case::{Case, NextAction};
use super::change::Change;
use super::history::RunEnd;
use super::locks::LockDifference;
use super::next::next;
use super::samples::{LockSide, Sample, Samples};
use super::subject::Subject;
use crate::domain::id::{HostId, RevisionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The question of an investigation: which of the revisions changed the subjects?
#[derive(Clone, Debug)]
pub struct Investigation {
    pub change: Change,
    /// The revisions from the last one before the change to the one where the change was seen, oldest first. There are
    /// at least two.
    pub revisions: Vec<RevisionId>,
    pub subjects: Vec<Subject>,
    /// How the locks of the two ends differ; see [`Case::lock_difference`].
    pub lock_difference: Option<LockDifference>,
    /// The free hosts; see [`Case::hosts`].
    pub hosts: Vec<HostId>,
    /// Subjects that have passed and failed on the same image before.
    pub flaky: Vec<Subject>,
    /// The part of runs that failed before a fix; see [`Case::rate`].
    pub rate: Option<f64>,
    /// The revision to try first, one of `revisions`. See [`Case::hint`].
    pub hint: Option<RevisionId>,
}

/// A rerun to schedule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeRequest {
    pub revision: RevisionId,
    pub lock: LockSide,
    /// The host that has to make the rerun, or `None` for any host.
    pub host: Option<HostId>,
}

/// A rerun that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeResult {
    pub revision: RevisionId,
    pub lock: LockSide,
    pub host: HostId,
    pub end: RunEnd,
}

/// An answer, and the subjects for which it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub subjects: Vec<Subject>,
    pub answer: Answer,
}

/// The state of an investigation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InvestigationProgress {
    pub findings: Vec<Finding>,
    /// The reruns to schedule, in this order. If there are none, every subject has its answer.
    pub wanted: Vec<ProbeRequest>,
    /// Whether a search requested any of the reruns. Together they count as one round.
    pub searches: bool,
}

/// The most groups of subjects that get reruns at the same time. The others wait.
const MAX_GROUPS: usize = 32;

/// The index of a revision, a lock, and a host if the rerun needs a particular one.
type ProbeKey = (usize, LockSide, Option<HostId>);

impl Investigation {
    /// Returns the state of the investigation after these reruns, whose order has no influence.
    ///
    /// Subjects with the same samples form a group, which is treated as one case. A group splits when a rerun shows
    /// different results for its subjects.
    pub fn progress(&self, results: &[ProbeResult]) -> InvestigationProgress {
        let indexes: BTreeMap<&RevisionId, usize> = self.revisions.iter().zip(0..).collect();
        let mut groups: BTreeMap<Samples, Vec<Subject>> = BTreeMap::new();
        for subject in &self.subjects {
            let samples = self.samples(subject, results, &indexes);
            groups.entry(samples).or_default().push(subject.clone());
        }
        let mut progress = InvestigationProgress::default();
        let mut wanted: BTreeMap<ProbeKey, usize> = BTreeMap::new();
        let mut order = Vec::new();
        let mut open = 0;
        for (samples, subjects) in groups {
            let (probes, searches) = match next(&self.case(&subjects, &indexes), &samples) {
                NextAction::Answer(answer) => {
                    progress.findings.push(Finding { subjects, answer });
                    continue;
                }
                NextAction::Confirm(probes) => (probes, false),
                NextAction::Search(probes) => (probes, true),
            };
            open += 1;
            if open > MAX_GROUPS {
                continue;
            }
            progress.searches |= searches;
            // Within a group, requests for the same rerun add up. Across groups they are shared.
            let mut own: BTreeMap<ProbeKey, usize> = BTreeMap::new();
            for probe in probes {
                let key = (probe.index, probe.lock, probe.host);
                let runs = own.entry(key.clone()).or_default();
                *runs += probe.runs;
                let most = wanted.entry(key.clone()).or_insert_with(|| {
                    order.push(key);
                    0
                });
                *most = (*most).max(*runs);
            }
        }
        // Runs that are compared alternate, so that they do not differ in the time at which they are made.
        let most = wanted.values().copied().max().unwrap_or(0);
        for turn in 0..most {
            let due = order
                .iter()
                .filter(|key| wanted.get(*key).is_some_and(|runs| turn < *runs));
            progress.wanted.extend(due.map(|(index, lock, host)| ProbeRequest {
                revision: self.revisions[*index].clone(),
                lock: *lock,
                host: host.clone(),
            }));
        }
        progress
    }

    /// Returns whether a revision is one of the two between which the change lies. Runs on these two prove the change.
    pub fn is_end(&self, revision: &RevisionId) -> bool {
        [self.revisions.first(), self.revisions.last()]
            .into_iter()
            .flatten()
            .any(|end| end == revision)
    }

    fn case(&self, subjects: &[Subject], indexes: &BTreeMap<&RevisionId, usize>) -> Case {
        Case {
            last: self.revisions.len() - 1,
            lock_difference: self.lock_difference,
            hosts: self.hosts.clone(),
            hint: self.hint.as_ref().and_then(|hint| indexes.get(hint).copied()),
            rate: self.rate,
            is_flaky: subjects.iter().any(|subject| self.flaky.contains(subject)),
        }
    }

    fn samples(&self, subject: &Subject, results: &[ProbeResult], indexes: &BTreeMap<&RevisionId, usize>) -> Samples {
        let mut samples = Samples::new();
        for result in results {
            let index = indexes.get(&result.revision);
            let (Some(index), Some(observation)) = (index, result.end.observe(subject)) else {
                continue;
            };
            let sample = Sample {
                host: result.host.clone(),
                observation: self.change.as_break(observation),
            };
            samples.entry((*index, result.lock)).or_default().push(sample);
        }
        // Sorted, so that the order in which results arrive does not separate groups.
        samples.values_mut().for_each(|there| there.sort());
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Outcome;
    use crate::domain::results::{Failure, Tests};

    fn investigation(last: usize, subjects: &[&str]) -> Investigation {
        Investigation {
            change: Change::Broke,
            revisions: (0..=last).map(|index| format!("r{index}").into()).collect(),
            subjects: subjects.iter().map(|test| Subject::Test((*test).into())).collect(),
            lock_difference: None,
            hosts: vec!["one".into(), "two".into()],
            flaky: Vec::new(),
            hint: None,
            rate: None,
        }
    }

    /// Answers an investigation in a simulation where each test changes at one revision. Returns the number of runs too.
    fn solve(investigation: &Investigation, begins: &[(&str, usize)]) -> (Vec<Finding>, usize) {
        let mut runs = Vec::new();
        for _ in 0..100 {
            let progress = investigation.progress(&runs);
            if progress.wanted.is_empty() {
                return (progress.findings, runs.len());
            }
            for wanted in progress.wanted {
                let index: usize = wanted.revision.as_str()[1..].parse().unwrap();
                let mut tests = Tests::default();
                for (test, begin) in begins {
                    if (index >= *begin) == (investigation.change == Change::Broke) {
                        tests.failed.push(Failure::of(test, "boom"));
                    } else {
                        tests.passed.push((*test).to_owned());
                    }
                }
                runs.push(ProbeResult {
                    revision: wanted.revision,
                    lock: wanted.lock,
                    host: wanted.host.unwrap_or("one".into()),
                    end: RunEnd::Run(Outcome::Failed { exit_code: 1 }, Some(tests)),
                });
            }
        }
        panic!("no answer after 100 passes");
    }

    fn culprits(findings: &[Finding]) -> Vec<(usize, Vec<String>)> {
        let mut found: Vec<_> = findings
            .iter()
            .map(|finding| match &finding.answer {
                Answer::Culprit { index, .. } => (*index, finding.subjects.iter().map(Subject::to_string).collect()),
                other => panic!("{other:?}"),
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn two_breaks_are_separated_and_share_their_runs() {
        let investigation = investigation(100, &["a", "b", "c"]);
        let (findings, together) = solve(&investigation, &[("a", 30), ("b", 70), ("c", 30)]);
        let names = |names: &[&str]| names.iter().map(|name| format!("test {name}")).collect::<Vec<_>>();
        assert_eq!(culprits(&findings), [(30, names(&["a", "c"])), (70, names(&["b"]))]);
        let (_, alone) = solve(&investigation, &[("a", 30), ("b", 30), ("c", 30)]);
        assert!(together < 2 * alone, "{together} runs for two, {alone} for one");
    }

    #[test]
    fn a_hinted_revision_is_tried_first() {
        let hinted = |hint: usize| Investigation {
            hint: Some(format!("r{hint}").into()),
            ..investigation(100, &["a"])
        };
        let (findings, runs) = solve(&hinted(30), &[("a", 30)]);
        assert_eq!(
            (findings[0].answer.clone(), runs),
            (Answer::Culprit { index: 30, rate: None }, 6)
        );
        // The hint is wrong: another revision broke this project.
        let (findings, runs) = solve(&hinted(50), &[("a", 30)]);
        assert_eq!(culprits(&findings)[0].0, 30);
        let (_, without) = solve(&investigation(100, &["a"]), &[("a", 30)]);
        assert!(runs <= without + 6, "{runs} runs, {without} without a hint");
        assert_eq!(
            culprits(&solve(&hinted(0), &[("a", 30)]).0)[0].0,
            30,
            "the good end is no usable hint"
        );
    }

    #[test]
    fn reruns_alternate_between_both_ends() {
        let wanted = investigation(9, &["a"]).progress(&[]).wanted;
        let order: Vec<&str> = wanted.iter().map(|wanted| wanted.revision.as_str()).collect();
        assert_eq!(order, ["r0", "r9", "r0", "r9", "r0", "r9"]);
    }

    #[test]
    fn a_fix_is_found_like_a_break() {
        let investigation = Investigation {
            change: Change::Fixed,
            ..investigation(40, &["a"])
        };
        let (findings, _) = solve(&investigation, &[("a", 17)]);
        assert_eq!(culprits(&findings)[0].0, 17);
    }

    #[test]
    fn the_revision_that_broke_the_build_is_found() {
        let no_image = |revision: &str| ProbeResult {
            revision: revision.into(),
            lock: LockSide::Base,
            host: "one".into(),
            end: RunEnd::NoImage,
        };
        let investigation = Investigation {
            subjects: vec![Subject::Build, Subject::Setup],
            ..investigation(1, &[])
        };
        let mut runs: Vec<ProbeResult> = (0..8).map(|_| no_image("r1")).collect();
        runs.extend((0..8).map(|_| ProbeResult {
            end: RunEnd::Run(Outcome::Passed, None),
            ..no_image("r0")
        }));
        let progress = investigation.progress(&runs);
        let build = progress
            .findings
            .iter()
            .find(|finding| finding.subjects == [Subject::Build]);
        assert_eq!(build.unwrap().answer, Answer::Culprit { index: 1, rate: None });
        assert_eq!(progress.wanted, []);
    }

    #[test]
    fn a_rerun_that_the_machinery_failed_is_requested_again() {
        let investigation = investigation(3, &["a"]);
        let first = investigation.progress(&[]);
        let failed = ProbeResult {
            revision: "r0".into(),
            lock: LockSide::Base,
            host: "one".into(),
            end: RunEnd::Run(Outcome::Infra { reason: "gone".into() }, None),
        };
        assert_eq!(investigation.progress(&[failed]), first);
    }
}
