//! One subject over one stretch of history: what is known of it, and what is to be done next.

use super::confirm::{self, Confirmed};
use super::inquiry::Change;
use super::locks::Differ;
use super::search;
use super::subject::{Missing, Seen};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is looked into: the check-ins between one that is thought good and one that is thought bad, by their places;
/// 0 is the good one, `last` the bad one. Which of the two directions is meant, and what a run says of the subject,
/// is the caller's affair: for who looks for the check-in that *fixed* something, failing is good.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    pub last: usize,
    /// What differs between the versions with which the good one and the bad one were seen.
    pub differ: Option<Differ>,
    /// Hosts that are free: so many runs at a time.
    pub hosts: Vec<String>,
    /// It was seen to fail and pass on one and the same image before.
    pub is_noisy: bool,
    /// Who looks for a repair knows how often it failed, where that was not always.
    pub rate: Option<f64>,
    /// The place of a check-in that is proved to have done the same to another project: it is asked of that first.
    pub hint: Option<usize>,
}

/// Which versions of the dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lock {
    /// Those of the good one: all but one question is asked with these, so that CPython alone differs.
    Base,
    /// Those of the bad one.
    Now,
}

/// One run, as far as it says anything of the subject; in any order. Runs that the machinery failed are none, and
/// neither are those that raised the suspicion: what was picked out because it failed proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    pub host: String,
    pub seen: Seen,
}

pub type Samples = BTreeMap<(usize, Lock), Vec<Sample>>;

/// Runs to be made, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub place: usize,
    pub lock: Lock,
    /// Where; None: wherever.
    pub host: Option<String>,
    pub runs: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// To confirm: both sides alternate.
    Confirm(Vec<Probe>),
    /// One round of the search: all at the same time.
    Search(Vec<Probe>),
    Answer(Answer),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// This check-in, and it and the one before it were run again to prove it.
    Culprit {
        place: usize,
        /// How often it fails since, where not always.
        rate: Option<f64>,
    },
    /// One of those after `good`, up to `bad`: between them nothing can be seen.
    Range {
        good: usize,
        bad: usize,
        why: Why,
        rate: Option<f64>,
    },
    /// CPython did not change it.
    NotCpython(NotCpython),
    Inconclusive(String),
}

/// Why an answer is a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    Missing(Missing),
    /// It failed now and then before, and does so more often.
    Flakier,
}

impl Why {
    /// For people.
    pub fn told(&self, change: Change) -> String {
        match (self, change) {
            (Why::Missing(missing), _) => missing.to_string(),
            (Why::Flakier, Change::Broke) => "it failed now and then before, and now does so more often".to_owned(),
            (Why::Flakier, Change::Fixed) => "it passed now and then before, and now does so more often".to_owned(),
        }
    }
}

/// What changed instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotCpython {
    /// It fails on the good one too, when that is run today: time, or the world outside.
    FailsOnBoth,
    /// With the dependencies of before it passes.
    DependencyChanged,
    /// With the project's version of before it passes.
    ProjectChanged,
    /// It fails on these hosts and on no others.
    HostSpecific(Vec<String>),
    /// It fails on one and the same image, or passes; and no more often than before.
    Flaky { rate: f64 },
    /// It failed once, and did not again.
    NotSeenAgain,
}

impl NotCpython {
    /// For people; who looks for a repair has asked when it began to pass.
    pub fn told(&self, change: Change) -> String {
        let (does, did) = match change {
            Change::Broke => ("fails", "fail"),
            Change::Fixed => ("passes", "pass"),
        };
        match self {
            NotCpython::FailsOnBoth => format!("it {does} on the check-in before too when that is run today"),
            NotCpython::DependencyChanged => format!("it {does} with other dependencies, and not with those of before"),
            NotCpython::ProjectChanged => {
                format!("it {does} with another version of the project, and not with that of before")
            }
            NotCpython::HostSpecific(hosts) => format!("it {does} on {} only", hosts.join(", ")),
            NotCpython::Flaky { rate } => format!("it is flaky: {:.0} % of runs {did}, on either side", rate * 100.0),
            NotCpython::NotSeenAgain => format!("it did not {did} again"),
        }
    }
}

/// What is to be done next, from all that is known.
pub fn next(case: &Case, samples: &Samples) -> Next {
    if let Some(next) = confirm::hinted(case, samples) {
        return next;
    }
    match confirm::confirm(case, samples) {
        Confirmed::Ask(probes) => Next::Confirm(probes),
        Confirmed::No(answer) => Next::Answer(answer),
        Confirmed::Flakier(rate) => Next::Answer(Answer::Range {
            good: 0,
            bad: case.last,
            why: Why::Flakier,
            rate: Some(rate),
        }),
        Confirmed::Yes(rate) => search::search(case, samples, rate),
    }
}

/// The runs of one side that passed or failed, and those that say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub passed: usize,
    pub failed: usize,
    /// Runs that say nothing, and why.
    pub blank: usize,
    pub missing: Option<Missing>,
}

/// So many runs that say nothing, and most of all: no more are asked for.
const BLANK: usize = 6;

impl Count {
    pub fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        let mut count = Self::default();
        for sample in samples {
            match sample.seen {
                Seen::Pass => count.passed += 1,
                Seen::Fail => count.failed += 1,
                Seen::Missing(why) => {
                    count.blank += 1;
                    count.missing = count.missing.max(Some(why));
                }
            }
        }
        count
    }

    pub fn at(samples: &Samples, place: usize, lock: Lock) -> Self {
        Self::of(samples.get(&(place, lock)).into_iter().flatten())
    }

    /// Runs that say something.
    pub fn all(self) -> usize {
        self.passed + self.failed
    }

    /// Why it is of no use to run it again: hardly any run says anything, for instance since its suite crashes before.
    pub fn silent(self) -> Option<Missing> {
        let hardly = self.all() == 0 || (self.blank >= BLANK && self.blank > self.all());
        self.missing.filter(|_| hardly)
    }

    pub fn rate(self) -> f64 {
        self.failed as f64 / self.all().max(1) as f64
    }

    /// (failed, all), for [`super::fisher`].
    pub fn pair(self) -> (u64, u64) {
        (self.failed as u64, self.all() as u64)
    }
}
