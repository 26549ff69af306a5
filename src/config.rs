//! Settings: defaults, one TOML file, environment variables, in that order. [`Settings::load`] keeps
//! where each came from.

mod branch;
mod engine;
mod host;
mod owners;
mod registry;
mod source;
mod verdicts;

pub use branch::BranchSettings;
pub use engine::{BuildLimits, EngineSettings, RetentionSettings};
pub use host::HostSettings;
pub use owners::OwnersSettings;
pub use registry::RegistrySettings;
pub use source::{Kind, SourceSettings};
pub use verdicts::VerdictSettings;

use crate::domain::limits::{Limits, Seconds};
use crate::recipe::{Problem, toml_problem};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Everything that an operator can set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Folder of the database, logs, objects and the mirror.
    pub data: PathBuf,
    /// `postgres://..`; empty: SQLite in `data`.
    pub database: String,
    /// Address of the pages.
    pub listen: SocketAddr,
    /// Folder of recipes; empty: the ones that came with the program.
    pub projects: PathBuf,
    /// Folder of build profiles; empty: the ones that came with the program.
    pub images: PathBuf,
    /// Jobs that the host of `pybots up` works on at the same time.
    pub slots: usize,
    /// How often the repository is asked for new check-ins.
    pub poll: Seconds,
    pub source: SourceSettings,
    pub branch: Vec<BranchSettings>,
    pub engine: EngineSettings,
    /// What stays on the engine, and how long.
    pub retention: RetentionSettings,
    pub network: NetworkSettings,
    /// How images travel between hosts.
    pub registry: RegistrySettings,
    /// How owners of hosts are told.
    pub owners: OwnersSettings,
    /// What a run gets; a recipe may only lower it.
    pub limits: Limits,
    pub build: BuildLimits,
    /// How results are looked into.
    pub verdicts: VerdictSettings,
    /// What this machine gives, and to whom.
    pub host: HostSettings,
}

/// Handed to containers that may use the network, never baked into an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// CA bundle (PEM); default `SSL_CERT_FILE`, else `PIP_CERT`.
    pub ca: PathBuf,
    pub http_proxy: String,
    pub https_proxy: String,
    pub no_proxy: String,
    /// Package index (Simple API); default `PIP_INDEX_URL`, else the public one.
    pub index: String,
}

impl NetworkSettings {
    /// What a container gets that may use the network; `ca`: where the bundle is in it.
    pub fn environment(&self, ca: Option<&str>) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        let mut set = |names: &[&str], value: &str| {
            if !value.is_empty() {
                env.extend(names.iter().map(|name| ((*name).to_owned(), value.to_owned())));
            }
        };
        set(&["http_proxy", "HTTP_PROXY"], &self.http_proxy);
        set(&["https_proxy", "HTTPS_PROXY"], &self.https_proxy);
        set(&["no_proxy", "NO_PROXY"], &self.no_proxy);
        set(&["PIP_INDEX_URL", "UV_DEFAULT_INDEX"], &self.index);
        set(
            &[
                "SSL_CERT_FILE",
                "PIP_CERT",
                "REQUESTS_CA_BUNDLE",
                "CURL_CA_BUNDLE",
                "GIT_SSL_CAINFO",
            ],
            ca.unwrap_or_default(),
        );
        env
    }
}

impl Default for Settings {
    fn default() -> Self {
        let branch = BranchSettings::new;
        Self {
            data: "pybots-data".into(),
            database: String::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8042)),
            projects: PathBuf::new(),
            images: PathBuf::new(),
            slots: std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2)),
            poll: Seconds(60),
            source: SourceSettings::default(),
            branch: vec![
                branch("trunk", "main"),
                branch("3.15", "3.15"),
                branch("3.14", "3.14"),
                branch("3.13", "3.13"),
                branch("3.12", "3.12"),
                branch("3.11", "3.11"),
                branch("2.5", "2.5"),
            ],
            engine: EngineSettings::default(),
            retention: RetentionSettings::default(),
            network: NetworkSettings::default(),
            registry: RegistrySettings::default(),
            owners: OwnersSettings::default(),
            limits: Limits::default(),
            build: BuildLimits::default(),
            verdicts: VerdictSettings::default(),
            host: HostSettings::default(),
        }
    }
}

/// Settings, and for each its origin.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Dotted key -> `default`, `FILE`, or the environment variable.
    pub origins: BTreeMap<String, String>,
    pub file: Option<PathBuf>,
}

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("failed to read the settings file {path}: {error}")]
    Unreadable { path: String, error: std::io::Error },
    #[error("{}", .0.draw(false))]
    Wrong(Box<Problem>),
    #[error("the environment variable {variable} is wrong: {reason}")]
    Environment { variable: String, reason: String },
    #[error("{0}")]
    Nonsense(String),
}

/// Variables that stand for a setting without being named after it, tried in order.
const STANDARD: &[(&str, &[&str])] = &[
    ("engine.socket", &["DOCKER_HOST"]),
    ("network.ca", &["SSL_CERT_FILE", "PIP_CERT"]),
    ("network.http_proxy", &["http_proxy", "HTTP_PROXY"]),
    ("network.https_proxy", &["https_proxy", "HTTPS_PROXY"]),
    ("network.no_proxy", &["no_proxy", "NO_PROXY"]),
    ("network.index", &["PIP_INDEX_URL", "UV_INDEX_URL"]),
];

/// The variables of this process, as far as they are text.
pub fn environment() -> BTreeMap<String, String> {
    let text = |(key, value): (OsString, OsString)| Some((key.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

impl Settings {
    /// Merges defaults, the file (if any) and the environment. `environment` is the process's.
    pub fn load(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Loaded, SettingsError> {
        let defaults = table(&Settings::default());
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
                    reason: error.message().to_owned(),
                })?;
            origins.insert(key, variable);
        }
        let mut settings: Settings = Value::Table(merged)
            .try_into()
            .map_err(|error: toml::de::Error| SettingsError::Nonsense(error.message().to_owned()))?;
        settings.engine.take_scheme_off();
        settings.leave_git(|key| origins.get(key).is_some_and(|origin| origin == "default"));
        settings.sane()?;
        Ok(Loaded {
            settings,
            origins,
            file: file.map(Path::to_owned),
        })
    }

    fn sane(&self) -> Result<(), SettingsError> {
        let nonsense = |text: String| Err(SettingsError::Nonsense(text));
        branch::sane(&self.branch).map_err(SettingsError::Nonsense)?;
        self.registry.sane().map_err(SettingsError::Nonsense)?;
        for branch in &self.branch {
            self.source.holds(branch).map_err(SettingsError::Nonsense)?;
        }
        if self.branch.is_empty() {
            return nonsense("no branch is watched; add a `[[branch]]` with `name` and `ref`".to_owned());
        }
        if self.slots == 0 {
            return nonsense("`slots` must be at least 1".to_owned());
        }
        self.engine.sane().map_err(SettingsError::Nonsense)?;
        self.host.sane().map_err(SettingsError::Nonsense)?;
        self.source.sane().map_err(SettingsError::Nonsense)
    }

    /// The variants of a branch; of one that is not watched any more, the default.
    pub fn variants(&self, branch: &str) -> Vec<String> {
        let settings = self.branch.iter().find(|settings| settings.name == branch);
        settings.map_or_else(branch::default_variant, |settings| settings.variants.clone())
    }

    pub fn projects_folder(&self) -> Option<&Path> {
        (!self.projects.as_os_str().is_empty()).then_some(&self.projects)
    }

    pub fn images_folder(&self) -> Option<&Path> {
        (!self.images.as_os_str().is_empty()).then_some(&self.images)
    }

    pub fn database_url(&self) -> String {
        match self.database.as_str() {
            "" => format!("sqlite://{}?mode=rwc", self.data.join("pybots.sqlite").display()),
            url => url.to_owned(),
        }
    }
}

impl Loaded {
    /// One line a setting, and one for each branch: key, value, origin.
    pub fn lines(&self) -> Vec<(String, String, String)> {
        let mut lines = Vec::new();
        for (key, value) in leaves(&table(&self.settings)) {
            let origin = self.origins.get(&key).map_or("default", String::as_str);
            let values = match value {
                Value::Array(values) => values,
                value => vec![value],
            };
            let shown = values.iter().map(|value| hide_password(&value.to_string()));
            lines.extend(shown.map(|value| (key.clone(), value, origin.to_owned())));
        }
        lines
    }
}

/// A URL fit for a screen.
fn hide_password(url: &str) -> String {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (login, host) = rest.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{host}"))
    });
    parts.unwrap_or_else(|| url.to_owned())
}

fn read_file(shown: &str, text: &str) -> Result<Table, SettingsError> {
    let wrong = |error: toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        SettingsError::Wrong(Box::new(toml_problem(shown, text, span, error.message())))
    };
    // typed first: its errors have places
    toml::from_str::<Settings>(text).map_err(wrong)?;
    toml::from_str::<Table>(text).map_err(wrong)
}

fn table(settings: &Settings) -> Table {
    match Value::try_from(settings) {
        Ok(Value::Table(table)) => table,
        // a struct of plain fields always is a table
        _ => Table::new(),
    }
}

/// Dotted keys of all values that are not tables; arrays are values.
fn leaves(table: &Table) -> BTreeMap<String, Value> {
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

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((first, rest)) => lookup(table.get(first)?.as_table()?, rest),
        None => table.get(key),
    }
}

fn set(table: &mut Table, key: &str, value: Value) {
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

/// The text of a variable as the type that the setting has; an array is written as in TOML.
fn parse_like(default: Option<&Value>, text: &str) -> Value {
    let as_string = || Value::String(text.to_owned());
    match default {
        Some(Value::Integer(_)) => text.parse().map_or_else(|_| as_string(), Value::Integer),
        Some(Value::Float(_)) => text.parse().map_or_else(|_| as_string(), Value::Float),
        Some(Value::Array(_)) => toml::from_str::<Table>(&format!("x = {text}"))
            .ok()
            .and_then(|mut table| table.remove("x"))
            .unwrap_or_else(as_string),
        _ => as_string(),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
