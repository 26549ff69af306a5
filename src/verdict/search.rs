//! Which check-in it was: as many places at a time as there are free hosts, evenly spread over what is left.

use super::case::{Answer, Case, Count, Lock, Next, Probe, Samples, Why};
use super::confirm::{PROVED, pairs};
use super::stats::{fisher, passes_needed};
use super::subject::Missing;

/// Runs of the culprit, and of the check-in before it, all of which must agree: something that fails every other time
/// does so once in 65,000.
const PROOF: usize = 8;

/// How likely it may be that something which fails now and then passes so often at one place.
const ERROR: f64 = 1e-4;

/// A measured rate of failures may be higher than the real one by this factor.
const MARGIN: f64 = 0.65;

/// Runs of one place at most; of the two that are to be proved twice as many, if that is still in doubt.
const MOST: usize = 80;

/// Between a last good and a first bad place nothing can be seen: so many places have to say so.
const BLANKS: usize = 3;

/// Rounds in which `hosts` hosts find one of `candidates` check-ins, and those in which that is proved: one, or two for
/// what fails now and then. A stretch in which nothing can be seen has `ends` of its own to be found, each by a search.
pub fn rounds_bound(candidates: usize, hosts: usize, ends: usize, is_rare: bool) -> usize {
    let parts = hosts.max(1) + 1;
    let (mut rounds, mut reach) = (0, 1);
    while reach < candidates {
        reach = reach.saturating_mul(parts);
        rounds += 1;
    }
    rounds * ends.max(1) + 1 + usize::from(is_rare)
}

/// What a place is, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Good,
    Bad,
    /// It says nothing.
    Blank(Missing),
    /// It passed too seldom yet to be called good: so many runs are missing.
    Half(usize),
    Unknown,
}

/// `rate`: how often it fails on the bad side, where not always.
pub(super) fn search(case: &Case, samples: &Samples, rate: Option<f64>) -> Next {
    let at = |place| Count::at(samples, place, Lock::Base);
    let places: Vec<usize> = samples
        .keys()
        .filter(|(place, lock)| *lock == Lock::Base && *place <= case.last)
        .map(|(place, _)| *place)
        .collect();
    // a place that both passes and fails: it is not as plain as it looked
    let rate = rate.or_else(|| {
        let mixed = places.iter().map(|place| at(*place));
        mixed
            .filter(|count| count.failed > 0 && count.passed > 0 && count.all() >= PROOF)
            .map(Count::rate)
            .reduce(f64::min)
    });
    let enough = rate.map_or(1, |rate| passes_needed(rate * MARGIN, ERROR).min(MOST));
    let class = |place: usize| match at(place) {
        count if count.failed > 0 => Class::Bad,
        _ if place == 0 => Class::Good,
        count if count.passed >= enough => Class::Good,
        count => match count.silent() {
            Some(missing) => Class::Blank(missing),
            None if count.passed > 0 => Class::Half(enough - count.passed),
            None => Class::Unknown,
        },
    };

    // the last change from good to bad: of two breaks with a repair between them, the one that is there now
    let good = places
        .iter()
        .copied()
        .rfind(|place| *place < case.last && class(*place) == Class::Good);
    let good = good.unwrap_or(0);
    let bad = places
        .iter()
        .copied()
        .find(|place| *place > good && class(*place) == Class::Bad);
    let bad = bad.unwrap_or(case.last);

    let halves = places.iter().filter(|place| (good + 1..bad).contains(*place));
    let halves: Vec<Probe> = halves
        .filter_map(|place| match class(*place) {
            Class::Half(runs) => Some(probe(*place, runs)),
            _ => None,
        })
        .collect();
    if !halves.is_empty() {
        return Next::Search(halves);
    }
    let blanks: Vec<(usize, Missing)> = places
        .iter()
        .filter(|place| (good + 1..bad).contains(*place))
        .filter_map(|place| match class(*place) {
            Class::Blank(missing) => Some((*place, missing)),
            _ => None,
        })
        .collect();
    let wanted = split(
        good,
        bad,
        &blanks.iter().map(|blank| blank.0).collect::<Vec<_>>(),
        case.hosts.len(),
    );
    if !wanted.is_empty() {
        return Next::Search(wanted.into_iter().map(|place| probe(place, enough)).collect());
    }
    prove(case, samples, (good, bad), &blanks, rate)
}

/// Runs the two ends again before they are named.
fn prove(
    case: &Case,
    samples: &Samples,
    (good, bad): (usize, usize),
    blanks: &[(usize, Missing)],
    rate: Option<f64>,
) -> Next {
    let at = |place| Count::at(samples, place, Lock::Base);
    for (side, place) in [("before", good), ("after", bad)] {
        if let Some(missing) = at(place).silent() {
            let reason = format!("the check-in {side} the change tells of it too seldom: {missing}");
            return Next::Answer(Answer::Inconclusive(reason));
        }
    }
    let unproved = fisher(at(good).pair(), at(bad).pair()) >= PROVED;
    // what led here was picked out: as much again has to say the same, and what is still in doubt is asked once more
    let proof = match rate {
        None => PROOF,
        Some(_) if unproved && at(good).all().min(at(bad).all()) >= MOST => 2 * MOST,
        Some(_) => MOST,
    };
    // on all hosts in turn: one that fails whatever it runs would prove anything
    let missing = pairs(case, samples, (good, bad), proof);
    if !missing.is_empty() {
        return Next::Search(missing);
    }
    if rate.is_some() && unproved {
        return Next::Answer(Answer::Inconclusive(format!(
            "it fails too seldom to find where that began: {:.0} % of runs",
            at(bad).rate() * 100.0
        )));
    }
    let rate = rate.map(|_| at(bad).rate());
    // where several things stand in the way, the one that is the farthest from a result
    let why = blanks.iter().map(|blank| blank.1).min();
    Next::Answer(match why {
        Some(missing) if bad - good > 1 => Answer::Range {
            good,
            bad,
            why: Why::Missing(missing),
            rate,
        },
        _ => Answer::Culprit { place: bad, rate },
    })
}

fn probe(place: usize, runs: usize) -> Probe {
    Probe {
        place,
        lock: Lock::Base,
        host: None,
        runs,
    }
}

/// Where to look next between a good and a bad place: evenly, where nothing is known; else in the largest gaps between
/// places that said nothing. Empty: what is left says nothing.
fn split(good: usize, bad: usize, blanks: &[usize], hosts: usize) -> Vec<usize> {
    let mut edges = vec![good];
    edges.extend(blanks);
    edges.push(bad);
    // gaps at the ends lead to an answer; what lies between two blanks is most likely blank too
    let gaps: Vec<(usize, usize)> = edges.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let last = gaps.len() - 1;
    let inside = |(from, to): (usize, usize)| to - from - 1;
    let outer: usize = [0, last].into_iter().map(|gap| inside(gaps[gap])).sum();
    if outer == 0 && (blanks.len() >= BLANKS || gaps.iter().all(|gap| inside(*gap) == 0)) {
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
    let mut places = Vec::new();
    for ((from, to), share) in gaps.into_iter().zip(share) {
        places.extend((1..=share).map(|at| from + (to - from) * at / (share + 1)));
    }
    places
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
