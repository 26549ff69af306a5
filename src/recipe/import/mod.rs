//! Converts entries of other registries to recipes, and lists the parts of an entry that a recipe can't express. Pure
//! rules.

pub mod laruche;
mod shell;

/// The result of importing an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    Recipe {
        /// The name of the project, and of the file without `.toml`.
        name: String,
        text: String,
        /// A sentence for each part of the entry that the recipe lacks.
        left_out: Vec<String>,
    },
    /// No recipe is possible, with the reason.
    Nothing { name: String, reason: String },
}
