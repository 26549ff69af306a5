//! Nouns and rules of the field: no I/O, no clock, no randomness.

pub mod access;
pub mod address;
pub mod causes;
pub mod confidential;
pub mod day;
pub mod digest;
pub mod host;
pub mod hours;
pub mod id;
pub mod incident;
pub mod job;
pub mod limits;
pub mod lock;
pub mod login;
pub mod lookalike;
pub mod modes;
pub(crate) mod names;
pub mod nearest;
pub mod outcome;
pub mod package;
pub mod patch;
pub mod pattern;
pub mod profile;
pub mod received;
pub mod recipe_version;
pub mod refusal;
pub mod results;
pub mod retention;
pub mod secrets;
pub mod series;
pub mod skew;
pub mod specifiers;
pub mod state;
pub mod streak;
pub mod suite;
pub mod svn;
pub mod text;
pub mod time;
pub mod tree;
pub mod trust;
pub mod version;
pub mod waiting;
pub mod words;

/// The variant of CPython that is built unless the settings ask for more.
pub const DEFAULT_VARIANT: &str = "default";
