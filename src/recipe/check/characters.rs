//! Rejects characters that no value of a recipe may have. Shells drop some of them, and terminals obey others.

use super::Checker;
use crate::domain::text::{is_invisible, is_odd};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

fn is_refused(c: char) -> bool {
    !matches!(c, '\n' | '\r' | '\t') && (is_odd(c) || is_invisible(c))
}

impl Checker<'_> {
    /// Checks the text and the values. Shells run recipes, here and on the machines of people who reproduce a failure,
    /// and pages and terminals show them.
    pub(super) fn characters(&mut self) {
        let mut found = Vec::new();
        // some editors begin files with a byte order mark
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(self.text);
        let skipped = self.text.len() - text.len();
        for (at, odd) in text.char_indices().filter(|(_, c)| is_refused(*c)) {
            found.push((skipped + at..skipped + at + odd.len_utf8(), odd));
        }
        // a text that can't be parsed was reported already
        if let Ok(table) = DeTable::parse(self.text) {
            let as_written = found.len();
            in_table(table.get_ref(), &mut found);
            let escaped = found.split_off(as_written);
            let is_new = |span: &Range<usize>| {
                // `found` is in the order of the text
                let first = found.partition_point(|(odd, _): &(Range<usize>, char)| odd.start < span.start);
                found.get(first).is_none_or(|(odd, _)| odd.end > span.end)
            };
            let escaped: Vec<_> = escaped.into_iter().filter(|(span, _)| is_new(span)).collect();
            found.extend(escaped);
        }
        for (span, odd) in found {
            self.say(
                span,
                format!("the character U+{:04X} can't be in a recipe", u32::from(odd)),
                "newlines and tabs are the only invisible characters that can",
            );
        }
    }
}

fn in_table(table: &DeTable<'_>, found: &mut Vec<(Range<usize>, char)>) {
    for (key, value) in table {
        in_text(key.get_ref(), key.span(), found);
        in_value(value.get_ref(), value.span(), found);
    }
}

fn in_value(value: &DeValue<'_>, span: Range<usize>, found: &mut Vec<(Range<usize>, char)>) {
    match value {
        DeValue::String(text) => in_text(text, span, found),
        DeValue::Array(values) => {
            for value in values {
                in_value(value.get_ref(), value.span(), found);
            }
        }
        DeValue::Table(table) => in_table(table, found),
        _ => {}
    }
}

fn in_text(text: &str, span: Range<usize>, found: &mut Vec<(Range<usize>, char)>) {
    found.extend(text.chars().find(|c| is_refused(*c)).map(|odd| (span, odd)));
}

#[cfg(test)]
mod tests {
    use crate::recipe::check::check;

    #[test]
    fn what_terminals_obey_is_refused_where_it_stands() {
        let text = "name = \"p\"\nsource = { pypi = \"p\" }\nenv = { A = \"a\\u001bb\" }\n[[suite]]\nname = \"s\"\nrun = \"\"\"a\n\tb\"\"\"\n";
        let report = check("p.toml", text).plain();
        assert!(report.contains("U+001B") && report.contains("p.toml:3:13"), "{report}");
        assert!(check("p.toml", &text.replace("\\u001b", "é")).recipe.is_some());
    }

    #[test]
    fn what_cannot_be_seen_is_refused_in_comments_too() {
        let text = "name = \"p\" # a comment\nsource = { pypi = \"p\" }\n[[suite]]\nname = \"s\"\nrun = \"true\"\n";
        assert!(check("p.toml", &format!("\u{feff}{text}")).recipe.is_some());
        for (odd, says) in [
            ("\u{202e}", "U+202E"),
            ("\u{2066}", "U+2066"),
            ("\u{200b}", "U+200B"),
            ("\u{feff}", "U+FEFF"),
            ("\u{e0041}", "U+E0041"),
            ("\u{9b}", "U+009B"),
        ] {
            for (from, at) in [("a comment", "1:14"), ("true", "5:8")] {
                let checked = check("p.toml", &text.replace(from, odd));
                let report = checked.plain();
                assert!(report.contains(says) && report.contains(at), "{report}");
                assert_eq!(checked.problems.len(), 1, "{report}");
                assert!(!report.contains('\u{202e}') && !report.contains('\u{9b}'), "{report}");
            }
        }
        for fine in ["\u{200d}", "ünï", "👩‍💻", "नमस्ते"] {
            assert!(
                check("p.toml", &text.replace("a comment", fine)).recipe.is_some(),
                "{fine}"
            );
        }
    }
}
