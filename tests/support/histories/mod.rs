//! Histories with a known answer: hundreds of revisions, and what goes wrong in them and around them.

pub mod git;
pub mod score;
pub mod world;

use fastrand::Rng;

/// What goes wrong. Each history has one of these, and most have a test that is flaky anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Plain,
    BreakThenFix,
    Intermittent,
    InRed,
    OneVariant,
    Unbuildable,
    Uninstallable,
    HiddenByUninstallable,
    HiddenByUnbuildable,
    Merge,
    TwoBreaks,
    Crash,
    DateDependent,
    Dependency,
    DependencyAndBreak,
    HostSpecific,
    FortyProjects,
    Quiet,
    /// The same test breaks, is fixed, and breaks once more.
    BreaksAgain,
}

/// Those that the rules alone can be driven through, without what is known of earlier incidents.
pub const KINDS: [Kind; 18] = [
    Kind::Plain,
    Kind::BreakThenFix,
    Kind::Intermittent,
    Kind::InRed,
    Kind::OneVariant,
    Kind::Unbuildable,
    Kind::Uninstallable,
    Kind::HiddenByUninstallable,
    Kind::HiddenByUnbuildable,
    Kind::Merge,
    Kind::TwoBreaks,
    Kind::Crash,
    Kind::DateDependent,
    Kind::Dependency,
    Kind::DependencyAndBreak,
    Kind::HostSpecific,
    Kind::FortyProjects,
    Kind::Quiet,
];

/// A revision: one of the branch, or one that a merge brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    Main(usize),
    /// Of the merge at a place of the branch, the nth that it brought.
    Inside(usize, usize),
}

/// What a fault does to a run that has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    FailsTest(&'static str),
    Crashes,
    FailsToInstall,
    FailsToBuild,
}

/// When a run has a fault. All that is said must hold.
#[derive(Clone, Debug)]
pub struct Fault {
    pub effect: Effect,
    /// The revision that brings it; None: it was always there.
    pub from: Option<At>,
    /// The revision that takes it away.
    pub until: Option<At>,
    /// In so many of all runs.
    pub rate: f64,
    /// Only these projects; empty: all.
    pub projects: Vec<usize>,
    pub variant: Option<&'static str>,
    pub host: Option<usize>,
    /// From a day on.
    pub day: Option<f64>,
    /// With dependencies of this age and later.
    pub lock: Option<usize>,
}

impl Fault {
    fn new(effect: Effect, from: impl Into<Option<At>>) -> Self {
        Self {
            effect,
            from: from.into(),
            until: None,
            rate: 1.0,
            projects: Vec::new(),
            variant: None,
            host: None,
            day: None,
            lock: None,
        }
    }

    /// Whether a revision of CPython alone makes the difference: then there is a culprit to be found.
    pub fn is_seeded(&self) -> bool {
        self.from.is_some()
    }
}

pub struct History {
    pub seed: u64,
    pub kind: Kind,
    /// Revisions of the branch.
    pub length: usize,
    /// Merges: place, where the merged line left the branch, and how many revisions it brought.
    pub merges: Vec<(usize, usize, usize)>,
    pub projects: usize,
    pub hosts: usize,
    pub variants: Vec<&'static str>,
    pub faults: Vec<Fault>,
    /// Days on which the dependencies are resolved anew.
    pub refreshes: Vec<f64>,
    /// Places that are tested as they come; the last is among them.
    pub tested: Vec<usize>,
}

/// Revisions a day.
const A_DAY: f64 = 15.0;

impl History {
    pub fn new(seed: u64) -> Self {
        Self::of(KINDS[(seed % KINDS.len() as u64) as usize], seed)
    }

    pub fn of(kind: Kind, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let length = rng.usize(100..800);
        let some = |rng: &mut Rng| rng.usize(length / 10..length * 9 / 10);
        let at = some(&mut rng);
        let mut history = Self {
            seed,
            kind,
            length,
            merges: Vec::new(),
            projects: 1,
            hosts: rng.usize(1..6),
            variants: vec!["default"],
            faults: Vec::new(),
            refreshes: Vec::new(),
            tested: Vec::new(),
        };
        let broken = |at| Fault::new(Effect::FailsTest("test_new"), At::Main(at));
        let range = |effect, from, until| Fault {
            until: Some(At::Main(until)),
            ..Fault::new(effect, At::Main(from))
        };
        let faults = &mut history.faults;
        match kind {
            Kind::Plain => faults.push(broken(at)),
            Kind::BreakThenFix => faults.push(Fault {
                until: Some(At::Main(at + rng.usize(1..=length / 10))),
                ..broken(at)
            }),
            Kind::Intermittent => faults.push(Fault {
                rate: 0.3,
                ..broken(at)
            }),
            Kind::InRed => {
                faults.push(Fault::new(Effect::FailsTest("test_old"), None));
                faults.push(broken(at));
            }
            Kind::OneVariant => {
                history.variants.push("free-threaded");
                faults.push(Fault {
                    variant: Some("free-threaded"),
                    ..broken(at)
                });
            }
            Kind::Unbuildable | Kind::HiddenByUnbuildable => {
                let until = at + rng.usize(1..=length / 10);
                faults.push(range(Effect::FailsToBuild, at, until));
                if kind == Kind::HiddenByUnbuildable {
                    faults.push(broken(rng.usize(at..=until)));
                }
            }
            Kind::Uninstallable | Kind::HiddenByUninstallable => {
                let until = at + rng.usize(1..=length / 10);
                faults.push(range(Effect::FailsToInstall, at, until));
                if kind == Kind::HiddenByUninstallable {
                    faults.push(broken(rng.usize(at..=until)));
                }
            }
            Kind::Merge => {
                let brought = rng.usize(20..300);
                let base = at - rng.usize(1..=at.min(50));
                history.merges.push((at, base, brought));
                // one that it brought, or that which it made of both
                let inside = if rng.u8(0..4) == 0 {
                    At::Main(at)
                } else {
                    At::Inside(at, rng.usize(0..brought))
                };
                history.faults.push(Fault::new(Effect::FailsTest("test_new"), inside));
            }
            Kind::TwoBreaks => {
                faults.push(broken(at));
                let other = At::Main(some(&mut rng));
                faults.push(Fault::new(Effect::FailsTest("test_other"), other));
            }
            Kind::Crash => faults.push(Fault::new(Effect::Crashes, At::Main(at))),
            Kind::DateDependent => faults.push(Fault {
                day: Some(at as f64 / A_DAY),
                ..Fault::new(Effect::FailsTest("test_date"), None)
            }),
            Kind::Dependency => {
                history.refreshes.push(at as f64 / A_DAY);
                faults.push(Fault {
                    lock: Some(1),
                    ..Fault::new(Effect::FailsTest("test_dependency"), None)
                });
            }
            Kind::DependencyAndBreak => {
                let near = (at + rng.usize(0..20)).min(length - 1);
                history.refreshes.push(near as f64 / A_DAY);
                faults.push(broken(at));
                faults.push(Fault {
                    lock: Some(1),
                    ..Fault::new(Effect::FailsTest("test_dependency"), None)
                });
            }
            Kind::HostSpecific => {
                history.hosts = history.hosts.max(2);
                faults.push(Fault {
                    host: Some(rng.usize(0..history.hosts)),
                    day: Some(at as f64 / A_DAY),
                    ..Fault::new(Effect::FailsTest("test_host"), None)
                });
            }
            Kind::FortyProjects => {
                history.projects = 40;
                faults.push(broken(at));
            }
            Kind::Quiet => {}
            Kind::BreaksAgain => {
                let fixed = at + rng.usize(1..=length / 10);
                let again = fixed + rng.usize(1..=length / 10);
                faults.push(range(Effect::FailsTest("test_new"), at, fixed));
                faults.push(broken(again));
            }
        }
        if rng.bool() {
            history.faults.push(Fault {
                rate: rng.f64() * 0.5,
                ..Fault::new(Effect::FailsTest("test_flaky"), None)
            });
        }
        let most = [1, 8, 40, 200][rng.usize(0..4)];
        let mut place = 0;
        while place < length - 1 {
            history.tested.push(place);
            place += rng.usize(1..=most);
        }
        history.tested.push(length - 1);
        history
    }

    pub fn day(place: usize) -> f64 {
        place as f64 / A_DAY
    }

    /// The age of the dependencies on a day.
    pub fn lock_on(&self, day: f64) -> usize {
        self.refreshes.iter().filter(|refresh| **refresh <= day).count()
    }

    /// Whether a tree has a revision in it.
    pub fn has(&self, tree: At, revision: At) -> bool {
        let brought = |merge: usize, up_to: usize| merge <= up_to;
        match (tree, revision) {
            (At::Main(tree), At::Main(place) | At::Inside(place, _)) => brought(place, tree),
            (At::Inside(merge, nth), At::Inside(other, place)) if merge == other => place <= nth,
            (At::Inside(merge, _), At::Main(place) | At::Inside(place, _)) => {
                let left = self.merges.iter().find(|known| known.0 == merge).map(|known| known.1);
                left.is_some_and(|left| place <= left)
            }
        }
    }

    /// Whether what is tested tells a fault from one before it, in the same test: it was seen to pass between them.
    pub fn is_apart(&self, fault: &Fault, mut tested: impl Iterator<Item = At>) -> bool {
        let earlier = |known: &&Fault| known.effect == fault.effect && known.from < fault.from;
        let Some(fixed) = self.faults.iter().filter(earlier).filter_map(|known| known.until).max() else {
            return true;
        };
        tested.any(|tree| self.has(tree, fixed) && !fault.from.is_some_and(|from| self.has(tree, from)))
    }

    /// What a merge brought, after the revision at which its line left the branch.
    pub fn inside(&self, at: At) -> Option<Vec<At>> {
        let At::Main(place) = at else { return None };
        let (merge, base, brought) = *self.merges.iter().find(|merge| merge.0 == place)?;
        let inside = (0..brought).map(|nth| At::Inside(merge, nth));
        Some(std::iter::once(At::Main(base)).chain(inside).collect())
    }
}

impl At {
    pub fn name(self) -> String {
        match self {
            At::Main(place) => format!("{place}"),
            At::Inside(merge, nth) => format!("{merge}.{nth}"),
        }
    }

    pub fn parse(name: &str) -> Self {
        match name.split_once('.') {
            Some((merge, nth)) => At::Inside(merge.parse().unwrap(), nth.parse().unwrap()),
            None => At::Main(name.parse().unwrap()),
        }
    }
}
