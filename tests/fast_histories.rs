//! The coordinator goes through histories whose answer is known: a real repository, a real database, simulated hosts.
//! `make bench-verdicts` drives the rules alone, through a thousand.
//!
//! | variable | meaning |
//! |---|---|
//! | `PYBOTS_TEST_HISTORIES` | how many; one of each kind |
//! | `SEED` | of the first; the others follow |

mod common;
mod history;
mod sim;

use fastrand::Rng;
use history::score::{Claim, Score, affects, judge};
use history::world::Try;
use history::{At, Effect, History, KINDS, Kind};
use pybots::domain::job::{BuildSpec, RunSpec};
use pybots::domain::outcome::Outcome;
use pybots::domain::results::Tests;
use pybots::store::Store;
use pybots::verdict::{Answer, Change, End, Finding, Subject, rounds_bound};
use sim::{Play, Sim};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Check-ins that are tested as they come, at most; the search does the others.
const TESTED: usize = 24;
/// So often some of them come.
const PUSHES: usize = 6;

#[test]
fn the_coordinator_finds_what_was_seeded_and_blames_nobody_else() {
    let number = |name: &str, default: u64| {
        let text = std::env::var(name).unwrap_or_default();
        text.parse().unwrap_or(default)
    };
    let first = number("SEED", 1);
    let last = first + number("PYBOTS_TEST_HISTORIES", KINDS.len() as u64);
    // what takes longest begins first
    let one_of_each = (first..last).map(History::new);
    // and what only somebody who knows of earlier incidents tells right
    let again = (first..last)
        .step_by(3)
        .map(|seed| History::of(Kind::BreaksAgain, seed));
    let mut histories: Vec<History> = one_of_each.chain(again).collect();
    histories.sort_by_key(|history| history.projects);
    let (left, all) = (Mutex::new(histories), Mutex::new(Score::default()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                loop {
                    let Some(history) = left.lock().unwrap().pop() else {
                        break;
                    };
                    let score = runtime.block_on(told(history));
                    all.lock().unwrap().add(score);
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    assert!(
        last - first < KINDS.len() as u64 || all.seeded > 10,
        "{} were seeded",
        all.seeded
    );
    println!(
        "{} seeded, {} found, {} ranged, {} repairs, {} searches of {} rounds, {} over the bound",
        all.seeded, all.found, all.ranged, all.repairs, all.searches, all.rounds, all.over_bound
    );
    assert_eq!(all.wrong, Vec::<String>::new());
    assert_eq!(all.missed, Vec::<String>::new());
    assert_eq!(all.over_bound, 0);
}

async fn told(history: History) -> Score {
    let start = Instant::now();
    let (seed, history) = (history.seed, Arc::new(history));
    let score = go_through(&history).await;
    println!(
        "SEED={seed} {:?}: {} check-ins, {} seeded, {} found, {} ranged, {} missed, {} wrong, {} over the bound, {:.0} s",
        history.kind,
        history.length,
        score.seeded,
        score.found,
        score.ranged,
        score.missed.len(),
        score.wrong.len(),
        score.over_bound,
        start.elapsed().as_secs_f64()
    );
    score
}

/// What hosts see.
struct Playing {
    history: Arc<History>,
    trees: BTreeMap<String, At>,
    tested: BTreeSet<At>,
    /// Of the newest check-in.
    day: Mutex<f64>,
    /// Faults that a check-in that is tested showed.
    seen: Mutex<BTreeSet<usize>>,
}

impl Playing {
    fn run(&self, sha: &str, run: Try) -> End {
        let (history, tree) = (&self.history, self.trees[sha]);
        let end = history.run(Try { tree, ..run }, &mut Rng::new());
        let failing = end.failing();
        for (number, fault) in history.faults.iter().enumerate() {
            let shown = failing.iter().any(|subject| affects(fault, subject));
            let has = |at: Option<At>| at.is_some_and(|at| history.has(tree, at));
            let there = has(fault.from) && !has(fault.until);
            let its = fault.variant.is_none_or(|variant| variant == run.variant);
            let apart = history.is_apart(fault, self.tested.iter().copied());
            if shown && there && its && apart && self.tested.contains(&tree) {
                self.seen.lock().unwrap().insert(number);
            }
        }
        end
    }
}

impl Play for Playing {
    fn builds(&self, build: &BuildSpec) -> bool {
        self.run(&build.revision, self.tried(0, &build.variant, 0, 0)) != End::NoImage
    }

    fn suite(&self, run: &RunSpec, host: usize, release: u64) -> (Outcome, Option<Tests>) {
        let project = run.project.trim_start_matches('p').parse().unwrap();
        let tried = self.tried(project, &run.image.build.variant, host, release as usize);
        match self.run(&run.image.build.revision, tried) {
            End::Run(outcome, tests) => (outcome, tests),
            End::NoImage => panic!("a run on what can't be built"),
        }
    }
}

impl Playing {
    fn tried(&self, project: usize, variant: &str, host: usize, lock: usize) -> Try {
        let variants = &self.history.variants;
        Try {
            tree: At::Main(0),
            project,
            variant: variants.iter().find(|known| **known == variant).unwrap(),
            host,
            lock,
            day: *self.day.lock().unwrap(),
        }
    }
}

async fn go_through(history: &Arc<History>) -> Score {
    let names: Vec<String> = (0..history.projects).map(|number| format!("p{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut sim = Sim::with(&names, history.hosts, |settings| {
        settings.branch[0].first = 1000;
        settings.branch[0].variants = history.variants.iter().map(|name| (*name).to_owned()).collect();
    })
    .await;
    sim.patience = Duration::from_secs(600);
    let shas = history::git::import(history, sim.repository());
    let tested = tested(history);
    let playing = Arc::new(Playing {
        history: history.clone(),
        trees: shas.iter().map(|(at, sha)| (sha.clone(), *at)).collect(),
        tested: tested.iter().map(|place| At::Main(*place)).collect(),
        day: Mutex::new(0.0),
        seen: Mutex::default(),
    });
    sim.play(playing.clone());
    for push in tested.chunks(tested.len().div_ceil(PUSHES)) {
        let newest = *push.last().unwrap();
        let day = History::day(newest);
        *playing.day.lock().unwrap() = day;
        sim.update(&shas[&At::Main(newest)]);
        let known = push.iter().map(|place| shas[&At::Main(*place)].clone()).collect();
        sim.sees(&known).await;
        sim.release(history.lock_on(day) as u64).await;
        sim.run().await;
        sim.done().await;
        sim.stop();
    }
    let claims = claims(&sim.coordinator().store, history, &playing.trees).await;
    let mut score = Score::default();
    let seen = playing.seen.lock().unwrap().clone();
    judge(history, &claims, &seen, &mut score);
    rounds(&sim.coordinator().store, history, &mut score).await;
    score
}

/// Rounds of the searches that found one thing, against what they may take.
async fn rounds(store: &Store, history: &History, score: &mut Score) {
    let hides = |fault: &history::Fault| matches!(fault.effect, Effect::FailsToBuild | Effect::FailsToInstall);
    let ends = 1 + usize::from(history.faults.iter().any(hides));
    for inquiry in store.newest_inquiries(10_000).await.unwrap() {
        let findings: Vec<Finding> = serde_json::from_str(&inquiry.findings.unwrap()).unwrap();
        let [Finding { answer, .. }] = &findings[..] else {
            continue;
        };
        let (Answer::Culprit { rate, .. } | Answer::Range { rate, .. }) = answer else {
            continue;
        };
        let candidates = (inquiry.now_seq - inquiry.base_seq) as usize;
        let bound = rounds_bound(candidates, history.hosts, ends, rate.is_some());
        score.searches += 1;
        score.rounds += inquiry.rounds as usize;
        if inquiry.rounds as usize > bound {
            score.over_bound += 1;
            println!(
                "SEED={} {} rounds, not {bound}, among {candidates}: {answer:?}",
                history.seed, inquiry.rounds
            );
        }
    }
}

/// Some of the places that are tested as they come. Whether CPython builds is not searched for: all are built.
fn tested(history: &History) -> Vec<usize> {
    if history.faults.iter().any(|fault| fault.effect == Effect::FailsToBuild) {
        return (0..history.length).collect();
    }
    let most = if history.projects > 1 { TESTED / 8 } else { TESTED };
    let step = history.tested.len().div_ceil(most);
    let mut some: Vec<usize> = history.tested.iter().copied().step_by(step).collect();
    some.extend(history.tested.last());
    if history.kind == Kind::BreaksAgain {
        // without a result while it is broken, and one while it is mended, there is nothing to tell
        let mut turns: Vec<At> = history
            .faults
            .iter()
            .flat_map(|fault| [fault.from, fault.until])
            .flatten()
            .collect();
        turns.sort();
        some.extend(turns.windows(2).filter_map(|pair| match pair {
            [At::Main(from), At::Main(until)] => Some((from + until) / 2),
            _ => None,
        }));
    }
    some.sort_unstable();
    some.dedup();
    some
}

#[derive(sqlx::FromRow)]
struct Row {
    project: String,
    variant: String,
    subjects: String,
    good: String,
    bad: String,
    exact: i64,
    fixed: Option<String>,
}

/// What the incidents say.
async fn claims(store: &Store, history: &History, trees: &BTreeMap<String, At>) -> Vec<Claim> {
    let sql = "SELECT breakage.project, breakage.variant, breakage.subjects, good.sha AS good, bad.sha AS bad,
                      breakage.exact, fixed.sha AS fixed
               FROM breakage JOIN revision AS good ON good.id = breakage.good_id
               JOIN revision AS bad ON bad.id = breakage.bad_id
               LEFT JOIN revision AS fixed ON fixed.id = breakage.fixed_id";
    let rows: Vec<Row> = sqlx::query_as(sql).fetch_all(store.pool()).await.unwrap();
    let mut claims = Vec::new();
    for row in rows {
        let subjects: Vec<Subject> = serde_json::from_str(&row.subjects).unwrap();
        let claim = |change, subject: &Subject, good: &str, bad: &str, exact| Claim {
            project: row.project.trim_start_matches('p').parse().unwrap_or(0),
            variant: row.variant.clone(),
            change,
            subject: subject.clone(),
            good: trees[good],
            bad: trees[bad],
            exact,
        };
        for subject in &subjects {
            claims.push(claim(Change::Broke, subject, &row.good, &row.bad, row.exact == 1));
            if let Some(fixed) = &row.fixed {
                claims.push(claim(Change::Fixed, subject, &row.bad, fixed, false));
            }
        }
    }
    assert!(history.kind != history::Kind::Quiet || claims.is_empty());
    claims
}
