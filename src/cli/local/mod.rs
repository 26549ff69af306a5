//! Builds and runs on this machine without a coordinator: `pybots try`, `pybots bisect`, `pybots try-patch`.

mod options;
mod recipes;
mod runner;
mod runs;
mod supply;
mod terminal;

pub use options::{AsOf, RunOptions, is_not_installed};
pub use recipes::{project, recipe, registered};
pub use runner::LocalRunner;
pub use runs::{Runs, short};
