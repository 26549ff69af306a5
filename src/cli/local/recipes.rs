//! Finds the recipe that a command names.

use crate::config::Settings;
use crate::recipe::Registered;
use crate::recipe::folder::{Beside, register};
use crate::recipe::reader::{self, Origin, RefusedRecipe};
use crate::watch::recipes::RecipeRepository;
use anyhow::{Context, Result, anyhow, bail};
use std::path::Path;

/// Reads a recipe file, or finds a registered project by its name.
pub async fn project(settings: &Settings, name: &str) -> Result<Registered> {
    if Path::new(name).is_file() {
        return recipe(Path::new(name));
    }
    let (registered, refused) = registered(settings).await?;
    if let Some(found) = registered
        .into_iter()
        .find(|project| project.recipe.name.get_ref() == name)
    {
        return Ok(found);
    }
    if let Some(refused) = refused
        .into_iter()
        .find(|refused| refused.file.ends_with(&format!("{name}.toml")))
    {
        bail!("the recipe can't be used\n{}", refused.message);
    }
    bail!("{name:?} is neither a recipe file nor a registered project")
}

/// Reads all registered recipes, and the refused ones. Fetches the repository of recipes, if there is one.
pub async fn registered(settings: &Settings) -> Result<(Vec<Registered>, Vec<RefusedRecipe>)> {
    // a coordinator may use the checkouts in the data folder
    let checkouts = tempfile::tempdir().context("failed to make a temporary folder")?;
    let folder = checkouts.path().to_owned();
    let Some(repository) = RecipeRepository::open(&settings.data, &settings.recipes, folder).await? else {
        return reader::load(&Origin::of(settings.projects_folder()));
    };
    repository.fetch().await;
    let checkout = repository.checkout().await;
    if let Some(problem) = &checkout.problem {
        errln!("recipes: {problem}");
    }
    let folder = checkout
        .folder
        .context("there are no recipes; correct `[recipes]` in the settings")?;
    reader::load(&Origin::Checkout(folder))
}

/// Reads a recipe file.
pub fn recipe(file: &Path) -> Result<Registered> {
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read the recipe {shown}"))?;
    register(&shown, text, Beside::of(file).as_ref()).map_err(|message| anyhow!("the recipe can't be used\n{message}"))
}
