//! The Pythons that a suite ran on: the one under test, or others.

use crate::domain::job::Facts;
use crate::domain::outcome::Outcome;

/// Guards against a suite that passes on another Python. Every interpreter that the suite starts leaves its version,
/// and one of them must be the one under test.
pub fn on_interpreter(seen: Option<&str>, facts: &Facts, suite: &str) -> Result<(), Outcome> {
    let expected = &facts.sys_version;
    match seen {
        Some(version) if version == expected => Ok(()),
        Some(other) => Err(Outcome::RecipeError {
            reason: format!("suite `{suite}` ran on another Python, {other}, instead of {expected}"),
        }),
        None => Err(Outcome::RecipeError {
            reason: format!(
                "suite `{suite}` never started the Python under test where Pybots sees it: start it by `python` or `python3`, at \
                 least once without the option -S"
            ),
        }),
    }
}

/// Environments that a remark names, and characters of a name.
const NAMED: usize = 10;
const NAME_MOST: usize = 100;

/// The environments that tox or nox made for a suite, as the witness found them at their end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Environments {
    /// How many have the Python under test.
    same: usize,
    /// Name and version of Python of those that have another one.
    others: Vec<(String, String)>,
}

impl Environments {
    /// Reads the witness's note: a line `same NAME VERSION` or `other NAME VERSION` for each environment. Project code may have written
    /// the note, so other lines are left out.
    pub fn read(note: &str) -> Self {
        let mut found = Self::default();
        for line in note.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let is_sane = |word: &str| word.len() <= NAME_MOST && word.chars().all(|c| c.is_ascii_graphic());
            match words.as_slice() {
                ["same", _, _] => found.same += 1,
                ["other", name, version] if is_sane(name) && is_sane(version) && found.others.len() < NAMED => {
                    found.others.push(((*name).to_owned(), (*version).to_owned()));
                }
                _ => {}
            }
        }
        found
    }

    /// Returns a line for the log for each environment with another Python.
    pub fn remarks(&self) -> Vec<String> {
        let line = |(name, version): &(String, String)| {
            format!("note: the environment {name} has Python {version}, which is not the one under test")
        };
        self.others.iter().map(line).collect()
    }

    /// Fails if none of the environments has the Python under test: then what passed in them says nothing about it.
    pub fn judge(&self, facts: &Facts, suite: &str) -> Result<(), Outcome> {
        let Some((name, version)) = self.others.first().filter(|_| self.same == 0) else {
            return Ok(());
        };
        let expected = &facts.sys_version;
        Err(Outcome::RecipeError {
            reason: format!(
                "suite `{suite}` ran on another Python, {version} of the environment {name}, instead of {expected}; run the \
                 environment of the Python under test, such as `tox -e py`"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_of_another_python_are_named_and_fail_if_there_are_no_others() {
        let facts = Facts {
            sys_version: "3.15.0a1 (x)".into(),
            ..Facts::default()
        };
        let mixed = Environments::read("same .tox/py 3.15.0a1\nother .tox/lint 3.11.2\n");
        assert_eq!(
            mixed.remarks(),
            ["note: the environment .tox/lint has Python 3.11.2, which is not the one under test"]
        );
        assert_eq!(mixed.judge(&facts, "s"), Ok(()));
        let Err(Outcome::RecipeError { reason }) = Environments::read("other .nox/tests 3.11.2\n").judge(&facts, "s")
        else {
            panic!("a pass on another Python counts");
        };
        let expected = "suite `s` ran on another Python, 3.11.2 of the environment .nox/tests, instead of 3.15.0a1 (x)";
        assert!(reason.starts_with(expected), "{reason}");
        // what is no line of the witness
        for odd in [
            "",
            "other",
            "other \u{202e}x 3",
            "other a b c",
            &format!("other {} 3", "x".repeat(101)),
        ] {
            assert_eq!(Environments::read(odd), Environments::default(), "{odd}");
        }
    }
}
