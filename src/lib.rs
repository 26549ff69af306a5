//! Pybots: for every check-in on the watched lines of CPython it builds an image, runs the suite of
//! every registered project on it in sibling containers, and shows what broke.
//!
//! The modules in the order in which a check-in goes through them:

pub mod config; // settings, and where each came from
pub mod profile;
pub mod recipe; // projects/*.toml: how a project is fetched, installed and tested // images/*.toml: how an era of CPython is built

pub mod coordinator;
pub mod plan; // a revision becomes an image build and runs
pub mod queue; // jobs wait, are leased, and end here
pub mod watch; // a repository's new check-ins become revisions // the loops that drive the three above

pub mod api; // what a host asks the coordinator
pub mod host; // claims jobs: builds images, runs suites
pub mod runtime; // the container engine, behind a narrow contract

pub mod verdict; // outcomes become the state of a cell
pub mod web; // pages

pub mod cli;
pub mod clock;
pub mod domain; // nouns and rules, without I/O
pub mod store; // all SQL, logs as objects // the commands
