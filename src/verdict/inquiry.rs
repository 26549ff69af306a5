//! Several subjects of one project over the same history: a run tells of all its tests, so they share their runs.

use super::case::{Answer, Case, Lock, Next, Sample, Samples, next};
use super::locks::Differ;
use super::subject::{Missing, Seen, Subject, seen};
use crate::domain::outcome::Outcome;
use crate::domain::results::Tests;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which change is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// From passing to failing.
    Broke,
    /// From failing to passing.
    Fixed,
}

impl Change {
    /// The stored name.
    pub fn name(self) -> &'static str {
        match self {
            Change::Broke => "broke",
            Change::Fixed => "fixed",
        }
    }
}

/// What is looked into.
#[derive(Clone, Debug)]
pub struct Inquiry {
    pub change: Change,
    /// Check-ins from the last one before the change to one after it, oldest first; at least two.
    pub revisions: Vec<String>,
    pub subjects: Vec<Subject>,
    /// See [`Case`].
    pub differ: Option<Differ>,
    pub hosts: Vec<String>,
    /// Subjects that were seen to fail and pass on one and the same image before.
    pub noisy: Vec<Subject>,
    /// See [`Case`].
    pub rate: Option<f64>,
    /// One of `revisions`: see [`Case`].
    pub hint: Option<String>,
}

/// How a run ended that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    pub revision: String,
    pub lock: Lock,
    pub host: String,
    pub end: End,
}

#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// CPython can't be built there.
    NoImage,
    Run(Outcome, Option<Tests>),
}

impl End {
    /// None: it says nothing, and is to be repeated.
    pub fn seen(&self, subject: &Subject) -> Option<Seen> {
        match (self, subject) {
            (End::NoImage, Subject::Build) => Some(Seen::Fail),
            (End::NoImage, _) => Some(Seen::Missing(Missing::NoImage)),
            (End::Run(outcome, tests), subject) => seen(subject, outcome, tests.as_ref()),
        }
    }
}

/// An answer, and the subjects for which it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub subjects: Vec<Subject>,
    pub answer: Answer,
}

/// A run to be made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    pub revision: String,
    pub lock: Lock,
    /// Where; None: wherever.
    pub host: Option<String>,
}

/// How far an inquiry is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    pub findings: Vec<Finding>,
    /// In this order; empty: all is found.
    pub wanted: Vec<Wanted>,
    /// Whether any of them is part of a search: all of those are one round.
    pub searches: bool,
}

/// Subjects that are told apart at a time; what fails in more ways than that is looked into later.
const APART: usize = 32;

impl Inquiry {
    /// How far it is, from all that ran, in any order. Subjects about which all runs say the same are one: they part
    /// when a run tells them apart.
    pub fn progress(&self, runs: &[Ran]) -> Progress {
        let places: BTreeMap<&str, usize> = self.revisions.iter().map(String::as_str).zip(0..).collect();
        let mut groups: BTreeMap<Samples, Vec<Subject>> = BTreeMap::new();
        for subject in &self.subjects {
            groups
                .entry(self.samples(subject, runs, &places))
                .or_default()
                .push(subject.clone());
        }
        let mut progress = Progress::default();
        let mut wanted: BTreeMap<(usize, Lock, Option<String>), usize> = BTreeMap::new();
        let mut order = Vec::new();
        let mut open = 0;
        for (samples, subjects) in groups {
            let case = Case {
                last: self.revisions.len() - 1,
                differ: self.differ,
                hosts: self.hosts.clone(),
                hint: self.hint.as_deref().and_then(|hint| places.get(hint).copied()),
                rate: self.rate,
                is_noisy: subjects.iter().any(|subject| self.noisy.contains(subject)),
            };
            let (probes, searches) = match next(&case, &samples) {
                Next::Answer(answer) => {
                    progress.findings.push(Finding { subjects, answer });
                    continue;
                }
                Next::Confirm(probes) => (probes, false),
                Next::Search(probes) => (probes, true),
            };
            open += 1;
            if open > APART {
                continue;
            }
            progress.searches |= searches;
            // what one asks for twice (pairs alternate) is so many runs; what two ask for they share
            let mut own: BTreeMap<(usize, Lock, Option<String>), usize> = BTreeMap::new();
            for probe in probes {
                let key = (probe.place, probe.lock, probe.host);
                let runs = own.entry(key.clone()).or_default();
                *runs += probe.runs;
                let most = wanted.entry(key.clone()).or_insert_with(|| {
                    order.push(key);
                    0
                });
                *most = (*most).max(*runs);
            }
        }
        // what is to be compared alternates: something that happens in between is not to be the difference
        let most = wanted.values().copied().max().unwrap_or(0);
        for turn in 0..most {
            let due = order
                .iter()
                .filter(|key| wanted.get(*key).is_some_and(|runs| turn < *runs));
            progress.wanted.extend(due.map(|(place, lock, host)| Wanted {
                revision: self.revisions[*place].clone(),
                lock: *lock,
                host: host.clone(),
            }));
        }
        progress
    }

    fn samples(&self, subject: &Subject, runs: &[Ran], places: &BTreeMap<&str, usize>) -> Samples {
        let mut samples = Samples::new();
        for run in runs {
            let (Some(place), Some(seen)) = (places.get(run.revision.as_str()), run.end.seen(subject)) else {
                continue;
            };
            let sample = Sample {
                host: run.host.clone(),
                seen: self.change.turned(seen),
            };
            samples.entry((*place, run.lock)).or_default().push(sample);
        }
        // in whatever order they came
        samples.values_mut().for_each(|there| there.sort());
        samples
    }
}

impl Change {
    /// For who looks for a repair, failing is what was good.
    fn turned(self, seen: Seen) -> Seen {
        match (self, seen) {
            (Change::Fixed, Seen::Pass) => Seen::Fail,
            (Change::Fixed, Seen::Fail) => Seen::Pass,
            (_, seen) => seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::results::Failure;

    fn inquiry(last: usize, subjects: &[&str]) -> Inquiry {
        Inquiry {
            change: Change::Broke,
            revisions: (0..=last).map(|place| format!("r{place}")).collect(),
            subjects: subjects.iter().map(|test| Subject::Test((*test).into())).collect(),
            differ: None,
            hosts: vec!["one".into(), "two".into()],
            noisy: Vec::new(),
            hint: None,
            rate: None,
        }
    }

    /// Runs an inquiry to its end on a world in which each test begins to fail, or to pass, somewhere.
    fn solve(inquiry: &Inquiry, begins: &[(&str, usize)]) -> (Vec<Finding>, usize) {
        let mut runs = Vec::new();
        for _ in 0..100 {
            let progress = inquiry.progress(&runs);
            if progress.wanted.is_empty() {
                return (progress.findings, runs.len());
            }
            for wanted in progress.wanted {
                let place: usize = wanted.revision[1..].parse().unwrap();
                let mut tests = Tests::default();
                for (test, begin) in begins {
                    if (place >= *begin) == (inquiry.change == Change::Broke) {
                        tests.failed.push(Failure::of(test, "boom"));
                    } else {
                        tests.passed.push((*test).to_owned());
                    }
                }
                runs.push(Ran {
                    revision: wanted.revision,
                    lock: wanted.lock,
                    host: wanted.host.unwrap_or("one".into()),
                    end: End::Run(Outcome::Failed { exit_code: 1 }, Some(tests)),
                });
            }
        }
        panic!("no end");
    }

    fn culprits(findings: &[Finding]) -> Vec<(usize, Vec<String>)> {
        let mut found: Vec<_> = findings
            .iter()
            .map(|finding| match &finding.answer {
                Answer::Culprit { place, .. } => (*place, finding.subjects.iter().map(Subject::to_string).collect()),
                other => panic!("{other:?}"),
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn two_breaks_are_told_apart_and_share_their_runs() {
        let inquiry = inquiry(100, &["a", "b", "c"]);
        let (findings, together) = solve(&inquiry, &[("a", 30), ("b", 70), ("c", 30)]);
        let names = |names: &[&str]| names.iter().map(|name| format!("test {name}")).collect::<Vec<_>>();
        assert_eq!(culprits(&findings), [(30, names(&["a", "c"])), (70, names(&["b"]))]);
        let (_, alone) = solve(&inquiry, &[("a", 30), ("b", 30), ("c", 30)]);
        assert!(together < 2 * alone, "{together} runs for two, {alone} for one");
    }

    #[test]
    fn what_broke_another_project_is_asked_first() {
        let hinted = |hint: usize| Inquiry {
            hint: Some(format!("r{hint}")),
            ..inquiry(100, &["a"])
        };
        let (findings, runs) = solve(&hinted(30), &[("a", 30)]);
        assert_eq!(
            (findings[0].answer.clone(), runs),
            (Answer::Culprit { place: 30, rate: None }, 6)
        );
        // it was another one here
        let (findings, runs) = solve(&hinted(50), &[("a", 30)]);
        assert_eq!(culprits(&findings)[0].0, 30);
        let (_, without) = solve(&inquiry(100, &["a"]), &[("a", 30)]);
        assert!(runs <= without + 6, "{runs} runs, {without} without a hint");
        assert_eq!(
            culprits(&solve(&hinted(0), &[("a", 30)]).0)[0].0,
            30,
            "the good end is none"
        );
    }

    #[test]
    fn both_sides_alternate() {
        let wanted = inquiry(9, &["a"]).progress(&[]).wanted;
        let order: Vec<&str> = wanted.iter().map(|wanted| wanted.revision.as_str()).collect();
        assert_eq!(order, ["r0", "r9", "r0", "r9", "r0", "r9"]);
    }

    #[test]
    fn a_repair_is_found_by_the_same_way() {
        let inquiry = Inquiry {
            change: Change::Fixed,
            ..inquiry(40, &["a"])
        };
        let (findings, _) = solve(&inquiry, &[("a", 17)]);
        assert_eq!(culprits(&findings)[0].0, 17);
    }

    #[test]
    fn a_build_that_fails_is_found_too() {
        let no_image = |revision: &str| Ran {
            revision: revision.into(),
            lock: Lock::Base,
            host: "one".into(),
            end: End::NoImage,
        };
        let inquiry = Inquiry {
            subjects: vec![Subject::Build, Subject::Setup],
            ..inquiry(1, &[])
        };
        let mut runs: Vec<Ran> = (0..8).map(|_| no_image("r1")).collect();
        runs.extend((0..8).map(|_| Ran {
            end: End::Run(Outcome::Passed, None),
            ..no_image("r0")
        }));
        let progress = inquiry.progress(&runs);
        let build = progress
            .findings
            .iter()
            .find(|finding| finding.subjects == [Subject::Build]);
        assert_eq!(build.unwrap().answer, Answer::Culprit { place: 1, rate: None });
        assert_eq!(progress.wanted, []);
    }

    #[test]
    fn what_the_machinery_failed_is_asked_for_again() {
        let inquiry = inquiry(3, &["a"]);
        let first = inquiry.progress(&[]);
        let failed = Ran {
            revision: "r0".into(),
            lock: Lock::Base,
            host: "one".into(),
            end: End::Run(Outcome::Infra { reason: "gone".into() }, None),
        };
        assert_eq!(inquiry.progress(&[failed]), first);
    }
}
