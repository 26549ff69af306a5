//! Runs whose recipe was changed or removed before their job began, and the runs that replace them.

use super::runs::Run;
use super::{Store, Tx};
use crate::domain::id::{JobId, RevisionId, RunId};
use anyhow::Result;

/// A query for the recipe of a run, if it is in force.
const IN_FORCE: &str = "SELECT 1 FROM project WHERE project.name = run.project AND project.registered = 1
                        AND project.recipe = run.recipe";
/// A query for the project of a run, if it is registered.
const REGISTERED: &str = "SELECT 1 FROM project WHERE project.name = run.project AND project.registered = 1";
/// A query for jobs of a run that have not ended. Jobs of investigations do not count.
const OPEN: &str =
    "SELECT 1 FROM job WHERE job.run_id = run.id AND job.investigation_id IS NULL AND job.state <> 'finished'";

impl Store {
    /// Returns the next `most` queued jobs whose recipe is no longer in force, with their runs. Jobs of investigations
    /// and of trials are left out.
    pub async fn jobs_of_past_recipes(&self, most: i64) -> Result<Vec<(JobId, RunId)>> {
        let sql = format!(
            "SELECT job.id, run.id FROM job JOIN run ON run.id = job.run_id
             WHERE job.state = 'queued' AND job.investigation_id IS NULL AND run.trial = 0 AND NOT EXISTS ({IN_FORCE})
             ORDER BY job.id LIMIT $1"
        );
        let query = sqlx::query_as::<_, (String, String)>(sqlx::AssertSqlSafe(sql)).bind(most);
        let rows = query.fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(job, run)| (job.into(), run.into())).collect())
    }

    /// Returns whether a job with a changed recipe is leased. Such a job may be queued again, whereas the job of a
    /// removed project is cancelled.
    pub async fn is_changed_recipe_leased(&self) -> Result<bool> {
        let sql = format!(
            "SELECT COUNT(*) FROM job JOIN run ON run.id = job.run_id
             WHERE job.state = 'leased' AND job.investigation_id IS NULL AND run.trial = 0 AND NOT EXISTS ({IN_FORCE})
               AND EXISTS ({REGISTERED})"
        );
        let leased: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(self.pool())
            .await?;
        Ok(leased > 0)
    }

    /// Requests that leased jobs of removed projects end, and marks their runs as withdrawn. Returns how many jobs it
    /// newly requested to end.
    pub async fn cancel_jobs_of_removed_projects(&self) -> Result<u64> {
        let mut tx = self.begin().await?;
        let of_them = format!(
            "SELECT run.id FROM job AS leased JOIN run ON run.id = leased.run_id
             WHERE leased.state = 'leased' AND leased.investigation_id IS NULL AND run.trial = 0 AND NOT EXISTS ({REGISTERED})"
        );
        let withdraw = format!("UPDATE run SET withdrawn = 'unplanned' WHERE id IN ({of_them})");
        sqlx::query(sqlx::AssertSqlSafe(withdraw)).execute(&mut *tx).await?;
        let cancel = format!(
            "UPDATE job SET request = 'cancel' WHERE state = 'leased' AND request IS NULL AND investigation_id IS NULL
             AND run_id IN ({of_them})"
        );
        let cancelled = sqlx::query(sqlx::AssertSqlSafe(cancel)).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(cancelled.rows_affected())
    }

    /// Records that a run by the recipe in force is to replace a run.
    pub async fn withdraw_run(&self, tx: &mut Tx, id: &RunId) -> Result<()> {
        let sql = "UPDATE run SET withdrawn = 'unplanned' WHERE id = $1";
        sqlx::query(sql).bind(id).execute(&mut **tx).await?;
        Ok(())
    }

    /// Records that the runs of a revision are not planned yet.
    pub async fn plan_revision_again(&self, tx: &mut Tx, id: &RevisionId) -> Result<()> {
        let sql = "UPDATE revision SET planned_at = NULL WHERE id = $1";
        sqlx::query(sql).bind(id).execute(&mut **tx).await?;
        Ok(())
    }

    /// Returns the next `most` runs that a run by the recipe in force is to replace. Runs of removed projects, and runs
    /// with an open job of their own, are left out.
    pub async fn withdrawn_runs(&self, most: i64) -> Result<Vec<Run>> {
        let sql = format!(
            "SELECT id, revision_id, project, variant, platform, recipe, image_id, skip_reason, created_at, trial
             FROM run WHERE withdrawn = 'unplanned' AND EXISTS ({REGISTERED}) AND NOT EXISTS ({OPEN}) ORDER BY id LIMIT $1"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(most);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Records that a run by the recipe `by` has replaced a run. If `by` is empty, nothing replaces it. If the run
    /// itself is by that recipe, nothing changes.
    pub async fn replaced_run(&self, tx: &mut Tx, id: &RunId, by: &str) -> Result<()> {
        let sql = "UPDATE run SET withdrawn = 'planned' WHERE id = $1 AND recipe <> $2 AND withdrawn IS NOT NULL";
        sqlx::query(sql).bind(id).bind(by).execute(&mut **tx).await?;
        Ok(())
    }
}
