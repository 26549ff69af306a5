//! Pybots finds the CPython revision that broke a project. It builds a container image of every revision on the watched
//! branches, runs the suites of every registered project on it, and proves which revision caused a change.
//!
//! The modules are listed in the order in which a revision goes through them: from the files that people write, through the
//! coordinator and the hosts, to the answers and the pages. `docs/glossary.md` defines the terms.

// Tests may panic. Code that handles input from outside must not.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

// Files that people write.
/// Settings: defaults, one TOML file and environment variables, with the origin of each value.
pub mod config;

/// Recipes, `projects/*.toml`: how a project is fetched, installed and tested.
pub mod recipe;

/// Build profiles, `images/*.toml`: how each era of CPython is built.
pub mod profile;

// Between host and coordinator.
/// The messages that hosts and the coordinator exchange, and the version of the protocol.
pub mod protocol;

// The coordinator: from a commit to queued jobs.
/// Watches the repositories, in git and Subversion, and stores the new revisions of the watched branches.
pub mod watch;

/// Plans the image build of a revision, and the runs on an image. Pure rules.
pub mod plan;

/// The job queue: hosts claim jobs under a lease, and every attempt ends here.
pub mod queue;

/// Enrolment of hosts: their names, tokens, states and permissions.
pub mod enrolment;

/// Accounts, access tokens and sessions: who makes a change, and the audit log of all changes.
pub mod access;

/// The identity provider by which people log in (OpenID Connect).
pub mod oidc;

/// Submitted recipes: versions, their approval, and the projects that they register.
pub mod submissions;

/// The decisions of maintainers, operators and host owners about incidents, jobs and hosts.
pub mod decisions;

/// The coordinator's loops: watch, plan, supervise leases, and investigate.
pub mod coordinator;

/// The HTTP API for hosts, which claim jobs and deliver logs and reports, and for other programs.
pub mod api;

// The host: from a claimed job to a report.
/// The daemon of a host, which builds images and runs suites in containers.
pub mod host;

/// The container engine, behind a narrow interface.
pub mod runtime;

// From results to answers.
/// Compares results and proves culprits: cells, verdicts, suspicions, investigations. Pure rules.
pub mod verdict;

/// From results to incidents: detects changes, schedules reruns, records answers and opens incidents.
pub mod investigate;

/// Incidents as pages, JSON and the command line show them.
pub mod incidents;

/// Reproduces an incident on a machine that has Docker only.
pub mod reproduce;

/// Compares two revisions by their stored results.
pub mod compare;

// What people see and type.
/// The pages, and their JSON.
pub mod web;

/// The server: pages and API, composed from the routes of each area.
pub mod server;

/// A typed client of the API, for the commands.
pub mod client;

/// The commands of `pybots`.
pub mod cli;

// The foundation of all of the above.
/// The terms of the glossary as types, with their rules. No I/O, no clock, no randomness.
pub mod domain;

/// The format of logs, in files and between host and coordinator.
pub mod logfile;

/// Turns a log into the text and colours that a terminal would show. Nothing that could control a terminal remains.
/// Pure.
pub mod screen;

/// The database: all SQL and its migrations. Logs and other large objects, as files.
pub mod store;

/// The time of day, read in one place.
pub mod clock;

/// Waits for the signals that end a process.
pub mod signal;
