//! The scripts that run in the build container. One container does all steps, since starting one costs as much as a
//! small step.

use super::probe;
use crate::domain::digest::digest;
use crate::domain::job::BuildSpec;
use crate::domain::tree::Update;
use crate::host::phase::STEP;
use crate::host::quote;
use std::collections::BTreeMap;

/// Updates an install root without installing everything again.
pub const INSTALL: &str = include_str!("install.py");

/// Writes the new content of the install root as a layer.
pub const LAYER: &str = include_str!("layer.py");

/// Folder of the sources, the objects and the install root.
pub const BUILD: &str = "/build";

/// Removes all objects. They are in these folders of the tree.
const ALL_OBJECTS: &str = r#"folders='Modules Objects Parser Programs Python'
all_objects() { find $folders -name '*.o' -delete; }"#;

/// Removes the objects of files that include a changed file. An included file that has an object of its own is left to
/// `make`. If a file that includes the changed one has no object, all objects are removed, because it may be included
/// from anywhere.
const RECOMPILE: &str = r#"recompile() {
  if [ -f "${1%.c}.o" ]; then return; fi
  grep -rlF --include='*.[ch]' -e "/${1##*/}\"" -e "\"${1##*/}\"" $folders >/tmp/by || true
  while read -r by; do
    if [ -f "${by%.c}.o" ]; then rm -f "${by%.c}.o"; else all_objects; fi
  done </tmp/by
}"#;

/// Answers of configure that autoconf's own macros replay with all their effects. CPython's own checks may have more
/// effects (one sets NO_AS_NEEDED), which are lost if the answer comes from a cache.
const REPLAYED: &str = "^ac_cv_(alignof|func|have_decl|header|lib|member|search|sizeof|type)_";

/// The largest size of the compiler cache.
const CCACHE_MOST: &str = "5G";

/// Returns the environment of all steps.
pub fn environment(spec: &BuildSpec) -> BTreeMap<String, String> {
    let compiler = format!("string:{}", spec.distribution.toolchain_reference());
    let mut env = BTreeMap::from(
        [
            ("CCACHE_DIR", "/cache/ccache"),
            ("CCACHE_MAXSIZE", CCACHE_MOST),
            // the toolchain's name identifies the compiler
            ("CCACHE_COMPILERCHECK", compiler.as_str()),
            ("HOME", BUILD),
            ("LC_ALL", "C.UTF-8"),
            // here `gcc` is the compiler cache: CPython records the compiler's plain name
            ("PATH", "/usr/lib/ccache:/usr/local/bin:/usr/bin:/bin"),
            ("SOURCE_DATE_EPOCH", "1000000000"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    env.extend(spec.profile.env.clone());
    env
}

/// Returns all steps of a build. `folder` has the build's files: the sources in `src`, and for an update the
/// NUL-ended names of files in `put` and `delete`.
pub fn script(spec: &BuildSpec, folder: &str, jobs: usize, update: Option<&Update>) -> String {
    let mut lines = vec![
        "set -eu".to_owned(),
        format!("cd {BUILD}"),
        // from here on the tree belongs to no revision; remove what an earlier build left half done
        "rm -f tree.json".to_owned(),
        format!("for other in order-*; do [ {BUILD}/$other = {folder} ] || rm -rf $other; done"),
    ];
    match update {
        Some(update) => updated(spec, folder, jobs, update, &mut lines),
        None => clean(spec, folder, jobs, &mut lines),
    }
    lines.push(finish(spec));
    lines.push(step("layer"));
    lines.push(format!("python3 {folder}/layer.py {BUILD} {folder}"));
    lines.push(format!(
        "cd {BUILD}\nrm -rf {folder}/src\nmv {folder}/tree.json tree.json"
    ));
    lines.join("\n")
}

fn clean(spec: &BuildSpec, folder: &str, jobs: usize, lines: &mut Vec<String>) {
    lines.push(step("configure"));
    lines.push(format!("rm -rf src root\nmv {folder}/src src\ncd src"));
    lines.push(prepare(spec));
    // The results of configure depend on its own text, on the toolchain and on its arguments. They are passed in by
    // CONFIG_SITE, because arguments are recorded in the build.
    let inputs = serde_json::json!([spec.profile.configure, spec.profile.prepare, environment(spec)]).to_string();
    let inputs = &digest(&[spec.distribution.toolchain_reference().as_bytes(), inputs.as_bytes()])[..16];
    lines.push(format!(
        "replayed=/cache/replayed/{inputs}-$(cat configure aclocal.m4 2>/dev/null | sha256sum | cut -c 1-16)
mkdir -p /cache/replayed
rm -f {BUILD}/config.cache
if [ -f $replayed ]; then cp $replayed {BUILD}/config.cache; fi
echo cache_file={BUILD}/config.cache >{BUILD}/config.site
CONFIG_SITE={BUILD}/config.site {configure}
if [ ! -f $replayed ] && [ -f {BUILD}/config.cache ]; then
  grep -E '{REPLAYED}' {BUILD}/config.cache >$replayed.$$ || true
  mv $replayed.$$ $replayed
fi",
        configure = configure(spec),
    ));
    lines.push(step("make"));
    lines.push(make(spec, jobs, ""));
    lines.push(step("install"));
    lines.push(make(spec, 1, &format!(" install DESTDIR={BUILD}/root")));
}

/// Returns the steps of a build that uses nothing of an earlier one.
pub fn from_scratch(spec: &BuildSpec, jobs: usize) -> String {
    let env = environment(spec);
    let env = env.iter().filter(|(name, _)| !name.starts_with("CCACHE"));
    let mut lines = vec!["set -eu\nexport CCACHE_DISABLE=1".to_owned()];
    lines.extend(env.map(|(name, value)| format!("export {name}={}", quote(value))));
    lines.push(format!("cd {BUILD}/src"));
    lines.push(prepare(spec));
    lines.push(configure(spec));
    lines.push(make(spec, jobs, ""));
    lines.push(make(spec, 1, &format!(" install DESTDIR={BUILD}/root")));
    lines.push(finish(spec));
    lines.join("\n")
}

fn prepare(spec: &BuildSpec) -> String {
    let touched = spec.profile.touch.iter().map(|path| format!("touch {}", quote(path)));
    let lines: Vec<String> = touched.chain(spec.profile.prepare.iter().cloned()).collect();
    lines.join("\n")
}

fn configure(spec: &BuildSpec) -> String {
    format!("./configure --prefix=/usr/local{}", words(&spec.profile.configure))
}

/// Returns the changes to the install root after `make install`.
fn finish(spec: &BuildSpec) -> String {
    let mut lines = vec![
        format!("cd {BUILD}/root"),
        // nothing links against it in a container, and it is a third of the installation
        "find . -name 'libpython*.a' -delete".to_owned(),
        format!("ln -sf {} usr/local/bin/python", quote(&spec.profile.python)),
    ];
    lines.extend(spec.profile.finish.iter().cloned());
    lines.join("\n")
}

fn updated(spec: &BuildSpec, folder: &str, jobs: usize, update: &Update, lines: &mut Vec<String>) {
    lines.push(step("make"));
    lines.push("cd src".to_owned());
    if !update.put.is_empty() {
        // unpacked files have the time of the revision; make has to see them as new
        lines.push(format!("cp -a {folder}/src/. .\nxargs -0 -a {folder}/put touch -c --"));
    }
    if !update.delete.is_empty() {
        lines.push(format!("xargs -0 -a {folder}/delete rm -f --"));
    }
    lines.extend([ALL_OBJECTS.to_owned(), RECOMPILE.to_owned()]);
    if update.all_objects {
        lines.push("all_objects".to_owned());
    }
    lines.extend(update.included.iter().map(|path| format!("recompile {}", quote(path))));
    // The object with the revision's id is compiled again. The two programs that freeze modules contain it too, but
    // their output does not depend on it; and Programs/_testembed is not installed.
    let current = make(spec, jobs, " -q Programs/_freeze_module _bootstrap_python");
    lines.push(format!(
        "old='-o Programs/_testembed'
if {current} >/dev/null 2>&1; then old=\"$old -o Programs/_freeze_module -o _bootstrap_python\"; fi
rm -f Modules/getbuildinfo.o"
    ));
    let headers = if update.headers { " inclinstall" } else { "" };
    lines.push(format!("touch {folder}/began"));
    lines.push(make(
        spec,
        jobs,
        &format!(" $old all altbininstall libainstall{headers} DESTDIR={BUILD}/root"),
    ));
    // linking all of them would take a second; those that `make` left alone are installed
    lines.push(format!(
        "new=$(find Modules -name '*.so' -newer {folder}/began)
if [ -n \"$new\" ]; then {}; fi",
        make(
            spec,
            jobs,
            &format!(" -o all sharedinstall SHAREDMODS=\"$(echo $new)\" DESTDIR={BUILD}/root")
        ),
    ));
    lines.push(step("install"));
    let all = if update.bytecode { " --all" } else { "" };
    lines.push(format!("python3 {folder}/install.py {BUILD} {folder}{all}"));
}

/// Returns the command for `make`. It has the id that is compiled in as variables, under the names that the Makefiles
/// of all eras use.
fn make(spec: &BuildSpec, jobs: usize, targets: &str) -> String {
    let revision = probe::compiled_in(&spec.revision);
    let arguments = words(&spec.profile.make);
    format!(
        "make -j{jobs} GITVERSION='echo {revision}' GITTAG='echo {branch}' GITBRANCH='echo {branch}' \
         HGVERSION='echo {revision}' HGTAG='echo {branch}' HGBRANCH='echo {branch}' SVNVERSION='echo {revision}'{arguments}{targets}",
        branch = spec.branch,
    )
}

fn step(name: &str) -> String {
    format!("echo '{STEP}{name}'")
}

fn words(words: &[String]) -> String {
    words.iter().map(|word| format!(" {}", quote(word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quote("--with-x=a b"), "'--with-x=a b'");
        assert_eq!(quote("it's"), "'it'\\''s'");
    }
}
