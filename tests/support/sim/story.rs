//! What happens to an incident, whatever the database.

use super::Sim;
use pybots::config::{OwnerSettings, TrustSettings};
use pybots::incidents::IncidentView;

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

/// Nobody is maintained; these are the owners that the operator knows.
fn owners(owners: &[(&str, &[&str])]) -> TrustSettings {
    let owner = |(name, projects): &(&str, &[&str])| OwnerSettings {
        name: (*name).to_owned(),
        projects: projects.iter().map(|project| (*project).to_owned()).collect(),
    };
    TrustSettings {
        owner: owners.iter().map(owner).collect(),
        ..TrustSettings::default()
    }
}

/// Whether the incidents are unconfirmed by others, the oldest first. They name an author exactly if they are not.
async fn unconfirmed(sim: &Sim) -> Vec<bool> {
    let found = sim.settled().await;
    let of = |incident: &IncidentView| {
        let is_unconfirmed = incident.unconfirmed_by_others;
        for part in &incident.regressions {
            assert_eq!(part.unconfirmed_by_others, is_unconfirmed, "{incident:#?}");
            for revision in [&part.good, &part.bad] {
                assert_eq!(revision.author.is_none(), is_unconfirmed, "{incident:#?}");
            }
        }
        assert!(
            incident
                .culprits
                .iter()
                .all(|culprit| culprit.author.is_none() == is_unconfirmed)
        );
        is_unconfirmed
    };
    found.iter().rev().map(of).collect()
}

/// A project in probation fails on one revision, and together with another project on a second one. Returns the first revision.
pub async fn one_project_names_no_author(sim: &mut Sim) -> String {
    sim.trust(owners(&[]));
    sim.commit("start", GOOD);
    sim.commits(2, GOOD);
    let innocent = sim.commit("innocent", "project p a");
    sim.commits(1, "project p a");
    sim.run().await;
    assert_eq!(unconfirmed(sim).await, [true]);
    sim.commit("breaks both", "project p a\nfail b");
    sim.commits(1, "project p a\nfail b");
    assert_eq!(unconfirmed(sim).await, [true, true], "both projects may have one owner");
    sim.trust(owners(&[("liar", &["p", "q"])]));
    assert_eq!(unconfirmed(sim).await, [true, true], "both have one owner");
    sim.trust(owners(&[("liar", &["p"]), ("other", &["q"])]));
    assert_eq!(unconfirmed(sim).await, [true, false], "two owners agree");
    sim.trust(TrustSettings {
        maintained: vec!["q".to_owned()],
        ..owners(&[])
    });
    assert_eq!(unconfirmed(sim).await, [true, false], "a maintained project agrees");
    sim.trust(TrustSettings {
        probation: 2,
        ..owners(&[])
    });
    let agree = ["incidents", "agree", "1", "--by", "me", "--why", "I saw it"];
    assert_eq!(sim.pybots(&agree).await, "incident 1: agreed: I saw it\n");
    assert_eq!(sim.pybots(&agree).await, "incident 1: agreed already\n");
    assert_eq!(unconfirmed(sim).await, [false, true], "a maintainer agrees");
    sim.trust(owners(&[]));
    assert_eq!(unconfirmed(sim).await, [false, false], "the probation of p is over");
    let revoke = [&agree[..], &["--revoke"]].concat();
    assert_eq!(sim.pybots(&revoke).await, "incident 1: no longer agreed: I saw it\n");
    assert_eq!(sim.pybots(&revoke).await, "incident 1: no longer agreed already\n");
    assert_eq!(unconfirmed(sim).await, [true, true]);
    innocent
}
