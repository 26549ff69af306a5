//! A recipe that passed its check, with the folders that it names.

use super::Recipe;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A recipe that passed its check.
#[derive(Clone, Debug)]
pub struct Registered {
    pub recipe: Recipe,
    pub text: String,
    /// Whether the recipe was submitted. It is false for a recipe of the folder of recipes.
    pub submitted: bool,
    /// The digest of the text and of every folder that the recipe names. It identifies the version of the recipe.
    pub digest: String,
    /// The digest of each folder that the recipe names as a `path` source, by path.
    pub folders: BTreeMap<String, String>,
    /// The content of these folders as tars, by digest. Empty once it is stored.
    pub tars: BTreeMap<String, Arc<Vec<u8>>>,
}
