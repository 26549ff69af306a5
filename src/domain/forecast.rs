//! Estimates when queued jobs are done, from how long such jobs took recently. This is a pure rule. It is an estimate: new
//! jobs, priorities and hosts that come or go are not part of it.

use super::id::HostId;
use std::collections::{BTreeMap, BTreeSet};

/// Jobs that are alike, and the hosts that may do them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    pub jobs: i64,
    /// How long one job takes, in milliseconds. `None` if no job has ended yet that is like these.
    pub expected_ms: Option<i64>,
    /// The hosts that take these jobs now.
    pub hosts: BTreeSet<HostId>,
}

/// Estimates in how many milliseconds the last job of each load ends, in the order of `loads`. `slots` says how many jobs
/// each host does at the same time, and `usual_ms` how long a job of a load without a duration takes. Returns `None` for a load
/// that no host takes, and for one without a duration.
///
/// Loads take turns, as the groups of the queue do: when a load of `n` jobs is done, every other load has had `n` turns, or
/// is done. So the work before that moment is the sum of `min(n, jobs) * expected_ms`, of which these hosts do their share.
/// However many slots there are, one job after the other takes its time in each.
pub fn forecast(loads: &[Load], slots: &BTreeMap<HostId, i64>, usual_ms: i64) -> Vec<Option<i64>> {
    // loads with the same hosts are one pool; there are few pools, and there may be thousands of loads
    let mut pools: BTreeMap<&BTreeSet<HostId>, Pool> = BTreeMap::new();
    for load in loads {
        let expected = load.expected_ms.unwrap_or(usual_ms) as f64;
        pools.entry(&load.hosts).or_default().add(load.jobs, expected);
    }
    pools.values_mut().for_each(Pool::sort);
    let slots_of = |hosts: &BTreeSet<HostId>| hosts.iter().filter_map(|host| slots.get(host)).sum::<i64>() as f64;
    let work_before = |load: &Load| -> f64 {
        let shared = |(hosts, pool): (&&BTreeSet<HostId>, &Pool)| {
            let of_pool = slots_of(hosts);
            let both: BTreeSet<HostId> = hosts.intersection(&load.hosts).cloned().collect();
            match of_pool > 0.0 {
                true => pool.work(load.jobs) * slots_of(&both) / of_pool,
                false => 0.0,
            }
        };
        pools.iter().map(shared).sum()
    };
    let mut spread: BTreeMap<(&BTreeSet<HostId>, i64), f64> = BTreeMap::new();
    let mut ends = Vec::new();
    for load in loads {
        let (own, expected) = (slots_of(&load.hosts), load.expected_ms);
        ends.push(expected.filter(|_| own > 0.0).map(|expected| {
            let shared = *spread
                .entry((&load.hosts, load.jobs))
                .or_insert_with(|| work_before(load) / own);
            let alone = (load.jobs as f64 / own).ceil() * expected as f64;
            shared.max(alone) as i64
        }));
    }
    ends
}

/// The loads of the same hosts, fewest jobs first.
#[derive(Default)]
struct Pool {
    loads: Vec<(i64, f64)>,
    /// The work of all loads up to each, and the duration of one job of each load from there on.
    sums: Vec<(f64, f64)>,
}

impl Pool {
    fn add(&mut self, jobs: i64, expected_ms: f64) {
        self.loads.push((jobs, expected_ms));
    }

    fn sort(&mut self) {
        self.loads.sort_by_key(|(jobs, _)| *jobs);
        let mut later: f64 = self.loads.iter().map(|(_, expected)| expected).sum();
        let mut work = 0.0;
        self.sums.push((work, later));
        for (jobs, expected) in &self.loads {
            work += *jobs as f64 * expected;
            later -= expected;
            self.sums.push((work, later.max(0.0)));
        }
    }

    /// Returns the work after `turns` turns of each load, in milliseconds.
    fn work(&self, turns: i64) -> f64 {
        let ended = self.loads.partition_point(|(jobs, _)| *jobs <= turns);
        let (work, a_turn) = self.sums.get(ended).copied().unwrap_or_default();
        work + a_turn * turns as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(jobs: i64, expected_ms: Option<i64>, hosts: &[&str]) -> Load {
        Load {
            jobs,
            expected_ms,
            hosts: hosts.iter().map(|host| HostId::from(*host)).collect(),
        }
    }

    fn slots(of: &[(&str, i64)]) -> BTreeMap<HostId, i64> {
        of.iter().map(|(host, slots)| (HostId::from(*host), *slots)).collect()
    }

    #[test]
    fn loads_take_turns() {
        let one = slots(&[("a", 1)]);
        // both have two turns until the first is done
        let loads = [load(2, Some(10), &["a"]), load(5, Some(100), &["a"])];
        assert_eq!(forecast(&loads, &one, 0), [Some(220), Some(520)]);
        let two = slots(&[("a", 2)]);
        // five jobs of 100 take three rounds in two slots
        assert_eq!(forecast(&loads, &two, 0), [Some(110), Some(300)]);
    }

    #[test]
    fn many_slots_make_no_job_shorter() {
        let many = slots(&[("a", 20)]);
        assert_eq!(forecast(&[load(1, Some(600), &["a"])], &many, 0), [Some(600)]);
        let two = slots(&[("a", 2)]);
        assert_eq!(forecast(&[load(3, Some(60), &["a"])], &two, 0), [Some(120)]);
    }

    #[test]
    fn hosts_do_their_share_of_what_others_may_do_too() {
        let both = slots(&[("a", 1), ("b", 1)]);
        // half of the second load is done on b
        let loads = [load(2, Some(10), &["a"]), load(2, Some(10), &["a", "b"])];
        assert_eq!(forecast(&loads, &both, 0), [Some(30), Some(20)]);
        let apart = [load(2, Some(10), &["a"]), load(9, Some(10), &["b"])];
        assert_eq!(forecast(&apart, &both, 0), [Some(20), Some(90)]);
    }

    #[test]
    fn what_nobody_takes_and_what_was_never_measured_has_no_end() {
        let one = slots(&[("a", 1)]);
        let loads = [load(2, Some(10), &[]), load(1, None, &["a"]), load(1, Some(10), &["a"])];
        // the second one takes its turn all the same
        assert_eq!(forecast(&loads, &one, 30), [None, None, Some(40)]);
        assert_eq!(forecast(&[], &one, 0), []);
    }

    #[test]
    fn the_estimate_of_many_loads_equals_that_of_the_plain_sum() {
        let three = slots(&[("a", 3)]);
        let loads: Vec<Load> = (1..40)
            .map(|n| load(n * 7 % 13 + 1, Some(n * 31 % 17 + 1), &["a"]))
            .collect();
        let plain = |n: i64| {
            let work = loads.iter().map(|load| load.jobs.min(n) * load.expected_ms.unwrap());
            work.sum::<i64>() / 3
        };
        let expected: Vec<Option<i64>> = loads.iter().map(|load| Some(plain(load.jobs))).collect();
        assert_eq!(forecast(&loads, &three, 0), expected);
    }
}
