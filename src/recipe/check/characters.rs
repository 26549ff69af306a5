//! Rejects characters that no value of a recipe may have: shells drop some, and terminals obey others.

use super::Checker;
use crate::domain::text::is_odd;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

impl Checker<'_> {
    /// Shells run recipes, here and where people reproduce a failure, and pages and terminals show them.
    pub(super) fn characters(&mut self) {
        // a text that can't be parsed was reported before
        let Ok(table) = DeTable::parse(self.text) else { return };
        let mut found = Vec::new();
        in_table(table.get_ref(), &mut found);
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
    let allowed = |c: &char| matches!(c, '\n' | '\r' | '\t');
    found.extend(text.chars().find(|c| is_odd(*c) && !allowed(c)).map(|odd| (span, odd)));
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
}
