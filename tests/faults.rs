//! Faults in a short form; `make test-faults` does more of them.

mod common;
#[path = "faults/mod.rs"]
mod faults;

use common::up::engine_wanted;
use faults::Wanted;

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
    let Some(tally) = faults::run(&wanted) else { return };
    tally.print();
    assert_eq!(tally.violations, Vec::<String>::new());
}
