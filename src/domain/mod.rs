//! Nouns and rules of the field. No I/O, no clock, no randomness in here.

pub mod host;
pub mod hours;
pub mod incident;
pub mod job;
pub mod limits;
pub mod login;
pub mod outcome;
pub mod place;
pub mod results;
pub mod retention;
pub mod text;
pub mod tree;
pub mod version;

/// How CPython is built when nothing else is asked for.
pub const DEFAULT_VARIANT: &str = "default";
