//! Chooses the parts of a recipe that apply to one Python.

use super::{Recipe, RequestedLimits, Steps};
use crate::domain::limits::Limits;
use crate::domain::suite::{Fetch, Source, Suite};
use crate::domain::version::PythonVersion;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// The result of a choice: the steps of a recipe on one CPython, or a reason to skip it.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    Run(Box<Chosen>),
    /// The recipe does not run on this CPython, for this reason.
    Skip(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    pub fetch: Fetch,
    pub system: Vec<String>,
    pub install: Option<Vec<String>>,
    pub install_network: bool,
    pub env: BTreeMap<String, String>,
    pub suites: Vec<Suite>,
    pub limits: Limits,
    pub needs: BTreeSet<String>,
}

/// Chooses the steps for one CPython. `cap` contains the operator's limits, which a recipe can only lower. `folders`
/// contains the digests of the recipe's `path` sources.
pub fn choose(
    recipe: &Recipe,
    folders: &BTreeMap<String, String>,
    branch: &str,
    version: &PythonVersion,
    variant: &str,
    cap: &Limits,
) -> Choice {
    if let Some(branches) = &recipe.branches
        && !branches.iter().any(|name| name == branch)
    {
        return Choice::Skip(format!("the recipe runs on {} only", branches.join(", ")));
    }
    if let Some(exclude) = recipe.exclude.iter().find(|exclude| exclude.variant == variant) {
        return Choice::Skip(exclude.reason.clone());
    }
    if let Some(when) = recipe.when.as_ref().filter(|when| !version.is_in(&when.0)) {
        return Choice::Skip(format!("the recipe is for Python {}", when.0));
    }
    let steps = recipe.steps_for(version);
    let (Some(source), Some(suites)) = (steps.source, steps.suite) else {
        return Choice::Skip(format!("no section of the recipe is for Python {}", version.line()));
    };
    let project = recipe.name.get_ref();
    let sources: Vec<Source> = std::iter::once(Source {
        name: Some(project.clone()),
        ..source.get_ref().clone()
    })
    .chain(
        steps
            .extra_sources
            .unwrap_or_default()
            .iter()
            .map(|extra| extra.get_ref().clone()),
    )
    .collect();
    let folders = sources
        .iter()
        .filter_map(|source| {
            let digest = folders.get(source.path.as_deref()?)?;
            Some((source.name.clone()?, digest.clone()))
        })
        .collect();
    Choice::Run(Box::new(Chosen {
        fetch: Fetch {
            project: project.clone(),
            sources,
            requires: plain(steps.requires),
            groups: plain(steps.groups),
            python: version.line(),
            free_threaded: variant == "free-threaded",
            folders,
            lock: None,
            as_of: steps.as_of,
        },
        system: plain(steps.system),
        install: steps.install.map(<[String]>::to_vec),
        install_network: steps.install_network.unwrap_or(false),
        env: steps.env.cloned().unwrap_or_default(),
        suites: suites.iter().map(|suite| suite.get_ref().clone()).collect(),
        limits: steps
            .limits
            .map_or_else(|| cap.clone(), |limits| limits.get_ref().within(cap)),
        needs: recipe.needs.iter().map(|label| label.get_ref().clone()).collect(),
    }))
}

fn plain(texts: Option<&[Spanned<String>]>) -> Vec<String> {
    let texts = texts.unwrap_or_default().iter();
    texts.map(|text| text.get_ref().clone()).collect()
}

impl Recipe {
    /// Returns the steps for one Python: the keys of the first matching section, and the recipe's own for keys that the
    /// section lacks.
    pub fn steps_for(&self, version: &PythonVersion) -> Steps<'_> {
        let matching = self.section.iter().find(|section| version.is_in(&section.when.0));
        matching
            .map_or_else(Steps::default, |section| section.steps())
            .or(self.steps())
    }
}

impl RequestedLimits {
    /// Returns the operator's limits, lowered where the recipe asks for less.
    pub fn within(&self, cap: &Limits) -> Limits {
        let asked = Limits {
            timeout: self.timeout.unwrap_or(cap.timeout),
            silence: self.silence.unwrap_or(cap.silence),
            memory: self.memory.unwrap_or(cap.memory),
            work: self.work.unwrap_or(cap.work),
            log: self.log.unwrap_or(cap.log),
            pids: self.pids.unwrap_or(cap.pids),
            cpus: self.cpus.unwrap_or(cap.cpus),
            run_timeout: self.run_timeout.unwrap_or(cap.run_timeout),
            run_log: self.run_log.unwrap_or(cap.run_log),
        };
        asked.capped_by(cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        name = "demo"
        when = ">=2.5"
        branches = ["trunk", "2.5"]
        source = { pypi = "demo", version = "2.0", sha256 = "00" }
        requires = ["pytest"]
        needs = ["gpu"]
        [limits]
        memory = "64GiB"
        pids = 64
        [[suite]]
        name = "tests"
        run = "python -m pytest"
        [[section]]
        when = "<3"
        source = { pypi = "demo", version = "1.0", sha256 = "11" }
        requires = []
        install = ["python setup.py install --home=/work/venv"]
        [[exclude]]
        variant = "debug"
        reason = "too slow"
    "#;

    fn pick(branch: &str, version: &str, variant: &str) -> Choice {
        let recipe: Recipe = toml::from_str(TEXT).unwrap();
        let version = version.parse().unwrap();
        choose(&recipe, &BTreeMap::new(), branch, &version, variant, &Limits::default())
    }

    #[test]
    fn a_section_replaces_what_it_names() {
        let Choice::Run(old) = pick("2.5", "2.5.6", "default") else {
            panic!("skipped")
        };
        assert_eq!(old.fetch.sources[0].version.as_deref(), Some("1.0"));
        assert!(old.fetch.requires.is_empty());
        assert_eq!(old.suites[0].run, "python -m pytest");
        let Choice::Run(new) = pick("trunk", "3.16.0a0", "default") else {
            panic!("skipped")
        };
        assert_eq!(new.fetch.sources[0].version.as_deref(), Some("2.0"));
        assert_eq!(new.install, None);
        assert_eq!(new.limits.memory, Limits::default().memory);
        assert_eq!(new.limits.pids, 64);
        assert!(new.needs.contains("gpu"));
    }

    #[test]
    fn a_skip_has_a_reason() {
        assert_eq!(
            pick("3.14", "3.14.0", "default"),
            Choice::Skip("the recipe runs on trunk, 2.5 only".into())
        );
        assert_eq!(pick("trunk", "3.16.0", "debug"), Choice::Skip("too slow".into()));
        assert_eq!(
            pick("trunk", "2.4", "default"),
            Choice::Skip("the recipe is for Python >=2.5".into())
        );
    }
}
