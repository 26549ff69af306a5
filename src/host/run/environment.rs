//! Environment variables of install and test, and the files that they name.

use crate::domain::job::RunSpec;
use crate::domain::modes;
use crate::domain::suite::Suite;
use std::collections::BTreeMap;

/// Our own files in the work folder.
pub const OURS: &str = "/work/.pybots";

/// The folder at which a container mounts a cache. The images have this folder, owned by the user of the runs.
pub const CACHE_AT: &str = "/var/cache/pybots";

/// The module that each start of Python imports, where suites run.
pub const WITNESS_MODULE: &str = "_pybots_witness";

pub fn witness_file(suite: &Suite) -> String {
    format!("witness-{}", suite.name)
}

/// Returns the file in which the witness names the packages that a suite imported from the source folder. No name of a
/// suite has a colon.
pub fn imports_file(suite: &Suite) -> String {
    format!("{}:sources", witness_file(suite))
}

/// Returns the file in which the witness says which environments tox or nox made.
pub fn environments_file(suite: &Suite) -> String {
    format!("{}:environments", witness_file(suite))
}

/// Returns the folder in which our recorders write the results of a suite's tests.
pub fn results_folder(suite: &Suite) -> String {
    format!("{OURS}/results-{}", suite.name)
}

/// Returns the path of the JUnit report that a suite's recipe names, or `None` if it names none.
pub fn report_file(spec: &RunSpec, suite: &Suite) -> Option<String> {
    let report = suite.report.as_ref()?;
    Some(format!("{}/{report}", source_folder(spec)))
}

/// Returns the folder in which each pytest outside of the environment under test writes a JUnit report.
pub fn reports_folder(suite: &Suite) -> String {
    format!("{OURS}/junit-{}", suite.name)
}

/// Returns the folder of the project, in which install and the suites begin.
pub fn source_folder(spec: &RunSpec) -> String {
    format!("/work/src/{}", spec.fetch.project_folder())
}

/// `3.14`, or `3.14t` if the library folder bears the free-threaded mark.
pub fn threaded(spec: &RunSpec) -> String {
    let mark = if spec.image.facts.free_threaded { "t" } else { "" };
    format!("{}{mark}", spec.fetch.python)
}

/// Returns the variables of install and test.
pub fn environment(spec: &RunSpec) -> BTreeMap<String, String> {
    let path = "/work/venv/bin:/opt/pybots/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut env = base_environment(path);
    let mut set = |key: &str, value: &str| env.insert(key.to_owned(), value.to_owned());
    if spec.is_legacy() {
        set("PYTHONPATH", "/work/venv/lib/python");
    } else {
        set("VIRTUAL_ENV", "/work/venv");
    }
    // the machine's number of processors is not what the container may use; Python reads this variable from 3.13 on
    set("PYTHON_CPU_COUNT", &processors(spec.limits.cpus).to_string());
    env.extend(spec.env.clone());
    env
}

/// Returns a limit of processors as a whole number, rounded up.
fn processors(cpus: f64) -> u64 {
    cpus.ceil().max(1.0) as u64
}

/// Returns the variables of one suite. Its modes apply neither to other suites nor to install.
pub fn test_environment(spec: &RunSpec, suite: &Suite) -> BTreeMap<String, String> {
    let mut env = environment(spec);
    let witness = format!("{OURS}/{}", witness_file(suite));
    env.insert("PYBOTS_WITNESS".to_owned(), witness);
    env.insert("PYBOTS_RESULTS".to_owned(), results_folder(suite));
    if suite.report.is_none() && !spec.is_legacy() {
        // for a pytest outside the environment under test, which has no recorder of ours; other runners ignore this. pytest
        // puts the value of the variable there, so that environments of tox that run at the same time have files of their own
        let report = format!("--junitxml={}/$TOX_ENV_NAME.xml", reports_folder(suite));
        let own = env.entry("PYTEST_ADDOPTS".to_owned()).or_default();
        *own = format!("{own} {report}").trim().to_owned();
    }
    let modes = modes::variables(&suite.modes);
    env.extend(modes.into_iter().map(|(name, value)| (name.to_owned(), value)));
    env
}

/// Returns the variables that a suite's modes set, for its log.
pub fn modes(suite: &Suite) -> String {
    let variables = modes::variables(&suite.modes).into_iter();
    let set: Vec<String> = variables.map(|(name, value)| format!("{name}={value}")).collect();
    set.join(" ")
}

/// Returns the variables of every container of a run.
pub fn base_environment(path: &str) -> BTreeMap<String, String> {
    [
        ("HOME", "/work/home"),
        ("LANG", "C.UTF-8"),
        ("LOGNAME", "pybots"),
        ("PATH", path),
        ("PYBOTS", "1"),
        ("TMPDIR", "/tmp"),
        ("USER", "pybots"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Returns whether anything has to be fetched from the network.
pub fn needs_fetch(spec: &RunSpec) -> bool {
    !spec.fetch.requires.is_empty()
        || !spec.fetch.groups.is_empty()
        || spec.fetch.sources.iter().any(|source| source.path.is_none())
        // the default install builds the project, and its build back end must be fetched
        || spec.install.is_none()
}

/// Returns the variables of install: `uv` uses the fetched files, must keep to the lock if something was fetched, and
/// is offline unless the recipe asks for the network.
pub fn install_environment(spec: &RunSpec) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from(
        [
            // CPython may have been built with a compiler cache's name for the compiler
            ("CC", "gcc"),
            ("CXX", "g++"),
            ("UV_CACHE_DIR", "/work/.uv-cache"),
            ("UV_NO_CONFIG", "1"),
            ("UV_PYTHON_DOWNLOADS", "never"),
            ("UV_NO_PROGRESS", "1"),
            ("UV_FIND_LINKS", "/work/wheels"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    if needs_fetch(spec) {
        env.insert("UV_CONSTRAINT".to_owned(), format!("{OURS}/requirements.txt"));
    }
    if !spec.install_network {
        env.insert("UV_OFFLINE".to_owned(), "1".to_owned());
        env.insert("UV_NO_INDEX".to_owned(), "1".to_owned());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_reports_as_many_processors_as_the_limit_amounts_to() {
        for (cpus, count) in [(0.01, 1), (1.0, 1), (1.5, 2), (2.0, 2), (8.0, 8)] {
            assert_eq!(processors(cpus), count, "{cpus}");
        }
    }
}
