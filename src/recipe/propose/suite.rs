//! Chooses the command of the suite.

use super::command::{Command, Pytest, quoted, words};
use super::survey::{Package, Survey, TestFolder};
use super::{ChoiceReason, Proposal, names, write};
use crate::domain::pattern::{is_match, pattern};
use std::collections::BTreeSet;

/// The `install` line of a recipe without one.
pub const DEFAULT_INSTALL: &str = "uv pip install .";
/// The most folders of tests that one command names.
const TARGETS_MOST: usize = 5;

pattern!(FACTOR, r"^[\w,{}!.-]+:\s");
pattern!(POSARGS, r"\{posargs[^}]*\}|\{tty[^}]*\}");

/// Returns whether the tests are for pytest.
pub fn uses_pytest(survey: &Survey) -> bool {
    let commands = survey.commands();
    if commands.iter().any(|(_, line)| calls(line, "pytest")) {
        return true;
    }
    let has_own = commands.iter().any(|(_, line)| own_runner(survey, line).is_some());
    !has_own && (survey.pytest.is_some() || survey.hints("pytest") > 0)
}

/// Returns whether a line contains the name of a program as a word.
fn calls(line: &str, program: &str) -> bool {
    let words = words(line);
    let py_test = program == "pytest" && words.iter().any(|word| word == "py.test");
    py_test || words.iter().any(|word| word == program)
}

/// Returns a line that runs tests by another runner than pytest, in the form for a recipe. Returns `None` if the line
/// does not run tests, or if a recipe can't express it.
fn own_runner(survey: &Survey, line: &str) -> Option<String> {
    let line = match POSARGS.as_ref() {
        Some(pattern) => pattern.replace_all(line, "").into_owned(),
        None => line.to_owned(),
    };
    let is_for_some = is_match(&FACTOR, &line);
    let line = line
        .replace("{envpython}", "python")
        .replace("{toxinidir}/", "")
        .replace("{toxinidir}", ".");
    let mut words = words(line.trim_start_matches(['-', '!']).trim());
    if is_for_some
        || words
            .iter()
            .any(|word| word.contains(['{', '}', '|', '&', ';', '<', '>', '$', '`', '(', '\n']))
    {
        return None;
    }
    if words.first().is_some_and(|word| word == "coverage") {
        // `coverage run --branch -m unittest` runs `python -m unittest`, and measures it
        let start = words
            .iter()
            .position(|word| word == "-m")
            .or_else(|| words.iter().position(|word| word.ends_with(".py")))?;
        words.splice(..start, ["python".to_owned()]);
    }
    let first = words.first()?;
    if !(first == "python" || first == "python3") {
        return None;
    }
    words[0] = "python".to_owned();
    let module = words
        .iter()
        .position(|word| word == "-m")
        .and_then(|place| words.get(place + 1));
    let runs_tests = match module {
        Some(module) if module == "unittest" => true,
        Some(module) => module.contains("test") && module != "pytest",
        None => {
            let script = words.iter().skip(1).find(|word| word.ends_with(".py"))?;
            script != "setup.py" && (script.contains("test") || survey.runners.contains(script))
        }
    };
    runs_tests.then(|| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// Chooses the command, and the requirements for it. If there are no tests, the proposal has no suite.
pub fn choose(proposal: &mut Proposal, survey: &Survey, reasons: &mut Vec<ChoiceReason>) {
    let Some((command, why)) = command(proposal, survey, reasons) else {
        return;
    };
    reasons.push(ChoiceReason::new(
        format!("run = {}", write::text(&command.shell())),
        why,
    ));
    proposal.suite = Some(command);
}

fn command(proposal: &mut Proposal, survey: &Survey, reasons: &mut Vec<ChoiceReason>) -> Option<(Command, String)> {
    if !survey.has_tests() {
        return None;
    }
    if survey.build.compiles {
        shadowed(proposal, survey, reasons);
    }
    if uses_pytest(survey) {
        let mut pytest = Pytest::default();
        let mut why = vec![pytest_reason(survey)];
        addopts(&mut pytest, proposal, survey, reasons);
        targets(&mut pytest, proposal, survey, &mut why);
        return Some((Command::Pytest(pytest), why.join("; ")));
    }
    let own = survey
        .commands()
        .into_iter()
        .find_map(|(file, line)| Some((file, own_runner(survey, line)?)));
    if let Some((file, line)) = own {
        return Some((
            Command::line(line),
            format!("{} runs the tests by that", write::line(file)),
        ));
    }
    if survey.hints("unittest") > 0 {
        let place = survey.places.first()?;
        let line = match place.path.as_str() {
            "" => "python -m unittest discover".to_owned(),
            // with the top folder, so that a package of tests can import itself
            path if place.is_package => format!("python -m unittest discover -t . -s {}", quoted(path)),
            path => format!("python -m unittest discover -s {}", quoted(path)),
        };
        return Some((
            Command::line(line),
            "the tests are for unittest, and nothing points to pytest".to_owned(),
        ));
    }
    let runner = survey.runners.first()?;
    let line = format!("python {}", quoted(runner));
    Some((
        Command::line(line),
        "the project has a test runner of its own".to_owned(),
    ))
}

fn pytest_reason(survey: &Survey) -> String {
    let calling = survey.commands().into_iter().find(|(_, line)| calls(line, "pytest"));
    match (calling, &survey.pytest) {
        (Some((file, _)), _) => format!("{} runs pytest", write::line(file)),
        (None, Some(settings)) => format!("{} has settings for pytest", write::line(&settings.file)),
        (None, None) => "tests are written for pytest".to_owned(),
    }
}

/// Replaces `addopts` if some of them only measure or report, or need a dispensable plugin. Requires the plugins that
/// the others need.
fn addopts(pytest: &mut Pytest, proposal: &mut Proposal, survey: &Survey, reasons: &mut Vec<ChoiceReason>) {
    let Some(settings) = survey.pytest.as_ref().filter(|settings| !settings.addopts.is_empty()) else {
        return;
    };
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    let mut words = words(&settings.addopts).into_iter().peekable();
    while let Some(word) = words.next() {
        if word == "-p" {
            let module = words.next().unwrap_or_default();
            let is_dispensable = names::of_plugin_module(&module).is_some_and(|plugin| plugin.is_dispensable);
            // `no:junitxml` would prevent the JUnit XML that Pybots asks for
            match is_dispensable || module == "no:junitxml" {
                true => dropped.push(format!("-p {module}")),
                false => kept.extend([word, module]),
            }
            continue;
        }
        let Some(plugin) = names::of_option(&word) else {
            kept.push(word);
            continue;
        };
        // the value may be a separate word
        let is_value = |next: &String| !next.starts_with('-') && !word.contains('=');
        let value = words.next_if(is_value);
        if plugin.is_dispensable {
            dropped.push(word);
            continue;
        }
        if !proposal.base.names.contains(plugin.distribution) && proposal.require(plugin.distribution) {
            let why = format!(
                "{} has {} in `addopts`",
                write::line(&settings.file),
                write::text(&word)
            );
            reasons.push(ChoiceReason::new(
                format!("requires {}", write::text(plugin.distribution)),
                why,
            ));
        }
        kept.push(word);
        kept.extend(value);
    }
    if dropped.is_empty() {
        return;
    }
    pytest.options.push("-o addopts=".to_owned());
    pytest.options.extend(kept.iter().map(|word| quoted(word)));
    let dropped: Vec<String> = dropped.iter().map(|word| write::line(word)).collect();
    reasons.push(ChoiceReason::new(
        "-o addopts=",
        format!(
            "{} has {} in `addopts`: that needs a plugin, or is about reports, which say nothing about CPython",
            write::line(&settings.file),
            dropped.join(" ")
        ),
    ));
}

/// Chooses the folders for pytest, so that it does not import a source tree that lacks compiled modules.
fn targets(pytest: &mut Pytest, proposal: &Proposal, survey: &Survey, why: &mut Vec<String>) {
    let paths = survey.paths();
    let settings = survey.pytest.as_ref();
    let testpaths = settings
        .map(|settings| settings.testpaths.as_slice())
        .unwrap_or_default();
    let places: Vec<&TestFolder> = survey
        .places
        .iter()
        .filter(|place| is_of_tests(place))
        .take(TARGETS_MOST)
        .collect();
    let in_package: Vec<&TestFolder> = places.iter().copied().filter(|place| place.is_in_package).collect();
    if (proposal.install.is_some() || survey.build.compiles) && !in_package.is_empty() {
        pytest.targets.push("--pyargs".to_owned());
        pytest.targets.extend(modules_of(survey, &in_package));
        why.push("the tests are in the installed package".to_owned());
    } else if let Some(settings) =
        settings.filter(|_| testpaths.iter().any(|path| paths.contains(path.trim_matches('/'))))
    {
        why.push(format!(
            "{} says where they are (`testpaths`)",
            write::line(&settings.file)
        ));
    } else if places.iter().any(|place| !place.path.is_empty()) {
        let named = places.iter().filter(|place| !place.path.is_empty());
        pytest.targets.extend(named.map(|place| place.path.clone()));
        let counts: usize = places.iter().map(|place| place.files).sum();
        why.push(format!("{counts} files of tests are there"));
    } else {
        why.push("the tests are beside the modules".to_owned());
    }
}

/// Returns the modules that hold tests, or the packages around them if there are many.
fn modules_of(survey: &Survey, named: &[&TestFolder]) -> Vec<String> {
    let all = survey.places.iter().filter(|place| is_of_tests(place));
    let outermost = |module: &str| module.split('.').next().unwrap_or_default().to_owned();
    let modules: Vec<String> = named.iter().map(|place| module_of(survey, place)).collect();
    let tops: BTreeSet<String> = modules.iter().map(|module| outermost(module)).collect();
    let within = all.filter(|place| tops.contains(&outermost(&module_of(survey, place))));
    match within.count() > named.len() {
        true => tops.into_iter().collect(),
        false => modules,
    }
}

/// Returns the installed module of a folder of tests.
fn module_of(survey: &Survey, place: &TestFolder) -> String {
    let below = survey.packages.iter().find_map(|package| {
        let rest = place.path.strip_prefix(&package.below)?.trim_start_matches('/');
        let within = rest.strip_prefix(&package.name)?;
        (within.is_empty() || within.starts_with('/')).then_some(rest)
    });
    below.unwrap_or(&place.path).replace('/', ".")
}

/// Returns whether a folder contains the project's tests, and not tests of its documents, examples or benchmarks.
fn is_of_tests(place: &TestFolder) -> bool {
    let other = [
        "doc",
        "docs",
        "example",
        "examples",
        "benchmark",
        "benchmarks",
        "bench",
        "scripts",
        "tools",
        "vendor",
        "_vendor",
    ];
    !place
        .path
        .split('/')
        .any(|part| other.contains(&part.to_lowercase().as_str()))
}

/// Removes packages from the root of the source after the installation. Otherwise tests would import them and not the
/// installed packages, which have the compiled modules.
fn shadowed(proposal: &mut Proposal, survey: &Survey, reasons: &mut Vec<ChoiceReason>) {
    let shadowing: Vec<&Package> = survey
        .packages
        .iter()
        .filter(|package| shadows(survey, package))
        .collect();
    for package in shadowing {
        if remove(proposal, &package.name) {
            let why = "the project compiles modules, and tests would import the folder in the source, which lacks them";
            reasons.push(ChoiceReason::new(
                format!("install ends with `rm -r {}`", package.name),
                why,
            ));
        }
    }
}

/// Returns whether Python in the root of the source would import the package from there.
pub fn shadows(survey: &Survey, package: &Package) -> bool {
    let holds_tests = survey.places.iter().any(|place| place.path == package.name);
    package.below.is_empty() && package.is_folder && is_identifier(&package.name) && !holds_tests
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Appends a line to `install` that removes a package from the source. Returns whether this changes the proposal.
pub fn remove(proposal: &mut Proposal, package: &str) -> bool {
    let line = format!("rm -r {package}");
    let install = proposal.install.get_or_insert_with(|| vec![DEFAULT_INSTALL.to_owned()]);
    if !is_identifier(package) || install.contains(&line) {
        return false;
    }
    install.push(line);
    true
}
