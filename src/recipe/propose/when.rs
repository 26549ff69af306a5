//! Converts `Requires-Python` to `when`.

use super::{ChoiceReason, write};
use pep440_rs::{Operator, VersionSpecifiers};
use std::str::FromStr;

/// Returns the versions of Python for `when`, or `None` if the project names none or they can't be read. Adds the
/// reason. Pybots compares only major and minor version, so further numbers are dropped.
pub fn choose(requires_python: &str, reasons: &mut Vec<ChoiceReason>) -> Option<String> {
    if requires_python.trim().is_empty() {
        return None;
    }
    let Ok(specifiers) = VersionSpecifiers::from_str(requires_python) else {
        let shown = write::text(requires_python);
        reasons.push(ChoiceReason::new(
            "no `when`",
            format!("Requires-Python is {shown}, which is no set of versions"),
        ));
        return None;
    };
    let mut clauses = Vec::new();
    for specifier in specifiers.iter() {
        let release = specifier.version().release();
        let (major, minor) = (release.first().copied().unwrap_or(3), release.get(1).copied());
        let short = minor.map_or_else(|| major.to_string(), |minor| format!("{major}.{minor}"));
        let is_exact = release.len() > 2;
        let clause = match specifier.operator() {
            Operator::GreaterThanEqual => Some(format!(">={short}")),
            Operator::GreaterThan if is_exact => Some(format!(">={short}")),
            Operator::LessThan if release.len() <= 2 || release.iter().skip(2).all(|part| *part == 0) => {
                Some(format!("<{short}"))
            }
            Operator::LessThan | Operator::LessThanEqual if is_exact => Some(format!("<={short}")),
            Operator::NotEqual | Operator::NotEqualStar if is_exact => match specifier.operator() {
                // `!=3.0.*` has two numbers
                Operator::NotEqualStar if release.len() == 2 => Some(format!("!={short}.*")),
                _ => None,
            },
            Operator::TildeEqual if is_exact => Some(format!("=={short}.*")),
            _ => Some(specifier.to_string()),
        };
        clauses.extend(clause);
    }
    clauses.dedup();
    let when = clauses.join(",");
    if when.is_empty() || VersionSpecifiers::from_str(&when).is_err() {
        return None;
    }
    let shown = write::text(requires_python);
    reasons.push(ChoiceReason::new(
        format!("when = {}", write::text(&when)),
        format!("Requires-Python is {shown}"),
    ));
    Some(when)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requires_python_becomes_when() {
        for (text, when) in [
            ("", None),
            (">=3.9", Some(">=3.9")),
            (">= 3.11", Some(">=3.11")),
            (">=3.9.1", Some(">=3.9")),
            (">3.8.0,<4", Some(">=3.8,<4")),
            (">=3.8,<3.13.0", Some(">=3.8,<3.13")),
            (">=2.7,!=3.0.*,!=3.1.*", Some(">=2.7,!=3.0.*,!=3.1.*")),
            (">=3.9,!=3.9.0,!=3.9.1", Some(">=3.9")),
            ("~=3.8", Some("~=3.8")),
            ("~=3.8.1", Some("==3.8.*")),
            ("banana", None),
        ] {
            assert_eq!(choose(text, &mut Vec::new()).as_deref(), when, "{text}");
        }
    }
}
