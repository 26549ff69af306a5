//! The access rules for people and programs: accounts, identities, access tokens, sessions, and the audit log.
//! [`crate::domain::access`] defines roles and permissions.

mod accounts;
mod actor;
mod audit;
mod identities;
mod retention;
mod sessions;
mod tokens;

pub use accounts::{AccountChange, add, change, first_operator};
pub use actor::Actor;
pub use audit::{AuditedChange, record};
pub use identities::{VouchedPerson, begin_by_identity, unlink};
pub use retention::remove_old;
pub use sessions::{Session, begin, end, session};
pub use tokens::{TokenRequest, authenticate, issue, revoke};
