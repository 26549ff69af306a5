//! The difference between two versions of a recipe.

use super::find::version;
use crate::store::Store;
use anyhow::Result;
use similar::TextDiff;
use std::time::Duration;

/// The time after which a difference is computed in larger pieces. The texts are not trusted.
const TIME_MOST: Duration = Duration::from_millis(500);

/// Returns a unified diff of two versions, given by number; empty if the texts are equal. As `from`, 0 stands for the
/// empty text.
pub async fn difference(store: &Store, project: &str, from: i64, to: i64) -> Result<String> {
    let old = match from {
        0 => String::new(),
        from => text(store, project, from).await?,
    };
    let new = text(store, project, to).await?;
    let unified = move || {
        let diff = TextDiff::configure().timeout(TIME_MOST).diff_lines(&old, &new);
        let names = (format!("version {from}"), format!("version {to}"));
        diff.unified_diff().header(&names.0, &names.1).to_string()
    };
    Ok(tokio::task::spawn_blocking(unified).await?)
}

async fn text(store: &Store, project: &str, number: i64) -> Result<String> {
    let version = version(store, project, number).await?;
    Ok(store.recipe_text(&version.digest).await?.unwrap_or_default())
}
