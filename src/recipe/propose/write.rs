//! Writes a proposal as a recipe file.

use super::{Proposal, TEXT_MOST};
use crate::domain::suite::Source;
use crate::domain::text::plain;
use crate::recipe::check::ENTRIES_MOST;
use toml::Value;

/// The first line of each file.
pub const FIRST_LINE: &str = "# `pybots init` wrote this recipe.";

/// Returns an untrusted text as one line of bounded length, without control characters.
pub fn line(text: &str) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    plain(&text).chars().take(TEXT_MOST).collect()
}

/// Formats a text as TOML.
pub fn text(text: &str) -> String {
    Value::String(plain_lines(text)).to_string()
}

/// Replaces characters that no recipe may contain. Does not shorten the text, because a command may be long.
fn plain_lines(text: &str) -> String {
    text.chars()
        .map(|c| if crate::domain::text::is_odd(c) { '?' } else { c })
        .collect()
}

/// Formats a list of texts as TOML. Drops all after the first [`ENTRIES_MOST`].
pub fn list(texts: &[String]) -> String {
    let entries: Vec<String> = texts.iter().take(ENTRIES_MOST).map(|entry| text(entry)).collect();
    format!("[{}]", entries.join(", "))
}

/// Returns the line of a recipe that names a source.
pub fn source(source: &Source) -> String {
    let keys = [
        ("pypi", &source.pypi),
        ("version", &source.version),
        ("sha256", &source.sha256),
        ("git", &source.git),
        ("rev", &source.rev),
        ("path", &source.path),
        ("subfolder", &source.subfolder),
    ];
    let keys = keys
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key} = {}", text(value.as_ref()?))));
    format!("source = {{ {} }}", keys.collect::<Vec<_>>().join(", "))
}

impl Proposal {
    /// Returns the text of the recipe file. `remarks` are sentences for its beginning, such as the result of the trial.
    pub fn text(&self, remarks: &[String]) -> String {
        let mut lines = vec![FIRST_LINE.to_owned()];
        lines.extend(
            remarks
                .iter()
                .chain(&self.comments)
                .map(|remark| format!("# {}", line(remark))),
        );
        lines.push(format!("name = {}", text(&self.name)));
        let texts = [
            ("summary", Some(&self.summary)),
            ("homepage", Some(&self.homepage)),
            ("when", self.when.as_ref()),
        ];
        for (key, value) in texts {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                lines.push(format!("{key} = {}", text(value)));
            }
        }
        lines.push(source(&self.source));
        let mut requires = self.base.requires.clone();
        requires.extend(self.added.iter().cloned());
        for (key, value) in [
            ("system", &self.system),
            ("requires", &requires),
            ("groups", &self.base.groups),
        ] {
            if !value.is_empty() {
                lines.push(format!("{key} = {}", list(value)));
            }
        }
        if let Some(install) = &self.install {
            lines.push(format!("install = {}", list(install)));
        }
        if self.install_network {
            lines.push("install_network = true".to_owned());
        }
        if !self.env.is_empty() {
            let env = self.env.iter().map(|(key, value)| format!("{key} = {}", text(value)));
            lines.push(format!("env = {{ {} }}", env.collect::<Vec<_>>().join(", ")));
        }
        if let Some(suite) = &self.suite {
            lines.push(String::new());
            lines.push("[[suite]]".to_owned());
            lines.push("name = \"tests\"".to_owned());
            if let super::Command::Pytest(pytest) = suite {
                let left_out = pytest.left_out.iter();
                lines.extend(
                    left_out.map(|(address, reason)| format!("# left out: {}: {}", line(address), line(reason))),
                );
            }
            lines.push(format!("run = {}", text(&suite.shell())));
        }
        lines.join("\n") + "\n"
    }
}
