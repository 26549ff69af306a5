//! Breaks a good recipe.

use proptest::prelude::*;
use toml::{Table, Value};

/// One way to break a recipe. The numbers choose the place; each is taken modulo the number of places.
#[derive(Clone, Debug)]
pub enum Break {
    WrongType(usize, usize),
    UnknownKey(usize, usize),
    BadValue(usize),
    MissingKey(usize, usize),
    /// The file ends early.
    Cut(usize),
    /// A line stands twice.
    Twice(usize),
    Garbage(usize, Vec<u8>),
}

const UNKNOWN: [&str; 6] = ["rum", "colour", "", "näme", "a.b", "sorce"];

/// Keys of the file, and values that they can't have.
const BAD: [(&str, &str); 22] = [
    ("name", "\"Demo!\""),
    ("name", "\"other\""),
    ("tier", "0"),
    ("tier", "-1"),
    ("tier", "300"),
    ("when", "\"3.9 or so\""),
    ("needs", "[\"a b\"]"),
    ("homepage", "\"javascript:alert(1)\""),
    ("homepage", "\"data:text/html,x\""),
    ("source", "{ pypi = \"a\", git = \"https://b.example\" }"),
    ("source", "{ url = \"https://a.example/a.zip\" }"),
    ("source", "{ git = \"file:///etc\", rev = \"x\" }"),
    ("source", "{ path = \"../x\" }"),
    ("system", "[\"-y\"]"),
    ("requires", "[\"pytest=8\"]"),
    ("groups", "[\"a b\"]"),
    ("env", "{ \"A B\" = \"x\" }"),
    ("limits", "{ memory = \"2GB\" }"),
    ("limits", "{ cpus = nan }"),
    ("suite", "[{ name = \"a\", run = \" \" }]"),
    ("suite", "[{ name = \"a\", run = \"x\", report = \"../x\" }]"),
    ("summary", "\"\\u202e\""),
];

impl Break {
    pub fn any() -> impl Strategy<Value = Self> {
        let number = || 0_usize..10_000;
        prop_oneof![
            (number(), number()).prop_map(|(place, kind)| Self::WrongType(place, kind)),
            (number(), number()).prop_map(|(place, key)| Self::UnknownKey(place, key)),
            number().prop_map(Self::BadValue),
            (number(), number()).prop_map(|(place, key)| Self::MissingKey(place, key)),
            number().prop_map(Self::Cut),
            number().prop_map(Self::Twice),
            (number(), proptest::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Self::Garbage(at, bytes)),
        ]
    }

    /// Whether the recipe can't be good any more if nothing else happens to it.
    pub fn is_bad_for(&self, recipe: &Table) -> bool {
        match self {
            Self::WrongType(..) | Self::BadValue(_) => true,
            // variables may have any name
            Self::UnknownKey(place, _) => {
                let mut recipe = Value::from(recipe.clone());
                let mut is_bad = true;
                nth_table(&mut recipe, *place, &mut |table| is_bad = !is_env(table));
                is_bad
            }
            Self::MissingKey(..) | Self::Cut(_) | Self::Twice(_) | Self::Garbage(..) => false,
        }
    }
}

fn is_env(table: &Table) -> bool {
    table.keys().all(|key| key.ends_with('E'))
}

/// The text of a recipe after all that happens to it.
pub fn broken(recipe: Table, breaks: &[Break]) -> String {
    let mut recipe = Value::from(recipe);
    for one in breaks {
        break_value(&mut recipe, one);
    }
    let mut text = recipe.as_table().map(Table::to_string).unwrap_or_default();
    for one in breaks {
        text = break_text(text, one);
    }
    text
}

fn break_value(recipe: &mut Value, one: &Break) {
    match one {
        Break::WrongType(place, kind) => {
            let count = count(recipe, &|_| true) - 1;
            // the first value is the recipe itself
            nth(recipe, 1 + place % count.max(1), &|_| true, &mut |value| {
                let others = [
                    Value::from(7),
                    "x".into(),
                    true.into(),
                    Value::Array(vec![Table::new().into()]),
                    Table::from_iter([("x".to_owned(), Value::from(1))]).into(),
                    Value::Datetime("2025-01-01".parse().unwrap()),
                ];
                let is_number = |value: &Value| value.is_integer() || value.is_float();
                let is_other = |other: &&Value| {
                    let is_same = other.same_type(value) || (is_number(other) && is_number(value));
                    // a list in a list is one in any case
                    !(is_same || other.is_array() && value.is_table())
                };
                let others: Vec<&Value> = others.iter().filter(is_other).collect();
                *value = others[kind % others.len()].clone();
            });
        }
        Break::UnknownKey(place, key) => nth_table(recipe, *place, &mut |table| {
            table.insert(UNKNOWN[key % UNKNOWN.len()].to_owned(), "x".into());
        }),
        Break::BadValue(which) => {
            let (key, value) = BAD[which % BAD.len()];
            let parsed: Table = format!("x = {value}").parse().unwrap();
            if let Some(table) = recipe.as_table_mut() {
                table.insert(key.to_owned(), parsed["x"].clone());
            }
        }
        Break::MissingKey(place, key) => nth_table(recipe, *place, &mut |table| {
            let keys: Vec<String> = table.keys().cloned().collect();
            if !keys.is_empty() {
                table.remove(&keys[key % keys.len()]);
            }
        }),
        Break::Cut(_) | Break::Twice(_) | Break::Garbage(..) => {}
    }
}

fn break_text(text: String, one: &Break) -> String {
    match one {
        Break::Cut(at) => String::from_utf8_lossy(&text.as_bytes()[..at % text.len().max(1)]).into_owned(),
        Break::Twice(at) => {
            let mut lines: Vec<&str> = text.lines().collect();
            let at = at % lines.len().max(1);
            if let Some(line) = lines.get(at).copied() {
                lines.insert(at, line);
            }
            lines.join("\n")
        }
        Break::Garbage(at, bytes) => {
            let mut all = text.into_bytes();
            let at = at % (all.len() + 1);
            all.splice(at..at, bytes.iter().copied());
            String::from_utf8_lossy(&all).replace('\0', "\u{fffd}")
        }
        _ => text,
    }
}

type Fits<'a> = &'a dyn Fn(&Value) -> bool;

/// How many values there are, with all that are within.
fn count(value: &Value, fits: Fits<'_>) -> usize {
    let within: usize = match value {
        Value::Table(table) => table.values().map(|value| count(value, fits)).sum(),
        Value::Array(values) => values.iter().map(|value| count(value, fits)).sum(),
        _ => 0,
    };
    within + usize::from(fits(value))
}

fn nth_table(recipe: &mut Value, place: usize, act: &mut dyn FnMut(&mut Table)) {
    let place = place % count(recipe, &Value::is_table).max(1);
    nth(recipe, place, &Value::is_table, &mut |value| {
        if let Value::Table(table) = value {
            act(table);
        }
    });
}

/// Does something to the value of a number, counted from the outside in. Returns how many values it passed.
fn nth(value: &mut Value, number: usize, fits: Fits<'_>, act: &mut dyn FnMut(&mut Value)) -> usize {
    let mut passed = usize::from(fits(value));
    if passed == 1 && number == 0 {
        act(value);
        return 1;
    }
    let within: Vec<&mut Value> = match value {
        Value::Table(table) => table.iter_mut().map(|(_, value)| value).collect(),
        Value::Array(values) => values.iter_mut().collect(),
        _ => Vec::new(),
    };
    for inner in within {
        if passed > number {
            break;
        }
        passed += nth(inner, number - passed, fits, act);
    }
    passed
}
