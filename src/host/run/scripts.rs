//! What runs inside the containers of a run, as text.

use super::wheels::{self, Wheels};
use crate::domain::job::RunSpec;
use crate::host::image::quote;
use crate::recipe::{Suite, modes};
use std::collections::BTreeMap;

/// The program of the fetch phase; runs on the toolchain image's own Python.
pub const FETCH: [(&str, &str); 3] = [
    (".pybots/fetch.py", include_str!("fetch.py")),
    (".pybots/fetch_net.py", include_str!("fetch_net.py")),
    (".pybots/fetch_unpack.py", include_str!("fetch_unpack.py")),
];

/// Leaves the version of the interpreter that a suite starts; put where every start imports it.
pub const WITNESS: &str = include_str!("witness.py");

/// They tell of each test in JUnit XML where the runner would not; suites run them as `python -m pybots_unittest`.
pub const ADAPTERS: [(&str, &str); 2] = [
    (".pybots/pybots_unittest.py", include_str!("pybots_unittest.py")),
    (".pybots/pybots_trial.py", include_str!("pybots_trial.py")),
];

/// Our own files in the work folder.
pub const OURS: &str = "/work/.pybots";

/// Whether there is anything to get from the network.
pub fn needs_fetch(spec: &RunSpec) -> bool {
    !spec.fetch.requires.is_empty()
        || spec.fetch.sources.iter().any(|source| source.path.is_none())
        // the default install builds the project, and its build back end must be fetched
        || spec.install.is_none()
}

pub fn witness_file(suite: &Suite) -> String {
    format!("witness-{}", suite.name)
}

/// Where a suite tells of its tests: where its recipe says, or where pytest and our own runner are told to.
pub fn report_file(spec: &RunSpec, suite: &Suite) -> String {
    match &suite.report {
        Some(report) => format!("{}/{report}", source_folder(spec)),
        None => format!("{OURS}/junit-{}.xml", suite.name),
    }
}

fn source_folder(spec: &RunSpec) -> String {
    format!("/work/src/{}", spec.fetch.project)
}

/// Environment of install and test.
pub fn environment(spec: &RunSpec) -> BTreeMap<String, String> {
    let path = "/work/venv/bin:/opt/pybots/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut env = base_environment(path);
    let mut set = |key: &str, value: &str| env.insert(key.to_owned(), value.to_owned());
    if spec.is_legacy() {
        set("PYTHONPATH", "/work/venv/lib/python");
    } else {
        set("VIRTUAL_ENV", "/work/venv");
    }
    env.extend(spec.env.clone());
    env
}

/// Environment of one suite: its modes are no other's, and not install's.
pub fn test_environment(spec: &RunSpec, suite: &Suite) -> BTreeMap<String, String> {
    let mut env = environment(spec);
    let witness = format!("{OURS}/{}", witness_file(suite));
    env.insert("PYBOTS_WITNESS".to_owned(), witness);
    env.insert("PYBOTS_REPORT".to_owned(), report_file(spec, suite));
    if suite.report.is_none() && !spec.is_legacy() {
        // what is no pytest takes no notice; one that a test starts ends before the one that started it, and is overwritten
        let report = format!("--junitxml={}", report_file(spec, suite));
        let own = env.entry("PYTEST_ADDOPTS".to_owned()).or_default();
        *own = format!("{own} {report}").trim().to_owned();
    }
    let modes = modes::variables(&suite.modes);
    env.extend(modes.into_iter().map(|(name, value)| (name.to_owned(), value)));
    env
}

/// The variables that a suite's modes are, for its log.
pub fn modes(suite: &Suite) -> String {
    let variables = modes::variables(&suite.modes).into_iter();
    let set: Vec<String> = variables.map(|(name, value)| format!("{name}={value}")).collect();
    set.join(" ")
}

/// What every container of a run has.
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

/// Environment of install: `uv` is offline, works from what was fetched, and is pinned to the lock.
pub fn install_environment(spec: &RunSpec) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from(
        [
            // the name by which CPython was built may be a compiler cache's
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

/// Where a container has the cache that its phase may use; the images have this folder, owned by the
/// user of the runs.
pub const CACHE_AT: &str = "/var/cache/pybots";

/// Makes the environment under test and installs into it.
pub fn install(spec: &RunSpec, wheels: Option<&Wheels>) -> String {
    let python = &spec.image.build.profile.python;
    let mut lines = vec!["mkdir -p /work/home /work/wheels".to_owned()];
    let packages;
    if spec.is_legacy() {
        packages = "/work/venv/lib/python".to_owned();
        lines.push(format!("mkdir -p /work/venv/bin {packages}"));
        lines.push(format!("ln -sf {} /work/venv/bin/python", quote(python)));
        lines.push(format!("cp {OURS}/witness.py {packages}/sitecustomize.py"));
    } else {
        packages = format!("/work/venv/lib/python{}/site-packages", threaded(spec));
        lines.push(format!("uv venv --quiet --python {} /work/venv", quote(python)));
        if let Some(Wheels { abi, .. }) = wheels {
            let most = wheels::MOST_KIB;
            lines.push(format!(
                "sh {OURS}/wheels.sh {OURS}/wheels.txt {CACHE_AT} {} {most}",
                quote(abi)
            ));
        }
        lines.push(format!(
            "if [ -s {OURS}/requirements.txt ]; then uv pip install --no-deps -r {OURS}/requirements.txt; fi"
        ));
    }
    let default = vec!["uv pip install .".to_owned()];
    for command in spec.install.as_ref().unwrap_or(&default) {
        // each from the source folder, wherever the one before went
        lines.push(format!("(cd {} && {command}\n)", quote(&source_folder(spec))));
    }
    lines.push(format!("cp {OURS}/pybots_*.py {packages}/"));
    if !spec.is_legacy() {
        lines.push(format!("cp {OURS}/witness.py {packages}/_pybots_witness.py"));
        lines.push(format!(
            "echo 'import _pybots_witness' > {packages}/_pybots_witness.pth"
        ));
    }
    lines.join("\n")
}

/// `3.14`, or `3.14t` where the library folder bears the free-threaded mark.
fn threaded(spec: &RunSpec) -> String {
    let mark = if spec.image.facts.free_threaded { "t" } else { "" };
    format!("{}{mark}", spec.fetch.python)
}

/// The suite's own line, in the source folder.
pub fn test(spec: &RunSpec, suite: &Suite) -> String {
    format!("cd {}\n{}", quote(&source_folder(spec)), suite.run)
}
