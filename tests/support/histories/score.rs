//! Goes through a history as it came, and compares what is said of it with what is true.

use super::world::Try;
use super::{At, Effect, Fault, History};
use fastrand::Rng;
use pybots::domain::id::HostId;
use pybots::domain::outcome::Outcome;
use pybots::verdict::{
    Answer, Change, Finding, HistoryEntry, Investigation, LockDifference, LockSide, NotCpython, ProbeResult, RunEnd,
    Subject, Suspicion, older_baseline, rounds_bound, suspicions,
};
use std::collections::BTreeSet;

/// How well it went.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Culprits that were seeded, and could be seen.
    pub seeded: usize,
    pub found: usize,
    pub ranged: usize,
    /// What was missed, and blamed wrongly: for people.
    pub missed: Vec<String>,
    pub wrong: Vec<String>,
    /// Searches, their rounds, and those that took more than [`rounds_bound`].
    pub searches: usize,
    pub rounds: usize,
    pub over_bound: usize,
    pub runs: usize,
    /// Revisions that were said to have fixed something, rightly.
    pub fixes: usize,
}

impl Score {
    pub fn add(&mut self, other: Score) {
        self.seeded += other.seeded;
        self.found += other.found;
        self.ranged += other.ranged;
        self.missed.extend(other.missed);
        self.wrong.extend(other.wrong);
        self.searches += other.searches;
        self.rounds += other.rounds;
        self.over_bound += other.over_bound;
        self.runs += other.runs;
        self.fixes += other.fixes;
    }
}

/// Of which subjects, after which revision, up to which; whether it is that one.
type Said = (Vec<Subject>, At, At, bool);

/// What was said: of a project, a change of a subject, and where it came from.
pub struct Claim {
    pub project: usize,
    pub variant: String,
    pub change: Change,
    pub subject: Subject,
    /// After this one, and up to that one.
    pub good: At,
    pub bad: At,
    pub exact: bool,
}

pub fn score(history: &History) -> Score {
    let mut score = Score::default();
    let mut rng = Rng::with_seed(history.seed ^ 0x5eed);
    let mut claims = Vec::new();
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    for project in 0..history.projects {
        for variant in &history.variants {
            let mut pipeline = Pipeline {
                history,
                project,
                variant,
                rows: Vec::new(),
                flaky: Vec::new(),
                known: Vec::new(),
                fixes: BTreeSet::new(),
                score: &mut score,
                rng: &mut rng,
                claims: &mut claims,
                seen: &mut seen,
            };
            for place in &history.tested {
                pipeline.row(*place);
            }
        }
    }
    judge(history, &claims, &seen, &mut score);
    score
}

/// One project as one variant.
struct Pipeline<'a> {
    history: &'a History,
    project: usize,
    variant: &'static str,
    rows: Vec<HistoryEntry>,
    /// Observation to fail and pass on one image.
    flaky: Vec<Subject>,
    /// Known to be flaky, or broken in a way that is known already: no news.
    known: Vec<Subject>,
    /// Looked into: what was fixed since it failed there last.
    fixes: BTreeSet<(usize, Subject)>,
    score: &'a mut Score,
    rng: &'a mut Rng,
    claims: &'a mut Vec<Claim>,
    /// Faults that a row showed, so that they could be found.
    seen: &'a mut BTreeSet<usize>,
}

impl Pipeline<'_> {
    fn row(&mut self, place: usize) {
        let day = History::day(place);
        let lock = self.history.lock_on(day);
        let host = self.rng.usize(0..self.history.hosts);
        let end = self.run(At::Main(place), host, lock, day);
        for (number, fault) in self.history.faults.iter().enumerate() {
            let shown = end.failing().iter().any(|subject| affects(fault, subject));
            let there = fault.from.is_some_and(|from| self.history.has(At::Main(place), from))
                && !fault
                    .until
                    .is_some_and(|until| self.history.has(At::Main(place), until));
            if shown && there && fault.variant.is_none_or(|variant| variant == self.variant) {
                self.seen.insert(number);
            }
        }
        self.rows.push(HistoryEntry {
            lock: Some(lock.to_string()),
            ..HistoryEntry::new(At::Main(place).name().into(), end)
        });
        for mut suspicion in suspicions(&self.rows, &[], &[]) {
            let (change, base) = (suspicion.change, suspicion.base);
            let run_broke = self
                .claims
                .iter()
                .any(|claim| claim.change == Change::Broke && claim.subject == Subject::Run);
            suspicion.subjects.retain(|subject| {
                let mends_nothing = change == Change::Fixed && *subject == Subject::Run && !run_broke;
                !mends_nothing
                    && !self.known.contains(subject)
                    && (change == Change::Broke || self.fixes.insert((base, subject.clone())))
            });
            if !suspicion.subjects.is_empty() {
                self.look_into(suspicion, day);
            }
        }
    }

    fn run(&mut self, tree: At, host: usize, lock: usize, day: f64) -> RunEnd {
        self.score.runs += 1;
        let run = Try {
            tree,
            project: self.project,
            variant: self.variant,
            host,
            lock,
            day,
        };
        self.history.run(run, self.rng)
    }

    fn look_into(&mut self, suspicion: Suspicion, day: f64) {
        let now = self.rows.len() - 1;
        let mut open = vec![suspicion];
        while let Some(suspicion) = open.pop() {
            let from = At::parse(self.rows[suspicion.base].revision.as_str());
            let to = At::parse(self.rows[now].revision.as_str());
            let (At::Main(first), At::Main(last)) = (from, to) else {
                unreachable!("rows are of the branch")
            };
            let revisions: Vec<At> = (first..=last).map(At::Main).collect();
            let lock = |row: usize| self.rows[row].lock.clone().unwrap_or_default();
            let locks = (lock(suspicion.base), lock(now));
            let findings = self.inquire(&suspicion, &revisions, &locks, day);
            let mut said = Vec::new();
            for Finding { subjects, answer } in findings {
                if says() {
                    println!("{first}..{last} {:?} {subjects:?}: {answer:?}", suspicion.change);
                }
                match answer {
                    Answer::Culprit { index, rate } => {
                        if rate.is_some() {
                            self.known.extend(subjects.clone());
                        }
                        let (good, bad) = (revisions[index - 1], revisions[index]);
                        match self.history.inside(bad) {
                            Some(inside) => {
                                let merge = (inside, (good, bad));
                                said.extend(self.inside(&suspicion, &subjects, merge, &locks, day));
                            }
                            None => said.push((subjects, good, bad, true)),
                        }
                    }
                    Answer::Range { good, bad, rate, .. } => {
                        if rate.is_some() {
                            self.known.extend(subjects.clone());
                        }
                        said.push((subjects, revisions[good], revisions[bad], false));
                    }
                    Answer::NotCpython(NotCpython::Flaky { .. }) if suspicion.change == Change::Broke => {
                        self.flaky.extend(subjects.clone());
                        for subject in subjects {
                            match older_baseline(&self.rows, suspicion.base, now, &subject) {
                                Some(base) => open.push(Suspicion {
                                    base,
                                    subjects: vec![subject],
                                    ..suspicion
                                }),
                                None => self.known.push(subject),
                            }
                        }
                    }
                    Answer::NotCpython(NotCpython::NotSeenAgain) => self.flaky.extend(subjects),
                    Answer::NotCpython(_) | Answer::Inconclusive(_) => {}
                }
            }
            for (subjects, good, bad, exact) in said {
                self.claims.extend(subjects.into_iter().map(|subject| Claim {
                    project: self.project,
                    variant: self.variant.to_owned(),
                    change: suspicion.change,
                    subject,
                    good,
                    bad,
                    exact,
                }));
            }
        }
    }

    /// The search goes on among what a merge brought; else it is the merge itself.
    fn inside(
        &mut self,
        suspicion: &Suspicion,
        subjects: &[Subject],
        (inside, merge): (Vec<At>, (At, At)),
        locks: &(String, String),
        day: f64,
    ) -> Vec<Said> {
        let suspicion = Suspicion {
            subjects: subjects.to_vec(),
            ..suspicion.clone()
        };
        let findings = self.inquire(&suspicion, &inside, locks, day);
        let said = findings.into_iter().map(|Finding { subjects, answer }| match answer {
            Answer::Culprit { index, .. } => (subjects, inside[index - 1], inside[index], true),
            _ => (subjects, merge.0, merge.1, true),
        });
        said.collect()
    }

    fn inquire(&mut self, suspicion: &Suspicion, revisions: &[At], locks: &(String, String), day: f64) -> Vec<Finding> {
        let hosts: Vec<HostId> = (0..self.history.hosts).map(|host| host.to_string().into()).collect();
        let investigation = Investigation {
            change: suspicion.change,
            revisions: revisions.iter().map(|at| at.name().into()).collect(),
            subjects: suspicion.subjects.clone(),
            lock_difference: (locks.0 != locks.1).then_some(LockDifference::Dependencies),
            hosts,
            flaky: self.flaky.clone(),
            hint: None,
            rate: None,
        };
        // rows in which nothing could be seen are known to say nothing
        let mut runs: Vec<ProbeResult> = Vec::new();
        for row in &self.rows {
            if is_blank(&row.end)
                && row.revision != investigation.revisions[0]
                && Some(&row.revision) != investigation.revisions.last()
            {
                runs.push(ProbeResult {
                    revision: row.revision.clone(),
                    lock: LockSide::Base,
                    host: HostId::default(),
                    end: row.end.clone(),
                });
            }
        }
        let mut rounds = 0;
        let mut counted: Vec<Finding> = Vec::new();
        loop {
            let progress = investigation.progress(&runs);
            for finding in &progress.findings {
                if !counted.contains(finding) {
                    self.count(finding, &investigation, &runs, rounds);
                    counted.push(finding.clone());
                }
            }
            if progress.wanted.is_empty() {
                return progress.findings;
            }
            rounds += usize::from(progress.searches);
            assert!(rounds < 1000, "seed {} has no end", self.history.seed);
            for wanted in progress.wanted {
                let host = match &wanted.host {
                    Some(host) => host.as_str().parse().unwrap(),
                    None => self.rng.usize(0..self.history.hosts),
                };
                let lock = match wanted.lock {
                    LockSide::Base => &locks.0,
                    LockSide::Now => &locks.1,
                };
                let lock = lock.parse().unwrap();
                let end = self.run(At::parse(wanted.revision.as_str()), host, lock, day);
                runs.push(ProbeResult {
                    revision: wanted.revision,
                    lock: wanted.lock,
                    host: host.to_string().into(),
                    end,
                });
            }
        }
    }
}

impl Pipeline<'_> {
    /// A search that found something took so many rounds.
    fn count(&mut self, finding: &Finding, investigation: &Investigation, runs: &[ProbeResult], rounds: usize) {
        let (Answer::Culprit { rate, .. } | Answer::Range { rate, .. }) = finding.answer else {
            return;
        };
        if rounds == 0 {
            return;
        }
        let ends = if runs.iter().any(|run| is_blank(&run.end)) {
            2
        } else {
            1
        };
        let bound = rounds_bound(
            investigation.revisions.len() - 1,
            investigation.hosts.len(),
            ends,
            rate.is_some(),
        );
        self.score.searches += 1;
        self.score.rounds += rounds;
        if rounds > bound {
            self.score.over_bound += 1;
            if says() {
                println!("seed {}: {rounds} rounds, not {bound}: {finding:?}", self.history.seed);
            }
        }
    }
}

/// Whether each step is to be told.
fn says() -> bool {
    std::env::var_os("PYBOTS_BENCH_SAY").is_some()
}

/// Nothing can be seen there.
fn is_blank(end: &RunEnd) -> bool {
    matches!(end, RunEnd::NoImage | RunEnd::Run(Outcome::SetupFailed { .. }, _))
}

pub fn affects(fault: &Fault, subject: &Subject) -> bool {
    match (&fault.effect, subject) {
        (Effect::FailsTest(test), Subject::Test(subject)) => test == subject,
        (Effect::Crashes, Subject::Suite)
        | (Effect::FailsToInstall, Subject::Setup)
        | (Effect::FailsToBuild, Subject::Build) => true,
        _ => false,
    }
}

/// Compares what was said with what is true.
pub fn judge(history: &History, claims: &[Claim], seen: &BTreeSet<usize>, score: &mut Score) {
    // where a fault begins or ends, as far as revisions bring it
    let turn = |fault: &Fault, change: Change| match change {
        Change::Broke => fault.from,
        Change::Fixed => fault.until,
    };
    let is_true = |claim: &Claim, fault: &Fault| {
        let within = turn(fault, claim.change).is_some_and(|at| {
            if claim.exact {
                at == claim.bad
            } else {
                history.has(claim.bad, at) && !history.has(claim.good, at)
            }
        });
        within
            && affects(fault, &claim.subject)
            && fault.variant.is_none_or(|variant| variant == claim.variant)
            && (fault.projects.is_empty() || fault.projects.contains(&claim.project))
    };
    for claim in claims {
        let right = history.faults.iter().any(|fault| is_true(claim, fault));
        if right && claim.change == Change::Fixed {
            score.fixes += 1;
        }
        if !right {
            let Claim {
                project,
                change,
                subject,
                good,
                bad,
                ..
            } = claim;
            score.wrong.push(format!(
                "seed {} {:?}: {change:?} {subject} of project {project}, said after {good:?} up to {bad:?}; faults {:?}",
                history.seed, history.kind, history.faults
            ));
        }
    }
    for number in seen {
        let fault = &history.faults[*number];
        for project in 0..history.projects {
            score.seeded += 1;
            let mut right = claims
                .iter()
                .filter(|claim| claim.project == project && claim.change == Change::Broke && is_true(claim, fault))
                .peekable();
            if right.peek().is_none() {
                score.missed.push(format!(
                    "seed {} {:?}: {fault:?} in project {project}",
                    history.seed, history.kind
                ));
            } else if right.any(|claim| claim.exact) {
                score.found += 1;
            } else {
                score.ranged += 1;
            }
        }
    }
}
