//! The results as Markdown: a row for each ref, and below the table the profiles and the gaps.

use pybots::domain::profile::Profile;
use pybots::domain::version::PythonVersion;
use std::collections::BTreeMap;

/// The result for one ref. An error says why no image could be built or asked.
pub struct Era {
    pub reference: String,
    pub found: Result<Found, String>,
}

/// An image that was built and has answered.
pub struct Found {
    pub version: PythonVersion,
    pub revision: String,
    pub profile: Profile,
    /// The number of modules that import.
    pub here: usize,
    /// Modules that do not import, with the interpreter's message for each.
    pub gaps: BTreeMap<String, String>,
    /// Duration of configure, make and install. `None` if the engine held the image already.
    pub seconds: Option<f64>,
}

/// The reason that stands for a gap without one in its profile; the interpreter's message follows.
const NO_REASON: &str = "no recorded reason";

/// The head of the table.
pub const HEAD: &str = "\
| ref | Python | revision | profile | modules in C that import | missing | build |
|---|---|---|---|---|---|---|";

/// Returns the list of profiles, to be printed below the table. Refs whose profiles do the same share an entry. Empty
/// if nothing was built.
pub fn profiles(eras: &[Era]) -> String {
    let mut shared: Vec<(String, &str, Vec<String>)> = Vec::new();
    for era in eras {
        let Ok(found) = &era.found else { continue };
        let (steps, name) = (steps(&found.profile), found.profile.name.as_str());
        let reference = format!("`{}`", era.reference);
        match shared.iter_mut().find(|(other, of, _)| *other == steps && *of == name) {
            Some((_, _, references)) => references.push(reference),
            None => shared.push((steps, name, vec![reference])),
        }
    }
    let mut text = String::new();
    for (steps, name, references) in shared {
        text.push_str(&format!("- {name}, for {}\n{steps}", references.join(", ")));
    }
    match text.is_empty() {
        true => text,
        false => format!("\n## Profiles\n\n{text}"),
    }
}

/// Returns the missing modules with their reasons, to be printed below the profiles. Empty if no module is missing.
pub fn gaps(eras: &[Era]) -> String {
    let mut text = String::new();
    for (reason, lines) in reasons(eras) {
        text.push_str(&format!("- {reason}\n"));
        for line in lines {
            text.push_str(&format!("  - {line}\n"));
        }
    }
    match text.is_empty() {
        true => text,
        false => format!("\n## Gaps\n\n{text}"),
    }
}

/// Returns one row of the table.
pub fn row(era: &Era) -> String {
    let name = &era.reference;
    match &era.found {
        Err(reason) => format!("| `{name}` | | | | can't be built: {} | | |", cell(reason)),
        Ok(found) => format!(
            "| `{name}` | {} | {} | {} | {} of {} | {} | {} |",
            found.version,
            &found.revision[..found.revision.len().min(10)],
            cell(&found.profile.name),
            found.here,
            found.here + found.gaps.len(),
            code(found.gaps.keys()),
            found
                .seconds
                .map_or("held".to_owned(), |seconds| format!("{seconds:.0} s")),
        ),
    }
}

/// Returns a Markdown list of all that a profile adds to `./configure && make && make install`.
fn steps(profile: &Profile) -> String {
    let variables: Vec<String> = profile
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let lists = [
        ("arguments of `configure`", code(profile.configure.iter())),
        ("environment", code(variables.iter())),
        ("arguments of `make`", code(profile.make.iter())),
        ("touches", code(profile.touch.iter())),
    ];
    let mut text = String::new();
    for (what, values) in lists.iter().filter(|(_, values)| !values.is_empty()) {
        text.push_str(&format!("  - {what}: {values}\n"));
    }
    let commands = profile.prepare.len() + profile.finish.len();
    if commands > 0 {
        text.push_str(&format!("  - shell commands: {commands}\n"));
    }
    text
}

/// Returns each reason for a gap, with a line for each ref that names its missing modules.
fn reasons(eras: &[Era]) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for era in eras {
        let Ok(found) = &era.found else { continue };
        let mut here: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (module, message) in &found.gaps {
            let recorded = found.profile.gap(module, &found.version);
            let reason = recorded.map_or_else(|| format!("{NO_REASON}: \"{message}\""), str::to_owned);
            here.entry(reason).or_default().push(module.clone());
        }
        for (reason, modules) in here {
            let line = format!("`{}`: {}", era.reference, code(modules.iter()));
            all.entry(reason).or_default().push(line);
        }
    }
    all
}

fn code<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ")
}

/// Returns the text with what would end a cell escaped.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
