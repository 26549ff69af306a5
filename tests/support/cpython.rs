//! Revisions of CPython to build: real ones, or a release and seeded ones of each kind.

use super::Repository;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository and revisions of it, oldest first. Of real history (`PYBOTS_CPYTHON_REPO`) the newest
/// `count` of `PYBOTS_BENCH_REF`; else the newest release of `PYBOTS_TEST_CPYTHON`, and after it revisions
/// that were made up in `folder`; they lack the folders `without`. Returns `None` if there is neither.
pub fn of(folder: &Path, count: usize, without: &[&str]) -> Option<(PathBuf, Vec<String>)> {
    let git = |repository: &str, arguments: &[&str]| {
        let output = Command::new("git")
            .args(["--git-dir", repository])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    if let Ok(real) = std::env::var("PYBOTS_CPYTHON_REPO") {
        let head = std::env::var("PYBOTS_BENCH_REF").unwrap_or_else(|_| "main".to_owned());
        let list = git(
            &real,
            &[
                "rev-list",
                "--first-parent",
                "--reverse",
                &format!("--max-count={count}"),
                &head,
            ],
        );
        return Some((real.into(), list.lines().map(str::to_owned).collect()));
    }
    let releases = std::env::var("PYBOTS_TEST_CPYTHON").ok()?;
    let heads = git(&releases, &["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
    let head = heads.lines().find(|head| head.starts_with("3.")).expect("a 3.x branch");
    let repository = Repository::new(&folder.join("cpython"));
    repository.git(&["fetch", "--quiet", &releases, head]);
    repository.git(&["checkout", "--quiet", "-B", "main", "FETCH_HEAD"]);
    for path in without {
        std::fs::remove_dir_all(repository.path.join(path)).unwrap();
    }
    let mut revisions = match without {
        [] => vec![repository.git(&["rev-parse", "HEAD"])],
        _ => vec![repository.commit("Fewer files")],
    };
    let edit = |path: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(repository.path.join(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from:?}");
        repository.write(path, &text.replacen(from, to, 1));
    };
    // Python modules: changed, frozen into the interpreter, new, gone
    edit(
        "Lib/json/__init__.py",
        "__version__ = '2.0.9'",
        "__version__ = '2.0.10'",
    );
    edit("Lib/os.py", "import abc\n", "import abc\npybots_was_here = True\n");
    repository.write("Lib/json/pybots.py", "ANSWER = 42\n");
    std::fs::remove_file(repository.path.join("Lib/colorsys.py")).unwrap();
    revisions.push(repository.commit("Python modules"));
    // C: of the core, of a module that is built in, of one that is not, of the compiler
    for path in ["Objects/rangeobject.c", "Modules/posixmodule.c", "Modules/_csv.c"] {
        let seed = "#include \"Python.h\"\nstatic int pybots_seeded __attribute__((used)) = 1;\n";
        edit(path, "#include \"Python.h\"\n", seed);
    }
    revisions.push(repository.commit("C files"));
    edit("Modules/clinic/_csv.c.h", "PyDoc_STRVAR", "/* seeded */\nPyDoc_STRVAR");
    revisions.push(repository.commit("What Argument Clinic wrote"));
    edit(
        "Include/internal/pycore_bytes_methods.h",
        "#ifndef Py_LIMITED_API",
        "#define PYBOTS_SEEDED 1\n#ifndef Py_LIMITED_API",
    );
    revisions.push(repository.commit("A header of the core that few files include"));
    edit(
        "Python/flowgraph.c",
        "#include \"Python.h\"",
        "/* seeded */\n#include \"Python.h\"",
    );
    revisions.push(repository.commit("The compiler"));
    let path = repository.path.clone();
    // its images are taken away by the test itself
    std::mem::forget(repository);
    Some((path, revisions))
}

/// Changes the profile of today's CPython in a folder of profiles, so that a build takes little more than half the time:
/// less optimization, and no modules for CPython's own tests. All tests build alike, so that the first of them fills the
/// compiler cache for the others. `-O0` builds faster, and runs suites far slower.
pub fn make_quick(images: &Path) {
    let profile = images.join("cpython-3.12.toml");
    let mut text = std::fs::read_to_string(&profile).unwrap();
    for (from, to) in [
        ("configure = [", "configure = [\"--disable-test-modules\", "),
        ("-O3", "-O1"),
    ] {
        assert!(text.contains(from), "{} has no {from:?}", profile.display());
        text = text.replacen(from, to, 1);
    }
    std::fs::write(profile, text).unwrap();
}
