//! Pybots: for every check-in on the watched lines of CPython it builds an image, runs the suite of
//! every registered project on it in sibling containers, and shows what broke.
//!
//! The modules in the order in which a check-in goes through them:

// Tests may panic; what meets the world may not.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

// What people write.
/// Settings, and where each came from.
pub mod config;

/// `projects/*.toml`: how a project is fetched, installed and tested.
pub mod recipe;

/// `images/*.toml`: how an era of CPython is built.
pub mod profile;

// The coordinator.
/// A repository's new check-ins become revisions.
pub mod watch;

/// A revision becomes an image build, and its image runs.
pub mod plan;

/// Jobs wait, are leased, and end here.
pub mod queue;

/// Which hosts there are, and what each may do.
pub mod registry;

/// The loops that drive these three.
pub mod coordinator;

/// What a host asks the coordinator.
pub mod api;

// The host.
/// Claims jobs: builds images, runs suites.
pub mod host;

/// Removes images and volumes that nobody needs.
pub mod janitor;

/// The container engine, behind a narrow contract.
pub mod runtime;

// What comes out.
/// Outcomes become the state of a cell; what changed is confirmed, and its check-in found.
pub mod verdict;

/// The results of a project along a branch, as those rules read them.
pub mod known;

/// What is broken, and by which check-in.
pub mod incidents;

/// An incident once more, on another machine.
pub mod reproduce;

/// Two check-ins side by side.
pub mod compare;

/// Pages.
pub mod web;

/// The commands.
pub mod cli;

// What all of them stand on.
/// Nouns and rules, without I/O.
pub mod domain;

/// What a log is made of, on the wire and in files.
pub mod logfile;

/// All SQL; logs as objects.
pub mod store;

/// The time of day.
pub mod clock;
