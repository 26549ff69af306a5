//! What was found out, as Markdown.

use pybots::domain::version::PythonVersion;
use pybots::profile::Profile;
use std::collections::BTreeMap;

/// One ref: what became of it.
pub struct Era {
    pub reference: String,
    pub found: Result<Found, String>,
}

/// An image that was built and has answered.
pub struct Found {
    pub version: PythonVersion,
    pub revision: String,
    pub profile: Profile,
    /// Modules that import.
    pub here: usize,
    /// Modules that do not, with what the interpreter says of each.
    pub gaps: BTreeMap<String, String>,
    /// Of configure, make and install; None: the engine held the image.
    pub seconds: Option<f64>,
}

/// What stands above the rows.
pub const HEAD: &str = "\
| ref | Python | check-in | profile, and what it needs | modules in C that import | missing | build |
|---|---|---|---|---|---|---|";

/// The missing modules with their reasons, to stand below the table; empty if there are none.
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

/// One line of the table.
pub fn row(era: &Era) -> String {
    let name = &era.reference;
    match &era.found {
        Err(reason) => format!("| `{name}` | | | | can't be built: {} | | |", cell(reason)),
        Ok(found) => format!(
            "| `{name}` | {} | {} | {} | {} of {} | {} | {} |",
            found.version,
            &found.revision[..found.revision.len().min(10)],
            cell(&needs(&found.profile)),
            found.here,
            found.here + found.gaps.len(),
            code(found.gaps.keys()),
            found
                .seconds
                .map_or("held".to_owned(), |seconds| format!("{seconds:.0} s")),
        ),
    }
}

/// A profile in one line: its name, and all that it does beside `./configure && make && make install`.
fn needs(profile: &Profile) -> String {
    let mut parts = vec![format!("{}:", profile.name)];
    parts.extend(profile.configure.iter().map(|flag| format!("`{flag}`")));
    parts.extend(profile.env.iter().map(|(name, value)| format!("`{name}={value}`")));
    parts.extend(profile.make.iter().map(|argument| format!("`make {argument}`")));
    if !profile.touch.is_empty() {
        parts.push(format!("touches {}", code(profile.touch.iter())));
    }
    let lines = profile.prepare.len() + profile.finish.len();
    if lines > 0 {
        parts.push(format!("shell: {lines}"));
    }
    parts.join(" ")
}

/// Each reason, with the modules and refs that it is true for.
fn reasons(eras: &[Era]) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for era in eras {
        let Ok(found) = &era.found else { continue };
        let mut here: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (module, says) in &found.gaps {
            let known = found.profile.gap(module, &found.version);
            let reason = known.map_or_else(|| format!("not known; the interpreter says \"{says}\""), str::to_owned);
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

/// Text that stays within a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
