//! The Python programs of a run have tests of their own, in Python. They run in the image that has what the programs need.

use crate::support::here;
use crate::support::up::engine_wanted;
use pybots::profile::Profiles;
use std::process::Command;

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "docker {arguments:?}: {}", text.concat());
    text.concat()
}

#[test]
fn the_fetch_phase_passes_its_own_tests() {
    passes("tests/fetch");
}

#[test]
fn the_gateway_passes_its_own_tests() {
    passes("tests/gateway");
}

#[test]
fn the_recorders_pass_their_own_tests() {
    passes("tests/recorders");
}

fn passes(folder: &str) {
    if !engine_wanted() {
        return;
    }
    let image = Profiles::load(None).unwrap().distribution.toolchain_reference();
    let command = ["python3", "-m", "unittest", "discover", folder];
    let create = [
        &["create", "--network", "none", "--workdir", "/pybots", &image],
        &command[..],
    ]
    .concat();
    let container = docker(&create).trim().to_owned();
    // copied, for an engine may not see the files of this machine
    let copy = format!(
        "set -e; tar -c {folder} src/host/run src/host/gateway | docker cp - {container}:/pybots
        docker start --attach {container}; docker rm {container}"
    );
    let output = Command::new("sh")
        .current_dir(here())
        .args(["-c", &copy])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        docker(&["rm", "--force", &container]);
        panic!("{said}");
    }
    assert!(said.contains("\nOK") && !said.contains("skipped"), "{said}");
}
