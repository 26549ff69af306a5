//! Proposes a recipe for a project, and corrects it by trials. Pure rules: [`propose()`] makes a [`Proposal`] from a
//! [`Survey`], [`corrected()`] changes it after a trial, and [`Proposal::text`] returns the text of the file.

mod command;
mod faults;
mod imports;
mod libraries;
mod names;
mod requires;
mod suite;
mod survey;
mod trial;
mod when;
pub(super) mod write;

pub use survey::Survey;
pub use trial::{Observed, TrialResult, corrected, trial_result, untried};
pub use write::source as source_line;

use crate::domain::package::normalized;
use crate::domain::suite::Source;
use command::Command;
use requires::RequirementList;
use std::collections::{BTreeMap, BTreeSet};

/// A recipe that is not written yet.
#[derive(Clone, Debug)]
pub struct Proposal {
    pub name: String,
    pub source: Source,
    summary: String,
    homepage: String,
    when: Option<String>,
    /// The list of the tests' requirements in use.
    base: RequirementList,
    /// Other lists of the tests' requirements in the project, best first.
    others: Vec<RequirementList>,
    /// Requirements besides that list.
    added: Vec<String>,
    /// Distributions that did not help, and are not tried again.
    given_up: BTreeSet<String>,
    system: Vec<String>,
    /// The lines for `install`. `None` for the default.
    install: Option<Vec<String>>,
    install_network: bool,
    env: BTreeMap<String, String>,
    /// The command of the suite. `None` if the source has no tests.
    suite: Option<Command>,
    /// Sentences for the beginning of the file.
    comments: Vec<String>,
}

/// A choice, and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChoiceReason {
    pub choice: String,
    pub why: String,
}

impl ChoiceReason {
    fn new(choice: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            choice: choice.into(),
            why: why.into(),
        }
    }
}

/// The most characters of a text in the file.
const TEXT_MOST: usize = 300;

/// Returns whether a text can be a project's name.
pub fn is_project_name(text: &str) -> bool {
    super::check::is_name(text)
}

/// Returns the recipe name that is nearest to a text, or `None` if no part of the text can be a name.
pub fn project_name(text: &str) -> Option<String> {
    let fine = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let name: String = text.chars().map(fine).take(64).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    is_project_name(name).then(|| name.to_owned())
}

/// Proposes a recipe. Returns it, and each choice with its reason.
pub fn propose(survey: &Survey, name: &str, source: Source) -> (Proposal, Vec<ChoiceReason>) {
    let mut reasons = vec![ChoiceReason::new(write::source(&source), source_reason(&source))];
    let when = when::choose(&survey.requires_python, &mut reasons);
    let mut lists = requires::lists(survey).into_iter();
    let base = lists.next().unwrap_or_default();
    let mut proposal = Proposal {
        name: name.to_owned(),
        source,
        summary: write::line(&survey.summary),
        homepage: homepage(survey),
        when,
        base,
        others: lists.collect(),
        added: Vec::new(),
        given_up: BTreeSet::new(),
        system: Vec::new(),
        install: None,
        install_network: false,
        env: BTreeMap::new(),
        suite: None,
        comments: Vec::new(),
    };
    suite::choose(&mut proposal, survey, &mut reasons);
    let base = &proposal.base;
    reasons.extend(base.keys().map(|key| ChoiceReason::new(key, base.why.clone())));
    requires::complete(&mut proposal, survey, &mut reasons);
    if !survey.build.installs {
        proposal.install = Some(Vec::new());
        reasons.push(ChoiceReason::new(
            "install = []",
            "the source has neither pyproject.toml nor setup.py",
        ));
    }
    if !survey.computed.is_empty() {
        let note = format!(
            "{} computes the dependencies, which nobody can read without running it: list in `requires` what is missing",
            write::line(&survey.computed)
        );
        proposal.comments.push(note);
    }
    if proposal.suite.is_none() {
        no_tests(&mut proposal, survey, &mut reasons);
    }
    (proposal, reasons)
}

fn source_reason(source: &Source) -> &'static str {
    if source.pypi.is_some() {
        "the newest release that takes this Python, pinned, so that what runs is what was tried"
    } else if source.git.is_some() {
        "the commit that was tried"
    } else {
        "the folder of the project; its files travel with the recipe"
    }
}

fn homepage(survey: &Survey) -> String {
    let addresses = [&survey.homepage, &survey.repository];
    let found = addresses
        .into_iter()
        .find(|address| ["http://", "https://"].iter().any(|start| address.starts_with(start)));
    found.map(|address| write::line(address)).unwrap_or_default()
}

/// Makes a proposal for a source without tests, which only imports the project.
fn no_tests(proposal: &mut Proposal, survey: &Survey, reasons: &mut Vec<ChoiceReason>) {
    let own = normalized(&survey.name);
    let packages = survey.packages.iter().map(|package| package.name.as_str());
    let mut modules = packages.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
    let line = match modules.find(|name| normalized(name) == own) {
        // outside the source, so that Python imports the installed package
        Some(module) => format!("cd /tmp && python -c 'import {module}'"),
        None => format!(
            "python -c 'import importlib.metadata as m; m.version(\"{}\")'",
            proposal.name
        ),
    };
    proposal.suite = Some(Command::import(line.clone()));
    proposal.base = RequirementList::default();
    proposal.others.clear();
    proposal.added.clear();
    reasons.retain(|reason| !reason.choice.starts_with("requires") && !reason.choice.starts_with("groups"));
    reasons.push(ChoiceReason::new(
        format!("run = {}", write::text(&line)),
        "the source has no tests",
    ));
    proposal.comments.push(
        "There are no tests to be had from this source. The suite only shows that the project can be installed."
            .to_owned(),
    );
    if let Some(address) = repository(survey).filter(|_| proposal.source.git.is_none()) {
        proposal
            .comments
            .push(format!("The repository may have them: `pybots init {address}`, or"));
        proposal.comments.push(format!(
            "source = {{ git = {}, rev = \"THE TAG OF THE RELEASE\" }}",
            write::text(&address)
        ));
    }
}

/// Returns the address of the repository, or `None` if the metadata has no plain `https://` address for it.
pub fn repository(survey: &Survey) -> Option<String> {
    let address = write::line(&survey.repository);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~/:".contains(c);
    (address.starts_with("https://") && address.chars().all(is_plain)).then_some(address)
}

#[cfg(test)]
mod tests;
