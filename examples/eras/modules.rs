//! Which modules in C a tree of CPython has, by the lists that its own build reads.

use std::collections::BTreeSet;

/// Where they are listed: the script that builds them up to 3.11, and the lists of the makefile.
pub const LISTS: [&str; 3] = ["setup.py", "Modules/Setup.stdlib.in", "Modules/Setup.bootstrap.in"];

/// The folder of the East Asian codecs, which `setup.py` names by a loop.
pub const CODECS: &str = "Modules/cjkcodecs/";

/// Listed, but for other systems than Linux, or the stand-in of 3.11 that has no source.
const NOT_MEANT: [&str; 4] = ["_Qt", "_dummy", "_scproxy", "sunaudiodev"];

/// The modules of one of [`LISTS`].
pub fn listed(path: &str, text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut names: BTreeSet<String> = match path.ends_with(".py") {
        true => in_script(&lines.collect::<Vec<_>>().join("\n")),
        false => lines.filter_map(in_list).collect(),
    };
    names.retain(|name| !NOT_MEANT.contains(&name.as_str()));
    names
}

/// The modules among the names of files in [`CODECS`].
pub fn codecs(files: &str) -> BTreeSet<String> {
    let stems = files
        .lines()
        .filter_map(|path| path.strip_prefix(CODECS)?.strip_suffix(".c"));
    stems
        .filter(|stem| stem.starts_with("_codecs_"))
        .map(str::to_owned)
        .collect()
}

/// `Extension('name', ..`; what computes the name is left out.
fn in_script(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, call) in text.match_indices("Extension(") {
        // `addMacExtension(` is another one
        let before = text[..at].chars().next_back();
        let argument = text[at + call.len()..].trim_start();
        let quote = argument.chars().next().filter(|quote| "'\"".contains(*quote));
        let (Some(quote), false) = (quote, before.is_some_and(char::is_alphanumeric)) else {
            continue;
        };
        if let Some((name, rest)) = argument[1..].split_once(quote)
            && rest.trim_start().starts_with(',')
        {
            names.insert(name.to_owned());
        }
    }
    names
}

/// `name file.c ..`, behind a condition or not.
fn in_list(line: &str) -> Option<String> {
    let line = line.rsplit_once("_TRUE@").map_or(line, |(_, rest)| rest);
    let (name, files) = line.split_once(' ')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain) && files.contains(".c")).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str, text: &str) -> Vec<String> {
        listed(path, text).into_iter().collect()
    }

    #[test]
    fn the_script_names_modules_in_calls() {
        let text = "exts.append( Extension('array', ['arraymodule.c']) )\n\
                    self.add(Extension(\n    \"_sha3\",\n    [..]))\n\
                    #exts.append( Extension('timing', ['timingmodule.c']) )\n\
                    exts.append(Extension('_codecs_' + loc,\nExtension('_codecs_%s' % loc,\n\
                    addMacExtension('_CF', core_kwds)\nExtension('_scproxy', ..)\nreturn Extension(name, ..)\n";
        assert_eq!(names("setup.py", text), ["_sha3", "array"]);
    }

    #[test]
    fn lists_name_modules_before_their_files() {
        let text = "*shared*\n# math mathmodule.c\n@MODULE_ARRAY_TRUE@array arraymodule.c\n\
                    atexit atexitmodule.c\n@MODULE__SCPROXY_TRUE@_scproxy _scproxy.c\nLIBS=x.c y\n";
        assert_eq!(names("Modules/Setup.stdlib.in", text), ["array", "atexit"]);
    }

    #[test]
    fn codecs_are_named_after_their_files() {
        let files = "Modules/cjkcodecs/README\nModules/cjkcodecs/_codecs_jp.c\nModules/cjkcodecs/multibytecodec.c\n";
        assert_eq!(codecs(files).into_iter().collect::<Vec<_>>(), ["_codecs_jp"]);
    }
}
