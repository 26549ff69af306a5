//! A mistake in a TOML text, with its place and its fix.

use super::excerpt::{Excerpt, Shown};
use crate::domain::nearest::nearest;
use crate::domain::refusal::Located;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, Severity};
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeTable;

/// The most characters of a message, and of its fix.
const MESSAGE_MOST: usize = 500;
const HELP_MOST: usize = 800;

/// A mistake: its place, and the fix.
#[derive(Debug, Clone)]
pub struct Problem {
    pub message: String,
    pub help: Option<String>,
    excerpt: Box<Excerpt>,
    span: Range<usize>,
    severity: Severity,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&*self.excerpt)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let here = miette::LabeledSpan::new_with_span(Some("here".to_owned()), self.excerpt.label());
        Some(Box::new(std::iter::once(here)))
    }
}

impl Problem {
    /// Returns a problem at a byte range of any TOML text.
    pub fn at(file: &str, text: &str, span: Range<usize>, message: String, help: Option<String>) -> Self {
        Self::within(file, &Shown::of(text), span, message, help)
    }

    /// Does the same as [`Problem::at`], for several problems of one text.
    pub(super) fn within(
        file: &str,
        text: &Shown<'_>,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Self {
        let length = text.text().len();
        let start = span.start.min(length);
        let span = start..span.end.min(length).max(start + 1);
        Self {
            message: short(&message.into(), MESSAGE_MOST),
            help: help.map(|help| short(&help, HELP_MOST)),
            excerpt: Box::new(Excerpt::new(file, text, &span)),
            span,
            severity: Severity::Error,
        }
    }

    /// Returns a piece of advice, which is drawn differently: the recipe is valid, but may cause trouble later.
    pub fn advice(file: &str, text: &Shown<'_>, span: Range<usize>, message: &str, help: &str) -> Self {
        Self {
            severity: Severity::Advice,
            ..Self::within(file, text, span, message, Some(help.to_owned()))
        }
    }

    /// Returns the bytes of the text that are wrong.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Returns the line and the column, from 1.
    pub fn place(&self) -> (usize, usize) {
        self.excerpt.place()
    }

    /// Returns the problem with its place, for programs.
    pub fn located(&self) -> Located {
        let (line, column) = self.place();
        Located {
            line,
            column,
            message: self.message.clone(),
            help: self.help.clone(),
        }
    }

    /// Draws the problem for a person. Set `colour` for a terminal.
    pub fn draw(&self, colour: bool) -> String {
        let theme = if colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let mut text = String::new();
        match GraphicalReportHandler::new_themed(theme).render_report(&mut text, self) {
            Ok(()) => text,
            Err(_) => self.message.clone(),
        }
    }
}

/// Masks the secrets in a text, and cuts its middle if it is long. The text may quote values of the recipe.
fn short(text: &str, most: usize) -> String {
    let shown = Shown::of(text);
    let length = shown.text().chars().count();
    if length <= most {
        return shown.text().to_owned();
    }
    let begin = shown.text().chars().take(most / 2);
    let end = shown.text().chars().skip(length - most / 2);
    begin.chain("..".chars()).chain(end).collect()
}

/// Explains an error of the TOML parser. For a misspelt key, the fix is the nearest key.
pub(super) fn toml_problem(file: &str, text: &Shown<'_>, span: Range<usize>, message: &str) -> Problem {
    let (message, help) = explained(message);
    Problem::within(file, text, span, message, help)
}

/// The ends of the lines of a text.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// Returns the line of a byte, from 0.
    pub fn line(&self, at: usize) -> usize {
        self.0.partition_point(|end| *end < at)
    }
}

/// Explains an error of the TOML parser in a secret text: gives the place and the fix, but no value.
pub fn toml_place(file: &str, text: &str, span: Range<usize>, message: &str) -> String {
    let (line, column) = place(text, span.start);
    let value = text.get(span).unwrap_or_default();
    let (message, help) = explained(&without_value(message, value));
    let help = help.map(|help| format!("; {help}")).unwrap_or_default();
    format!("{file}:{line}:{column}: {message}{help}")
}

/// Returns the line and the column of a byte in a text, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Returns the place of the value of a top-level key, or the beginning of the text if the file lacks the key.
pub fn value_of(text: &str, key: &str) -> Range<usize> {
    let table = DeTable::parse(text).ok();
    let value = table.as_ref().and_then(|table| table.get_ref().get(key));
    value.map_or(0..0, Spanned::span)
}

/// Returns a message without the value that it is about.
pub fn without_value(message: &str, value: &str) -> String {
    for kind in ["invalid type: ", "invalid value: "] {
        if let Some((given, expected)) = message
            .strip_prefix(kind)
            .and_then(|rest| rest.rsplit_once(", expected "))
        {
            let given = given.split([' ', '`', '"']).next().unwrap_or_default();
            return format!("{kind}{given}, expected {expected}");
        }
    }
    let value = value.trim_matches(['"', '\'', ' ', '\n']);
    let is_key = message.starts_with("unknown field") || message.starts_with("missing field");
    match value.is_empty() || is_key {
        true => message.to_owned(),
        false => message
            .replace(value, "..")
            .replace(&value.escape_debug().to_string(), ".."),
    }
}

/// Returns the message and the fix for an error of the TOML parser.
fn explained(message: &str) -> (String, Option<String>) {
    match (unknown_key(message), missing_key(message)) {
        (Some((key, keys)), _) => {
            let help = match nearest(key, &keys) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys here are: {}", keys.join(", ")),
            };
            (format!("unknown key `{key}`"), Some(help))
        }
        (_, Some(key)) => (
            format!("`{key}` is missing here"),
            Some(format!("add `{key} = ..`; docs/recipes.md says what it means")),
        ),
        _ => (message.to_owned(), type_help(message)),
    }
}

/// Returns the key that a message reports as unknown, and the allowed keys.
pub(super) fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let (key, rest) = message.strip_prefix("unknown field `")?.split_once('`')?;
    Some((key, rest.split('`').skip(1).step_by(2).collect()))
}

/// Returns the key that a message reports as missing.
pub(super) fn missing_key(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// Returns the fix for a value of the wrong type.
fn type_help(message: &str) -> Option<String> {
    let expected = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))?
        .rsplit_once("expected ")?
        .1;
    let help = match expected {
        "a string" => "write a text in quotes: `\"..\"`",
        "a sequence" => "write a list: `[\"..\", \"..\"]`",
        "a boolean" => "write `true` or `false`, without quotes",
        "a map" => "write a table: `{ NAME = \"..\" }`",
        _ if expected.starts_with("struct ") => "write a table: `{ KEY = .. }`",
        _ => "write a number, without quotes",
    };
    Some(help.to_owned())
}
