//! Reruns of both ends of a case, side by side and with the same lock, before anyone is notified.

use super::answer::{Answer, NotCpython};
use super::case::{Case, IndexProbe, NextAction};
use super::locks::LockDifference;
use super::samples::{Count, LockSide, Sample, Samples};
use super::stats::{fisher, passes_needed};
use crate::domain::id::HostId;
use std::collections::BTreeMap;

/// The first runs of each end. A subject that fails in half of its runs looks like a clean break once in 64 times.
const FIRST_RUNS: usize = 3;

/// The runs of each end if they do not all agree, in steps, until chance is either excluded or accepted.
const MORE_RUNS: [usize; 5] = [8, 16, 28, 40, 64];

/// After this many passes of the bad end, the failure counts as not seen again. A subject that fails in a third of its
/// runs is dropped that way once in 130 times.
const PASSES_TO_DROP: usize = 12;

/// A difference that chance causes at least this often counts as chance. A rarer one is investigated further, and then
/// has to be proved.
const SIGNIFICANT: f64 = 0.001;

/// A difference counts as proved if chance causes it less often than this. The bar is high because Pybots compares
/// thousands of tests.
pub(super) const PROVED: f64 = 1e-6;

/// If chance causes the difference more often than this, more runs are unlikely to separate the two ends.
const INDISTINGUISHABLE: f64 = 0.2;

/// The runs of each end on each host of the bad end's reruns before the answer blames a host. On one host, all runs of
/// an end must agree.
const RUNS_PER_HOST: usize = 6;

/// Whether the change is real.
pub(super) enum Confirmation {
    /// Not decided yet: these reruns are needed first.
    NeedsRuns(Vec<IndexProbe>),
    /// The change is real, and the bad end fails at this rate, from 0 to 1. `None` stands for always.
    Confirmed(Option<f64>),
    /// The good end fails in some runs too, but the bad end fails more often, at this rate, from 0 to 1.
    Flakier(f64),
    /// The change is not real, or CPython did not cause it.
    Rejected(Answer),
}

/// Reruns the hinted revision and the one before it, since a few runs show whether it is the culprit here as well. If
/// all agree, it is the answer. Returns `None` if there is no usable hint, or if the reruns contradict it or can't test
/// it.
pub(super) fn try_hint(case: &Case, samples: &Samples) -> Option<NextAction> {
    let index = case
        .hint
        .filter(|index| (1..=case.last).contains(index) && !case.is_flaky)?;
    let at = |index| Count::at(samples, index, LockSide::Base);
    let (good, bad) = (at(index - 1), at(index));
    let is_untestable = good.why_untestable().is_some() || bad.why_untestable().is_some();
    if good.failed > 0 || bad.passed > 0 || is_untestable {
        return None;
    }
    Some(match paired_probes(case, samples, (index - 1, index), FIRST_RUNS) {
        probes if probes.is_empty() => NextAction::Answer(Answer::Culprit { index, rate: None }),
        probes => NextAction::Confirm(probes),
    })
}

/// Decides from the reruns of both ends whether the change is real.
pub(super) fn confirm(case: &Case, samples: &Samples) -> Confirmation {
    let at = |index, lock| Count::at(samples, index, lock);
    let (good, bad) = (at(0, LockSide::Base), at(case.last, LockSide::Base));
    for (end, count) in [("older", good), ("newer", bad)] {
        if let Some(why) = count.why_untestable() {
            let reason = format!("the {end} revision can't be tested: {why}");
            return Confirmation::Rejected(Answer::Inconclusive(reason));
        }
    }
    let runs = good.decided().min(bad.decided());
    let first = if case.is_flaky { MORE_RUNS[0] } else { FIRST_RUNS };
    // A subject that failed rarely may pass a few times by chance on the revision before the fix.
    let rare = case
        .rate
        .map_or(0, |rate| passes_needed(rate, SIGNIFICANT).min(MORE_RUNS[4]));
    let first = first.max(rare);
    if runs < first {
        return Confirmation::NeedsRuns(paired_probes(case, samples, (0, case.last), first));
    }
    match (good.failed, good.passed, bad.failed, bad.passed) {
        (0, _, _, 0) => Confirmation::Confirmed(None),
        (0, _, 0, _) if let Some(difference) = case.lock_difference => with_newer_lock(case, samples, difference),
        (0, _, 0, passed) if passed < PASSES_TO_DROP => Confirmation::NeedsRuns(vec![IndexProbe {
            index: case.last,
            lock: LockSide::Base,
            host: None,
            runs: PASSES_TO_DROP - passed,
        }]),
        (0, _, 0, _) => Confirmation::Rejected(Answer::NotCpython(NotCpython::NotSeenAgain)),
        (_, 0, _, 0) => Confirmation::Rejected(Answer::NotCpython(NotCpython::FailsOnBoth)),
        _ => mixed(case, samples, good, bad),
    }
}

/// Decides the case that both ends pass with the older lock. If the bad end fails with its own lock, or can't be tested
/// with it, the lock caused the change.
fn with_newer_lock(case: &Case, samples: &Samples, difference: LockDifference) -> Confirmation {
    let now = Count::at(samples, case.last, LockSide::Now);
    let changed = Answer::NotCpython(match difference {
        LockDifference::Dependencies => NotCpython::DependencyChanged,
        LockDifference::Project => NotCpython::ProjectChanged,
    });
    Confirmation::Rejected(match (now.failed, now.passed) {
        _ if now.why_untestable().is_some() => changed,
        (failed, passed) if failed + passed < FIRST_RUNS => {
            return Confirmation::NeedsRuns(vec![IndexProbe {
                index: case.last,
                lock: LockSide::Now,
                host: None,
                runs: FIRST_RUNS - failed - passed,
            }]);
        }
        (0, _) => Answer::NotCpython(NotCpython::NotSeenAgain),
        (_, 0) => changed,
        _ => Answer::NotCpython(NotCpython::Flaky {
            rate: now.failure_rate(),
        }),
    })
}

/// Decides the cases that [`confirm`] leaves: an end passes in some reruns and fails in others, or only the good end
/// fails.
fn mixed(case: &Case, samples: &Samples, good: Count, bad: Count) -> Confirmation {
    let runs = good.decided().min(bad.decided());
    match blame_hosts(case, samples) {
        HostBlame::Hosts(hosts) => {
            return Confirmation::Rejected(Answer::NotCpython(NotCpython::HostSpecific(hosts)));
        }
        HostBlame::NeedsRuns(probes) if runs < MORE_RUNS[1] => return Confirmation::NeedsRuns(probes),
        HostBlame::NeedsRuns(_) | HostBlame::Nothing => {}
    }
    let chance = fisher(good.for_fisher(), bad.for_fisher());
    if runs >= MORE_RUNS[0] && good.failed == 0 && chance < SIGNIFICANT {
        return Confirmation::Confirmed(Some(bad.failure_rate()));
    }
    // A flaky subject that no longer fails at all is fixed. This blames nobody, so the weaker bound is enough.
    let is_over = case.rate.is_some() && bad.passed == 0 && chance < SIGNIFICANT;
    // a good end that never failed was not flaky before: more reruns decide about it
    if (good.failed > 0 && chance < PROVED) || is_over {
        return Confirmation::Flakier(bad.failure_rate());
    }
    let is_hopeless = runs >= MORE_RUNS[1] && good.failed > 0 && chance > INDISTINGUISHABLE;
    match MORE_RUNS.into_iter().find(|more| *more > runs) {
        Some(more) if !is_hopeless => Confirmation::NeedsRuns(paired_probes(case, samples, (0, case.last), more)),
        _ => {
            let both = Count {
                passed: good.passed + bad.passed,
                failed: good.failed + bad.failed,
                ..Count::default()
            };
            Confirmation::Rejected(Answer::NotCpython(NotCpython::Flaky {
                rate: both.failure_rate(),
            }))
        }
    }
}

/// Whether hosts cause the failure.
enum HostBlame {
    /// No host stands out.
    Nothing,
    /// Some host seems to stand out, and these reruns would show it.
    NeedsRuns(Vec<IndexProbe>),
    /// The bad end always fails on these hosts, and never on the others.
    Hosts(Vec<String>),
}

fn blame_hosts(case: &Case, samples: &Samples) -> HostBlame {
    let by_host = |index| {
        let mut hosts: BTreeMap<&HostId, Vec<&Sample>> = BTreeMap::new();
        for sample in samples.get(&(index, LockSide::Base)).into_iter().flatten() {
            hosts.entry(&sample.host).or_default().push(sample);
        }
        hosts
    };
    let (good, bad) = (by_host(0), by_host(case.last));
    let (mut fails, mut passes, mut probes) = (Vec::new(), Vec::new(), Vec::new());
    for (host, samples) in &bad {
        let ends = [
            Count::of(good.get(host).into_iter().flatten().copied()),
            Count::of(samples.iter().copied()),
        ];
        match ends.map(|end| (end.passed, end.failed)) {
            // The bad end fails on this host, or both ends do.
            [(_, 0), (0, 1..)] | [(0, 1..), (0, 1..)] => fails.push(host.to_string()),
            [(_, 0), (1.., 0)] => passes.push(host.to_string()),
            _ => return HostBlame::Nothing,
        }
        for (index, end) in [(0, ends[0]), (case.last, ends[1])] {
            let runs = RUNS_PER_HOST.saturating_sub(end.decided());
            if runs > 0 {
                probes.push(IndexProbe {
                    index,
                    lock: LockSide::Base,
                    host: Some((*host).clone()),
                    runs,
                });
            }
        }
    }
    // A host that is gone can't make the reruns that would prove this.
    let is_gone = |probe: &IndexProbe| probe.host.as_ref().is_some_and(|host| !case.hosts.contains(host));
    if fails.is_empty() || passes.is_empty() || probes.iter().any(is_gone) {
        return HostBlame::Nothing;
    }
    match probes.is_empty() {
        true => HostBlame::Hosts(fails),
        false => HostBlame::NeedsRuns(probes),
    }
}

/// Returns the reruns that two revisions still need to have `wanted` decided samples each. The reruns come in pairs on
/// one host, so that the two revisions can't differ in their hosts.
pub(super) fn paired_probes(
    case: &Case,
    samples: &Samples,
    (good, bad): (usize, usize),
    wanted: usize,
) -> Vec<IndexProbe> {
    let decided = |index| Count::at(samples, index, LockSide::Base).decided();
    let ends = [(good, decided(good)), (bad, decided(bad))];
    let first = ends[0].1.min(ends[1].1);
    let mut probes = Vec::new();
    for pair in first..wanted {
        let host = (!case.hosts.is_empty()).then(|| case.hosts[pair % case.hosts.len()].clone());
        for (index, decided) in ends {
            if pair >= decided {
                probes.push(IndexProbe {
                    index,
                    lock: LockSide::Base,
                    host: host.clone(),
                    runs: 1,
                });
            }
        }
    }
    probes
}
