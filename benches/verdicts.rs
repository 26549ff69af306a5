//! `make bench-verdicts`: histories whose answer is known, and what Pybots says of them. A table, then JSON.
//!
//! | variable | meaning |
//! |---|---|
//! | `PYBOTS_BENCH_HISTORIES` | how many; 1000 |
//! | `SEED` | of the first; the others follow |

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use support::histories::score::{Score, score};
use support::histories::{History, KINDS};

fn main() {
    let number = |name: &str, default: u64| {
        let text = std::env::var(name).unwrap_or_default();
        text.parse().unwrap_or(default)
    };
    let (histories, first) = (number("PYBOTS_BENCH_HISTORIES", 1000), number("SEED", 1));
    println!("SEED={first}, {histories} histories");
    let mut by_kind = BTreeMap::new();
    let mut all = Score::default();
    for seed in first..first + histories {
        let history = History::new(seed);
        let scored = score(&history);
        by_kind
            .entry(history.kind)
            .or_insert_with(Score::default)
            .add(scored.clone());
        all.add(scored);
    }
    println!(
        "| history | seeded culprits | found | ranged | missed | wrong blames | fixes | searches | rounds each | over the bound | runs |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for kind in KINDS {
        if let Some(score) = by_kind.get(&kind) {
            row(&format!("{kind:?}"), score);
        }
    }
    row("all", &all);
    for wrong in &all.wrong {
        println!("WRONG: {wrong}");
    }
    for missed in &all.missed {
        println!("MISSED: {missed}");
    }
    println!(
        "{}",
        serde_json::json!({
            "histories": histories,
            "found": all.found,
            "ranged": all.ranged,
            "missed": all.missed.len(),
            "wrong_blames": all.wrong.len(),
            "rounds_over_bound": all.over_bound,
        })
    );
}

fn row(name: &str, score: &Score) {
    let each = score.rounds as f64 / score.searches.max(1) as f64;
    println!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} | {each:.1} | {} | {} |",
        score.seeded,
        score.found,
        score.ranged,
        score.missed.len(),
        score.wrong.len(),
        score.fixes,
        score.searches,
        score.over_bound,
        score.runs
    );
}
