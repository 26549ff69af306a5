//! Estimates when queued jobs are done, from how long such jobs took recently. This is a pure rule. It is an estimate: new
//! jobs, priorities and hosts that come or go are not part of it.

use super::id::HostId;
use std::collections::{BTreeMap, BTreeSet};

/// Jobs that are alike, and the hosts that may do them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    pub jobs: i64,
    /// How long one job takes, in milliseconds. `None` if none has ended yet.
    pub expected_ms: Option<i64>,
    /// The hosts that take these jobs now.
    pub hosts: BTreeSet<HostId>,
}

/// Estimates in how many milliseconds the last job of each load ends, in the order of `loads`. `slots` says how many jobs
/// each host does at the same time. Returns `None` for a load that no host takes, and if no load has a duration.
///
/// Loads take turns, as the groups of the queue do: when a load of `n` jobs is done, every other load has had `n` turns, or
/// is done. So the work before that moment is the sum of `min(n, jobs) * expected_ms`, of which these hosts do their share.
/// A load without a duration counts with the mean of the others.
pub fn forecast(loads: &[Load], slots: &BTreeMap<HostId, i64>) -> Vec<Option<i64>> {
    let measured: Vec<i64> = loads.iter().filter_map(|load| load.expected_ms).collect();
    let mean = (!measured.is_empty()).then(|| measured.iter().sum::<i64>() as f64 / measured.len() as f64);
    let Some(mean) = mean else {
        return vec![None; loads.len()];
    };
    // loads with the same hosts are one pool; there are few pools, and there may be thousands of loads
    let mut pools: BTreeMap<&BTreeSet<HostId>, Pool> = BTreeMap::new();
    for load in loads {
        let expected = load.expected_ms.map_or(mean, |ms| ms as f64);
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
    let mut done: BTreeMap<(&BTreeSet<HostId>, i64), Option<i64>> = BTreeMap::new();
    let estimate = |load: &Load| {
        let own = slots_of(&load.hosts);
        (own > 0.0).then(|| (work_before(load) / own) as i64)
    };
    loads
        .iter()
        .map(|load| *done.entry((&load.hosts, load.jobs)).or_insert_with(|| estimate(load)))
        .collect()
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
        assert_eq!(forecast(&loads, &one), [Some(220), Some(520)]);
        let two = slots(&[("a", 2)]);
        assert_eq!(forecast(&loads, &two), [Some(110), Some(260)]);
    }

    #[test]
    fn hosts_do_their_share_of_what_others_may_do_too() {
        let both = slots(&[("a", 1), ("b", 1)]);
        // half of the second load is done on b
        let loads = [load(2, Some(10), &["a"]), load(2, Some(10), &["a", "b"])];
        assert_eq!(forecast(&loads, &both), [Some(30), Some(20)]);
        let apart = [load(2, Some(10), &["a"]), load(9, Some(10), &["b"])];
        assert_eq!(forecast(&apart, &both), [Some(20), Some(90)]);
    }

    #[test]
    fn what_nobody_takes_has_no_end() {
        let one = slots(&[("a", 1)]);
        let loads = [load(2, Some(10), &[]), load(1, Some(10), &["a"])];
        assert_eq!(forecast(&loads, &one), [None, Some(10)]);
        assert_eq!(forecast(&[], &one), []);
    }

    #[test]
    fn a_load_without_a_duration_counts_as_the_mean_of_the_others() {
        let one = slots(&[("a", 1)]);
        let loads = [
            load(1, Some(10), &["a"]),
            load(1, Some(30), &["a"]),
            load(1, None, &["a"]),
        ];
        assert_eq!(forecast(&loads, &one), [Some(60); 3]);
        assert_eq!(forecast(&[load(1, None, &["a"])], &one), [None]);
    }

    #[test]
    fn the_estimate_of_many_loads_equals_that_of_the_plain_sum() {
        let one = slots(&[("a", 3)]);
        let loads: Vec<Load> = (1..40)
            .map(|n| load(n * 7 % 13 + 1, Some(n * 31 % 17 + 1), &["a"]))
            .collect();
        let plain = |n: i64| {
            loads
                .iter()
                .map(|load| load.jobs.min(n) * load.expected_ms.unwrap())
                .sum::<i64>()
                / 3
        };
        let expected: Vec<Option<i64>> = loads.iter().map(|load| Some(plain(load.jobs))).collect();
        assert_eq!(forecast(&loads, &one), expected);
    }
}
