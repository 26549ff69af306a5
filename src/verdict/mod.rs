//! From attempts to the check-in that is to blame. Pure: what is known goes in, and what to do next, or an answer,
//! comes out. Nothing is remembered in between, so neither the order in which results arrive nor a restart changes
//! an answer.
//!
//! ```text
//! outcome -> cell -> verdict against the baseline -> confirm on both sides -> search -> culprit
//! ```

/// The state of a cell, from all its attempts.
mod cell;

/// What passes or fails: a test, a suite, an installation, a build.
mod subject;

/// A cell against its baseline.
mod baseline;

/// What is new in a row.
mod rows;

/// Both sides again, side by side, before anyone is told.
mod confirm;

/// Which check-in it was.
mod search;

/// The two together, for one subject over one stretch of history.
mod case;

/// Where the builds of a branch turned.
mod builds;

/// Two check-ins side by side.
mod compare;

/// What a whole row says.
mod guard;

/// Several subjects at a time, which share their runs.
mod inquiry;

/// What differs between the versions of two runs.
mod locks;

/// What one log says that another does not.
mod logs;

/// How often a suite contradicts itself.
mod noise;

#[cfg(test)]
mod property_tests;

/// Whether a difference may be chance.
mod stats;

pub use baseline::{Verdict, verdict};
pub use builds::{Built, Turn, turns};
pub use case::{Answer, Case, Lock, Next, NotCpython, Probe, Sample, Samples, Why, next};
pub use cell::{Cell, cell};
pub use compare::{Compared, Difference, Side, compare};
pub use guard::{Meaning, meaning};
pub use inquiry::{Change, End, Finding, Inquiry, Progress, Ran, Wanted};
pub use locks::{Differ, differ};
pub use logs::{LogDifference, first_error, log_difference, signature};
pub use noise::{Noise, TestNoise, Told, noise};
pub use rows::{Row, Suspicion, is_short, still_failing, suspicions, wider};
pub use search::rounds_bound;
pub use stats::fisher;
pub use subject::{Missing, Seen, Subject, seen};
