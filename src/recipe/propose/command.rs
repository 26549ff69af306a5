//! The command of a proposed suite.

use std::collections::BTreeMap;

/// The most tests that a recipe deselects one by one, half of them from one file. Beyond that, whole files are
/// deselected.
const DESELECTED_MOST: usize = 40;

/// The command of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Pytest(Pytest),
    /// Any other command.
    Line {
        line: String,
        /// Whether the command only imports the project, because there are no tests.
        imports: bool,
    },
}

/// A run of pytest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pytest {
    /// The options, each quoted for a shell.
    pub options: Vec<String>,
    /// The files and folders to test. Empty if pytest finds them by its settings.
    pub targets: Vec<String>,
    /// The deselected tests and files, by address (`tests/test_a.py::test_x`), with the reasons.
    pub left_out: BTreeMap<String, String>,
}

impl Command {
    pub fn line(line: String) -> Self {
        Self::Line { line, imports: false }
    }

    pub fn import(line: String) -> Self {
        Self::Line { line, imports: true }
    }

    pub fn is_pytest(&self) -> bool {
        matches!(self, Self::Pytest(_))
    }

    pub fn pytest(&mut self) -> Option<&mut Pytest> {
        match self {
            Self::Pytest(pytest) => Some(pytest),
            Self::Line { .. } => None,
        }
    }

    /// Returns the command as a shell line.
    pub fn shell(&self) -> String {
        let pytest = match self {
            Self::Line { line, .. } => return line.clone(),
            Self::Pytest(pytest) => pytest,
        };
        let mut words = vec!["python -m pytest -q".to_owned()];
        words.extend(pytest.options.iter().cloned());
        let left_out = pytest.left_out.keys();
        words.extend(left_out.map(|address| match address.contains("::") {
            true => format!("--deselect {}", quoted(address)),
            false => format!("--ignore {}", quoted(address)),
        }));
        words.extend(pytest.targets.iter().map(|target| quoted(target)));
        words.join(" ")
    }
}

impl Pytest {
    /// Deselects a test or a file. `file` is the file of the test. Returns whether this changes the command.
    pub fn leave_out(&mut self, address: &str, file: &str, reason: &str) -> bool {
        if self.left_out.contains_key(address) || self.left_out.contains_key(file) {
            return false;
        }
        let of_file = format!("{file}::");
        let many = self.left_out.keys().filter(|other| other.starts_with(&of_file)).count() >= DESELECTED_MOST / 2;
        let all = self.left_out.len() >= DESELECTED_MOST;
        if many || all {
            self.left_out.retain(|other, _| !other.starts_with(&of_file));
            self.left_out.insert(file.to_owned(), reason.to_owned());
        } else {
            self.left_out.insert(address.to_owned(), reason.to_owned());
        }
        true
    }
}

/// Quotes a word for a shell if need be. No text of a survey has a NUL, which can't be quoted.
pub fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| "''".to_owned(), std::borrow::Cow::into_owned)
}

/// Splits a line into words as a shell does, but without expansions. If a quote has no end, splits at white space.
pub fn words(line: &str) -> Vec<String> {
    shlex::split(line).unwrap_or_else(|| line.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_and_quoted_as_a_shell_does() {
        for (line, expected) in [
            ("-n auto  --cov", vec!["-n", "auto", "--cov"]),
            ("-m 'not slow' -k \"a b\"", vec!["-m", "not slow", "-k", "a b"]),
            ("a\\ b ''", vec!["a b", ""]),
            ("'open end", vec!["'open", "end"]),
            ("", vec![]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
        assert_eq!(quoted("tests/test_a.py::T::test_x"), "tests/test_a.py::T::test_x");
        assert_eq!(words(&quoted("a[it's] $x")), ["a[it's] $x"]);
    }

    #[test]
    fn many_tests_of_a_file_are_left_out_with_the_file() {
        let mut pytest = Pytest::default();
        for index in 0..100 {
            pytest.leave_out(
                &format!("tests/test_net.py::test_{index}"),
                "tests/test_net.py",
                "network",
            );
        }
        assert!(pytest.leave_out("tests/test_a.py::test_x", "tests/test_a.py", "network"));
        assert!(!pytest.leave_out("tests/test_a.py::test_x", "tests/test_a.py", "network"));
        pytest.targets.push("tests".into());
        assert_eq!(
            Command::Pytest(pytest).shell(),
            "python -m pytest -q --deselect tests/test_a.py::test_x --ignore tests/test_net.py tests"
        );
    }
}
