//! What happens to an incident, whatever the database.

use super::Sim;

/// No test fails.
const GOOD: &str = "";

/// Two projects fail, pass again after a fix, and fail once more.
pub async fn a_fix_and_a_recurrence(mut sim: Sim) {
    sim.commit("start", GOOD);
    sim.commits(2, GOOD);
    sim.commit("breaks", "fail a");
    sim.commits(2, "fail a");
    sim.run().await;
    let open = sim.settled().await;
    assert_eq!(
        (open.len(), open[0].state, open[0].projects.len()),
        (1, "culprit_found", 2),
        "{open:#?}"
    );
    sim.commits(2, "fail a");
    let fix = sim.commit("fixes", GOOD);
    sim.commits(1, GOOD);
    sim.all_decided().await;
    let closed = sim.settled().await;
    assert_eq!((closed.len(), closed[0].state), (1, "closed"), "{closed:#?}");
    assert_eq!(closed[0].regressions[0].fixed_by.as_ref().unwrap().revision, fix);
    assert_eq!(sim.pins().await, 0, "images of what is over may go");
    let again = sim.commit("breaks again", "fail a");
    sim.commits(1, "fail a");
    sim.all_decided().await;
    let found = sim.settled().await;
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0].culprits[0].revision, again);
    assert_eq!(found[0].recurrence_of, Some(closed[0].number));
    assert!(sim.pins().await > 0);
}
