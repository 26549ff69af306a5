//! Coordinator and hosts as real processes, faults by a seeded plan, and what has to hold after each plan.

mod check;
mod disk;
mod engine;
mod lines;
mod net;
mod plan;
mod program;
mod proxy;
mod world;

use check::Books;
use plan::{Plan, What};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use world::World;

/// How much is done.
pub struct Wanted {
    /// Of the first plan; each other has the next.
    pub seed: u64,
    pub faults: usize,
    /// Of one plan.
    pub at_a_time: usize,
    /// Revisions that come to idle hosts, after each plan.
    pub idle: usize,
}

/// What came of it.
#[derive(Default)]
pub struct Tally {
    pub plans: usize,
    pub kinds: BTreeMap<&'static str, usize>,
    pub violations: Vec<String>,
    /// Milliseconds until idle hosts claimed a job.
    pub waits: Vec<i64>,
    /// Revisions whose runs were looked at.
    looked_at: usize,
}

/// Longest that the queue takes to drain: a lease that nobody holds any more, and the longest wait for another try.
const DRAINED: Duration = Duration::from_secs(300);
/// Time in which a host that starts says so.
const WAKES: Duration = Duration::from_secs(15);
/// Longest that idle hosts keep something on the engine.
const CLEARED: Duration = Duration::from_secs(60);

/// None, with a word, where the machine does not allow it.
pub fn run(wanted: &Wanted) -> Option<Tally> {
    let mut world = World::new()?;
    let mut tally = Tally::default();
    // the first image, and its runs, without a fault
    settle(&mut world, "the start", &mut tally);
    while tally.faults() < wanted.faults && tally.violations.len() < 50 {
        let seed = wanted.seed + tally.plans as u64;
        let count = wanted.at_a_time.min(wanted.faults - tally.faults());
        let plan = Plan::new(seed, count, world.able());
        let (start, before) = (Instant::now(), tally.violations.len());
        let from = world.revisions.len();
        follow(&mut world, &plan, &mut tally);
        let healed = start.elapsed();
        settle(&mut world, &format!("SEED={seed}"), &mut tally);
        for fault in plan.faults() {
            *tally.kinds.entry(fault.kind()).or_default() += 1;
        }
        tally.plans += 1;
        println!(
            "SEED={seed}: {count} faults on {} runs in {:.0} s, drained after {:.0} s more; {} violations",
            (world.revisions.len() - from) * lines::SAMPLES.len(),
            healed.as_secs_f64(),
            (start.elapsed() - healed).as_secs_f64(),
            tally.violations.len() - before,
        );
        if tally.violations.len() > before {
            for violation in &tally.violations[before..] {
                println!("    VIOLATION {violation}");
            }
            plan.steps
                .iter()
                .for_each(|step| println!("    {:>6} ms {:?}", step.at, step.what));
            println!("    logs and database: {}", world.keep_logs());
        }
        let idle = world.revisions.len();
        for _ in 0..wanted.idle {
            world.revision(false);
            settle(&mut world, &format!("idle after SEED={seed}"), &mut tally);
        }
        tally.waits.extend(
            world
                .runtime
                .block_on(async { Books::open(&world).await.waits(&world.revisions[idle..]).await }),
        );
    }
    println!("{} requests met trouble on their way", world.hits());
    Some(tally)
}

/// Does to the world what the plan says.
fn follow(world: &mut World, plan: &Plan, tally: &mut Tally) {
    let start = Instant::now();
    for step in &plan.steps {
        let at = Duration::from_millis(step.at);
        while start.elapsed() < at {
            std::thread::sleep((at - start.elapsed()).min(Duration::from_millis(100)));
            blame(tally, plan.seed, world.supervise());
        }
        if std::env::var_os("FAULTS_VERBOSE").is_some() {
            println!("  {:>6.1} s {:?}", start.elapsed().as_secs_f64(), step.what);
        }
        world.apply(step.what);
        if matches!(step.what, What::End(_)) {
            blame(tally, plan.seed, world.supervise());
        }
    }
    world.engine.wait();
}

fn blame(tally: &mut Tally, seed: u64, wrong: Vec<String>) {
    tally
        .violations
        .extend(wrong.into_iter().map(|what| format!("SEED={seed}: {what}")));
}

/// Waits until all is done, and looks at what came of it.
fn settle(world: &mut World, when: &str, tally: &mut Tally) {
    let from = std::mem::replace(&mut tally.looked_at, world.revisions.len());
    let start = Instant::now();
    let url = format!("http://{}/healthz", world.address);
    let (mut wrong, mut woken) = (Vec::new(), None);
    while world.runtime.block_on(check::get(&url)).is_none() && start.elapsed() < DRAINED {
        wrong.extend(world.supervise());
        std::thread::sleep(Duration::from_millis(100));
    }
    let books = world.runtime.block_on(Books::open(world));
    loop {
        let progress = world.runtime.block_on(books.progress(world.revisions.len()));
        wrong.extend(world.supervise());
        if progress.done {
            break;
        }
        if start.elapsed() > DRAINED {
            wrong.push(format!("did not drain: {}", progress.says));
            break;
        }
        if progress.resting > 0 && woken.is_none_or(|at: Instant| at.elapsed() > WAKES) {
            if !world.wake() {
                wrong.push("host 0 did not end when it was asked to".to_owned());
            }
            woken = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    wrong.extend(world.runtime.block_on(books.violations(world, from)));
    let start = Instant::now();
    let left = loop {
        let left = world.engine.left();
        if left.is_empty() || start.elapsed() > CLEARED {
            break left;
        }
        std::thread::sleep(Duration::from_millis(300));
    };
    wrong.extend(left.into_iter().map(|what| format!("is left: {what}")));
    wrong.extend(world.panics());
    tally
        .violations
        .extend(wrong.into_iter().map(|what| format!("{when}: {what}")));
}

impl Tally {
    pub fn faults(&self) -> usize {
        self.kinds.values().sum()
    }

    /// Milliseconds in which 99 of 100 jobs were claimed by idle hosts.
    pub fn p99(&self) -> Option<i64> {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        waits.get((waits.len() * 99).div_ceil(100).max(1) - 1).copied()
    }

    pub fn print(&self) {
        println!("\n{:<24} faults", "kind");
        for (kind, count) in &self.kinds {
            println!("{kind:<24} {count:>6}");
        }
        if let Some(p99) = self.p99() {
            println!(
                "work there -> claimed by idle hosts: p99 {p99} ms of {} jobs",
                self.waits.len()
            );
        }
        for violation in &self.violations {
            println!("VIOLATION {violation}");
        }
    }
}
