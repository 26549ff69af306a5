//! Faults in a short form; `make test-faults` does more of them.

mod harness;
#[path = "../support/mod.rs"]
mod support;

use harness::Wanted;
use support::up::engine_wanted;

#[test]
fn nothing_is_lost_and_nothing_counted_twice() {
    if !engine_wanted() {
        return;
    }
    let wanted = Wanted {
        // the same harm each time; `make test-faults` draws another
        seed: 698_597_263,
        faults: 20,
        at_a_time: 20,
        idle: 3,
    };
    let Some(tally) = harness::run(&wanted) else { return };
    tally.print();
    assert_eq!(tally.violations, Vec::<String>::new());
}
