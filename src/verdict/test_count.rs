//! How many tests a run had, compared with the run before.

use super::history::HistoryEntry;

/// A number of tests that is smaller than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FewerTests {
    /// The index of the baseline: the last entry before that says how many tests it ran.
    pub base: usize,
    pub before: usize,
    pub now: usize,
}

impl FewerTests {
    /// Whether the number fell to nothing or by half, which is a suspicion. A smaller fall is only shown.
    pub fn is_fall(&self) -> bool {
        is_fall(self.before, self.now)
    }
}

/// Whether a number of tests fell to nothing or by half.
pub fn is_fall(before: usize, now: usize) -> bool {
    before > 0 && now <= before / 2
}

/// Returns how many tests the newest entry ran, if those are fewer than in its baseline. Returns `None` if another recipe made the
/// baseline: its owner chose other tests.
pub fn fewer_tests(history: &[HistoryEntry]) -> Option<FewerTests> {
    let (newest, earlier) = history.split_last()?;
    let now = newest.end.count_run()?;
    let mut counts = earlier.iter().enumerate().rev();
    let (base, before) = counts.find_map(|(base, entry)| Some((base, entry.end.count_run()?)))?;
    let is_fewer = now < before && earlier[base].recipe == newest.recipe;
    is_fewer.then_some(FewerTests { base, before, now })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Outcome;
    use crate::domain::results::{Failure, Tests};
    use crate::verdict::RunEnd;

    fn entry(passed: &[&str], failed: &[&str], skipped: &[&str]) -> HistoryEntry {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let tests = Tests {
            passed: names(passed),
            failed: failed.iter().map(|name| Failure::of(name, "boom")).collect(),
            skipped: names(skipped),
            ..Tests::default()
        };
        HistoryEntry::new("r".into(), RunEnd::Run(Outcome::Passed, Some(tests)))
    }

    #[test]
    fn a_smaller_number_of_tests_is_seen_and_skipped_ones_count_as_none() {
        let crashed = HistoryEntry::new("c".into(), RunEnd::Run(Outcome::Crashed { signal: 11 }, None));
        let history = [
            entry(&["a", "b", "c"], &["d"], &["e"]),
            crashed,
            // skipped now
            entry(&["a", "c", "x"], &[], &["b", "d", "e"]),
        ];
        let fewer = fewer_tests(&history).unwrap();
        assert_eq!(
            (fewer, fewer.is_fall()),
            (
                FewerTests {
                    base: 0,
                    before: 4,
                    now: 3
                },
                false
            )
        );
        let [first, _, last] = history;
        assert_eq!(fewer_tests(&[last.clone(), first.clone()]), None);
        let chosen = HistoryEntry {
            recipe: "another".to_owned(),
            ..last
        };
        assert_eq!(fewer_tests(&[first, chosen]), None);
    }
}
