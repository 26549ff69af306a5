//! The scripts and programs that run in the containers of a run.

use super::course::{Course, Since};
use super::environment::{
    OURS, WITNESS_MODULE as MODULE, environments_file, imports_file, reports_folder, results_folder, source_folder,
    threaded, witness_file,
};
use super::full::CHECK;
use super::wheels::Wheels;
use crate::domain::job::RunSpec;
use crate::domain::suite::Suite;
use crate::host::quote;

/// Connects git and svn to the network. They start this program themselves.
pub const TUNNEL: &str = ".pybots/fetch_tunnel.py";

/// The program of the fetch phase, which the toolchain image's own Python runs.
pub const FETCH: [(&str, &str); 9] = [
    (".pybots/fetch.py", include_str!("fetch.py")),
    (".pybots/fetch_busy.py", include_str!("fetch_busy.py")),
    (".pybots/fetch_net.py", include_str!("fetch_net.py")),
    (".pybots/fetch_project.py", include_str!("fetch_project.py")),
    (".pybots/fetch_resolve.py", include_str!("fetch_resolve.py")),
    (".pybots/fetch_sources.py", include_str!("fetch_sources.py")),
    (TUNNEL, include_str!("fetch_tunnel.py")),
    (".pybots/fetch_unpack.py", include_str!("fetch_unpack.py")),
    (".pybots/fetch_version.py", include_str!("fetch_version.py")),
];

/// The program that reads what a source says about its tests. The toolchain image's own Python runs it. It needs the
/// files of [`FETCH`].
pub const SURVEY: [(&str, &str); 4] = [
    (".pybots/survey.py", include_str!("survey.py")),
    (".pybots/survey_files.py", include_str!("survey_files.py")),
    (".pybots/survey_tests.py", include_str!("survey_tests.py")),
    (".pybots/survey_tree.py", include_str!("survey_tree.py")),
];

/// Returns the script that fetches the sources alone.
pub fn fetch_sources() -> String {
    format!("exec python3 {OURS}/fetch.py --only-sources")
}

/// Returns the script that reads what the sources say about their tests.
pub fn survey() -> String {
    format!("exec python3 {OURS}/survey.py")
}

/// Records the version of each interpreter that a suite starts. Its place makes every interpreter import it at its
/// start.
pub const WITNESS: &str = include_str!("witness.py");

/// Recorders of test results for the environment under test: a plugin of pytest, a watcher of unittest, and two runners
/// that suites may start, such as `python -m pybots_unittest`.
pub const RECORDERS: [(&str, &str); 4] = [
    (".pybots/pybots_results.py", include_str!("pybots_results.py")),
    (".pybots/pybots_pytest.py", include_str!("pybots_pytest.py")),
    (".pybots/pybots_unittest.py", include_str!("pybots_unittest.py")),
    (".pybots/pybots_trial.py", include_str!("pybots_trial.py")),
];

/// The phase that installs a project.
pub const INSTALL: &str = "install";

/// Returns the name of the phase that runs a suite.
pub fn test_phase(suite: &Suite) -> String {
    format!("test {}", suite.name)
}

/// Makes each Python of a container write the stacks of its threads to its standard error. The witness registers a
/// handler for this signal. Other programs get no signal, because it would end them.
pub const DUMP_STACKS: &str =
    "for p in /proc/[0-9]*; do case $(readlink $p/exe) in *python*) kill -45 ${p#/proc/} ;; esac; done";

/// The exit code of a container whose first process was ended by SIGKILL.
pub const KILLED: i64 = 137;

/// The exit code by which [`guarded`] reports that SIGKILL ended its script: 128 and the number of a signal that the C
/// library keeps for itself. If the script itself ends with this code, the output has the line [`OWN_CODE`].
pub const SCRIPT_KILLED: i64 = 161;

/// The line by which [`guarded`] reports that [`SCRIPT_KILLED`] is the script's own exit code. A script that prints it
/// and is killed can only mislead its own readers.
const OWN_CODE: &str = "== exit code 161 of the script itself";

/// How many lines at the end of an output are searched for that line. Lines of [`CHECK`] and of the other stream may
/// follow it.
const AFTER_OWN_CODE: usize = 6;

/// Returns whether SIGKILL ended the script of a phase, from the exit code and the end of the output.
pub fn was_killed(exit_code: i64, output: &[u8]) -> bool {
    let text = String::from_utf8_lossy(output);
    let mut last = text.lines().rev().take(AFTER_OWN_CODE);
    // the text of the other stream before it may end without a line break
    exit_code == SCRIPT_KILLED && !last.any(|line| line.trim_end().ends_with(OWN_CODE))
}

/// Wraps the script of a phase, so that the end of the script differs from the end of its container. The first process
/// of a container can only be killed from outside, and this one never ends with [`KILLED`] by itself. So that code
/// means that somebody outside killed the container, whatever the script does. After a failure it reports which folder
/// is full.
pub fn guarded(script: &str) -> String {
    let script = quote(script);
    format!(
        "set +e\n/bin/sh -euc {script}\ncode=$?\ncase $code in\n{KILLED}) code={SCRIPT_KILLED} ;;\n\
         {SCRIPT_KILLED}) echo '{OWN_CODE}' >&2 ;;\nesac\n{CHECK}\nexit $code"
    )
}

/// Returns the script that fetches. If the work folder stays, the script copies the sources, because install may change
/// them.
pub fn fetch(course: Course) -> String {
    let fetch = format!("python3 {OURS}/fetch.py");
    match course.keeps {
        true => format!("{fetch}\nrm -rf {OURS}/src\ncp -a /work/src {OURS}/src"),
        false => format!("exec {fetch}"),
    }
}

/// Returns where a folder of the recipe is put, below `/work`. In a kept work folder, install replaces the earlier
/// folder, so that files which were deleted since do not survive.
pub fn folder_place(course: Course, name: &str, digest: &str) -> String {
    match course.since {
        Since::Install => format!(".pybots/folders/{digest}"),
        Since::Fetch | Since::Test => format!("src/{name}"),
    }
}

/// Returns lines that restore the work folder to its state before install, if an earlier install changed it.
pub fn again(spec: &RunSpec, course: Course) -> String {
    if course.since != Since::Install {
        return String::new();
    }
    let mut lines = vec![format!("rm -rf /work/venv {OURS}/installed")];
    let fetched = spec.fetch.sources.iter().filter(|source| source.path.is_none());
    for name in fetched.filter_map(|source| source.name.as_deref()) {
        let name = quote(name);
        lines.push(format!(
            "rm -rf /work/src/{name}\ncp -a {OURS}/src/{name} /work/src/{name}"
        ));
    }
    for (name, digest) in &spec.fetch.folders {
        let (name, from) = (
            quote(name),
            quote(&format!("/work/{}", folder_place(course, name, digest))),
        );
        lines.push(format!("rm -rf /work/src/{name}\nmv {from} /work/src/{name}"));
    }
    lines.join("\n") + "\n"
}

/// Returns lines that remove the files that an earlier run of a suite left for the host to read.
pub fn test_again(course: Course, suite: &Suite) -> String {
    if course.since == Since::Fetch {
        return String::new();
    }
    let files = [
        results_folder(suite),
        format!("{OURS}/{}", witness_file(suite)),
        format!("{OURS}/{}", imports_file(suite)),
        format!("{OURS}/{}", environments_file(suite)),
        reports_folder(suite),
    ];
    format!("rm -rf {}\n", files.map(|file| quote(&file)).join(" "))
}

/// Returns the script that creates the environment under test and installs into it.
pub fn install(spec: &RunSpec, wheels: Option<&Wheels>) -> String {
    let python = &spec.image.build.profile.python;
    let mut lines = vec!["mkdir -p /work/home /work/wheels".to_owned()];
    let packages;
    if spec.is_legacy() {
        packages = "/work/venv/lib/python".to_owned();
        lines.push(format!("mkdir -p /work/venv/bin {packages}"));
        // a suite that sets PYTHONPATH, as many for Python 2 do, must not lose the environment
        lines.push(format!(
            "cat > /work/venv/bin/python <<'END'\n{}END",
            legacy_python(python, &packages)
        ));
        lines.push("chmod 755 /work/venv/bin/python".to_owned());
        // by that name, since the image's own folder has the same module, which must not start twice
        lines.push(format!("cp {OURS}/witness.py {packages}/{MODULE}.py"));
        lines.push(format!("echo 'import {MODULE}' > {packages}/sitecustomize.py"));
        // `python -E` reads no variable, but it reads the user's own folder, from Python 2.6 on
        let own = format!("/work/home/.local/lib/python{}/site-packages", spec.fetch.python);
        lines.push(format!("mkdir -p {own}\necho {packages} > {own}/pybots.pth"));
    } else {
        packages = format!("/work/venv/lib/python{}/site-packages", threaded(spec));
        lines.push(format!("uv venv --quiet --python {} /work/venv", quote(python)));
        lines.extend(wheels.map(Wheels::build));
        lines.push(format!(
            "if [ -s {OURS}/requirements.txt ]; then uv pip install --no-deps -r {OURS}/requirements.txt; fi"
        ));
        // after the dependencies, because these have versions of their own
        lines.push(format!("[ ! -s {OURS}/versions.sh ] || . {OURS}/versions.sh"));
    }
    let default = vec!["uv pip install .".to_owned()];
    for command in spec.install.as_ref().unwrap_or(&default) {
        // each command starts in the source folder
        lines.push(format!("(cd {} && {command}\n)", quote(&source_folder(spec))));
    }
    lines.push(format!("cp {OURS}/pybots_*.py {packages}/"));
    // pytest finds its plugins by the metadata of what is installed
    let metadata = format!("{packages}/pybots_results-1.dist-info");
    lines.push(format!("mkdir -p {metadata}"));
    lines.push(format!(
        "printf 'Metadata-Version: 2.1\\nName: pybots-results\\nVersion: 1\\n' > {metadata}/METADATA"
    ));
    lines.push(format!(
        "printf '[pytest11]\\npybots = pybots_pytest\\n' > {metadata}/entry_points.txt"
    ));
    if !spec.is_legacy() {
        lines.push(format!("cp {OURS}/witness.py {packages}/{MODULE}.py"));
        lines.push(format!("echo 'import {MODULE}' > {packages}/{MODULE}.pth"));
    }
    lines.join("\n")
}

/// Returns a `python` for Pythons without virtual environments: the interpreter, with the folder of the environment at
/// the end of its path. It writes the witness's file itself, because `-S` keeps a Python from importing the witness.
fn legacy_python(python: &str, packages: &str) -> String {
    let python = quote(python);
    format!(
        "#!/bin/sh\ncase \":${{PYTHONPATH-}}:\" in\n*:{packages}:*) ;;\n*) export \
         PYTHONPATH=\"${{PYTHONPATH:+$PYTHONPATH:}}{packages}\" ;;\nesac\n\
         if [ -n \"${{PYBOTS_WITNESS-}}\" ] && [ ! -e \"$PYBOTS_WITNESS\" ]; then\n\
         {python} -E -S -c 'import sys; sys.stdout.write(\" \".join(sys.version.split()))' > \"$PYBOTS_WITNESS\" || rm -f \"$PYBOTS_WITNESS\"\n\
         fi\nexec {python} \"$@\"\n"
    )
}

/// Returns the script that runs the suite's command in the source folder.
pub fn test(spec: &RunSpec, suite: &Suite) -> String {
    format!("cd {}\n{}", quote(&source_folder(spec)), suite.run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    #[test]
    fn a_suite_that_sets_the_path_of_python_2_keeps_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python");
        std::fs::write(&python, legacy_python("/usr/bin/python3", "/work/venv/lib/python")).unwrap();
        std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        for (set, expected) in [
            (None, "/work/venv/lib/python"),
            (Some("."), ".:/work/venv/lib/python"),
            (Some("/work/venv/lib/python"), "/work/venv/lib/python"),
            (Some("/a:/work/venv/lib/python:/b"), "/a:/work/venv/lib/python:/b"),
        ] {
            let mut command = Command::new(&python);
            command.args([
                "-c",
                "import os, sys; print(os.environ['PYTHONPATH'], sys.argv[1])",
                "a b",
            ]);
            match set {
                Some(path) => command.env("PYTHONPATH", path),
                None => command.env_remove("PYTHONPATH"),
            };
            let output = command.output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{expected} a b\n"));
        }
    }

    #[test]
    fn an_exit_code_of_the_script_itself_differs_from_a_signal() {
        for (script, code, killed) in [
            ("kill -9 $$", SCRIPT_KILLED, true),
            ("exit 137", SCRIPT_KILLED, true),
            ("exit 161", SCRIPT_KILLED, false),
            ("printf x >&2; exit 161", SCRIPT_KILLED, false),
            ("exit 3", 3, false),
            ("kill -11 $$", 139, false),
        ] {
            let output = Command::new("/bin/sh").args(["-c", &guarded(script)]).output().unwrap();
            let exit_code = i64::from(output.status.code().unwrap());
            assert_eq!(
                (exit_code, was_killed(exit_code, &output.stderr)),
                (code, killed),
                "{script}"
            );
        }
    }

    #[test]
    fn the_witness_is_left_whatever_options_python_2_gets() {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python");
        std::fs::write(&python, legacy_python("/usr/bin/python3", "/work/venv/lib/python")).unwrap();
        std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        for options in [&["-S"][..], &["-E"], &["-S", "-E"], &[]] {
            let witness = folder.path().join("witness");
            let mut command = Command::new(&python);
            command.args(options).args(["-c", "pass"]);
            assert!(command.env("PYBOTS_WITNESS", &witness).status().unwrap().success());
            let version = std::fs::read_to_string(&witness).unwrap();
            assert!(version.starts_with("3."), "{options:?}: {version}");
            std::fs::remove_file(&witness).unwrap();
        }
    }
}
