//! Survey: the information about a project and its tests in a source tree, which `survey.py` reads in a sandbox.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The information in a source tree. No text in it is trusted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Survey {
    /// The project's name in its metadata. Empty if there is none.
    pub name: String,
    pub summary: String,
    pub requires_python: String,
    pub homepage: String,
    /// The address of the repository. Empty if the metadata has none that is recognized.
    pub repository: String,
    pub build: Build,
    /// The code that computes the dependencies. Empty if they are listed.
    pub computed: String,
    /// The requirements of each extra.
    pub extras: BTreeMap<String, Vec<String>>,
    /// The requirements of each dependency group.
    pub groups: BTreeMap<String, Vec<String>>,
    pub dependencies: Vec<String>,
    pub packages: Vec<Package>,
    /// The folders with tests. The folder with most test files comes first.
    pub places: Vec<TestFolder>,
    /// The paths of test files.
    pub files: Vec<String>,
    /// Modules that test files import, with the number of files. Excludes modules of Python and of the project.
    pub imports: Vec<(String, usize)>,
    /// Arguments of tests and fixtures that the tree does not define.
    pub arguments: Vec<String>,
    /// Names of the pytest marks in the tests.
    pub marks: Vec<String>,
    /// Programs that look like test runners.
    pub runners: Vec<String>,
    pub pytest: Option<PytestSettings>,
    pub tox: Option<Environment>,
    pub nox: Vec<Environment>,
    pub hatch: Vec<Environment>,
    /// The groups of poetry, pdm and uv that are in none of the standard tables.
    pub poetry: BTreeMap<String, Vec<String>>,
    pub requirement_files: Vec<RequirementFile>,
    /// The parts that could not be read, with the reasons.
    pub notes: Vec<String>,
}

/// The build of a project.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Build {
    pub backend: String,
    /// The requirements in `[build-system]`.
    pub requires: Vec<String>,
    /// Whether the project has sources to compile.
    pub compiles: bool,
    /// Whether the source has anything to install.
    pub installs: bool,
}

/// A package or module that the project provides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Package {
    pub name: String,
    /// The folder that contains it: `src`, or empty for the root of the tree.
    pub below: String,
    /// Whether it is a folder and not a file.
    pub is_folder: bool,
}

/// A folder with tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TestFolder {
    /// The path. Empty for the root of the tree.
    pub path: String,
    pub files: usize,
    /// The number of hints to each test runner, by its name.
    pub runners: BTreeMap<String, usize>,
    /// Whether it is a package within a package of the project.
    pub is_in_package: bool,
    /// Whether it is a package.
    pub is_package: bool,
}

/// The settings of pytest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PytestSettings {
    /// The file with the settings.
    pub file: String,
    pub addopts: String,
    pub testpaths: Vec<String>,
    pub required_plugins: Vec<String>,
    /// The names of all settings.
    pub keys: Vec<String>,
}

/// An environment of tox, nox or hatch: what it installs and runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// The name of the environment, or its file.
    #[serde(alias = "file")]
    pub name: String,
    #[serde(alias = "deps")]
    pub installs: Vec<String>,
    #[serde(alias = "features")]
    pub extras: Vec<String>,
    pub groups: Vec<String>,
    #[serde(alias = "commands")]
    pub runs: Vec<String>,
}

/// A file of requirements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RequirementFile {
    pub path: String,
    pub lines: Vec<String>,
}

impl Survey {
    /// Returns whether the tree has tests.
    pub fn has_tests(&self) -> bool {
        !self.places.is_empty() || !self.runners.is_empty()
    }

    /// Returns the number of hints to a runner.
    pub fn hints(&self, runner: &str) -> usize {
        let hints = self.places.iter().filter_map(|place| place.runners.get(runner));
        hints.sum()
    }

    /// Returns the commands that run the tests, each with its file: first of tox, then of nox, then of hatch.
    pub fn commands(&self) -> Vec<(&str, &str)> {
        let tox = self.tox.iter().map(|tox| (tox.name.as_str(), tox));
        let nox = self.nox.iter().filter(|session| is_of_tests(&session.name));
        let hatch = self.hatch.iter();
        let all = tox
            .chain(nox.map(|session| ("noxfile.py", session)))
            .chain(hatch.map(|environment| ("pyproject.toml", environment)));
        all.flat_map(|(file, environment)| environment.runs.iter().map(move |run| (file, run.as_str())))
            .collect()
    }

    /// Returns the folders and files of tests, and the folders around them.
    pub fn paths(&self) -> BTreeSet<&str> {
        let mut paths = BTreeSet::new();
        for file in &self.files {
            let mut path = file.as_str();
            paths.insert(path);
            while let Some((folder, _)) = path.rsplit_once('/') {
                paths.insert(folder);
                path = folder;
            }
        }
        paths
    }
}

/// Returns whether an environment has a typical name for running tests.
pub fn is_of_tests(name: &str) -> bool {
    let name = name.to_lowercase();
    ["test", "unit", "py"].iter().any(|word| name.contains(word)) || name == "default"
}
