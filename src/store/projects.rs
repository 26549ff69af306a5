//! Registered projects and their recipes.

use super::Store;
use anyhow::Result;
use sqlx::FromRow;

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Project {
    pub name: String,
    pub summary: String,
    pub homepage: String,
    /// Digest of the recipe in force.
    pub recipe: String,
}

impl Store {
    /// Makes the registered projects these, and keeps what was wrong with the files that are none.
    /// (`(project, text of its recipe)`; `(file, message)`.)
    pub async fn set_projects(
        &self,
        projects: &[(Project, String)],
        refused: &[(String, String)],
        now: i64,
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
                "INSERT INTO project (name, summary, homepage, recipe, registered, registered_at)
                 VALUES ($1, $2, $3, $4, 1, $5)
                 ON CONFLICT (name) DO UPDATE SET summary = excluded.summary, homepage = excluded.homepage,
                     recipe = excluded.recipe, registered = 1",
            )
            .bind(&project.name)
            .bind(&project.summary)
            .bind(&project.homepage)
            .bind(&project.recipe)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query("DELETE FROM refused_recipe").execute(&mut *tx).await?;
        for (file, message) in refused {
            sqlx::query("INSERT INTO refused_recipe (file, message) VALUES ($1, $2) ON CONFLICT (file) DO NOTHING")
                .bind(file)
                .bind(message)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    pub async fn projects(&self) -> Result<Vec<Project>> {
        Ok(
            sqlx::query_as("SELECT name, summary, homepage, recipe FROM project WHERE registered = 1 ORDER BY name")
                .fetch_all(self.pool())
                .await?,
        )
    }

    /// Recipe files that can't be registered: (file, message).
    pub async fn refused_recipes(&self) -> Result<Vec<(String, String)>> {
        Ok(sqlx::query_as("SELECT file, message FROM refused_recipe ORDER BY file")
            .fetch_all(self.pool())
            .await?)
    }

    pub async fn recipe_text(&self, digest: &str) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT text FROM recipe WHERE digest = $1")
            .bind(digest)
            .fetch_optional(self.pool())
            .await?)
    }
}
