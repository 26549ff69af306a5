//! `make test-faults`: faults by seeded plans on a coordinator and hosts, each a process of its own. A line for
//! each plan, a table of the faults, the violations, then JSON.
//!
//! | variable | meaning |
//! |---|---|
//! | `FAULTS` | how many; 1000 |
//! | `SEED` | of the first plan, each other has the next; by chance |
//! | `FAULTS_AT_A_TIME` | how many a plan has; 40 |

#[path = "../tests/faults/harness/mod.rs"]
mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use harness::Wanted;
use support::up::engine_wanted;

fn main() {
    let number = |name: &str, default: u64| {
        let text = std::env::var(name).unwrap_or_default();
        text.parse().unwrap_or(default)
    };
    let wanted = Wanted {
        seed: number("SEED", fastrand::u64(..1_000_000_000)),
        faults: number("FAULTS", 1000) as usize,
        at_a_time: number("FAULTS_AT_A_TIME", 40).max(1) as usize,
        idle: 1,
    };
    let tally = if engine_wanted() { harness::run(&wanted) } else { None };
    let Some(tally) = tally else {
        eprintln!("faults need a machine with a container engine, root, and PYBOTS_TEST_ENGINE");
        std::process::exit(2);
    };
    tally.print();
    println!(
        "{}",
        serde_json::json!({
            "plans": tally.plans,
            "faults": tally.faults(),
            "violations": tally.violations.len(),
            "claim_p99_ms": tally.p99(),
        })
    );
    if !tally.violations.is_empty() {
        std::process::exit(1);
    }
}
