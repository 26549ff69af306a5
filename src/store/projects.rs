//! Registered projects and their recipes.

use super::rows::from_row;
use super::types::Flag;
use super::{Store, Tx};
use crate::domain::project::ProjectTags;
use crate::domain::time::Timestamp;
use anyhow::Result;

/// The beginning of the file name under which a submitted recipe appears.
pub const SUBMITTED: &str = "submitted/";

/// Returns the project of a recipe file, by the name of the file.
pub fn project_of(file: &str) -> Option<&str> {
    std::path::Path::new(file).file_stem()?.to_str()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    pub name: String,
    pub summary: String,
    pub homepage: String,
    /// The digest of the recipe in force.
    pub recipe: String,
    /// Whether that recipe was submitted, rather than read from the folder of recipes.
    pub submitted: bool,
    /// What that recipe says about the project.
    pub tags: ProjectTags,
}

from_row!(Project, "project" by "name": name, summary, homepage, recipe, submitted, tags);

impl Store {
    /// Replaces the registered projects, given as `(project, text of its recipe)`, and the recipe files that were
    /// refused, given as `(file, message)`.
    pub async fn set_projects(
        &self,
        projects: &[(Project, String)],
        refused: &[(String, String)],
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE project SET registered = 0")
            .execute(&mut *tx)
            .await?;
        for (project, text) in projects {
            sqlx::query(
                "INSERT INTO recipe (digest, project, text, seen_at) VALUES ($1, $2, $3, $4) ON CONFLICT (digest) DO NOTHING",
            )
            .bind(&project.recipe)
            .bind(&project.name)
            .bind(text)
            .bind(now)
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "INSERT INTO project (name, summary, homepage, recipe, registered, registered_at, submitted, tags)
                 VALUES ($1, $2, $3, $4, 1, $5, $6, $7)
                 ON CONFLICT (name) DO UPDATE SET summary = excluded.summary, homepage = excluded.homepage,
                     recipe = excluded.recipe, registered = 1, submitted = excluded.submitted, tags = excluded.tags",
            )
            .bind(&project.name)
            .bind(&project.summary)
            .bind(&project.homepage)
            .bind(&project.recipe)
            .bind(now)
            .bind(Flag(project.submitted))
            .bind(&project.tags)
            .execute(&mut *tx)
            .await?;
        }
        replace_refused(&mut tx, refused).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Replaces the recipe files that were refused, given as `(file, message)`. Registered projects stay as they are.
    pub async fn set_refused_recipes(&self, refused: &[(String, String)]) -> Result<()> {
        let mut tx = self.begin().await?;
        replace_refused(&mut tx, refused).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Returns the registered projects, by name.
    pub async fn projects(&self) -> Result<Vec<Project>> {
        Ok(sqlx::query_as(
            "SELECT name, summary, homepage, recipe, submitted, tags FROM project WHERE registered = 1 ORDER BY name",
        )
        .fetch_all(self.pool())
        .await?)
    }

    /// Returns whether a project is or was registered.
    pub async fn has_project(&self, name: &str) -> Result<bool> {
        let query = sqlx::query_scalar("SELECT COUNT(*) FROM project WHERE name = $1").bind(name);
        let found: i64 = query.fetch_one(self.pool()).await?;
        Ok(found > 0)
    }

    /// Returns the names of projects in the folder of recipes, now or earlier: nobody else gets their results. For a
    /// refused file, this is the name of the file without its ending.
    pub async fn folder_names(&self) -> Result<Vec<String>> {
        let sql = "SELECT name FROM project WHERE submitted = 0 ORDER BY name";
        let mut names: Vec<String> = sqlx::query_scalar(sql).fetch_all(self.pool()).await?;
        for (file, _) in self.refused_recipes().await? {
            names.extend(
                project_of(&file)
                    .filter(|_| !file.starts_with(SUBMITTED))
                    .map(str::to_owned),
            );
        }
        Ok(names)
    }

    /// Returns the recipe files that were refused, as `(file, message)`.
    pub async fn refused_recipes(&self) -> Result<Vec<(String, String)>> {
        Ok(sqlx::query_as("SELECT file, message FROM refused_recipe ORDER BY file")
            .fetch_all(self.pool())
            .await?)
    }

    /// Returns the text of the recipe with a digest.
    pub async fn recipe_text(&self, digest: &str) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT text FROM recipe WHERE digest = $1")
            .bind(digest)
            .fetch_optional(self.pool())
            .await?)
    }
}

async fn replace_refused(tx: &mut Tx, refused: &[(String, String)]) -> Result<()> {
    sqlx::query("DELETE FROM refused_recipe").execute(&mut **tx).await?;
    for (file, message) in refused {
        sqlx::query("INSERT INTO refused_recipe (file, message) VALUES ($1, $2) ON CONFLICT (file) DO NOTHING")
            .bind(file)
            .bind(message)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
