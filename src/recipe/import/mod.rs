//! Turns entries of other registries into recipes, and lists the parts of an entry that a recipe cannot express. Pure rules.

pub mod laruche;
mod shell;

/// What becomes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    Recipe {
        /// The name of the project and, before `.toml`, of the file.
        name: String,
        text: String,
        /// A sentence for each part of the entry that the recipe does not have.
        left_out: Vec<String>,
    },
    /// No recipe can be made of it, and why.
    Nothing { name: String, reason: String },
}
