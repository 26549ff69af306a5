//! TOML tables by dotted keys, such as `engine.socket`.

use std::collections::BTreeMap;
use toml::{Table, Value};

/// Returns all values that are not tables, by their dotted keys. An array is one value.
pub fn leaves(table: &Table) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                for (rest, value) in leaves(inner) {
                    found.insert(format!("{key}.{rest}"), value);
                }
            }
            value => {
                found.insert(key.clone(), value.clone());
            }
        }
    }
    found
}

/// Returns the value of a dotted key, or `None` if there is none.
pub fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((first, rest)) => lookup(table.get(first)?.as_table()?, rest),
        None => table.get(key),
    }
}

/// Sets the value of a dotted key, and creates the tables on the way. Does nothing if a value on the way is not a
/// table.
pub fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
        None => {
            table.insert(key.to_owned(), value);
        }
    }
}

/// Parses the text of an environment variable as the type of the setting's default: an integer, a float or an array,
/// which is written as in TOML. Returns a string for any other type, and if the text does not parse. The setting's own
/// type then reports the error.
pub fn parse_like(default: Option<&Value>, text: &str) -> Value {
    let as_string = || Value::String(text.to_owned());
    match default {
        Some(Value::Integer(_)) => text.parse().map_or_else(|_| as_string(), Value::Integer),
        Some(Value::Boolean(_)) => text.parse().map_or_else(|_| as_string(), Value::Boolean),
        Some(Value::Float(_)) => text.parse().map_or_else(|_| as_string(), Value::Float),
        Some(Value::Array(_)) => toml::from_str::<Table>(&format!("x = {text}"))
            .ok()
            .and_then(|mut table| table.remove("x"))
            .unwrap_or_else(as_string),
        _ => as_string(),
    }
}
