//! Where the builds of a branch turned: every check-in is built, so no search is needed.

use super::inquiry::Change;

/// What is known of the build of one check-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Built {
    Yes,
    No,
    /// It is in work, or the machinery failed: wait.
    Awaited,
    /// It is not to be built.
    Never,
}

/// Two check-ins, the first built as the ones before it, the second not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub change: Change,
    pub good: usize,
    pub bad: usize,
}

/// Where it turned, oldest first. Between the two there is nothing that could still say otherwise.
pub fn turns(row: &[Built]) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut last: Option<(usize, Built)> = None;
    for (place, built) in row.iter().enumerate() {
        match (last, built) {
            (_, Built::Never) => continue,
            (_, Built::Awaited) => {
                last = None;
                continue;
            }
            (Some((good, before)), now) if before != *now => turns.push(Turn {
                change: if *now == Built::No {
                    Change::Broke
                } else {
                    Change::Fixed
                },
                good,
                bad: place,
            }),
            _ => {}
        }
        last = Some((place, *built));
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_turns_where_nothing_is_awaited() {
        use Built::{Awaited, Never, No, Yes};
        let turn = |change, good, bad| Turn { change, good, bad };
        let (broke, fixed) = (Change::Broke, Change::Fixed);
        for (row, expected) in [
            (&[Yes, No, No, Yes][..], vec![turn(broke, 0, 1), turn(fixed, 2, 3)]),
            (&[Yes, Awaited, No], vec![]),
            (&[Yes, Never, No], vec![turn(broke, 0, 2)]),
            (&[No, No], vec![]),
            (&[Awaited, Yes, No], vec![turn(broke, 1, 2)]),
            (&[], vec![]),
        ] {
            assert_eq!(turns(row), expected, "{row:?}");
        }
    }
}
