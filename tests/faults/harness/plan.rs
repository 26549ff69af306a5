//! What goes wrong, and when: drawn from a seed, so that a plan can be run again.

use std::collections::BTreeMap;
use std::fmt;

/// A program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Coordinator,
    Host(usize),
}

/// What a line to the coordinator does to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Each arrives twice at once.
    Twice,
    /// Each arrives, and a copy of it some seconds later, after others.
    Again,
    /// Each waits for a while, so that they overtake each other.
    Held,
    /// Each arrives, and its answer is lost.
    Unanswered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and a start later.
    Kill(Who),
    /// SIGSTOP and SIGCONT, as when a virtual machine is held.
    Freeze(Who),
    /// SIGTERM, and a start later.
    Stop(usize),
    /// As a service manager stops it; its containers end.
    EngineStops,
    EngineKilled,
    Cut(usize),
    /// By so many milliseconds.
    Clock(Who, i64),
    /// The coordinator's data folder.
    DataFull,
    EngineFull,
    /// Each write takes so many milliseconds longer.
    Slow(Who, u64),
    Requests(usize, Trouble),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Coordinator => write!(f, "coordinator"),
            Who::Host(host) => write!(f, "host {host}"),
        }
    }
}

impl Fault {
    /// By which faults are counted.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Kill(Who::Coordinator) => "kill -9 coordinator",
            Fault::Kill(_) => "kill -9 host",
            Fault::Freeze(_) => "freeze",
            Fault::Stop(_) => "SIGTERM host",
            Fault::EngineStops => "engine stopped",
            Fault::EngineKilled => "kill -9 engine",
            Fault::Cut(_) => "network cut",
            Fault::Clock(..) => "clock jump",
            Fault::DataFull => "full disk, coordinator",
            Fault::EngineFull => "full disk, engine",
            Fault::Slow(..) => "slow disk",
            Fault::Requests(_, Trouble::Twice) => "requests twice",
            Fault::Requests(_, Trouble::Again) => "requests again later",
            Fault::Requests(_, Trouble::Held) => "requests reordered",
            Fault::Requests(_, Trouble::Unanswered) => "answers lost",
        }
    }

    /// What it has to itself for as long as it lasts.
    fn of(&self) -> String {
        match self {
            Fault::Kill(who) | Fault::Freeze(who) => format!("process {who}"),
            Fault::Stop(host) => format!("process {}", Who::Host(*host)),
            Fault::EngineStops | Fault::EngineKilled => "engine".to_owned(),
            Fault::Cut(host) | Fault::Requests(host, _) => format!("line {host}"),
            Fault::Clock(who, _) => format!("clock {who}"),
            Fault::DataFull => "data".to_owned(),
            Fault::EngineFull => "engine's disk".to_owned(),
            Fault::Slow(who, _) => format!("disk {who}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Freeze(who) => write!(f, "freeze {who}"),
            Fault::Clock(who, by) => write!(f, "clock of {who} by {:+} s", by / 1000),
            Fault::Slow(who, by) => write!(f, "disk of {who} slower by {by} ms"),
            Fault::Kill(Who::Host(host)) | Fault::Stop(host) | Fault::Cut(host) | Fault::Requests(host, _) => {
                write!(f, "{}, host {host}", self.kind())
            }
            _ => write!(f, "{}", self.kind()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Begin(Fault),
    End(Fault),
    /// A revision comes: one that needs an image of its own, or one that shares the image before.
    NewRevision {
        image: bool,
    },
}

/// Something that happens so many milliseconds after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: u64,
    pub what: What,
}

pub struct Plan {
    pub seed: u64,
    pub steps: Vec<Step>,
}

/// What this machine allows.
#[derive(Clone, Copy, Debug)]
pub struct Able {
    pub hosts: usize,
    /// Clocks can be set and disks slowed.
    pub shim: bool,
    /// The coordinator's data folder has a disk of its own.
    pub disk: bool,
}

impl Plan {
    /// So many faults, about one a second, while revisions come.
    pub fn new(seed: u64, faults: usize, able: Able) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut steps = vec![];
        let mut busy: BTreeMap<String, u64> = BTreeMap::new();
        let mut deck = Vec::new();
        let (mut now, mut drawn) = (1_500, 0);
        while drawn < faults {
            if deck.is_empty() {
                deck = fresh_deck(&mut chance, able);
                chance.shuffle(&mut deck);
            }
            let Some(fault) = deck.pop() else { break };
            now += chance.u64(300..1_400);
            // one of two that would have the same to themselves waits its turn
            let from = now.max(busy.get(&fault.of()).copied().unwrap_or(0));
            let end = from + lasts(&mut chance, &fault);
            busy.insert(fault.of(), end + 500);
            steps.push(Step {
                at: from,
                what: What::Begin(fault),
            });
            steps.push(Step {
                at: end,
                what: What::End(fault),
            });
            drawn += 1;
        }
        for at in (0..now).step_by(8_000) {
            let image = at == 8_000 || chance.u8(..4) == 0;
            steps.push(Step {
                at,
                what: What::NewRevision { image },
            });
        }
        steps.sort_by_key(|step| step.at);
        Self { seed, steps }
    }

    pub fn faults(&self) -> impl Iterator<Item = Fault> {
        self.steps.iter().filter_map(|step| match step.what {
            What::Begin(fault) => Some(fault),
            _ => None,
        })
    }
}

/// Each kind at least once, the likelier ones more often.
fn fresh_deck(chance: &mut fastrand::Rng, able: Able) -> Vec<Fault> {
    let mut deck = Vec::new();
    let mut hosts: Vec<usize> = (0..able.hosts).collect();
    chance.shuffle(&mut hosts);
    let mut turn = hosts.iter().copied().cycle();
    let mut host = || turn.next().unwrap_or(0);
    deck.extend([
        Fault::Kill(Who::Coordinator),
        Fault::Kill(Who::Coordinator),
        Fault::EngineStops,
        Fault::EngineKilled,
        Fault::EngineFull,
        Fault::Freeze(Who::Coordinator),
    ]);
    for _ in 0..3 {
        deck.extend([Fault::Kill(Who::Host(host())), Fault::Cut(host())]);
    }
    deck.extend([Fault::Stop(host()), Fault::Freeze(Who::Host(host()))]);
    for trouble in [Trouble::Twice, Trouble::Again, Trouble::Held, Trouble::Unanswered] {
        deck.extend([Fault::Requests(host(), trouble), Fault::Requests(host(), trouble)]);
    }
    if able.disk {
        deck.push(Fault::DataFull);
    }
    if able.shim {
        let ahead = chance.i64(61_000..7_200_000);
        let behind = -chance.i64(1_000..7_200_000);
        deck.extend([
            Fault::Clock(Who::Coordinator, ahead),
            Fault::Clock(Who::Coordinator, behind),
            Fault::Clock(Who::Host(host()), ahead * chance.i64(-1..=1)),
            Fault::Slow(Who::Coordinator, chance.u64(20..150)),
            Fault::Slow(Who::Host(host()), chance.u64(20..150)),
        ]);
    }
    deck
}

/// For how many milliseconds.
fn lasts(chance: &mut fastrand::Rng, fault: &Fault) -> u64 {
    match fault {
        Fault::Kill(_) | Fault::Stop(_) | Fault::EngineKilled => chance.u64(0..3_000),
        Fault::EngineStops => chance.u64(500..2_000),
        Fault::Freeze(_) => chance.u64(500..6_000),
        Fault::DataFull | Fault::EngineFull => chance.u64(1_000..5_000),
        Fault::Cut(_) => chance.u64(500..15_000),
        Fault::Clock(..) | Fault::Slow(..) | Fault::Requests(..) => chance.u64(2_000..10_000),
    }
}

#[cfg(test)]
// the bench has no test harness
#[allow(dead_code, unused_imports)]
mod tests {
    use super::*;

    const ABLE: Able = Able {
        hosts: 4,
        shim: true,
        disk: true,
    };

    #[test]
    fn a_seed_gives_the_same_plan() {
        assert_eq!(Plan::new(7, 40, ABLE).steps, Plan::new(7, 40, ABLE).steps);
        assert_ne!(Plan::new(7, 40, ABLE).steps, Plan::new(8, 40, ABLE).steps);
    }

    #[test]
    fn all_kinds_come_and_all_are_healed() {
        let plan = Plan::new(1, 30, ABLE);
        assert_eq!(plan.faults().count(), 30);
        let kinds: std::collections::BTreeSet<&str> = plan.faults().map(|fault| fault.kind()).collect();
        assert_eq!(kinds.len(), 15, "{kinds:?}");
        let mut open = BTreeMap::new();
        for step in &plan.steps {
            match step.what {
                What::Begin(fault) => assert_eq!(open.insert(fault.of(), fault), None),
                What::End(fault) => assert_eq!(open.remove(&fault.of()), Some(fault)),
                What::NewRevision { .. } => {}
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}
