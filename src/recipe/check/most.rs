//! The bounds of a recipe and of its report.

/// The most problems of a file that are reported.
pub const PROBLEMS_MOST: usize = 50;

pub const SUITES_MOST: usize = 32;
pub const SECTIONS_MOST: usize = 32;
pub const KNOWN_FAILURES_MOST: usize = 500;
/// The most conditions of a `when`.
pub const CONDITIONS_MOST: usize = 50;
/// The most modes of a suite.
pub const MODES_MOST: usize = 20;
/// The most entries of each other list or table.
pub const ENTRIES_MOST: usize = 100;
/// The most bytes of `summary`, of `homepage`, and of a name in a list.
pub const LINE_MOST: usize = 500;
/// The most bytes of one command, and of one variable.
pub const COMMAND_MOST: usize = 8 << 10;
/// The most bytes of an address, and of each text of a known failure.
pub const TEXT_MOST: usize = 2 << 10;
/// The most bytes of all install commands together, which become one argument of a program.
pub const INSTALL_MOST: usize = 16 << 10;
