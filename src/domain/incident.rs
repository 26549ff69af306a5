//! An incident: a confirmed change and its culprit, until it is over. What is known of it decides its state; there is
//! no state that could say otherwise.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How far an incident is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It is proved that something changed; which check-in it was is known up to a range.
    Confirmed,
    CulpritFound,
    /// Somebody was told who can repair it.
    Reported,
    /// On these branches, and on others not yet.
    FixedOn {
        branches: BTreeSet<String>,
    },
    /// A maintainer said that it does not matter for now.
    Waived {
        until: i64,
    },
    Closed,
}

impl State {
    /// The word that pages and JSON show.
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

/// Whom an incident is put to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PutTo {
    /// CPython repairs it.
    Cpython,
    /// The change is intended and documented: the projects adapt.
    Projects,
}

impl PutTo {
    pub fn name(self) -> &'static str {
        match self {
            PutTo::Cpython => "cpython",
            PutTo::Projects => "projects",
        }
    }
}

impl std::str::FromStr for PutTo {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [PutTo::Cpython, PutTo::Projects]
            .into_iter()
            .find(|put_to| put_to.name() == name)
            .ok_or(())
    }
}

/// One of an incident's breakages, as far as its state depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub branch: String,
    pub exact: bool,
    pub fixed: bool,
}

/// What decides the state, beside its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub closed: bool,
    pub reported: bool,
    pub waived_until: Option<i64>,
}

/// The state at a time.
pub fn state(parts: &[Part], said: Said, now: i64) -> State {
    let unfixed: BTreeSet<&String> = parts
        .iter()
        .filter(|part| !part.fixed)
        .map(|part| &part.branch)
        .collect();
    let fixed = parts
        .iter()
        .filter(|part| part.fixed && !unfixed.contains(&part.branch));
    let branches: BTreeSet<String> = fixed.map(|part| part.branch.clone()).collect();
    match said.waived_until {
        _ if said.closed || unfixed.is_empty() => State::Closed,
        Some(until) if now < until => State::Waived { until },
        _ if !branches.is_empty() => State::FixedOn { branches },
        _ if said.reported => State::Reported,
        _ if parts.iter().any(|part| part.exact) => State::CulpritFound,
        _ => State::Confirmed,
    }
}

/// What a breakage is told by when it is asked whether two are the same thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub incident: String,
    pub branch_id: String,
    pub project: String,
    /// After this place of the branch, up to that one.
    pub good_seq: i64,
    pub bad_id: String,
    pub bad_seq: i64,
    pub exact: bool,
    /// First error without what varies.
    pub signature: Option<String>,
    pub subjects: BTreeSet<String>,
}

impl Mark {
    /// Whether two are one thing: the same check-in; or the same error, somewhere in the same stretch or of the same
    /// project on another branch.
    fn is(&self, other: &Mark) -> bool {
        let same_branch = self.branch_id == other.branch_id;
        if self.exact && other.exact && same_branch {
            return self.bad_id == other.bad_id;
        }
        let overlap = self.good_seq < other.bad_seq && other.good_seq < self.bad_seq;
        let alike = self.signature.is_some() && self.signature == other.signature;
        let same_project = self.project == other.project;
        let brought = same_project && !self.subjects.is_disjoint(&other.subjects);
        alike && if same_branch { overlap } else { brought }
    }

    /// Whether one is the return of the other, which is over.
    fn is_again(&self, over: &Mark) -> bool {
        let alike = self.signature.is_some() && self.signature == over.signature;
        self.branch_id == over.branch_id
            && self.project == over.project
            && self.good_seq >= over.bad_seq
            && (alike || !self.subjects.is_disjoint(&over.subjects))
    }
}

/// The incident that a new breakage belongs to, among those that are not over.
pub fn belongs<'a>(new: &Mark, open: &'a [Mark]) -> Option<&'a str> {
    let mut known = open.iter();
    known.find(|known| new.is(known)).map(|known| known.incident.as_str())
}

/// The incident whose return a new breakage is, among those that are over; the newest comes last.
pub fn again<'a>(new: &Mark, over: &'a [Mark]) -> Option<&'a str> {
    let mut known = over.iter().rev();
    known
        .find(|known| new.is_again(known))
        .map(|known| known.incident.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(branch: &str, exact: bool, fixed: bool) -> Part {
        Part {
            branch: branch.into(),
            exact,
            fixed,
        }
    }

    #[test]
    fn what_is_known_decides_the_state() {
        let none = Said::default();
        let reported = Said { reported: true, ..none };
        let waived = Said {
            waived_until: Some(10),
            ..none
        };
        let closed = Said { closed: true, ..waived };
        let range = [part("trunk", false, false)];
        let one = [part("trunk", true, false), part("3.14", false, false)];
        let partly = [part("trunk", true, true), part("3.14", true, false)];
        let half = [part("trunk", true, true), part("trunk", true, false)];
        let all = [part("trunk", true, true), part("3.14", true, true)];
        let on_trunk = State::FixedOn {
            branches: ["trunk".to_owned()].into(),
        };
        let table = [
            (&range[..], none, State::Confirmed),
            (&one, none, State::CulpritFound),
            (&one, reported, State::Reported),
            (&partly, reported, on_trunk),
            // one project is repaired on trunk, another one is not
            (&half, none, State::CulpritFound),
            (&all, none, State::Closed),
            (&one, waived, State::Waived { until: 10 }),
            (&all, waived, State::Closed),
            (&one, closed, State::Closed),
        ];
        for (parts, said, expected) in table {
            assert_eq!(state(parts, said, 9), expected, "{parts:?} {said:?}");
        }
        assert_eq!(state(&one, waived, 10), State::CulpritFound);
    }

    fn mark(branch: &str, project: &str, (good, bad): (i64, i64), signature: &str) -> Mark {
        Mark {
            incident: format!("{branch} {project} {bad}"),
            branch_id: branch.into(),
            project: project.into(),
            good_seq: good,
            bad_id: format!("{branch}-{bad}"),
            bad_seq: bad,
            exact: bad - good == 1,
            signature: (!signature.is_empty()).then(|| signature.to_owned()),
            subjects: [format!("test of {project}")].into(),
        }
    }

    #[test]
    fn one_check_in_is_one_incident_whatever_it_broke() {
        let known = [mark("trunk", "a", (4, 5), "x")];
        let belongs = |new: Mark| belongs(&new, &known).is_some();
        assert!(belongs(mark("trunk", "b", (4, 5), "y")));
        assert!(!belongs(mark("trunk", "a", (5, 6), "x")), "another culprit");
        assert!(
            belongs(mark("trunk", "b", (3, 8), "x")),
            "a range around it, the same error"
        );
        assert!(!belongs(mark("trunk", "b", (3, 8), "y")));
        assert!(!belongs(mark("trunk", "b", (5, 8), "x")), "a range after it");
        assert!(
            belongs(mark("3.14", "a", (90, 91), "x")),
            "the same, brought to another branch"
        );
        assert!(!belongs(mark("3.14", "b", (90, 91), "x")));
        assert!(!belongs(mark("3.14", "a", (90, 91), "")));
    }

    #[test]
    fn what_was_over_returns_as_another() {
        let over = [mark("trunk", "a", (4, 5), "x")];
        assert!(again(&mark("trunk", "a", (8, 9), "x"), &over).is_some());
        assert!(
            again(&mark("trunk", "a", (8, 9), "y"), &over).is_some(),
            "the same test"
        );
        assert!(again(&mark("trunk", "b", (8, 9), "x"), &over).is_none());
        assert!(
            again(&mark("trunk", "a", (3, 4), "x"), &over).is_none(),
            "it came before"
        );
    }
}
