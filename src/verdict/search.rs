//! The search for the culprit: each round tries as many revisions as there are free hosts, spread evenly over the
//! remaining range.

use super::answer::{Answer, RangeReason};
use super::case::{Case, IndexProbe, NextAction};
use super::confirm::{PROVED, paired_probes};
use super::samples::{Count, LockSide, Samples};
use super::stats::{fisher, passes_needed};
use super::subject::Untestable;

/// The runs of the culprit and of the revision before it, all of which must agree. For a subject that fails in half of
/// its runs, chance does this once in 65,000 times.
const PROOF_RUNS: usize = 8;

/// The accepted probability that a flaky subject passes all runs of a revision that is bad.
const FALSE_GOOD: f64 = 1e-4;

/// The factor by which the real failure rate may be lower than the measured one.
const RATE_MARGIN: f64 = 0.65;

/// The most runs of one revision. The two revisions of a proof get twice as many if they are still in doubt.
const MAX_RUNS: usize = 80;

/// The number of untestable revisions between the last good and the first bad one from which the range becomes the
/// answer.
const UNTESTABLE_REVISIONS: usize = 3;

/// Returns the most rounds in which `hosts` hosts find and prove one of `candidates` revisions.
///
/// The proof takes one round, or two for a flaky subject (`is_rare`). `ends` is 1, or 2 if the answer is a range of
/// untestable revisions: each of its ends takes a search.
pub fn rounds_bound(candidates: usize, hosts: usize, ends: usize, is_rare: bool) -> usize {
    let parts = hosts.max(1) + 1;
    let (mut rounds, mut reach) = (0, 1);
    while reach < candidates {
        reach = reach.saturating_mul(parts);
        rounds += 1;
    }
    rounds * ends.max(1) + 1 + usize::from(is_rare)
}

/// The state of one revision by its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Good,
    Bad,
    Untestable(Untestable),
    /// The revision passed, but needs this many more passes to count as good.
    Undecided(usize),
    Unknown,
}

/// Returns the next round of the search, or its answer. `rate` is the part of runs in which the bad end fails, from 0
/// to 1; `None` stands for all.
pub(super) fn search(case: &Case, samples: &Samples, rate: Option<f64>) -> NextAction {
    let at = |index| Count::at(samples, index, LockSide::Base);
    let indexes: Vec<usize> = samples
        .keys()
        .filter(|(index, lock)| *lock == LockSide::Base && *index <= case.last)
        .map(|(index, _)| *index)
        .collect();
    // A revision that both passes and fails shows that the subject is flaky after all.
    let rate = rate.or_else(|| {
        let counts = indexes.iter().map(|index| at(*index));
        counts
            .filter(|count| count.failed > 0 && count.passed > 0 && count.decided() >= PROOF_RUNS)
            .map(Count::failure_rate)
            .reduce(f64::min)
    });
    let enough = rate.map_or(1, |rate| passes_needed(rate * RATE_MARGIN, FALSE_GOOD).min(MAX_RUNS));
    let class = |index: usize| match at(index) {
        count if count.failed > 0 => Class::Bad,
        _ if index == 0 => Class::Good,
        count if count.passed >= enough => Class::Good,
        count => match count.why_untestable() {
            Some(reason) => Class::Untestable(reason),
            None if count.passed > 0 => Class::Undecided(enough - count.passed),
            None => Class::Unknown,
        },
    };

    // The last change from good to bad: if it broke, was fixed and broke again, the second break is the one that counts.
    let good = indexes
        .iter()
        .copied()
        .rfind(|index| *index < case.last && class(*index) == Class::Good);
    let good = good.unwrap_or(0);
    let bad = indexes
        .iter()
        .copied()
        .find(|index| *index > good && class(*index) == Class::Bad);
    let bad = bad.unwrap_or(case.last);

    let between = indexes.iter().copied().filter(|index| (good + 1..bad).contains(index));
    let undecided: Vec<IndexProbe> = between
        .clone()
        .filter_map(|index| match class(index) {
            Class::Undecided(runs) => Some(probe(index, runs)),
            _ => None,
        })
        .collect();
    if !undecided.is_empty() {
        return NextAction::Search(undecided);
    }
    let untestable: Vec<(usize, Untestable)> = between
        .filter_map(|index| match class(index) {
            Class::Untestable(reason) => Some((index, reason)),
            _ => None,
        })
        .collect();
    let skipped: Vec<usize> = untestable.iter().map(|(index, _)| *index).collect();
    let indexes = split(good, bad, &skipped, case.hosts.len());
    if !indexes.is_empty() {
        return NextAction::Search(indexes.into_iter().map(|index| probe(index, enough)).collect());
    }
    prove(case, samples, (good, bad), &untestable, rate)
}

/// Reruns the last good and the first bad revision until they prove the answer.
fn prove(
    case: &Case,
    samples: &Samples,
    (good, bad): (usize, usize),
    untestable: &[(usize, Untestable)],
    rate: Option<f64>,
) -> NextAction {
    let at = |index| Count::at(samples, index, LockSide::Base);
    for (side, index) in [("before", good), ("after", bad)] {
        if let Some(why) = at(index).why_untestable() {
            let reason = format!("the revision {side} the change gives too few results: {why}");
            return NextAction::Answer(Answer::Inconclusive(reason));
        }
    }
    let is_unproved = fisher(at(good).for_fisher(), at(bad).for_fisher()) >= PROVED;
    // The runs that led here were selected by their results, so as many new ones have to agree. If doubt remains, the
    // revisions get the same number once more.
    let runs = match rate {
        None => PROOF_RUNS,
        Some(_) if is_unproved && at(good).decided().min(at(bad).decided()) >= MAX_RUNS => 2 * MAX_RUNS,
        Some(_) => MAX_RUNS,
    };
    // On all hosts in turn: on a host that always fails, the bad revision would fail whatever CPython does.
    let probes = paired_probes(case, samples, (good, bad), runs);
    if !probes.is_empty() {
        return NextAction::Search(probes);
    }
    if rate.is_some() && is_unproved {
        return NextAction::Answer(Answer::Inconclusive(format!(
            "it fails too rarely to find the revision that caused it: {:.0} % of runs",
            at(bad).failure_rate() * 100.0
        )));
    }
    let rate = rate.map(|_| at(bad).failure_rate());
    // Of several reasons, report the one that is farthest from a result.
    let reason = untestable.iter().map(|(_, reason)| *reason).min();
    NextAction::Answer(match reason {
        Some(reason) if bad - good > 1 => Answer::Range {
            good,
            bad,
            why: RangeReason::Untestable(reason),
            rate,
        },
        _ => Answer::Culprit { index: bad, rate },
    })
}

fn probe(index: usize, runs: usize) -> IndexProbe {
    IndexProbe {
        index,
        lock: LockSide::Base,
        host: None,
        runs,
    }
}

/// Returns the indexes to try next between a good and a bad one. They are spread evenly or, if some revisions are
/// untestable, lie in the largest gaps around those. Returns none if only untestable revisions are left, or if the
/// first and the last gap are empty and [`UNTESTABLE_REVISIONS`] revisions are untestable.
fn split(good: usize, bad: usize, untestable: &[usize], hosts: usize) -> Vec<usize> {
    let mut edges = vec![good];
    edges.extend(untestable);
    edges.push(bad);
    // The first and the last gap lead to an answer. What lies between two untestable revisions is likely untestable too.
    let gaps: Vec<(usize, usize)> = edges.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let last = gaps.len() - 1;
    let inside = |(from, to): (usize, usize)| to - from - 1;
    let outer: usize = [0, last].into_iter().map(|gap| inside(gaps[gap])).sum();
    if outer == 0 && (untestable.len() >= UNTESTABLE_REVISIONS || gaps.iter().all(|gap| inside(*gap) == 0)) {
        return Vec::new();
    }
    let weight = |gap: usize| {
        let size = inside(gaps[gap]);
        if gap == 0 || gap == last || outer == 0 {
            16 * size
        } else {
            size
        }
    };
    let mut share = vec![0; gaps.len()];
    for _ in 0..hosts.max(1) {
        let room = (0..gaps.len()).filter(|gap| share[*gap] < inside(gaps[*gap]));
        let Some(largest) = room.max_by_key(|gap| weight(*gap) * 1000 / (share[*gap] + 1)) else {
            break;
        };
        share[largest] += 1;
    }
    let mut indexes = Vec::new();
    for ((from, to), share) in gaps.into_iter().zip(share) {
        indexes.extend((1..=share).map(|at| from + (to - from) * at / (share + 1)));
    }
    indexes
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
