//! Modes of a suite: options of Python that environment variables can set, so that they apply to every Python that
//! the suite starts, however it does so.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// An option for each Python of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `-X dev`
    Dev,
    /// `-X utf8`
    Utf8,
    /// `-W FILTER`
    Warnings(String),
    /// `-O`, and `-OO` without docstrings too.
    Optimize { docstrings: bool },
}

/// The modes that can be written, for messages.
const SUPPORTED: &str = "the modes are `-X dev`, `-X utf8`, `-W FILTER`, `-O` and `-OO`, each a text of its own";

/// Actions of `-W`. Their beginnings are enough.
const ACTIONS: [&str; 7] = ["default", "error", "ignore", "always", "all", "module", "once"];

impl Mode {
    /// Returns the first line of Python that supports it.
    pub fn since(&self) -> (u64, u64) {
        match self {
            Mode::Dev | Mode::Utf8 => (3, 7),
            // the variable exists since 2.7, except in 3.0 and 3.1, which nobody builds any more
            Mode::Warnings(_) => (2, 7),
            Mode::Optimize { .. } => (2, 0),
        }
    }
}

/// Returns the environment variables that set these modes.
pub fn variables(modes: &[Mode]) -> BTreeMap<&'static str, String> {
    let mut variables: BTreeMap<&'static str, String> = BTreeMap::new();
    for mode in modes {
        match mode {
            Mode::Dev => drop(variables.insert("PYTHONDEVMODE", "1".to_owned())),
            Mode::Utf8 => drop(variables.insert("PYTHONUTF8", "1".to_owned())),
            Mode::Optimize { docstrings } => {
                let level = if *docstrings { "1" } else { "2" };
                drop(variables.insert("PYTHONOPTIMIZE", level.to_owned()));
            }
            // as on a command line, the last matching filter counts
            Mode::Warnings(filter) => match variables.get_mut("PYTHONWARNINGS") {
                Some(filters) => *filters += &format!(",{filter}"),
                None => drop(variables.insert("PYTHONWARNINGS", filter.clone())),
            },
        }
    }
    variables
}

/// Returns modes as people write them, in one line.
pub fn line(modes: &[Mode]) -> String {
    modes.iter().map(Mode::to_string).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Dev => f.write_str("-X dev"),
            Mode::Utf8 => f.write_str("-X utf8"),
            Mode::Warnings(filter) => write!(f, "-W {filter}"),
            Mode::Optimize { docstrings: true } => f.write_str("-O"),
            Mode::Optimize { docstrings: false } => f.write_str("-OO"),
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match (text, text.strip_prefix("-X"), text.strip_prefix("-W")) {
            ("-O", ..) => Ok(Mode::Optimize { docstrings: true }),
            ("-OO", ..) => Ok(Mode::Optimize { docstrings: false }),
            (_, Some(rest), _) if rest.trim() == "dev" => Ok(Mode::Dev),
            (_, Some(rest), _) if rest.trim() == "utf8" => Ok(Mode::Utf8),
            (_, _, Some(rest)) => filter(rest.trim()).map(Mode::Warnings),
            _ => Err(format!("`{text}` is not a mode of a suite; {SUPPORTED}")),
        }
    }
}

/// Checks a filter, since Python ignores an invalid one with only a line on stderr.
fn filter(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("`-W {text}` is not a filter of warnings: {why}"));
    let fields: Vec<&str> = text.split(':').map(str::trim).collect();
    let action = fields.first().copied().unwrap_or_default();
    if text.contains(',') {
        return wrong("a comma would end it; write each filter as a text of its own");
    }
    if action.is_empty() || !ACTIONS.iter().any(|full| full.starts_with(action)) {
        return wrong("it begins with `default`, `error`, `ignore`, `always`, `module` or `once`");
    }
    if text.chars().any(char::is_control) {
        return wrong("it is one line");
    }
    if fields.len() > 5 {
        return wrong("it has at most five parts, `action:message:category:module:line`");
    }
    if fields
        .get(2)
        .is_some_and(|category| category.contains(char::is_whitespace))
    {
        return wrong("its third part is a category, e.g. `error::DeprecationWarning`");
    }
    if fields
        .get(4)
        .is_some_and(|line| !line.is_empty() && line.parse::<u32>().is_err())
    {
        return wrong("its fifth part is the number of a line");
    }
    Ok(text.to_owned())
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // by a visitor, so that an error knows which element of a list it is about
        deserializer.deserialize_str(ModeText)
    }
}

struct ModeText;

impl serde::de::Visitor<'_> for ModeText {
    type Value = Mode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Mode, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modes(texts: &[&str]) -> Vec<Mode> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn modes_become_variables_that_children_inherit() {
        let all = modes(&["-X dev", "-Xutf8", "-W error", "-Wignore::ResourceWarning", "-OO"]);
        assert_eq!(line(&all), "-X dev -X utf8 -W error -W ignore::ResourceWarning -OO");
        let set: Vec<(&str, String)> = variables(&all).into_iter().collect();
        let expected = [
            ("PYTHONDEVMODE", "1"),
            ("PYTHONOPTIMIZE", "2"),
            ("PYTHONUTF8", "1"),
            ("PYTHONWARNINGS", "error,ignore::ResourceWarning"),
        ];
        assert_eq!(set, expected.map(|(name, value)| (name, value.to_owned())));
        assert!(variables(&[]).is_empty());
    }

    #[test]
    fn what_no_variable_stands_for_is_refused() {
        for (text, says) in [
            ("-X importtime", "not a mode of a suite; the modes are `-X dev`"),
            ("-X dev -W error", "each a text of its own"),
            ("-b", "not a mode"),
            ("-I", "not a mode"),
            ("dev", "not a mode"),
            ("", "not a mode"),
            ("-W", "it begins with"),
            ("-W errors", "it begins with"),
            ("-W error,ignore", "a comma"),
            ("-W error:a,b", "a comma"),
            ("-W error:::::1", "five parts"),
            ("-W error::Deprecation Warning", "category"),
            ("-W error::::x", "number of a line"),
        ] {
            let refused = text.parse::<Mode>().unwrap_err();
            assert!(refused.contains(says), "{text}: {refused}");
        }
        for good in [
            "-W e",
            "-W error::DeprecationWarning:attr:12",
            "-W default:some words:UserWarning",
        ] {
            assert_eq!(good.parse::<Mode>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn a_job_carries_them_as_text() {
        let all = modes(&["-X dev", "-W error"]);
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(text, r#"["-X dev","-W error"]"#);
        assert_eq!(serde_json::from_str::<Vec<Mode>>(&text).unwrap(), all);
    }
}
