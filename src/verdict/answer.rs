//! The answers of investigations, and how they are worded for people.

use super::change::Change;
use super::subject::Untestable;
use serde::{Deserialize, Serialize};

/// The answer of an investigation about a subject. The database stores it as JSON: names must stay readable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The revision at `index` of the searched range caused the change. Reruns of it and of the revision before it
    /// prove that.
    Culprit {
        // answers that were stored before 0.2 call it `place`
        #[serde(alias = "place")]
        index: usize,
        /// The part of runs in which the subject fails since, from 0 to 1. `None` stands for all.
        rate: Option<f64>,
    },
    /// One of the revisions after `good` and up to `bad`, by index in the searched range, caused the change.
    Range {
        good: usize,
        bad: usize,
        why: RangeReason,
        /// The part of runs in which the subject fails since, as in `Culprit`.
        rate: Option<f64>,
    },
    /// CPython did not cause the change.
    NotCpython(NotCpython),
    /// There is no answer, for this reason.
    Inconclusive(String),
}

/// Why an answer is a range and not one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeReason {
    /// The subject can't be tested on the revisions of the range.
    #[serde(rename = "missing")]
    Untestable(Untestable),
    /// The subject failed in some runs before the change and fails in more of them since.
    Flakier,
}

impl RangeReason {
    /// Returns the reason as a clause for people.
    pub fn describe(&self, change: Change) -> String {
        match (self, change) {
            (RangeReason::Untestable(reason), _) => reason.to_string(),
            (RangeReason::Flakier, Change::Broke) => "it was flaky before, and fails more often now".to_owned(),
            (RangeReason::Flakier, Change::Fixed) => "it was flaky before, and passes more often now".to_owned(),
        }
    }
}

/// The cause of a change that CPython did not cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotCpython {
    /// The good end also fails when it is rerun today: the date or an outside service changed.
    FailsOnBoth,
    /// The good end also fails on the images below CPython that the bad end has.
    BaseImageChanged,
    /// The bad end passes with the dependencies of the good end.
    DependencyChanged,
    /// The bad end passes with the version of the project that the good end has.
    ProjectChanged,
    /// At the bad end, the subject always fails on these hosts and never on the others. The rules name hosts by id, and
    /// a stored answer by name.
    HostSpecific(Vec<String>),
    /// The subject passes and fails on the same image, and reruns do not prove that the bad end fails more often. Or it
    /// does so at the bad end only with the newer lock.
    Flaky {
        /// The part of reruns that failed, from 0 to 1.
        rate: f64,
    },
    /// The subject failed once, and no rerun failed.
    NotSeenAgain,
}

impl NotCpython {
    /// Returns the cause as a clause for people. In a search for a fix, the clause is about passing.
    pub fn describe(&self, change: Change) -> String {
        let (fails, fail) = match change {
            Change::Broke => ("fails", "fail"),
            Change::Fixed => ("passes", "pass"),
        };
        match self {
            NotCpython::FailsOnBoth => {
                format!("it also {fails} on the revision before the change when that is rerun today")
            }
            NotCpython::BaseImageChanged => {
                format!(
                    "it also {fails} on the revision before the change, most likely since the images below CPython changed"
                )
            }
            NotCpython::DependencyChanged => format!("it {fails} only with the newer versions of its dependencies"),
            NotCpython::ProjectChanged => format!("it {fails} only with the newer version of the project"),
            NotCpython::HostSpecific(hosts) => format!("it {fails} only on {}", hosts.join(", ")),
            NotCpython::Flaky { rate } => {
                let percent = rate * 100.0;
                format!("it is flaky: {percent:.0} % of reruns {fail}, before the change and after it")
            }
            NotCpython::NotSeenAgain => format!("it did not {fail} again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_earlier_versions_are_read() {
        let stored = [
            r#"{"culprit":{"place":3,"rate":null}}"#,
            r#"{"range":{"good":1,"bad":4,"why":{"missing":"no_image"},"rate":null}}"#,
            r#"{"range":{"good":0,"bad":9,"why":"flakier","rate":0.5}}"#,
            r#"{"not_cpython":{"flaky":{"rate":0.25}}}"#,
            r#"{"not_cpython":"fails_on_both"}"#,
            r#"{"inconclusive":"no host"}"#,
        ];
        let range = |good, bad, why, rate| Answer::Range { good, bad, why, rate };
        let expected = [
            Answer::Culprit { index: 3, rate: None },
            range(1, 4, RangeReason::Untestable(Untestable::NoImage), None),
            range(0, 9, RangeReason::Flakier, Some(0.5)),
            Answer::NotCpython(NotCpython::Flaky { rate: 0.25 }),
            Answer::NotCpython(NotCpython::FailsOnBoth),
            Answer::Inconclusive("no host".into()),
        ];
        for (stored, expected) in stored.iter().zip(expected) {
            let answer: Answer = serde_json::from_str(stored).unwrap();
            assert_eq!(answer, expected);
            let again = serde_json::to_string(&answer).unwrap();
            assert_eq!(again, stored.replace("place", "index"));
        }
    }
}
