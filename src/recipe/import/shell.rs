//! Converts a shell line that installs a project with pip to keys of a recipe.

use crate::recipe::requirement::{self, Entry};

/// The keys of a recipe that do the same as a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installs {
    pub requires: Vec<String>,
    /// The lines for `install`. Empty if the default does the same.
    pub lines: Vec<String>,
    /// Whether a line needs the network.
    pub network: bool,
    /// The omitted parts, with the reasons.
    pub left_out: Vec<String>,
}

/// One command of a line.
enum Step {
    /// Installs the project itself, in place or not.
    Project {
        editable: bool,
        extras: Vec<String>,
    },
    Packages(Vec<String>),
    LeftOut(&'static str),
    Line {
        text: String,
        network: bool,
    },
}

/// Converts a line of commands that are joined by `&&`. Keeps a line with other operators unchanged.
pub fn installs(line: &str) -> Installs {
    let mut found = Installs::default();
    let (mut in_place, mut project, mut own) = (false, false, false);
    let steps: Vec<(Step, &str)> = match commands(line) {
        Some(commands) => commands.into_iter().map(|command| (step(command), command)).collect(),
        None => vec![(kept(line.trim()), line)],
    };
    for (step, command) in steps {
        match step {
            Step::Project { editable, extras } => {
                project = true;
                in_place |= editable;
                if !extras.is_empty() {
                    found.requires.push(format!(".[{}]", extras.join(",")));
                }
                found.lines.push(match editable {
                    true => "uv pip install -e .".to_owned(),
                    false => "uv pip install .".to_owned(),
                });
            }
            Step::Packages(packages) => found.requires.extend(packages),
            Step::LeftOut(why) => found.left_out.push(format!("`{command}`: {why}")),
            Step::Line { text, network } => {
                own = true;
                found.network |= network;
                found.lines.push(text);
            }
        }
    }
    found.requires.sort();
    found.requires.dedup();
    // the default installs the project
    if !in_place && !own && project {
        found.lines.clear();
    }
    found
}

/// Returns the commands that `&&` joins. Returns `None` if the line has another operator, a redirection or an
/// expansion, because only a shell can interpret it.
fn commands(line: &str) -> Option<Vec<&str>> {
    let (mut commands, mut begin, mut quote, mut ampersands) = (Vec::new(), 0, None, 0);
    for (at, character) in line.char_indices() {
        match (quote, character) {
            (Some('"') | None, '$' | '`' | '\\') => return None,
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '|' | ';' | '<' | '>' | '(' | ')' | '*' | '?' | '#' | '\n') => return None,
            (None, '&') if ampersands == 1 => {
                commands.push(line.get(begin..at - 1)?.trim());
                (begin, ampersands) = (at + 1, 0);
                continue;
            }
            (None, '&') => {
                ampersands = 1;
                continue;
            }
            (None, _) => {}
        }
        if ampersands == 1 {
            return None;
        }
    }
    commands.push(line.get(begin..)?.trim());
    commands.retain(|command| !command.is_empty());
    (quote.is_none() && ampersands == 0).then_some(commands)
}

fn kept(command: &str) -> Step {
    Step::Line {
        text: command.to_owned(),
        network: true,
    }
}

fn step(command: &str) -> Step {
    let Some(words) = shlex::split(command) else {
        return kept(command);
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["git", "fetch", ..] => Step::LeftOut("Pybots reads the version from the repository's tags by itself"),
        ["pip" | "pip3", "install", arguments @ ..]
        | ["python" | "python3", "-m", "pip", "install", arguments @ ..]
        | ["uv", "pip", "install", arguments @ ..] => install(arguments),
        ["pip" | "pip3", arguments @ ..] | ["python" | "python3", "-m", "pip", arguments @ ..] => Step::Line {
            text: format!("uv pip {}", quoted(arguments)),
            network: false,
        },
        _ => kept(command),
    }
}

fn quoted(words: &[&str]) -> String {
    shlex::try_join(words.iter().copied()).unwrap_or_default()
}

fn install(arguments: &[&str]) -> Step {
    let (mut editable, mut extras, mut project, mut packages) = (false, Vec::new(), false, Vec::new());
    for argument in arguments {
        match *argument {
            "-e" | "--editable" => editable = true,
            "-U" | "--upgrade" | "-q" | "--quiet" | "--prefer-binary" => {}
            "pip" | "setuptools" | "wheel" if arguments.contains(&"-U") || arguments.contains(&"--upgrade") => {}
            own if own == "." || own.starts_with(".[") => match requirement::parse(own) {
                Ok(Entry::Own { extras: named }) => {
                    project = true;
                    extras.extend(named);
                }
                _ if own == "." => project = true,
                _ => return network(arguments),
            },
            package => match requirement::parse(package) {
                Ok(Entry::Package { .. }) => packages.push(package.to_owned()),
                // an option, a file of requirements, an address, a path
                _ => return network(arguments),
            },
        }
    }
    match (project, editable, packages.is_empty()) {
        (true, _, true) => Step::Project { editable, extras },
        (false, false, false) => Step::Packages(packages),
        (false, false, true) => Step::LeftOut("Pybots brings the installer"),
        _ => network(arguments),
    }
}

fn network(arguments: &[&str]) -> Step {
    Step::Line {
        text: format!("uv pip install {}", quoted(arguments)),
        network: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (Vec<String>, Vec<String>, bool, usize) {
        let found = installs(line);
        (found.requires, found.lines, found.network, found.left_out.len())
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_a_recipe_has_keys_for_becomes_keys() {
        for (line, requires, lines, network, left_out) in [
            ("pip install .", &[][..], &[][..], false, 0),
            (
                "pip install '.[test,dev]' && pip install pytest",
                &[".[test,dev]", "pytest"],
                &[],
                false,
                0,
            ),
            (
                "pip install -e . && pip install pytest \"a>=1,<2\"",
                &["a>=1,<2", "pytest"],
                &["uv pip install -e ."],
                false,
                0,
            ),
            (
                "git fetch --tags --depth 1 && python -m pip install -e \".[test]\"",
                &[".[test]"],
                &["uv pip install -e ."],
                false,
                1,
            ),
            (
                "pip install --upgrade pip setuptools && pip install .",
                &[],
                &[],
                false,
                1,
            ),
            (
                "pip install . && pip install \"a>=1 ; python_version < '3.13'\"",
                &["a>=1 ; python_version < '3.13'"],
                &[],
                false,
                0,
            ),
            ("", &[], &[], false, 0),
        ] {
            assert_eq!(read(line), (texts(requires), texts(lines), network, left_out), "{line}");
        }
    }

    #[test]
    fn other_commands_stay_and_get_the_network() {
        for (line, requires, lines) in [
            (
                "pip install -r requirements/test.txt && pip install .",
                &[][..],
                &["uv pip install -r requirements/test.txt", "uv pip install ."][..],
            ),
            (
                "pip install cython && pip install --no-build-isolation -e .",
                &["cython"],
                &["uv pip install --no-build-isolation -e ."],
            ),
            (
                "pip install 'x @ git+https://example.org/x' && pip install -e .",
                &[],
                &["uv pip install 'x @ git+https://example.org/x'", "uv pip install -e ."],
            ),
            ("CFLAGS=-g pip install .; make", &[], &["CFLAGS=-g pip install .; make"]),
            (
                "pip install 'x' ; make && pip install .",
                &[],
                &["pip install 'x' ; make && pip install ."],
            ),
            ("pip install \"$HOME/x\"", &[], &["pip install \"$HOME/x\""]),
            ("pip install a>=1", &[], &["pip install a>=1"]),
            ("pip install . & make", &[], &["pip install . & make"]),
            ("pip install 'x", &[], &["pip install 'x"]),
            ("./build.sh", &[], &["./build.sh"]),
        ] {
            assert_eq!(read(line), (texts(requires), texts(lines), true, 0), "{line}");
        }
        // pip itself, because only it can uninstall
        let (_, lines, network, _) = read("pip install . && pip uninstall -y x");
        assert_eq!(lines, ["uv pip install .", "uv pip uninstall -y x"]);
        assert!(!network);
    }
}
