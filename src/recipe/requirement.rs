//! Parses requirements of a recipe (PEP 508), to find mistakes before a resolver does.

use crate::domain::pattern::pattern;
use pep440_rs::VersionSpecifiers;
use std::str::FromStr;

/// An entry of `requires`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `.[test]`: extras of the project itself.
    Own { extras: Vec<String> },
    /// `pytest[toml]>=8`: a package of the index.
    Package { name: String, extras: Vec<String> },
}

/// Why a text is no requirement, and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub message: String,
    pub help: String,
}

fn wrong<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong {
        message: message.into(),
        help: help.into(),
    })
}

pattern!(NAME, r"^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?");
pattern!(CLAUSE, r"([=<>!~^]*)\s*([^=<>!~^,\s()]+)");
pattern!(
    TOKEN,
    r#"^(?:'[^']*'|"[^"]*"|[()]|===|[=!<>~]=|[<>]|[A-Za-z_.]+|[^\s()'"=<>!~]+)"#
);

/// The most bytes of an entry.
const ENTRY_MOST: usize = 500;

/// Parses an entry of `requires`.
pub fn parse(text: &str) -> Result<Entry, Wrong> {
    let text = text.trim();
    if text.len() > ENTRY_MOST {
        return wrong(
            format!(
                "this requirement has {} bytes, and one has {ENTRY_MOST} at most",
                text.len()
            ),
            "write each package as an entry of its own",
        );
    }
    if let Some(rest) = text.strip_prefix('.') {
        return own(text, rest);
    }
    if text.starts_with('-') {
        return wrong(
            format!("`{text}` is an option of pip, not a requirement"),
            "list the packages themselves, e.g. `\"pytest>=8\"`",
        );
    }
    let Some(name) = NAME.as_ref().and_then(|pattern| pattern.find(text)) else {
        return wrong(
            format!("`{text}` is not a requirement: it begins with no name"),
            "write the name of a package and its versions, e.g. `\"pytest>=8\"`",
        );
    };
    let (name, rest) = (name.as_str(), text[name.end()..].trim_start());
    let (extras, rest) = extras(text, rest)?;
    if rest.starts_with('@') || rest.starts_with(':') || rest.starts_with('+') || rest.starts_with('/') {
        return wrong(
            format!("`{text}` is required from an address"),
            "a run installs only what the package index has: require a version, or make it one of `extra_sources`",
        );
    }
    if rest.is_empty()
        && [".txt", ".whl", ".toml", ".in"]
            .iter()
            .any(|ending| name.ends_with(ending))
    {
        return wrong(
            format!("`{text}` is a file, not a requirement"),
            "list the packages themselves, e.g. `\"pytest>=8\"`",
        );
    }
    let (specifiers, marker) = match rest.split_once(';') {
        Some((specifiers, marker)) => (specifiers.trim(), Some(marker.trim())),
        None => (rest.trim(), None),
    };
    versions(text, name, specifiers)?;
    if let Some(marker) = marker {
        Marker::new(text, marker).check()?;
    }
    let name = name.to_owned();
    Ok(Entry::Package { name, extras })
}

fn own(text: &str, rest: &str) -> Result<Entry, Wrong> {
    let help = "write `\".[EXTRA]\"` for an extra of the project itself; another source tree is one of `extra_sources`";
    let (extras, rest) = extras(text, rest)?;
    if rest.is_empty() {
        return Ok(Entry::Own { extras });
    }
    wrong(format!("`{text}` is not a requirement"), help)
}

/// Parses `[a, b]` at the beginning of a text. Returns the names and the rest.
fn extras<'a>(text: &str, rest: &'a str) -> Result<(Vec<String>, &'a str), Wrong> {
    let Some(inner) = rest.strip_prefix('[') else {
        return Ok((Vec::new(), rest));
    };
    let help = "write extras between brackets, with commas: `\"name[one,two]\"`";
    let Some((inner, rest)) = inner.split_once(']') else {
        return wrong(format!("`{text}` has `[` without `]`"), help);
    };
    let mut names = Vec::new();
    for name in inner.split(',').map(str::trim) {
        let whole = NAME.as_ref().and_then(|pattern| pattern.find(name));
        if whole.is_none_or(|found| found.len() != name.len()) {
            return wrong(format!("`{text}`: `{name}` is not the name of an extra"), help);
        }
        names.push(name.to_owned());
    }
    Ok((names, rest.trim_start()))
}

fn versions(text: &str, name: &str, specifiers: &str) -> Result<(), Wrong> {
    let inner = specifiers
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(specifiers);
    if inner.is_empty() || VersionSpecifiers::from_str(inner).is_ok() {
        return Ok(());
    }
    let suggested = CLAUSE.as_ref().map(|pattern| {
        let clauses = pattern.captures_iter(inner);
        let clauses: Vec<String> = clauses
            .map(|clause| format!("{}{}", operator(&clause[1]), &clause[2]))
            .collect();
        clauses.join(",")
    });
    let suggested = suggested.filter(|text| !text.is_empty() && VersionSpecifiers::from_str(text).is_ok());
    let help = match suggested {
        Some(specifiers) => format!("did you mean `{name}{specifiers}`?"),
        None => format!("write versions as `{name}>=8` or `{name}>=8,<9`"),
    };
    wrong(format!("`{text}`: `{inner}` is not a set of versions"), help)
}

/// Returns the operator that was probably meant.
fn operator(written: &str) -> &str {
    match written {
        "=>" | "^" | "^=" | ">>" => ">=",
        "=<" | "<<" => "<=",
        "" | "=" => "==",
        "=!" | "!" | "<>" => "!=",
        "~" | "=~" | "~>" => "~=",
        other => other,
    }
}

/// The variables of markers.
const VARIABLES: [&str; 12] = [
    "extra",
    "implementation_name",
    "implementation_version",
    "os_name",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_full_version",
    "python_version",
    "sys_platform",
];

/// A parser of a condition such as `python_version < "3.9" and os_name == "posix"`, from left to right.
struct Marker<'a> {
    text: &'a str,
    rest: &'a str,
    /// The number of open parentheses, which is bounded.
    depth: usize,
}

/// The most levels of nested parentheses. No real condition has so many.
const DEPTH_MOST: usize = 20;

impl<'a> Marker<'a> {
    fn new(text: &'a str, marker: &'a str) -> Self {
        Self {
            text,
            rest: marker,
            depth: 0,
        }
    }

    fn check(mut self) -> Result<(), Wrong> {
        self.either()?;
        match self.next() {
            None => Ok(()),
            Some(token) => self.fail(&format!("`{token}` is out of place in the marker")),
        }
    }

    fn peek(&self) -> Option<&'a str> {
        let found = TOKEN.as_ref()?.find(self.rest.trim_start())?;
        Some(found.as_str())
    }

    fn next(&mut self) -> Option<&'a str> {
        let token = self.peek();
        let rest = self.rest.trim_start();
        self.rest = &rest[token.map_or(0, str::len)..];
        token.or_else(|| (!rest.is_empty()).then_some(rest))
    }

    fn fail<T>(&self, message: &str) -> Result<T, Wrong> {
        wrong(
            format!("`{}`: {message}", self.text),
            "write a marker as `; python_version < \"3.9\"`, with the value in quotes",
        )
    }

    /// Parses `A or B and C`. The precedence does not matter here.
    fn either(&mut self) -> Result<(), Wrong> {
        loop {
            if self.peek() == Some("(") {
                self.next();
                self.depth += 1;
                if self.depth > DEPTH_MOST {
                    return self.fail("the marker has too many parentheses");
                }
                self.either()?;
                self.depth -= 1;
                if self.next() != Some(")") {
                    return self.fail("the marker has `(` without `)`");
                }
            } else {
                self.comparison()?;
            }
            match self.peek() {
                Some("and" | "or") => drop(self.next()),
                _ => return Ok(()),
            }
        }
    }

    fn comparison(&mut self) -> Result<(), Wrong> {
        self.value()?;
        match self.next() {
            Some("==" | "!=" | "<=" | ">=" | "<" | ">" | "~=" | "===" | "in") => {}
            Some("not") if self.next() == Some("in") => {}
            Some(token) => return self.fail(&format!("`{token}` compares nothing in a marker")),
            None => return self.fail("the marker compares nothing"),
        }
        self.value()
    }

    fn value(&mut self) -> Result<(), Wrong> {
        match self.next() {
            Some(token) if token.starts_with(['\'', '"']) && token.len() > 1 => Ok(()),
            Some(token) if VARIABLES.contains(&token) => Ok(()),
            Some(token) => self.fail(&format!(
                "`{token}` is neither a variable of markers nor a text in quotes"
            )),
            None => self.fail("the marker ends too early"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_of_the_field_are_read() {
        let package = |name: &str, extras: &[&str]| Entry::Package {
            name: name.to_owned(),
            extras: extras.iter().map(|extra| (*extra).to_owned()).collect(),
        };
        for (text, entry) in [
            ("pytest", package("pytest", &[])),
            (" pytest >= 8 ", package("pytest", &[])),
            ("pytest>=8,<9,!=8.1.*", package("pytest", &[])),
            ("pytest (>=8)", package("pytest", &[])),
            (
                "zope.interface[test, docs]~=5.0",
                package("zope.interface", &["test", "docs"]),
            ),
            ("a==1.0+local.1", package("a", &[])),
            ("a==0.21.post1", package("a", &[])),
            ("b>=1;python_version<'3'", package("b", &[])),
            (
                "c ; (os_name == \"posix\" or 'linux' in sys_platform) and python_full_version not in '3.9 3.10'",
                package("c", &[]),
            ),
            (".", Entry::Own { extras: vec![] }),
            (
                ".[test]",
                Entry::Own {
                    extras: vec!["test".into()],
                },
            ),
            (
                ".[a, b]",
                Entry::Own {
                    extras: vec!["a".into(), "b".into()],
                },
            ),
        ] {
            assert_eq!(parse(text), Ok(entry), "{text}");
        }
    }

    #[test]
    fn a_mistake_has_its_fix() {
        for (text, help) in [
            ("pytest =>8", "did you mean `pytest>=8`?"),
            ("pytest=8", "did you mean `pytest==8`?"),
            ("pytest 8", "did you mean `pytest==8`?"),
            ("pytest>=8<9", "did you mean `pytest>=8,<9`?"),
            ("pytest^8.1", "did you mean `pytest>=8.1`?"),
            ("pytest~8.1", "did you mean `pytest~=8.1`?"),
            ("pytest>=", "write versions as"),
            ("pytest>=eight", "write versions as"),
            ("pytest[toml>=8", "between brackets"),
            ("pytest[]", "between brackets"),
            (".[a b]", "between brackets"),
            ("./other", "one of `extra_sources`"),
            ("-r requirements.txt", "list the packages themselves"),
            ("requirements.txt", "list the packages themselves"),
            ("foo @ https://example.org/foo.whl", "one of `extra_sources`"),
            ("git+https://example.org/foo", "one of `extra_sources`"),
            ("https://example.org/foo.whl", "one of `extra_sources`"),
            ("foo; python_version < 3.9", "with the value in quotes"),
            ("foo; pyhton_version < '3.9'", "with the value in quotes"),
            ("foo; python_version", "with the value in quotes"),
            ("foo; (os_name == 'x'", "with the value in quotes"),
            ("foo; os_name = 'x'", "with the value in quotes"),
            ("foo; os_name == 'x' os_name", "with the value in quotes"),
            ("", "write the name of a package"),
            ("\"pytest\"", "write the name of a package"),
        ] {
            let refused = parse(text).expect_err(text);
            assert!(refused.help.contains(help), "{text}: {refused:?}");
        }
        assert!(parse(&format!("a; {}", "(".repeat(100_000))).is_err());
    }
}
