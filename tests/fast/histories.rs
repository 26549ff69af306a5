//! The coordinator goes through histories whose answer is known: a real repository, a real database, simulated hosts.
//! `make bench-verdicts` drives the rules alone, through a thousand.
//!
//! | variable | meaning |
//! |---|---|
//! | `PYBOTS_TEST_HISTORIES` | how many; one of each kind |
//! | `SEED` | of the first; the others follow |

use crate::support::histories::score::{Claim, Score, affects, judge};
use crate::support::histories::world::Try;
use crate::support::histories::{self, At, Effect, Fault, History, KINDS, Kind};
use crate::support::sim::{Play, Sim};
use fastrand::Rng;
use pybots::domain::job::{BuildSpec, RunSpec};
use pybots::domain::outcome::Outcome;
use pybots::domain::results::Tests;
use pybots::store::Store;
use pybots::verdict::{Answer, Change, Finding, RunEnd, Subject, rounds_bound};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Revisions that are tested as they come, at most; the search does the others.
const TESTED: usize = 24;
/// So often some of them come.
const PUSHES: usize = 6;

macro_rules! histories {
    ($($name:ident: $kind:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            go_through_all(Kind::$kind);
        }
    )*};
}

// a test of its own for each kind, so that they run side by side
histories! {
    plain: Plain,
    break_then_fix: BreakThenFix,
    intermittent: Intermittent,
    in_red: InRed,
    one_variant: OneVariant,
    unbuildable: Unbuildable,
    uninstallable: Uninstallable,
    hidden_by_uninstallable: HiddenByUninstallable,
    hidden_by_unbuildable: HiddenByUnbuildable,
    merge: Merge,
    two_breaks: TwoBreaks,
    crash: Crash,
    date_dependent: DateDependent,
    dependency: Dependency,
    dependency_and_break: DependencyAndBreak,
    host_specific: HostSpecific,
    forty_projects: FortyProjects,
    quiet: Quiet,
    breaks_again: BreaksAgain,
}

#[test]
fn every_kind_has_a_test() {
    let names = include_str!("histories.rs");
    for kind in KINDS {
        assert!(names.contains(&format!(": {kind:?},")), "{kind:?}");
    }
}

/// Goes through histories of one kind: finds what was seeded, and blames nobody else.
fn go_through_all(kind: Kind) {
    let number = |name: &str, default: u64| {
        let text = std::env::var(name).unwrap_or_default();
        text.parse().unwrap_or(default)
    };
    let first = number("SEED", 1);
    let seeds = first..first + number("PYBOTS_TEST_HISTORIES", KINDS.len() as u64);
    let histories: Vec<History> = match kind {
        // only somebody who knows of earlier incidents tells it right, so that `KINDS` lacks it
        Kind::BreaksAgain => seeds.step_by(3).map(|seed| History::of(kind, seed)).collect(),
        _ => seeds.map(History::new).filter(|history| history.kind == kind).collect(),
    };
    let mut all = Score::default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut has_culprit = false;
    for history in histories {
        has_culprit |= history.faults.iter().any(Fault::is_seeded);
        all.add(runtime.block_on(told(history)));
    }
    assert_eq!(all.wrong, Vec::<String>::new());
    assert_eq!(all.missed, Vec::<String>::new());
    assert_eq!(all.over_bound, 0);
    assert!(!has_culprit || all.seeded > 0, "no tested revision showed a fault");
}

async fn told(history: History) -> Score {
    let start = Instant::now();
    let (seed, history) = (history.seed, Arc::new(history));
    let score = go_through(&history).await;
    println!(
        "SEED={seed} {:?}: {} revisions, {} seeded, {} found, {} ranged, {} missed, {} wrong, {} over the bound, {:.0} s",
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
    /// Of the newest revision.
    day: Mutex<f64>,
    /// Faults that a tested revision showed.
    seen: Mutex<BTreeSet<usize>>,
    /// How often each run was drawn.
    draws: Mutex<BTreeMap<Draw, u64>>,
}

/// A build, or a run of a project with the dependencies of an age. Which host makes it is chance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Draw {
    Build(At, &'static str),
    Run(At, usize, &'static str, usize),
}

impl Playing {
    /// Returns how the nth build or run of its kind ends. The answer depends on nothing else, so that a seed repeats it.
    fn end(&self, draw: Draw, run: Try) -> RunEnd {
        let nth = {
            let mut draws = self.draws.lock().unwrap();
            let nth = draws.entry(draw.clone()).or_default();
            *nth += 1;
            *nth
        };
        let mut hasher = DefaultHasher::new();
        (self.history.seed, draw, nth).hash(&mut hasher);
        self.history.run(run, &mut Rng::with_seed(hasher.finish()))
    }

    /// Notes which faults a tested revision showed.
    fn note(&self, run: Try, end: &RunEnd) {
        let (history, tree) = (&self.history, run.tree);
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
    }
}

impl Play for Playing {
    fn builds(&self, build: &BuildSpec) -> bool {
        let tried = self.tried(&build.revision, 0, &build.variant, 0, 0);
        let end = self.end(Draw::Build(tried.tree, tried.variant), tried);
        let fails = end == RunEnd::NoImage;
        if fails {
            self.note(tried, &end);
        }
        !fails
    }

    fn suite(&self, run: &RunSpec, host: usize, release: u64) -> (Outcome, Option<Tests>) {
        let project = run.project.trim_start_matches('p').parse().unwrap();
        let build = &run.image.build;
        let tried = self.tried(&build.revision, project, &build.variant, host, release as usize);
        let draw = Draw::Run(tried.tree, project, tried.variant, tried.lock);
        let end = self.end(draw, tried);
        self.note(tried, &end);
        match end {
            RunEnd::Run(outcome, tests) => (outcome, tests),
            RunEnd::NoImage => panic!("a run on what can't be built"),
        }
    }
}

impl Playing {
    fn tried(&self, sha: &str, project: usize, variant: &str, host: usize, lock: usize) -> Try {
        let variants = &self.history.variants;
        Try {
            tree: self.trees[sha],
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
    let shas = histories::git::import(history, sim.repository());
    let tested = tested(history);
    let playing = Arc::new(Playing {
        history: history.clone(),
        trees: shas.iter().map(|(at, sha)| (sha.clone(), *at)).collect(),
        tested: tested.iter().map(|place| At::Main(*place)).collect(),
        day: Mutex::new(0.0),
        seen: Mutex::default(),
        draws: Mutex::default(),
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
    let hides = |fault: &Fault| matches!(fault.effect, Effect::FailsToBuild | Effect::FailsToInstall);
    let ends = 1 + usize::from(history.faults.iter().any(hides));
    for investigation in store.newest_investigations(10_000).await.unwrap() {
        let [Finding { answer, .. }] = &investigation.findings[..] else {
            continue;
        };
        let (Answer::Culprit { rate, .. } | Answer::Range { rate, .. }) = answer else {
            continue;
        };
        let candidates = (investigation.now.seq - investigation.base.seq) as usize;
        let bound = rounds_bound(candidates, history.hosts, ends, rate.is_some());
        score.searches += 1;
        score.rounds += investigation.rounds as usize;
        if investigation.rounds as usize > bound {
            score.over_bound += 1;
            println!(
                "SEED={} {} rounds, not {bound}, among {candidates}: {answer:?}",
                history.seed, investigation.rounds
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
    if let (Kind::Intermittent, Some(At::Main(from))) = (history.kind, history.faults[0].from) {
        // what fails in three runs of ten shows only among several revisions
        some.extend((from..history.length).step_by(1 + (history.length - from) / TESTED));
    }
    if history.kind == Kind::BreaksAgain {
        // without a result while it is broken, and one while it is fixed, there is nothing to tell
        let mut build_changes: Vec<At> = history
            .faults
            .iter()
            .flat_map(|fault| [fault.from, fault.until])
            .flatten()
            .collect();
        build_changes.sort();
        some.extend(build_changes.windows(2).filter_map(|pair| match pair {
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
    let sql = "SELECT regression.project, regression.variant, regression.subjects, good.sha AS good, bad.sha AS bad,
                      regression.exact, fixed.sha AS fixed
               FROM regression JOIN revision AS good ON good.id = regression.good_id
               JOIN revision AS bad ON bad.id = regression.bad_id
               LEFT JOIN revision AS fixed ON fixed.id = regression.fixed_id";
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
    assert!(history.kind != histories::Kind::Quiet || claims.is_empty());
    claims
}
