//! Imports entries of a registry in the form of laruche: a YAML file for each package, with one shell line that
//! installs it and one that tests it.

use super::Imported;
use super::shell::{Installs, installs};
use crate::domain::limits::{Limits, Seconds};
use crate::domain::package::normalized;
use crate::domain::suite::Source;
use crate::domain::text::is_odd;
use crate::recipe::check::{ENTRIES_MOST, check};
use crate::recipe::propose::write::{line, list, source, text};
use crate::recipe::requirement::{self, Entry};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// The most bytes of an entry.
pub const ENTRY_MOST: usize = 64 << 10;
/// Keys that a recipe does not need, because Pybots finds the value itself or has no such concept.
const NEEDLESS: [&str; 7] = [
    "pypi_url",
    "install_method",
    "uses_xdist",
    "enriched",
    "clone_depth",
    "import_name",
    "extension_type",
];

#[derive(Debug, Deserialize)]
struct Record {
    package: String,
    repo: Option<String>,
    python_versions: Option<Vec<String>>,
    install_command: Option<String>,
    test_command: Option<String>,
    test_framework: Option<String>,
    timeout: Option<u64>,
    #[serde(default)]
    skip: bool,
    skip_reason: Option<String>,
    skip_versions: Option<BTreeMap<String, Option<String>>>,
    notes: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

/// Converts one entry to a recipe. `file` is its file name without the extension.
pub fn import(file: &str, entry: &str) -> Imported {
    let nothing = |reason: String| Imported::Nothing {
        name: line(file),
        reason,
    };
    if entry.len() > ENTRY_MOST {
        return nothing(format!("it has {} bytes, and {ENTRY_MOST} are read", entry.len()));
    }
    match serde_saphyr::from_str::<Record>(entry) {
        Ok(record) => recipe(&record),
        Err(error) => nothing(format!("it can't be read: {}", line(&error.to_string()))),
    }
}

fn recipe(record: &Record) -> Imported {
    let name = normalized(&record.package);
    let nothing = |reason: String| Imported::Nothing {
        name: line(&record.package),
        reason,
    };
    if record.skip {
        let reason = record.skip_reason.as_deref().unwrap_or("no reason is named");
        return nothing(format!("it is to be skipped: {}", line(reason)));
    }
    let Some(command) = filled(record.test_command.as_deref()) else {
        return nothing(format!(
            "it has no `test_command`; `pybots init {}` may find one",
            line(&name)
        ));
    };
    let mut left_out = Vec::new();
    let mut found = installed(record, &mut left_out);
    if command
        .chars()
        .chain(found.lines.iter().flat_map(|line| line.chars()))
        .any(is_odd)
    {
        return nothing("its commands have line breaks or control characters; write each as one line".to_owned());
    }
    if found.requires.len() > ENTRIES_MOST {
        return nothing(format!(
            "it installs more than {ENTRIES_MOST} packages by their names; name a list of the project"
        ));
    }
    // a version bound of the project itself, or its wheel, has no meaning for a source
    found.requires.retain(|entry| {
        let is_own =
            matches!(requirement::parse(entry), Ok(Entry::Package { name: other, .. }) if normalized(&other) == name);
        if is_own {
            left_out.push(format!("`{}`: the project is installed from its source", line(entry)));
        }
        !is_own
    });
    let mut lines: Vec<String> = filled(record.notes.as_deref())
        .into_iter()
        .map(|notes| format!("# {}", line(notes)))
        .collect();
    lines.push(format!("name = {}", text(&name)));
    if let Some(when) = when(record, &mut lines, &mut left_out) {
        lines.push(format!("when = {}", text(&when)));
    }
    lines.push(source(&origin(record, &mut left_out)));
    if !found.requires.is_empty() {
        lines.push(format!("requires = {}", list(&found.requires)));
    }
    if !found.lines.is_empty() {
        lines.push(format!("install = {}", list(&found.lines)));
    }
    if found.network {
        lines.push("install_network = true".to_owned());
        left_out.push("an install line needs the network, so what it installs is not pinned".to_owned());
    }
    match record.timeout.filter(|seconds| *seconds > 0) {
        Some(seconds) if Seconds(seconds) < Limits::default().timeout => {
            lines.push(format!("limits = {{ timeout = \"{seconds}s\" }}"));
        }
        Some(_) => left_out.push("`timeout`: a recipe can only lower the limit of the settings".to_owned()),
        None => {}
    }
    left_out.extend(found.left_out);
    let is_new = |key: &&String| !NEEDLESS.contains(&key.as_str());
    left_out.extend(
        record
            .others
            .keys()
            .filter(is_new)
            .map(|key| format!("`{}`: a recipe has no such key", line(key))),
    );
    lines.extend([String::new(), "[[suite]]".to_owned(), "name = \"tests\"".to_owned()]);
    lines.push(format!("run = {}", text(command)));
    let text = lines.join("\n") + "\n";
    // a recipe that is written can be registered, whatever the entry contains
    match check(&format!("{name}.toml"), &text).problems.first() {
        Some(problem) => nothing(format!("its recipe would be wrong: {}", problem.message)),
        None => Imported::Recipe {
            name,
            text,
            left_out: shortened(left_out),
        },
    }
}

/// The most omitted parts of an entry that are listed.
const LEFT_OUT_MOST: usize = 50;

/// Shortens the list of omitted parts, for entries with thousands of keys or with long ones.
fn shortened(left_out: Vec<String>) -> Vec<String> {
    let more = left_out.len().saturating_sub(LEFT_OUT_MOST);
    let mut shown: Vec<String> = left_out.iter().take(LEFT_OUT_MOST).map(|one| line(one)).collect();
    if more > 0 {
        shown.push(format!("{more} more parts of the entry"));
    }
    shown
}

fn filled(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn installed(record: &Record, left_out: &mut Vec<String>) -> Installs {
    let mut found = installs(record.install_command.as_deref().unwrap_or_default());
    match record.test_framework.as_deref() {
        Some("pytest") if found == Installs::default() => found.requires.push("pytest".to_owned()),
        Some("pytest" | "unittest" | "custom") | None => {}
        Some(other) => left_out.push(format!(
            "`test_framework`: the suite is run as it stands, by {}",
            line(other)
        )),
    }
    found
}

/// Returns the `when` of the recipe, or `None` if the entry restricts no versions. Adds a comment on each excluded
/// version to `lines`, and the parts that it ignores to `left_out`.
fn when(record: &Record, lines: &mut Vec<String>, left_out: &mut Vec<String>) -> Option<String> {
    let number = |version: &str| -> Option<(u64, u64)> {
        let (major, minor) = version.trim().split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let mut parts = Vec::new();
    let versions = record.python_versions.iter().flatten();
    if let Some((major, minor)) = versions.filter_map(|version| number(version)).min() {
        parts.push(format!(">={major}.{minor}"));
        left_out.push(
            "`python_versions`: it is the oldest that counts, for what newer ones break is to be found".to_owned(),
        );
    }
    for (version, reason) in record.skip_versions.iter().flatten() {
        let Some((major, minor)) = number(version) else {
            left_out.push(format!("`skip_versions`: {} is no version of Python", line(version)));
            continue;
        };
        lines.push(format!(
            "# not on {major}.{minor}: {}",
            line(reason.as_deref().unwrap_or("no reason is named"))
        ));
        parts.push(format!("!={major}.{minor}.*"));
    }
    (!parts.is_empty()).then(|| parts.join(","))
}

/// Returns the source of the project: its repository, or else the package index.
fn origin(record: &Record, left_out: &mut Vec<String>) -> Source {
    let repository = filled(record.repo.as_deref()).map(|repository| repository.trim_end_matches('/'));
    match repository {
        Some(repository) if repository.starts_with("https://") => Source::of_git(repository, "HEAD"),
        repository => {
            let what = repository.map_or("it names none".to_owned(), |other| {
                format!("{} is no https:// address", line(other))
            });
            left_out.push(format!("`repo`: {what}, so the sources are those of the package index"));
            Source {
                pypi: Some(record.package.clone()),
                ..Source::default()
            }
        }
    }
}

#[cfg(test)]
#[path = "laruche_tests.rs"]
mod tests;
