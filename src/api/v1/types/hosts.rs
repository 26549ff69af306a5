//! Registered hosts.

use crate::domain::host::HostState;
use crate::domain::time::Timestamp;
use crate::store::hosts::HostRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A registered host.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HostView {
    pub name: String,
    pub state: HostState,
    pub builds: bool,
    pub has_token: bool,
    pub slots: u32,
    pub platform: String,
    pub version: String,
    #[schema(value_type = Option<i64>)]
    pub seen_at: Option<Timestamp>,
    /// The host's token. Present only in the response that issues it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl From<HostRow> for HostView {
    fn from(host: HostRow) -> Self {
        let capabilities = host.capabilities.unwrap_or_default();
        Self {
            name: host.name,
            state: host.state,
            builds: host.builds,
            has_token: host.token.is_some(),
            slots: capabilities.slots,
            platform: capabilities.platform,
            version: capabilities.version,
            seen_at: host.seen_at,
            token: None,
        }
    }
}

/// A host to register.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostBody {
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    pub name: String,
    /// The owner's mail address. Ignored for a host owner, whose hosts get the address of the account.
    #[serde(default)]
    pub owner: String,
    /// Whether the host may build images. Only an operator may set this.
    #[serde(default)]
    pub builds: bool,
}
