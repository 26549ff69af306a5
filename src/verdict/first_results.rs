//! Decides about results of new hosts. Such a result counts once another host has repeated it with the same outcome.

use crate::domain::state::Repetition;

/// The most repetitions for a new host, as a multiple of the repetitions that have to agree.
const REPEATS_MOST: usize = 4;

/// A result of a host, with the facts that decide whether it counts.
#[derive(Clone, Copy, Debug)]
pub struct FirstResult<'a> {
    /// Whether its host is new.
    pub is_new: bool,
    /// Whether each result of the same run on other hosts is the same. Only results that count are listed.
    pub elsewhere: &'a [bool],
    /// Whether another host has already repeated the result.
    pub was_repeated: bool,
    /// How many results of the host were repeated since a person last resumed the host.
    pub repeats: usize,
    /// How many repetitions of a host's results have to agree.
    pub needed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstResultStep {
    /// The result counts as the results of other hosts do.
    Count,
    Record(Repetition),
    /// Another host repeats the result.
    Repeat,
    /// The result does not count. The host had so many repetitions that a person has to look at it.
    GiveUp,
}

impl FirstResult<'_> {
    pub fn next_step(&self) -> FirstResultStep {
        match self.elsewhere {
            _ if !self.is_new || self.needed == 0 => FirstResultStep::Count,
            // several hosts are compared, because each may have a flaky test of its own
            [_, ..] if self.elsewhere.contains(&true) => FirstResultStep::Record(Repetition::Agreed),
            [_, ..] => FirstResultStep::Record(Repetition::Disagreed),
            [] if self.was_repeated => FirstResultStep::Record(Repetition::Unrepeated),
            [] if self.repeats >= self.needed.saturating_mul(REPEATS_MOST) => FirstResultStep::GiveUp,
            [] => FirstResultStep::Repeat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_of_a_new_host_counts_once_another_host_has_the_same() {
        let first = FirstResult {
            is_new: true,
            elsewhere: &[],
            was_repeated: false,
            repeats: 0,
            needed: 5,
        };
        let (same, other) = (&[false, true][..], &[false][..]);
        let table = [
            (first, FirstResultStep::Repeat),
            (FirstResult { is_new: false, ..first }, FirstResultStep::Count),
            (FirstResult { needed: 0, ..first }, FirstResultStep::Count),
            (
                FirstResult {
                    elsewhere: same,
                    ..first
                },
                FirstResultStep::Record(Repetition::Agreed),
            ),
            (
                FirstResult {
                    elsewhere: other,
                    ..first
                },
                FirstResultStep::Record(Repetition::Disagreed),
            ),
            (
                FirstResult {
                    was_repeated: true,
                    ..first
                },
                FirstResultStep::Record(Repetition::Unrepeated),
            ),
            (FirstResult { repeats: 19, ..first }, FirstResultStep::Repeat),
            (FirstResult { repeats: 20, ..first }, FirstResultStep::GiveUp),
        ];
        for (result, expected) in table {
            assert_eq!(result.next_step(), expected, "{result:?}");
        }
    }
}
