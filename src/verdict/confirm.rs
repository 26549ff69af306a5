//! Both sides again, side by side, with the same dependencies, before anyone is told.

use super::case::{Answer, Case, Count, Lock, Next, NotCpython, Probe, Sample, Samples};
use super::locks::Differ;
use super::stats::{fisher, passes_needed};
use std::collections::BTreeMap;

/// Runs of each side at first. If something fails every other time, it looks like a break by chance once in 64.
const FIRST: usize = 3;

/// Runs of each side where they disagree: until it can be told from chance, or not.
const MORE: [usize; 5] = [8, 16, 28, 40, 64];

/// Passes on the bad side after which a failure is not waited for any more: of what fails in a third of its runs, one in
/// 130 is let go so.
const AGAIN: usize = 12;

/// For what is likelier than this, chance is the answer; what is not is still looked into, and then proved.
const CHANCE: f64 = 0.001;

/// What is told without that proof, or after it, is less likely chance than this: thousands of tests are looked at.
pub(super) const PROVED: f64 = 1e-6;

/// Where both sides fail as often as this, more runs will not tell them apart.
const HOPELESS: f64 = 0.2;

/// Runs of each side on each of two hosts, all of which must agree, before a host is to blame.
const OF_A_HOST: usize = 6;

pub(super) enum Confirmed {
    Ask(Vec<Probe>),
    /// How often it fails where not always.
    Yes(Option<f64>),
    /// It failed before too, and now does so more often: at this rate.
    Flakier(f64),
    No(Answer),
}

/// A check-in that is proved for another project, which fails in the same way, needs no search: a few runs of it and of
/// the one before it say whether it is that here too. None: it is not, or there is none.
pub(super) fn hinted(case: &Case, samples: &Samples) -> Option<Next> {
    let place = case
        .hint
        .filter(|place| (1..=case.last).contains(place) && !case.is_noisy)?;
    let at = |place| Count::at(samples, place, Lock::Base);
    let (good, bad) = (at(place - 1), at(place));
    if good.failed > 0 || bad.passed > 0 || good.silent().is_some() || bad.silent().is_some() {
        return None;
    }
    Some(match pairs(case, samples, (place - 1, place), FIRST) {
        missing if missing.is_empty() => Next::Answer(Answer::Culprit { place, rate: None }),
        missing => Next::Confirm(missing),
    })
}

pub(super) fn confirm(case: &Case, samples: &Samples) -> Confirmed {
    let at = |place, lock| Count::at(samples, place, lock);
    let (good, bad) = (at(0, Lock::Base), at(case.last, Lock::Base));
    for (side, count) in [("older", good), ("newer", bad)] {
        if let Some(missing) = count.silent() {
            let reason = format!("the {side} check-in tells nothing of it: {missing}");
            return Confirmed::No(Answer::Inconclusive(reason));
        }
    }
    let runs = good.all().min(bad.all());
    let first = if case.is_noisy { MORE[0] } else { FIRST };
    // so rarely broken, the one before the repair may well pass a few times
    let seldom = case.rate.map_or(0, |rate| passes_needed(rate, CHANCE).min(MORE[4]));
    let first = first.max(seldom);
    if runs < first {
        return Confirmed::Ask(pairs(case, samples, (0, case.last), first));
    }
    match (good.failed, good.passed, bad.failed, bad.passed) {
        (0, _, _, 0) => Confirmed::Yes(None),
        (0, _, 0, _) if let Some(differ) = case.differ => versions(case, samples, differ),
        (0, _, 0, passed) if passed < AGAIN => Confirmed::Ask(vec![Probe {
            place: case.last,
            lock: Lock::Base,
            host: None,
            runs: AGAIN - passed,
        }]),
        (0, _, 0, _) => Confirmed::No(Answer::NotCpython(NotCpython::NotSeenAgain)),
        (_, 0, _, 0) => Confirmed::No(Answer::NotCpython(NotCpython::FailsOnBoth)),
        _ => mixed(case, samples, good, bad),
    }
}

/// With the versions of before it passes on both sides: it is they, if it fails with those of now.
fn versions(case: &Case, samples: &Samples, differ: Differ) -> Confirmed {
    let now = Count::at(samples, case.last, Lock::Now);
    let changed = Answer::NotCpython(match differ {
        Differ::Dependencies => NotCpython::DependencyChanged,
        Differ::Project => NotCpython::ProjectChanged,
    });
    Confirmed::No(match (now.failed, now.passed) {
        _ if now.silent().is_some() => changed,
        (failed, passed) if failed + passed < FIRST => {
            return Confirmed::Ask(vec![Probe {
                place: case.last,
                lock: Lock::Now,
                host: None,
                runs: FIRST - failed - passed,
            }]);
        }
        (0, _) => Answer::NotCpython(NotCpython::NotSeenAgain),
        (_, 0) => changed,
        _ => Answer::NotCpython(NotCpython::Flaky { rate: now.rate() }),
    })
}

/// It passes and fails on one and the same image.
fn mixed(case: &Case, samples: &Samples, good: Count, bad: Count) -> Confirmed {
    let runs = good.all().min(bad.all());
    match host(case, samples) {
        Some(Ok(hosts)) => return Confirmed::No(Answer::NotCpython(NotCpython::HostSpecific(hosts))),
        Some(Err(probes)) if runs < MORE[1] => return Confirmed::Ask(probes),
        _ => {}
    }
    let chance = fisher(good.pair(), bad.pair());
    if runs >= MORE[0] && good.failed == 0 && chance < CHANCE {
        return Confirmed::Yes(Some(bad.rate()));
    }
    // what is known to fail now and then and never does any more: nobody is blamed for that
    let is_over = case.rate.is_some() && bad.passed == 0 && chance < CHANCE;
    if chance < PROVED || is_over {
        return Confirmed::Flakier(bad.rate());
    }
    let hopeless = runs >= MORE[1] && good.failed > 0 && chance > HOPELESS;
    match MORE.into_iter().find(|more| *more > runs) {
        Some(more) if !hopeless => Confirmed::Ask(pairs(case, samples, (0, case.last), more)),
        _ => {
            let all = Count {
                passed: good.passed + bad.passed,
                failed: good.failed + bad.failed,
                ..Count::default()
            };
            Confirmed::No(Answer::NotCpython(NotCpython::Flaky { rate: all.rate() }))
        }
    }
}

/// Whether a host is to blame: on some it always fails, on others it never does. What is missing to say so.
fn host(case: &Case, samples: &Samples) -> Option<Result<Vec<String>, Vec<Probe>>> {
    let by_host = |place| {
        let mut hosts: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
        for sample in samples.get(&(place, Lock::Base)).into_iter().flatten() {
            hosts.entry(&sample.host).or_default().push(sample);
        }
        hosts
    };
    let (good, bad) = (by_host(0), by_host(case.last));
    let (mut fails, mut passes, mut probes) = (Vec::new(), Vec::new(), Vec::new());
    for (host, samples) in &bad {
        let sides = [
            Count::of(good.get(host).into_iter().flatten().copied()),
            Count::of(samples.iter().copied()),
        ];
        match sides.map(|side| (side.passed, side.failed)) {
            // on this host it fails now, or it fails there whatever runs
            [(_, 0), (0, 1..)] | [(0, 1..), (0, 1..)] => fails.push((*host).to_owned()),
            [(_, 0), (1.., 0)] => passes.push((*host).to_owned()),
            _ => return None,
        }
        for (place, side) in [(0, sides[0]), (case.last, sides[1])] {
            let runs = OF_A_HOST.saturating_sub(side.all());
            if runs > 0 {
                probes.push(Probe {
                    place,
                    lock: Lock::Base,
                    host: Some((*host).to_owned()),
                    runs,
                });
            }
        }
    }
    // one that is gone can't be asked any more
    let gone = |probe: &Probe| probe.host.as_ref().is_some_and(|host| !case.hosts.contains(host));
    if fails.is_empty() || passes.is_empty() || probes.iter().any(gone) {
        return None;
    }
    Some(if probes.is_empty() { Ok(fails) } else { Err(probes) })
}

/// What is missing to so many runs of two places: in pairs, each on one host, so that a host can't be the difference.
pub(super) fn pairs(case: &Case, samples: &Samples, (good, bad): (usize, usize), wanted: usize) -> Vec<Probe> {
    let there = |place| Count::at(samples, place, Lock::Base).all();
    let sides = [(good, there(good)), (bad, there(bad))];
    let first = sides[0].1.min(sides[1].1);
    let mut probes = Vec::new();
    for pair in first..wanted {
        let host = (!case.hosts.is_empty()).then(|| case.hosts[pair % case.hosts.len()].clone());
        for (place, there) in sides {
            if pair >= there {
                probes.push(Probe {
                    place,
                    lock: Lock::Base,
                    host: host.clone(),
                    runs: 1,
                });
            }
        }
    }
    probes
}
