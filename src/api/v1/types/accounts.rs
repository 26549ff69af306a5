//! Accounts, their identities, and access tokens.

use super::whole::whole;
use crate::domain::access::{Permission, Role};
use crate::domain::time::Timestamp;
use crate::store::accounts::Account;
use crate::store::identities::Identity;
use crate::store::tokens::AccessToken;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    pub name: String,
    pub mail: String,
    pub roles: Vec<String>,
    pub disabled: bool,
    #[schema(value_type = i64)]
    pub created_at: Timestamp,
    /// The identities of the account. Absent in a list, and for an account without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<IdentityView>,
}

/// The identity of an account for an identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdentityView {
    pub issuer: String,
    pub subject: String,
    #[schema(value_type = i64)]
    pub linked_at: Timestamp,
    /// The time of the last login with this identity.
    #[schema(value_type = Option<i64>)]
    pub used_at: Option<Timestamp>,
}

impl From<Identity> for IdentityView {
    fn from(identity: Identity) -> Self {
        Self {
            issuer: identity.issuer,
            subject: identity.subject,
            linked_at: identity.linked_at,
            used_at: identity.used_at,
        }
    }
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            name: account.name,
            mail: account.mail,
            roles: account.roles.list(),
            disabled: account.disabled,
            created_at: account.created_at,
            identities: Vec::new(),
        }
    }
}

/// An account to add.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountBody {
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    pub name: String,
    #[serde(default)]
    pub mail: String,
    #[serde(default)]
    #[schema(value_type = Vec<Role>)]
    pub roles: Vec<String>,
}

/// The fields of an account to change. An absent field keeps its value.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChangeBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Role>>)]
    pub roles: Option<Vec<String>>,
    /// A disabled account loses its tokens and sessions for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// An access token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    pub id: String,
    pub name: String,
    pub permissions: Vec<String>,
    #[schema(value_type = i64)]
    pub created_at: Timestamp,
    #[schema(value_type = i64)]
    pub expires_at: Timestamp,
    /// The time of the last use, to the minute.
    #[schema(value_type = Option<i64>)]
    pub used_at: Option<Timestamp>,
    #[schema(value_type = Option<i64>)]
    pub revoked_at: Option<Timestamp>,
    /// The secret. Present only in the response that issues the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl From<AccessToken> for TokenView {
    fn from(token: AccessToken) -> Self {
        Self {
            id: token.id.into_string(),
            name: token.name,
            permissions: token.permissions.list(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            used_at: token.used_at,
            revoked_at: token.revoked_at,
            secret: None,
        }
    }
}

/// A token to issue.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// The name of the token, which says what it is for.
    #[schema(min_length = 1, max_length = 60)]
    pub name: String,
    /// The account that gets the token. If absent, your own; only those who manage accounts can name another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The permissions of the token. If absent, every permission that both you and the account have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Permission>>)]
    pub permissions: Option<Vec<String>>,
    /// Days until the token expires: 1 to 366, 90 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 366)]
    pub days: Option<i64>,
}
