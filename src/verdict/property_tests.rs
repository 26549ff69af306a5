//! What holds for any results: neither their order nor what the machinery failed changes what is said.

use super::*;
use crate::domain::outcome::Outcome;
use crate::domain::results::{Failure, Tests};
use fastrand::Rng;

const TESTS: [&str; 3] = ["a", "b", "c"];
const WORLDS: u64 = 300;

/// When each test begins to fail, and in how many of its runs.
type World = Vec<(usize, f64)>;

fn world(rng: &mut Rng, last: usize) -> World {
    let rates = [1.0, 1.0, 0.4];
    let one = |_: &&str| (rng.usize(0..last + 3), rates[rng.usize(0..rates.len())]);
    TESTS.iter().map(one).collect()
}

fn end(world: &World, place: usize, rng: &mut Rng) -> End {
    if rng.u8(0..12) == 0 {
        return match rng.u8(0..3) {
            0 => End::NoImage,
            1 => End::Run(Outcome::Crashed { signal: 11 }, None),
            _ => {
                let (reason, exit_code) = ("no compiler".to_owned(), Some(1));
                End::Run(Outcome::SetupFailed { reason, exit_code }, None)
            }
        };
    }
    let mut tests = Tests::default();
    for (test, (begins, rate)) in TESTS.iter().zip(world) {
        if place >= *begins && rng.f64() < *rate {
            tests.failed.push(Failure::of(test, "boom"));
        } else {
            tests.passed.push((*test).to_owned());
        }
    }
    let outcome = match tests.failed.is_empty() {
        true => Outcome::Passed,
        false => Outcome::Failed { exit_code: 1 },
    };
    End::Run(outcome, Some(tests))
}

/// An attempt that is no word about code.
fn void(rng: &mut Rng) -> Outcome {
    match rng.bool() {
        true => Outcome::Infra { reason: "gone".into() },
        false => Outcome::Cancelled,
    }
}

/// What is said and asked for, in an order of its own.
fn said(inquiry: &Inquiry, runs: &[Ran]) -> (Vec<String>, Vec<Wanted>, bool) {
    let progress = inquiry.progress(runs);
    let mut findings: Vec<String> = progress.findings.iter().map(|finding| format!("{finding:?}")).collect();
    findings.sort();
    let mut wanted = progress.wanted;
    wanted.sort();
    (findings, wanted, progress.searches)
}

#[test]
fn neither_the_order_of_runs_nor_those_that_the_machinery_failed_change_an_answer() {
    for seed in 0..WORLDS {
        let mut rng = Rng::with_seed(seed);
        let last = rng.usize(1..30);
        let world = world(&mut rng, last);
        let hosts: Vec<String> = (0..rng.usize(1..4)).map(|host| format!("h{host}")).collect();
        let inquiry = Inquiry {
            change: if rng.bool() { Change::Broke } else { Change::Fixed },
            revisions: (0..=last).map(|place| format!("r{place}")).collect(),
            subjects: TESTS.iter().map(|test| Subject::Test((*test).to_owned())).collect(),
            differ: [None, Some(Differ::Dependencies)][rng.usize(0..2)],
            hosts: hosts.clone(),
            noisy: Vec::new(),
            hint: None,
            rate: None,
        };
        let mut runs: Vec<Ran> = Vec::new();
        for _ in 0..60 {
            let first = said(&inquiry, &runs);
            let mut others = runs.clone();
            for _ in 0..rng.usize(0..4) {
                others.push(Ran {
                    revision: format!("r{}", rng.usize(0..=last)),
                    lock: Lock::Base,
                    host: hosts[rng.usize(0..hosts.len())].clone(),
                    end: End::Run(void(&mut rng), None),
                });
            }
            rng.shuffle(&mut others);
            assert_eq!(said(&inquiry, &others), first, "seed {seed}, {} runs", runs.len());
            if first.1.is_empty() {
                break;
            }
            for wanted in first.1 {
                let place = wanted.revision[1..].parse().unwrap();
                runs.push(Ran {
                    end: end(&world, place, &mut rng),
                    host: wanted.host.unwrap_or_else(|| hosts[rng.usize(0..hosts.len())].clone()),
                    revision: wanted.revision,
                    lock: wanted.lock,
                });
            }
        }
    }
}

#[test]
fn rows_that_the_machinery_failed_raise_no_suspicion_and_hide_none() {
    for seed in 0..WORLDS {
        let mut rng = Rng::with_seed(seed);
        let world = world(&mut rng, 10);
        let row = |place: usize, end: End| Row {
            revision: format!("r{place}"),
            end,
            lock: String::new(),
        };
        let rows: Vec<Row> = (0..10).map(|place| row(place, end(&world, place, &mut rng))).collect();
        let mut holed = Vec::new();
        for known in &rows {
            if rng.u8(0..3) == 0 {
                holed.push(row(99, End::Run(void(&mut rng), None)));
            }
            holed.push(known.clone());
        }
        let told = |rows: &[Row]| {
            let named = |one: Suspicion| (one.change, rows[one.base].revision.clone(), one.subjects);
            suspicions(rows, &[]).into_iter().map(named).collect::<Vec<_>>()
        };
        assert_eq!(told(&holed), told(&rows), "seed {seed}");
        holed.push(row(99, End::Run(void(&mut rng), None)));
        assert_eq!(told(&holed), [], "seed {seed}");
    }
}

#[test]
fn the_order_of_attempts_decides_no_cell_and_the_machinery_none_at_all() {
    for seed in 0..WORLDS {
        let mut rng = Rng::with_seed(seed);
        let valid = |rng: &mut Rng| match rng.u8(0..3) {
            0 => Outcome::Passed,
            1 => Outcome::Failed { exit_code: 1 },
            _ => Outcome::Crashed { signal: 6 },
        };
        let outcomes: Vec<Outcome> = (0..rng.usize(0..5)).map(|_| valid(&mut rng)).collect();
        let mut others = outcomes.clone();
        others.extend((0..rng.usize(0..5)).map(|_| void(&mut rng)));
        rng.shuffle(&mut others);
        let open = rng.bool();
        assert_eq!(cell(&others, open), cell(&outcomes, open), "seed {seed}");
        let voids: Vec<Outcome> = (0..rng.usize(0..5)).map(|_| void(&mut rng)).collect();
        let nothing = if open { Cell::Pending } else { Cell::Unknown };
        assert_eq!(cell(&voids, open), nothing, "seed {seed}");
    }
}
