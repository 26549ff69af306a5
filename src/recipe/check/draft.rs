//! Reads a recipe that has wrong values. Reports and removes each of them, so that none hides other mistakes.

use super::super::Recipe;
use super::excerpt::Shown;
use super::most::PROBLEMS_MOST;
use super::problem::{Lines, Problem, missing_key, toml_problem, unknown_key};
use crate::domain::nearest::nearest;
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer, Error};

/// A recipe without its wrong values.
pub(super) struct Draft {
    /// `None` if the recipe can't be read even without the wrong values.
    pub recipe: Option<Recipe>,
    pub problems: Vec<Problem>,
    /// The places of the removed values.
    pub spans: Vec<Range<usize>>,
    /// The keys that are missing, or were removed because they or their values are wrong.
    pub lost: Vec<String>,
    /// Whether the text is TOML.
    pub is_toml: bool,
    /// Whether reading stopped before the last mistake.
    pub is_cut: bool,
}

/// Reads the text of a recipe.
pub(super) fn draft(file: &str, text: &str, shown: &Shown<'_>, lines: &Lines) -> Draft {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut draft = Draft {
        recipe: None,
        problems: Vec::new(),
        spans: Vec::new(),
        lost: Vec::new(),
        is_toml: errors.is_empty(),
        is_cut: errors.len() > PROBLEMS_MOST,
    };
    for error in errors.iter().take(PROBLEMS_MOST) {
        draft.syntax(file, shown, error);
    }
    let mut root = Spanned::new(root.span(), DeValue::Table(root.into_inner()));
    for _ in 0..PROBLEMS_MOST {
        let DeValue::Table(table) = root.get_ref() else { break };
        let error = match Recipe::deserialize(Deserializer::from(Spanned::new(root.span(), table.clone()))) {
            Ok(recipe) => {
                draft.recipe = Some(recipe);
                break;
            }
            Err(error) => error,
        };
        if !draft.correct(file, shown, lines, &error, &mut root) {
            break;
        }
        draft.is_cut |= draft.problems.len() >= PROBLEMS_MOST;
    }
    draft
}

impl Draft {
    fn report(&mut self, file: &str, text: &Shown<'_>, error: &Error) {
        let span = error.span().unwrap_or(0..0);
        let problem = toml_problem(file, text, span, error.message());
        self.problems.push(problem);
    }

    fn syntax(&mut self, file: &str, text: &Shown<'_>, error: &Error) {
        let span = error.span().unwrap_or(0..0);
        let mut problem = toml_problem(file, text, span.clone(), error.message());
        let help = match error.message() {
            "duplicate key" => "write each key once",
            _ => "a text is in quotes, a list in `[..]`, a table in `{..}`; https://toml.io shows the rest",
        };
        problem.help.get_or_insert_with(|| help.to_owned());
        self.problems.push(problem);
        self.spans.push(span);
    }

    /// Reports an error, and changes the document so that the next try gets further. Returns `false` if it can't.
    fn correct(
        &mut self,
        file: &str,
        text: &Shown<'_>,
        lines: &Lines,
        error: &Error,
        root: &mut Spanned<DeValue<'_>>,
    ) -> bool {
        let span = error.span().unwrap_or(0..0);
        if let Some(key) = missing_key(error.message()) {
            if self.is_toml && !self.lost.iter().any(|lost| lost == key) {
                self.report(file, text, error);
            }
            let value = placeholder(key, self.problems.len() + self.lost.len());
            self.lost.push(key.to_owned());
            return value.is_some_and(|value| insert(root, &span, key, value));
        }
        // a value that is no TOML would also have the wrong type
        if self.is_toml
            || !self
                .spans
                .iter()
                .any(|other| lines.line(other.start) == lines.line(span.start))
        {
            self.report(file, text, error);
        }
        let meant = unknown_key(error.message()).and_then(|(key, keys)| nearest(key, &keys));
        let lost = match meant {
            Some(meant) => rename(root, &span, meant),
            None => {
                self.spans.push(span.clone());
                remove(root, &span)
            }
        };
        let was_found = lost.is_some();
        self.lost.extend(lost);
        was_found
    }
}

/// Returns a value for a required key, so that reading can go on.
fn placeholder(key: &str, number: usize) -> Option<DeValue<'static>> {
    let text = |text: String| Some(DeValue::String(Cow::Owned(text)));
    match key {
        "name" => text(format!("nameless-{number}")),
        "when" => text(">=2.0".to_owned()),
        "run" | "variant" | "reason" | "test" => text("true".to_owned()),
        "expires" => "2000-01-01".parse().ok().map(DeValue::Datetime),
        _ => None,
    }
}

/// Returns the direct children of a value.
fn below<'a, 'i>(value: &'a mut DeValue<'i>) -> Vec<&'a mut Spanned<DeValue<'i>>> {
    match value {
        DeValue::Table(table) => table.iter_mut().map(|(_, value)| value).collect(),
        DeValue::Array(array) => array.iter_mut().collect(),
        _ => Vec::new(),
    }
}

/// Adds a key to the table at a place. Returns `false` if there is no table.
fn insert(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>, key: &str, added: DeValue<'static>) -> bool {
    if value.span() == *span
        && let DeValue::Table(table) = value.get_mut()
    {
        let key = Spanned::new(span.clone(), Cow::Owned(key.to_owned()));
        table.insert(key, Spanned::new(span.clone(), added));
        return true;
    }
    let below = below(value.get_mut());
    below.into_iter().any(|value| insert(value, span, key, added.clone()))
}

/// Renames the key at a place, or removes it if the new name is taken. Returns the old name.
fn rename(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>, meant: &str) -> Option<String> {
    if let DeValue::Table(table) = value.get_mut()
        && let Some(key) = table.keys().find(|key| key.span() == *span).cloned()
    {
        let value = table.remove(&key)?;
        if !table.contains_key(meant) {
            table.insert(Spanned::new(key.span(), Cow::Owned(meant.to_owned())), value);
        }
        return Some(key.into_inner().into_owned());
    }
    let below = below(value.get_mut());
    below.into_iter().find_map(|value| rename(value, span, meant))
}

/// Removes the key or the value at a place. Returns its key, or an empty text for an element of a list.
fn remove(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<String> {
    // the deepest match is the wrong value: a list may begin where its only element does
    for inner in below(value.get_mut()) {
        if let Some(key) = remove(inner, span) {
            return Some(key);
        }
    }
    match value.get_mut() {
        DeValue::Table(table) => {
            let mut entries = table.iter();
            let found = entries.find(|(key, value)| key.span() == *span || value.span() == *span);
            let key = found?.0.clone();
            table.remove(&key);
            Some(key.into_inner().into_owned())
        }
        DeValue::Array(array) if array.iter().any(|element| element.span() == *span) => {
            let mut left = DeArray::new();
            for element in std::mem::replace(array, DeArray::new()) {
                if element.span() != *span {
                    left.push(element);
                }
            }
            *array = left;
            Some(String::new())
        }
        _ => None,
    }
}
