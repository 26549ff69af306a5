//! What calls carry, where it is not a type of the domain.

use crate::domain::job::Report;
use serde::{Deserialize, Serialize};

/// What a host learns of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Its id, by which it labels what it makes.
    pub id: String,
    pub name: String,
    /// It may build images.
    pub builds: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    pub fence: String,
    /// The answer may wait for so many seconds: it comes at once if the attempt is to end.
    #[serde(default)]
    pub hold_s: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// False: a maintainer wants the attempt to end.
    pub wanted: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishRequest {
    pub fence: String,
    pub report: Report,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushedRequest {
    /// By digest, in the repository that the host was told.
    pub reference: String,
}
