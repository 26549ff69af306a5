//! Unique names, for objects on an engine that several processes share.

/// Returns a name that no other call returns, on this machine or another.
pub fn unique_name() -> String {
    uuid::Uuid::new_v4().to_string()
}
