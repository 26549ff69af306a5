use super::*;
use crate::domain::limits::Limits;
use crate::plan as planned;
use crate::profile::Profiles;

const RECIPE: &str = "name = \"p\"\nsource = { pypi = \"P.Own\" }\n[[suite]]\nname = \"t\"\nrun = \"true\"\n";

fn spec(recipe: &str, version: &str) -> RunSpec {
    let revision = planned::Commit {
        branch: "trunk",
        sha: "0123456789",
        committed_at: Default::default(),
        version: Some(version),
    };
    let profiles = Profiles::load(None).unwrap();
    let profile = planned::profile(revision, &profiles, "default").unwrap();
    let build = planned::build(revision, profile, &profiles.distribution, "i", "default", "linux/amd64").unwrap();
    let project = crate::recipe::folder::register("p.toml", recipe.to_owned(), None).unwrap();
    planned::run(&project, revision, &build, &Facts::default(), &Limits::default()).unwrap()
}

fn facts(abi: &str) -> Facts {
    Facts {
        abi_key: Some(abi.to_owned()),
        ..Facts::default()
    }
}

fn package(name: &str, file: &str, hash: char, role: &str) -> serde_json::Value {
    serde_json::json!({ "name": name, "version": "1.0", "file": file, "sha256": hash.to_string().repeat(64), "role": role })
}

fn lock(packages: &[serde_json::Value]) -> String {
    serde_json::json!({ "project": null, "packages": packages }).to_string()
}

fn one() -> String {
    lock(&[package("a", "a-1.0.tar.gz", 'a', "run")])
}

#[test]
fn only_sdists_of_dependencies_are_kept() {
    let source = serde_json::json!({ "name": "x", "version": null, "file": null, "sha256": null, "role": "source" });
    let packages = [
        package("a", "a-1.0.tar.gz", 'a', "run"),
        package("b", "b-1.0-py3-none-any.whl", 'b', "run"),
        package("maker", "maker-1.0.zip", 'c', "build"),
        package("p-own", "p_own-1.0.tar.gz", 'd', "run"),
        package("odd", "odd 1.0.tar.gz", 'e', "run"),
        package("dash", "-rf.tar.gz", 'e', "run"),
        source,
    ];
    let wheels = plan(
        "h",
        &spec(RECIPE, "3.14.0"),
        &facts("0123456789abcdef"),
        &lock(&packages),
    )
    .unwrap();
    let words: Vec<Vec<&str>> = wheels.list.lines().map(|line| line.split(' ').collect()).collect();
    let shown: Vec<(&str, &str)> = words.iter().map(|words| (words[0], words[3])).collect();
    // build back ends go first
    assert_eq!(shown, [("build", "maker-1.0.zip"), ("run", "a-1.0.tar.gz")]);
    assert_eq!(words[1][1].len(), 64);
    assert_eq!(words[1][2..], [&"a".repeat(64), "a-1.0.tar.gz", "a", "1.0"]);
    assert_eq!(wheels.abi, "0123456789ab");
}

#[test]
fn the_volume_is_the_projects_own_and_says_what_it_is() {
    let Volume { name, size, labels } = plan("h", &spec(RECIPE, "3.14.0"), &facts("k"), &one()).unwrap().volume;
    let end = name.strip_prefix("pybots-wheels-p-").unwrap();
    assert_eq!((end.len(), size), (16, None));
    let expected = [
        (ABI_LABEL, "k"),
        (KIND_LABEL, "wheels"),
        (OWNER_LABEL, "h"),
        (PROJECT_LABEL, "p"),
    ];
    assert_eq!(labels, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
}

#[test]
fn whatever_a_wheel_depends_on_is_in_a_name() {
    let volume = |host: &str, spec: &RunSpec, abi: &str| plan(host, spec, &facts(abi), &one()).unwrap().volume.name;
    let first = spec(RECIPE, "3.14.0");
    let mut other_runtime = first.clone();
    other_runtime.distribution.runtime.push("libx".into());
    let mut other_project = first.clone();
    other_project.project = "q".into();
    let names: BTreeSet<String> = [
        volume("h", &first, "k"),
        volume("h", &first, "l"),
        volume("i", &first, "k"),
        volume("h", &other_runtime, "k"),
        volume("h", &other_project, "k"),
    ]
    .into();
    assert_eq!(names.len(), 5);
    // the revision is in none of them
    let mut later = first.clone();
    later.image.build.revision = "fedcba".into();
    later.image.build.build_key = "another".into();
    assert_eq!(volume("h", &later, "k"), volume("h", &first, "k"));

    let key = |spec: &RunSpec, lock: &str| {
        let list = plan("h", spec, &facts("k"), lock).unwrap().list;
        let line = list
            .lines()
            .find(|line| line.contains(" a-1.0.tar.gz "))
            .unwrap()
            .to_owned();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    let a = package("a", "a-1.0.tar.gz", 'a', "run");
    let wheel = |hash| package("setuptools", "setuptools-1.0-py3-none-any.whl", hash, "build");
    let keys: BTreeSet<String> = [
        key(&first, &one()),
        key(&first, &lock(&[package("a", "a-1.0.tar.gz", 'b', "run")])),
        key(&first, &lock(&[a.clone(), wheel('c')])),
        key(&first, &lock(&[a.clone(), wheel('d')])),
        key(&spec(&format!("{RECIPE}[env]\nCFLAGS = \"-O0\"\n"), "3.14.0"), &one()),
        key(&spec(&format!("system = [\"libx-dev\"]\n{RECIPE}"), "3.14.0"), &one()),
    ]
    .into();
    assert_eq!(keys.len(), 6);
    assert_eq!(key(&later, &one()), key(&first, &one()));
}

#[test]
fn a_list_that_no_program_takes_is_no_plan() {
    let many: Vec<_> = (0..1000)
        .map(|n| package(&format!("a{n}"), &format!("a{n}-1.0.tar.gz"), 'a', "run"))
        .collect();
    assert_eq!(plan("h", &spec(RECIPE, "3.14.0"), &facts("k"), &lock(&many)), None);
}

#[test]
fn where_it_would_not_be_safe_nothing_is_kept() {
    let modern = spec(RECIPE, "3.14.0");
    let key = facts("k");
    assert!(plan("h", &modern, &key, &one()).is_some());
    assert_eq!(plan("h", &modern, &Facts::default(), &one()), None, "no key");
    assert_eq!(plan("h", &spec(RECIPE, "2.7.18"), &key, &one()), None, "no uv");
    let online = spec(&format!("install_network = true\n{RECIPE}"), "3.14.0");
    assert_eq!(plan("h", &online, &key, &one()), None, "builds that are in no lock");
    assert_eq!(plan("h", &modern, &key, ""), None, "no lock");
    let wheels = lock(&[package("b", "b-1.0-py3-none-any.whl", 'b', "run")]);
    assert_eq!(plan("h", &modern, &key, &wheels), None, "nothing to build");
}
