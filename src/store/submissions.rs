//! Submitted recipes: the projects that they register, and all their versions. Only [`crate::submissions`] changes
//! them.

use super::rows::from_row;
use super::types::Flag;
use super::{Store, Tx};
use crate::domain::id::{AccountId, JobId, RunId};
use crate::domain::outcome::Outcome;
use crate::domain::recipe_version::{ProjectState, VersionState};
use crate::domain::time::Timestamp;
use anyhow::Result;

/// A project whose recipe was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub project: String,
    /// The owner, or `None` if nobody owns the project.
    pub owner_id: Option<AccountId>,
    /// The account to which the owner hands the project over, until that account accepts.
    pub next_owner_id: Option<AccountId>,
    pub state: ProjectState,
    /// The reason for the state, for people. It may be empty.
    pub reason: String,
    /// Whether somebody other than the owner paused or retired the project.
    pub held: bool,
    /// The number of the version in force.
    pub version: Option<i64>,
    pub created_at: Timestamp,
}

from_row!(Registration, "registration" by "project": project, owner_id, next_owner_id, state, reason, held, version, created_at);

const REGISTRATION: &str = "project, owner_id, next_owner_id, state, reason, held, version, created_at";

/// One version of a submitted recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipeVersion {
    pub project: String,
    /// Counted from 1 in each project.
    pub number: i64,
    pub digest: String,
    /// The name of the account that submitted the version.
    pub submitted_by: String,
    pub submitted_at: Timestamp,
    pub state: VersionState,
    pub trial_run_id: Option<RunId>,
    /// Why there is no trial run, or how it ended.
    pub trial_note: String,
    pub decided_by: Option<String>,
    pub decided_at: Option<Timestamp>,
    /// Why the version was refused or superseded, or a remark about its approval. It may be empty.
    pub reason: String,
}

from_row!(
    RecipeVersion, "recipe_version" by "digest":
    project, number, digest, submitted_by, submitted_at, state, trial_run_id, trial_note, decided_by, decided_at, reason,
);

impl RecipeVersion {
    /// Returns whether the trial has ended, and passed.
    pub fn trial_passed(&self) -> bool {
        self.trial_note == Outcome::Passed.to_string()
    }
}

const VERSION: &str = "project, number, digest, submitted_by, submitted_at, state, trial_run_id, trial_note, decided_by, \
                       decided_at, reason";

impl Store {
    /// Adds a project without a version. Returns `false` if a submitted project has the name, by the rules of PEP 503.
    pub async fn insert_registration(
        &self,
        tx: &mut Tx,
        (project, normalized): (&str, &str),
        owner: Option<&AccountId>,
        now: Timestamp,
    ) -> Result<bool> {
        let added = sqlx::query(
            "INSERT INTO registration (project, normalized, owner_id, state, reason, created_at)
             VALUES ($1, $2, $3, 'proposed', '', $4) ON CONFLICT DO NOTHING",
        )
        .bind(project)
        .bind(normalized)
        .bind(owner)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        Ok(added.rows_affected() == 1)
    }

    pub async fn registration(&self, project: &str) -> Result<Option<Registration>> {
        let sql = format!("SELECT {REGISTRATION} FROM registration WHERE project = $1");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(project);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Returns the names of all projects whose recipes were submitted.
    pub async fn registered_names(&self) -> Result<Vec<String>> {
        let query = sqlx::query_scalar("SELECT project FROM registration ORDER BY project");
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Returns the next `most` projects after a name. If an owner is given, returns only projects of that owner.
    pub async fn registrations(&self, owner: Option<&AccountId>, after: &str, most: i64) -> Result<Vec<Registration>> {
        let of_owner = if owner.is_some() { "AND owner_id = $3" } else { "" };
        let sql =
            format!("SELECT {REGISTRATION} FROM registration WHERE project > $1 {of_owner} ORDER BY project LIMIT $2");
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(after.to_owned())
            .bind(most);
        if let Some(owner) = owner {
            query = query.bind(owner.clone());
        }
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Replaces the owner, next owner, state, reason, version in force and `held` of a project. Returns `false` if the
    /// owner, next owner, state or version is no longer that of `before`.
    pub async fn set_registration(&self, tx: &mut Tx, before: &Registration, after: &Registration) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE registration SET owner_id = $1, state = $2, reason = $3, version = $4, held = $9, next_owner_id = $10
             WHERE project = $5 AND state = $6 AND COALESCE(version, 0) = $7 AND COALESCE(owner_id, '') = $8
               AND COALESCE(next_owner_id, '') = $11",
        )
        .bind(after.owner_id.as_ref())
        .bind(after.state)
        .bind(&after.reason)
        .bind(after.version)
        .bind(&before.project)
        .bind(before.state)
        .bind(before.version.unwrap_or_default())
        .bind(before.owner_id.clone().unwrap_or_default())
        .bind(Flag(after.held))
        .bind(after.next_owner_id.as_ref())
        .bind(before.next_owner_id.clone().unwrap_or_default())
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Adds a version, whose number must be the next one. Returns `false` if another version has that number. The text
    /// is stored by its digest.
    pub async fn insert_version(&self, tx: &mut Tx, new: &RecipeVersion, text: &str) -> Result<bool> {
        sqlx::query(
            "INSERT INTO recipe (digest, project, text, seen_at) VALUES ($1, $2, $3, $4) ON CONFLICT (digest) DO NOTHING",
        )
        .bind(&new.digest)
        .bind(&new.project)
        .bind(text)
        .bind(new.submitted_at)
        .execute(&mut **tx)
        .await?;
        let added = sqlx::query(
            "INSERT INTO recipe_version (project, number, digest, submitted_by, submitted_at, state)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(&new.project)
        .bind(new.number)
        .bind(&new.digest)
        .bind(&new.submitted_by)
        .bind(new.submitted_at)
        .bind(new.state)
        .execute(&mut **tx)
        .await?;
        Ok(added.rows_affected() == 1)
    }

    pub async fn version(&self, project: &str, number: i64) -> Result<Option<RecipeVersion>> {
        let sql = format!("SELECT {VERSION} FROM recipe_version WHERE project = $1 AND number = $2");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(project).bind(number);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Returns the number of the newest version with a digest.
    pub async fn number_of(&self, project: &str, digest: &str) -> Result<Option<i64>> {
        let sql = "SELECT MAX(number) FROM recipe_version WHERE digest = $2 AND project = $1";
        let query = sqlx::query_scalar(sql).bind(project).bind(digest);
        Ok(query.fetch_one(self.pool()).await?)
    }

    /// Returns the `most` newest versions of a project that are older than number `before`, newest first.
    pub async fn versions(&self, project: &str, before: i64, most: i64) -> Result<Vec<RecipeVersion>> {
        let sql = format!(
            "SELECT {VERSION} FROM recipe_version WHERE project = $1 AND number < $2 ORDER BY number DESC LIMIT $3"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(project)
            .bind(before)
            .bind(most)
            .fetch_all(self.pool())
            .await?)
    }

    /// Returns the `most` oldest versions in an open state after the first `skip`, in the order in which they were
    /// submitted.
    pub async fn versions_in(&self, state: VersionState, skip: i64, most: i64) -> Result<Vec<RecipeVersion>> {
        let sql = format!(
            "SELECT {VERSION} FROM recipe_version WHERE state = $1 AND decided_at IS NULL
             ORDER BY submitted_at, project LIMIT $2 OFFSET $3"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(state)
            .bind(most)
            .bind(skip);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Returns the next `most` versions whose trial is not planned, in the order in which they were submitted.
    pub async fn untried_versions(&self, most: i64) -> Result<Vec<RecipeVersion>> {
        let sql = format!(
            "SELECT {VERSION} FROM recipe_version WHERE state = 'trial' AND decided_at IS NULL AND trial_run_id IS NULL
             ORDER BY submitted_at, project LIMIT $1"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(most);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Returns the next `most` versions whose trial run has ended, or has not ended although they were submitted before
    /// a time. Versions without a trial run are left out.
    pub async fn tried_versions(&self, before: Timestamp, most: i64) -> Result<Vec<RecipeVersion>> {
        let sql = format!(
            "SELECT {VERSION} FROM recipe_version WHERE state = 'trial' AND decided_at IS NULL AND trial_run_id IS NOT NULL
               AND (submitted_at < $1 OR NOT EXISTS (
                   SELECT 1 FROM job WHERE job.run_id = trial_run_id AND job.state <> 'finished' AND job.investigation_id IS NULL))
             ORDER BY submitted_at, project LIMIT $2"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(before).bind(most);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Returns how many versions that an account submitted are on trial. `account` is the name.
    pub async fn trials_of(&self, tx: &mut Tx, account: &str) -> Result<i64> {
        let sql =
            "SELECT COUNT(*) FROM recipe_version WHERE state = 'trial' AND decided_at IS NULL AND submitted_by = $1";
        Ok(sqlx::query_scalar(sql).bind(account).fetch_one(&mut **tx).await?)
    }

    /// Returns how many versions an account has submitted at or after a time. `account` is the name.
    pub async fn submitted_since(&self, tx: &mut Tx, account: &str, since: Timestamp) -> Result<i64> {
        let sql = "SELECT COUNT(*) FROM recipe_version WHERE submitted_by = $1 AND submitted_at >= $2";
        Ok(sqlx::query_scalar(sql)
            .bind(account)
            .bind(since)
            .fetch_one(&mut **tx)
            .await?)
    }

    /// Moves a version to another state. Returns `false` if its state or its trial changed since `before` was read.
    pub async fn set_version(&self, tx: &mut Tx, before: &RecipeVersion, after: &RecipeVersion) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE recipe_version SET state = $1, trial_run_id = $2, trial_note = $3, decided_by = $4, decided_at = $5, reason = $6
             WHERE project = $7 AND number = $8 AND state = $9 AND COALESCE(trial_run_id, '') = $10",
        )
        .bind(after.state)
        .bind(after.trial_run_id.as_ref())
        .bind(&after.trial_note)
        .bind(after.decided_by.as_deref())
        .bind(after.decided_at)
        .bind(&after.reason)
        .bind(&before.project)
        .bind(before.number)
        .bind(before.state)
        .bind(before.trial_run_id.clone().unwrap_or_default())
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Returns the texts of the versions in force of all active projects, as `(project, text)`, by name.
    pub async fn submitted_recipes(&self) -> Result<Vec<(String, String)>> {
        let sql = "SELECT registration.project, recipe.text FROM registration
                   JOIN recipe_version ON recipe_version.project = registration.project
                        AND recipe_version.number = registration.version
                   JOIN recipe ON recipe.digest = recipe_version.digest
                   WHERE registration.state = 'active' ORDER BY registration.project";
        Ok(sqlx::query_as(sql).fetch_all(self.pool()).await?)
    }

    /// Returns the newest job of a trial, or `None` if it has no job.
    pub async fn job_of_trial(&self, run: &RunId) -> Result<Option<JobId>> {
        let sql = "SELECT id FROM job WHERE run_id = $1 AND investigation_id IS NULL ORDER BY created_at DESC, id DESC LIMIT 1";
        Ok(sqlx::query_scalar(sql).bind(run).fetch_optional(self.pool()).await?)
    }

    /// Returns the next `most` queued jobs of trial runs for which no undecided version waits.
    pub async fn jobs_of_decided_trials(&self, most: i64) -> Result<Vec<JobId>> {
        let sql = "SELECT job.id FROM run JOIN job ON job.run_id = run.id AND job.state = 'queued'
                   WHERE run.trial = 1 AND NOT EXISTS (
                       SELECT 1 FROM recipe_version WHERE recipe_version.trial_run_id = run.id AND decided_at IS NULL)
                   ORDER BY job.id LIMIT $1";
        Ok(sqlx::query_scalar(sql).bind(most).fetch_all(self.pool()).await?)
    }

    /// Turns a trial into a run of its series, which is to be evaluated, because its recipe is in force now.
    pub async fn count_trial(&self, tx: &mut Tx, run: &RunId) -> Result<()> {
        sqlx::query("UPDATE run SET trial = 0, evaluated_at = NULL WHERE id = $1 AND trial = 1")
            .bind(run)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
