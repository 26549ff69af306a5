//! The settings. A later source wins over an earlier one: defaults, common environment variables such as `DOCKER_HOST`,
//! one TOML file, and the variables `PYBOTS_..`. [`Settings::load`] merges them and records the origin of each.

mod branch;
mod engine;
mod error;
mod host;
mod http;
mod load;
mod network;
mod oidc;
mod owners;
mod recipes;
mod registry;
mod settings;
mod source;
mod table;
mod trust;
mod verdicts;

pub use branch::{BranchSettings, SourceKind};
pub use engine::{BuildLimits, EngineSettings, RetentionSettings};
pub use error::SettingsError;
pub use host::HostSettings;
pub use http::HttpSettings;
pub use load::{Loaded, environment};
pub use network::NetworkSettings;
pub use oidc::OidcSettings;
pub use owners::OwnersSettings;
pub use recipes::{Approval, RecipesSettings};
pub use registry::RegistrySettings;
pub use settings::Settings;
pub use source::SourceSettings;
pub use trust::{OwnerSettings, TrustSettings};
pub use verdicts::VerdictSettings;

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
