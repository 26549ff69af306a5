//! An incident: regressions that one revision caused, until all are fixed. Its state follows from the records about it
//! and is never stored, so the two can't contradict each other.

use crate::domain::id::{BranchId, IncidentId, RevisionId, RunId};
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The state of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// The change is proved, and its revision is narrowed down to a range.
    Confirmed,
    CulpritFound,
    /// The incident was reported to somebody who can fix it.
    Reported,
    /// The incident is fixed on these branches, but not yet on the others.
    FixedOn {
        branches: BTreeSet<String>,
    },
    /// A maintainer accepted it until a time, in milliseconds UTC.
    Waived {
        until: Timestamp,
    },
    Closed,
}

impl State {
    /// Returns the word that pages and JSON show.
    pub fn name(&self) -> &'static str {
        match self {
            State::Confirmed => "confirmed",
            State::CulpritFound => "culprit_found",
            State::Reported => "reported",
            State::FixedOn { .. } => "fixed_on",
            State::Waived { .. } => "waived",
            State::Closed => "closed",
        }
    }
}

/// What the probes of an investigation showed at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbedRevision {
    /// The hash.
    pub revision: String,
    /// The name that people use.
    pub name: String,
    /// The run to which the probes belong.
    pub run: RunId,
    /// How many probes passed and failed the subjects.
    pub passed: u32,
    pub failed: u32,
}

/// The assignee of an incident: who acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assignee {
    /// CPython fixes it.
    Cpython,
    /// The change is intended and documented: the projects adapt.
    Projects,
}

impl Assignee {
    pub const ALL: [Assignee; 2] = [Assignee::Cpython, Assignee::Projects];

    /// Returns the name that the database, pages and JSON use.
    pub fn name(self) -> &'static str {
        match self {
            Assignee::Cpython => "cpython",
            Assignee::Projects => "projects",
        }
    }
}

/// The part of a regression on which the state of its incident depends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegressionProgress {
    pub branch: String,
    pub exact: bool,
    pub fixed: bool,
}

/// Facts that people recorded about an incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Records {
    pub closed: bool,
    pub reported: bool,
    /// Milliseconds UTC.
    pub waived_until: Option<Timestamp>,
}

/// Returns the state of an incident with these regressions at the time `now`. Of several states, the first counts:
/// closed, which an incident without an unfixed regression is, then waived, fixed on, reported, culprit found.
pub fn state(regressions: &[RegressionProgress], records: Records, now: Timestamp) -> State {
    let unfixed: BTreeSet<&String> = regressions
        .iter()
        .filter(|regression| !regression.fixed)
        .map(|regression| &regression.branch)
        .collect();
    let fixed = regressions
        .iter()
        .filter(|regression| regression.fixed && !unfixed.contains(&regression.branch));
    let branches: BTreeSet<String> = fixed.map(|regression| regression.branch.clone()).collect();
    match records.waived_until {
        _ if records.closed || unfixed.is_empty() => State::Closed,
        Some(until) if now < until => State::Waived { until },
        _ if !branches.is_empty() => State::FixedOn { branches },
        _ if records.reported => State::Reported,
        _ if regressions.iter().any(|regression| regression.exact) => State::CulpritFound,
        _ => State::Confirmed,
    }
}

/// The features of a regression by which two regressions are recognized as one incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// `None` for a new regression.
    pub incident: Option<IncidentId>,
    pub branch: BranchId,
    pub project: String,
    /// The change lies after this position of the branch, and at or before `bad_seq`.
    pub good_seq: i64,
    pub bad_id: RevisionId,
    pub bad_seq: i64,
    pub exact: bool,
    /// The first error without what varies between runs.
    pub signature: Option<String>,
    pub subjects: BTreeSet<String>,
}

impl Fingerprint {
    /// Returns whether both belong to one incident. Two exact regressions on one branch do if they have the same
    /// culprit. Others do if they have the same error, and either overlapping ranges on one branch, or a project and a
    /// subject in common on two branches.
    fn matches(&self, other: &Fingerprint) -> bool {
        let same_branch = self.branch == other.branch;
        if self.exact && other.exact && same_branch {
            return self.bad_id == other.bad_id;
        }
        let overlap = self.good_seq < other.bad_seq && other.good_seq < self.bad_seq;
        let alike = self.signature.is_some() && self.signature == other.signature;
        let same_project = self.project == other.project;
        let backported = same_project && !self.subjects.is_disjoint(&other.subjects);
        alike && if same_branch { overlap } else { backported }
    }

    /// Returns whether this is the return of `over`, a regression that is fixed or whose incident is closed.
    fn is_recurrence_of(&self, over: &Fingerprint) -> bool {
        let alike = self.signature.is_some() && self.signature == over.signature;
        self.branch == over.branch
            && self.project == over.project
            && self.good_seq >= over.bad_seq
            && (alike || !self.subjects.is_disjoint(&over.subjects))
    }
}

/// Returns the id of the incident to which a new regression belongs, or `None` if it needs a new incident. `open` are
/// the regressions of open incidents.
pub fn incident_of<'a>(new: &Fingerprint, open: &'a [Fingerprint]) -> Option<&'a IncidentId> {
    let mut open = open.iter();
    open.find(|open| new.matches(open))
        .and_then(|open| open.incident.as_ref())
}

/// Returns the id of the incident whose return a new regression is, or `None` if it is no return. `over` are
/// regressions that are over, the newest last.
pub fn recurrence_of<'a>(new: &Fingerprint, over: &'a [Fingerprint]) -> Option<&'a IncidentId> {
    let mut over = over.iter().rev();
    over.find(|over| new.is_recurrence_of(over))
        .and_then(|over| over.incident.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(branch: &str, exact: bool, fixed: bool) -> RegressionProgress {
        RegressionProgress {
            branch: branch.into(),
            exact,
            fixed,
        }
    }

    #[test]
    fn the_state_follows_from_the_records() {
        let none = Records::default();
        let reported = Records { reported: true, ..none };
        let waived = Records {
            waived_until: Some(Timestamp::from_millis(10)),
            ..none
        };
        let closed = Records { closed: true, ..waived };
        let range = [progress("trunk", false, false)];
        let one = [progress("trunk", true, false), progress("3.14", false, false)];
        let partly = [progress("trunk", true, true), progress("3.14", true, false)];
        let half = [progress("trunk", true, true), progress("trunk", true, false)];
        let all = [progress("trunk", true, true), progress("3.14", true, true)];
        let on_trunk = State::FixedOn {
            branches: ["trunk".to_owned()].into(),
        };
        let table = [
            (&range[..], none, State::Confirmed),
            (&one, none, State::CulpritFound),
            (&one, reported, State::Reported),
            (&partly, reported, on_trunk),
            // one project is fixed on trunk, another one is not
            (&half, none, State::CulpritFound),
            (&all, none, State::Closed),
            (
                &one,
                waived,
                State::Waived {
                    until: Timestamp::from_millis(10),
                },
            ),
            (&all, waived, State::Closed),
            (&one, closed, State::Closed),
        ];
        for (regressions, records, expected) in table {
            assert_eq!(
                state(regressions, records, Timestamp::from_millis(9)),
                expected,
                "{regressions:?} {records:?}"
            );
        }
        assert_eq!(state(&one, waived, Timestamp::from_millis(10)), State::CulpritFound);
    }

    fn fingerprint(branch: &str, project: &str, (good, bad): (i64, i64), signature: &str) -> Fingerprint {
        Fingerprint {
            incident: Some(IncidentId::from(format!("{branch} {project} {bad}"))),
            branch: branch.into(),
            project: project.into(),
            good_seq: good,
            bad_id: RevisionId::from(format!("{branch}-{bad}")),
            bad_seq: bad,
            exact: bad - good == 1,
            signature: (!signature.is_empty()).then(|| signature.to_owned()),
            subjects: [format!("test of {project}")].into(),
        }
    }

    #[test]
    fn one_revision_is_one_incident_whatever_it_broke() {
        let open = [fingerprint("trunk", "a", (4, 5), "x")];
        let belongs = |new: Fingerprint| incident_of(&new, &open).is_some();
        assert!(belongs(fingerprint("trunk", "b", (4, 5), "y")));
        assert!(!belongs(fingerprint("trunk", "a", (5, 6), "x")), "another culprit");
        assert!(
            belongs(fingerprint("trunk", "b", (3, 8), "x")),
            "a range around it, the same error"
        );
        assert!(!belongs(fingerprint("trunk", "b", (3, 8), "y")));
        assert!(!belongs(fingerprint("trunk", "b", (5, 8), "x")), "a range after it");
        assert!(
            belongs(fingerprint("3.14", "a", (90, 91), "x")),
            "the same, brought to another branch"
        );
        assert!(!belongs(fingerprint("3.14", "b", (90, 91), "x")));
        assert!(!belongs(fingerprint("3.14", "a", (90, 91), "")));
    }

    #[test]
    fn a_failure_that_returns_is_a_recurrence() {
        let over = [fingerprint("trunk", "a", (4, 5), "x")];
        assert!(recurrence_of(&fingerprint("trunk", "a", (8, 9), "x"), &over).is_some());
        assert!(
            recurrence_of(&fingerprint("trunk", "a", (8, 9), "y"), &over).is_some(),
            "the same test"
        );
        assert!(recurrence_of(&fingerprint("trunk", "b", (8, 9), "x"), &over).is_none());
        assert!(
            recurrence_of(&fingerprint("trunk", "a", (3, 4), "x"), &over).is_none(),
            "it came before"
        );
    }
}
