//! Merges the settings from their three origins.

use super::error::SettingsError;
use super::settings::Settings;
use super::table::{leaves, lookup, parse_like, set};
use crate::domain::address::Address;
use crate::recipe::{toml_place, without_value};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The settings in force, and the origin of each.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Holds the origin of each setting by its dotted key: `default`, the path of the file, or the name of the
    /// environment variable.
    pub origins: BTreeMap<String, String>,
    pub file: Option<PathBuf>,
}

/// Common environment variables that set a setting, unless the file or its variable `PYBOTS_..` does. Of several
/// variables, the first that is not empty counts.
const STANDARD: &[(&str, &[&str])] = &[
    ("engine.socket", &["DOCKER_HOST"]),
    ("network.ca", &["SSL_CERT_FILE", "PIP_CERT"]),
    ("network.http_proxy", &["http_proxy", "HTTP_PROXY"]),
    ("network.https_proxy", &["https_proxy", "HTTPS_PROXY"]),
    ("network.no_proxy", &["no_proxy", "NO_PROXY"]),
    ("network.index", &["PIP_INDEX_URL", "UV_INDEX_URL"]),
];

/// Returns the environment variables of this process, except for those that are not UTF-8.
pub fn environment() -> BTreeMap<String, String> {
    let text = |(key, value): (OsString, OsString)| Some((key.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

impl Settings {
    /// Merges, each over the earlier ones: the defaults, common environment variables such as `DOCKER_HOST`, the file
    /// if there is one, and the variables `PYBOTS_..`. Fails if the file can't be read or parsed, or if values are not
    /// consistent.
    pub fn load(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Loaded, SettingsError> {
        let defaults = as_table(&Settings::default());
        let mut merged = defaults.clone();
        let mut origins: BTreeMap<String, String> = leaves(&defaults)
            .into_keys()
            .map(|key| (key, "default".to_owned()))
            .collect();

        for (key, names) in STANDARD {
            if let Some(name) = names
                .iter()
                .find(|name| environment.get(**name).is_some_and(|v| !v.is_empty()))
            {
                set(&mut merged, key, Value::String(environment[*name].clone()));
                origins.insert((*key).to_owned(), (*name).to_owned());
            }
        }
        if let Some(path) = file {
            let shown = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| SettingsError::Unreadable {
                path: shown.clone(),
                error,
            })?;
            let written = read_file(&shown, &text)?;
            for (key, value) in leaves(&written) {
                set(&mut merged, &key, value);
                origins.insert(key, shown.clone());
            }
        }
        for key in leaves(&defaults).into_keys() {
            let variable = format!("PYBOTS_{}", key.to_uppercase().replace('.', "_"));
            let Some(text) = environment.get(&variable) else {
                continue;
            };
            let value = parse_like(lookup(&defaults, &key), text);
            set(&mut merged, &key, value);
            Value::Table(merged.clone())
                .try_into::<Settings>()
                .map_err(|error| SettingsError::Environment {
                    variable: variable.clone(),
                    reason: without_value(error.message(), text),
                })?;
            origins.insert(key, variable);
        }
        let mut settings: Settings = Value::Table(merged)
            .try_into()
            .map_err(|error: toml::de::Error| SettingsError::Nonsense(error.message().to_owned()))?;
        settings.engine.strip_scheme();
        settings.drop_default_git(|key| origins.get(key).is_some_and(|origin| origin == "default"));
        settings.sane()?;
        Ok(Loaded {
            settings,
            origins,
            file: file.map(Path::to_owned),
        })
    }
}

impl Loaded {
    /// Returns key, value and origin of each setting, with masked logins. A list has one line for each of its values.
    pub fn lines(&self) -> Vec<(String, String, String)> {
        let mut lines = Vec::new();
        for (key, value) in leaves(&as_table(&self.settings)) {
            let origin = self.origins.get(&key).map_or("default", String::as_str);
            let values = match value {
                Value::Array(values) => values,
                value => vec![value],
            };
            let shown = values.into_iter().map(shown);
            lines.extend(shown.map(|value| (key.clone(), value, origin.to_owned())));
        }
        lines
    }
}

/// Formats a value as TOML. Masks the login if the value is an address.
fn shown(value: Value) -> String {
    match value {
        Value::String(text) => Value::String(Address::new(text).to_string()).to_string(),
        value => value.to_string(),
    }
}

/// Parses a settings file. `shown` is its path for error messages.
fn read_file(shown: &str, text: &str) -> Result<Table, SettingsError> {
    let wrong = |error: toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        SettingsError::Wrong(toml_place(shown, text, span, error.message()))
    };
    // the typed parser goes first, since its errors have the place in the file
    toml::from_str::<Settings>(text).map_err(wrong)?;
    toml::from_str::<Table>(text).map_err(wrong)
}

fn as_table(settings: &Settings) -> Table {
    match Value::try_from(settings) {
        Ok(Value::Table(table)) => table,
        // a struct with named fields is always a table
        _ => Table::new(),
    }
}
