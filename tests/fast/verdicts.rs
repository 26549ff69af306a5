//! Histories whose answer is known, in short: `make bench-verdicts` goes through a thousand.

use crate::support::histories::score::{Score, score};
use crate::support::histories::{History, KINDS};

#[test]
fn every_seeded_culprit_is_found_or_ranged_and_nobody_else_is_blamed() {
    let mut all = Score::default();
    // each kind of history eight times
    for seed in 1..=8 * KINDS.len() as u64 {
        all.add(score(&History::new(seed)));
    }
    assert_eq!(all.wrong, Vec::<String>::new());
    assert_eq!(all.missed, Vec::<String>::new());
    assert_eq!(all.found + all.ranged, all.seeded);
    assert!(all.seeded > 300, "{} were seeded", all.seeded);
    assert!(all.fixes > 20, "{} fixes", all.fixes);
    assert_eq!(all.over_bound, 0);
}

#[test]
fn a_history_tells_what_a_tree_has() {
    use crate::support::histories::At::{Inside, Main};
    let mut history = History::new(1);
    history.merges = vec![(50, 30, 10)];
    for (tree, revision, expected) in [
        (Main(50), Main(50), true),
        (Main(49), Inside(50, 3), false),
        (Main(50), Inside(50, 3), true),
        (Inside(50, 3), Inside(50, 4), false),
        (Inside(50, 3), Main(30), true),
        (Inside(50, 3), Main(31), false),
    ] {
        assert_eq!(history.has(tree, revision), expected, "{tree:?} {revision:?}");
    }
}
