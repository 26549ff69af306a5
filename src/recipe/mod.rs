//! Recipes, from `projects/*.toml`: how a registered project is fetched, installed and tested. [`check()`] reports
//! mistakes to people, and [`choose()`] selects the parts that apply to one Python.

mod advice;
pub mod check;
mod choose;
mod file;
pub mod folder;
pub mod import;
mod pack;
pub mod propose;
pub mod reader;
mod registered;
mod requirement;
mod schema;
mod texts;

pub use advice::advice;
pub use check::{Checked, MORE_PROBLEMS, Problem, check, check_with, toml_place, without_value};
pub use choose::{Choice, choose};
pub use file::{KnownFailure, Recipe, RequestedLimits, Section, Steps};
pub use registered::Registered;
pub use schema::schema;
