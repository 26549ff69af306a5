//! Properties that hold for all results: neither their order nor failures of the machinery change an answer.

use super::*;
use crate::domain::id::HostId;
use crate::domain::outcome::Outcome;
use crate::domain::results::{Failure, Tests};
use fastrand::Rng;

const TESTS: [&str; 3] = ["a", "b", "c"];
const WORLDS: u64 = 300;

/// For each test, the index since which it fails, and the part of its runs that fail.
type World = Vec<(usize, f64)>;

fn world(rng: &mut Rng, last: usize) -> World {
    let rates = [1.0, 1.0, 0.4];
    let one = |_: &&str| (rng.usize(0..last + 3), rates[rng.usize(0..rates.len())]);
    TESTS.iter().map(one).collect()
}

fn end(world: &World, index: usize, rng: &mut Rng) -> RunEnd {
    if rng.u8(0..12) == 0 {
        return match rng.u8(0..3) {
            0 => RunEnd::NoImage,
            1 => RunEnd::Run(Outcome::Crashed { signal: 11 }, None),
            _ => {
                let (reason, exit_code) = ("no compiler".to_owned(), Some(1));
                RunEnd::Run(Outcome::SetupFailed { reason, exit_code }, None)
            }
        };
    }
    let mut tests = Tests::default();
    for (test, (begins, rate)) in TESTS.iter().zip(world) {
        if index >= *begins && rng.f64() < *rate {
            tests.failed.push(Failure::of(test, "boom"));
        } else {
            tests.passed.push((*test).to_owned());
        }
    }
    let outcome = match tests.failed.is_empty() {
        true => Outcome::Passed,
        false => Outcome::Failed { exit_code: 1 },
    };
    RunEnd::Run(outcome, Some(tests))
}

/// Returns the outcome of an attempt that says nothing about code.
fn invalid(rng: &mut Rng) -> Outcome {
    match rng.bool() {
        true => Outcome::Infra { reason: "gone".into() },
        false => Outcome::Cancelled,
    }
}

/// Returns findings and requests in a fixed order, so that they can be compared.
fn sorted_progress(investigation: &Investigation, runs: &[ProbeResult]) -> (Vec<String>, Vec<ProbeRequest>, bool) {
    let progress = investigation.progress(runs);
    let mut findings: Vec<String> = progress.findings.iter().map(|finding| format!("{finding:?}")).collect();
    findings.sort();
    let mut wanted = progress.wanted;
    wanted.sort();
    (findings, wanted, progress.searches)
}

#[test]
fn order_and_failures_of_the_machinery_change_no_answer() {
    for seed in 0..WORLDS {
        let mut rng = Rng::with_seed(seed);
        let last = rng.usize(1..30);
        let world = world(&mut rng, last);
        let hosts: Vec<HostId> = (0..rng.usize(1..4))
            .map(|host| HostId::from(format!("h{host}")))
            .collect();
        let investigation = Investigation {
            change: if rng.bool() { Change::Broke } else { Change::Fixed },
            revisions: (0..=last).map(|index| format!("r{index}").into()).collect(),
            subjects: TESTS.iter().map(|test| Subject::Test((*test).to_owned())).collect(),
            lock_difference: [None, Some(LockDifference::Dependencies)][rng.usize(0..2)],
            hosts: hosts.clone(),
            flaky: Vec::new(),
            hint: None,
            rate: None,
        };
        let mut runs: Vec<ProbeResult> = Vec::new();
        for _ in 0..60 {
            let first = sorted_progress(&investigation, &runs);
            let mut others = runs.clone();
            for _ in 0..rng.usize(0..4) {
                others.push(ProbeResult {
                    revision: format!("r{}", rng.usize(0..=last)).into(),
                    lock: LockSide::Base,
                    host: hosts[rng.usize(0..hosts.len())].clone(),
                    end: RunEnd::Run(invalid(&mut rng), None),
                });
            }
            rng.shuffle(&mut others);
            assert_eq!(
                sorted_progress(&investigation, &others),
                first,
                "seed {seed}, {} runs",
                runs.len()
            );
            if first.1.is_empty() {
                break;
            }
            for wanted in first.1 {
                let index = wanted.revision.as_str()[1..].parse().unwrap();
                runs.push(ProbeResult {
                    end: end(&world, index, &mut rng),
                    host: wanted.host.unwrap_or_else(|| hosts[rng.usize(0..hosts.len())].clone()),
                    revision: wanted.revision,
                    lock: wanted.lock,
                });
            }
        }
    }
}

#[test]
fn failures_of_the_machinery_neither_raise_nor_hide_suspicions() {
    for seed in 0..WORLDS {
        let mut rng = Rng::with_seed(seed);
        let world = world(&mut rng, 10);
        let entry_of = |index: usize, end: RunEnd| HistoryEntry::new(format!("r{index}").into(), end);
        let history: Vec<HistoryEntry> = (0..10)
            .map(|index| entry_of(index, end(&world, index, &mut rng)))
            .collect();
        let mut with_gaps = Vec::new();
        for entry in &history {
            if rng.u8(0..3) == 0 {
                with_gaps.push(entry_of(99, RunEnd::Run(invalid(&mut rng), None)));
            }
            with_gaps.push(entry.clone());
        }
        let found = |history: &[HistoryEntry]| {
            let named = |one: Suspicion| (one.change, history[one.base].revision.clone(), one.subjects);
            suspicions(history, &[], &[]).into_iter().map(named).collect::<Vec<_>>()
        };
        assert_eq!(found(&with_gaps), found(&history), "seed {seed}");
        with_gaps.push(entry_of(99, RunEnd::Run(invalid(&mut rng), None)));
        assert_eq!(found(&with_gaps), [], "seed {seed}");
    }
}

#[test]
fn neither_order_nor_failures_of_the_machinery_change_a_cell() {
    for seed in 0..WORLDS {
        let mut rng = Rng::with_seed(seed);
        let valid = |rng: &mut Rng| match rng.u8(0..3) {
            0 => Outcome::Passed,
            1 => Outcome::Failed { exit_code: 1 },
            _ => Outcome::Crashed { signal: 6 },
        };
        let outcomes: Vec<Outcome> = (0..rng.usize(0..5)).map(|_| valid(&mut rng)).collect();
        let mut others = outcomes.clone();
        others.extend((0..rng.usize(0..5)).map(|_| invalid(&mut rng)));
        rng.shuffle(&mut others);
        let open = rng.bool();
        assert_eq!(cell(&others, open), cell(&outcomes, open), "seed {seed}");
        let invalid_only: Vec<Outcome> = (0..rng.usize(0..5)).map(|_| invalid(&mut rng)).collect();
        let undecided = if open { Cell::Pending } else { Cell::Unknown };
        assert_eq!(cell(&invalid_only, open), undecided, "seed {seed}");
    }
}
