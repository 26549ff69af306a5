//! Finds where the builds of a branch began to fail or to succeed. Pybots builds every revision, so this needs no
//! search.

use super::change::Change;

/// The state of the build of one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildState {
    Built,
    Failed,
    /// The build waits or is in progress, or the machinery failed and will try again.
    Pending,
    /// The revision is not built, or its build shows nothing: only the machinery failed, or a module has no image to be
    /// tested in.
    Skipped,
}

/// Two revisions with different results of the build, by index. Only skipped revisions lie between them. For a fix,
/// `good` is the revision that failed, and `bad` the later one that was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildChange {
    pub change: Change,
    pub good: usize,
    pub bad: usize,
}

/// Returns the changes along a branch, oldest first. A pending build between two revisions hides their change for now.
pub fn build_changes(states: &[BuildState]) -> Vec<BuildChange> {
    let mut changes = Vec::new();
    let mut last: Option<(usize, BuildState)> = None;
    for (index, state) in states.iter().enumerate() {
        match (last, state) {
            (_, BuildState::Skipped) => continue,
            (_, BuildState::Pending) => {
                last = None;
                continue;
            }
            (Some((good, before)), now) if before != *now => changes.push(BuildChange {
                change: if *now == BuildState::Failed {
                    Change::Broke
                } else {
                    Change::Fixed
                },
                good,
                bad: index,
            }),
            _ => {}
        }
        last = Some((index, *state));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_reported_once_no_build_between_is_pending() {
        use BuildState::{Built, Failed, Pending, Skipped};
        let change_at = |change, good, bad| BuildChange { change, good, bad };
        let (broke, fixed) = (Change::Broke, Change::Fixed);
        for (row, expected) in [
            (
                &[Built, Failed, Failed, Built][..],
                vec![change_at(broke, 0, 1), change_at(fixed, 2, 3)],
            ),
            (&[Built, Pending, Failed], vec![]),
            (&[Built, Skipped, Failed], vec![change_at(broke, 0, 2)]),
            (&[Failed, Failed], vec![]),
            (&[Pending, Built, Failed], vec![change_at(broke, 1, 2)]),
            (&[], vec![]),
        ] {
            assert_eq!(build_changes(row), expected, "{row:?}");
        }
    }
}
