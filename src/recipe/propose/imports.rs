//! Builds a list of requirements from the imports of the tests.

use super::names;
use super::requires::{RequirementList, names_of, of_requirement};
use super::survey::Survey;
use crate::domain::package::normalized;
use crate::recipe::check::ENTRIES_MOST;
use std::collections::BTreeSet;

/// Returns whether a distribution has the name of a module, possibly with a word before or after it: `python-NAME`,
/// `NAME-lib`. Type stubs (`types-NAME`, `NAME-stubs`) do not count, because they contain no code.
fn is_named_after(distribution: &str, module: &str) -> bool {
    if distribution.starts_with("types-") || distribution.ends_with("-stubs") {
        return distribution == module;
    }
    let rest = distribution
        .strip_prefix(module)
        .map(|rest| rest.is_empty() || rest.starts_with('-'));
    let before = distribution.strip_suffix(module).map(|before| before.ends_with('-'));
    rest == Some(true) || before == Some(true)
}

/// Builds a list of the test runner and of the distributions that tests import.
pub fn list(survey: &Survey, runner: Option<&str>) -> RequirementList {
    let have: BTreeSet<String> = names_of(&survey.dependencies);
    let mut requires: Vec<String> = runner.map(str::to_owned).into_iter().collect();
    let mut names: BTreeSet<String> = requires.iter().cloned().collect();
    for (module, _) in &survey.imports {
        let Some(distribution) = names::distribution(module) else {
            continue;
        };
        let name = normalized(&of_requirement(&distribution));
        if !have.iter().any(|dependency| is_named_after(dependency, &name))
            && name != normalized(&survey.name)
            && names.insert(name)
            && requires.len() < ENTRIES_MOST
        {
            requires.push(distribution);
        }
    }
    let why = match requires.len() {
        0 => "the tests import nothing but Python and the project".to_owned(),
        _ => "no extra, group or file lists what the tests need; the tests import that".to_owned(),
    };
    RequirementList {
        is_of_imports: true,
        lines: requires.clone(),
        requires,
        groups: Vec::new(),
        names,
        why,
    }
}
