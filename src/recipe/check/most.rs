//! How much of everything a recipe may have, and its report.

/// Problems of a file that are reported.
pub const PROBLEMS_MOST: usize = 50;

pub const SUITES_MOST: usize = 32;
pub const SECTIONS_MOST: usize = 32;
pub const KNOWN_FAILURES_MOST: usize = 500;
/// Conditions of a `when`.
pub const CONDITIONS_MOST: usize = 50;
/// Modes of a suite.
pub const MODES_MOST: usize = 20;
/// Entries of each other list or table.
pub const ENTRIES_MOST: usize = 100;
/// Bytes of `summary`, `homepage` and a name in a list.
pub const LINE_MOST: usize = 500;
/// Bytes of one command, and of one variable.
pub const COMMAND_MOST: usize = 8 << 10;
/// Bytes of an address, and of what a known failure names.
pub const TEXT_MOST: usize = 2 << 10;
/// Bytes of all install commands: they are one argument of a program.
pub const INSTALL_MOST: usize = 16 << 10;
