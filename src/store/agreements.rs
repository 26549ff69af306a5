//! Agreements: the claims of incidents with which maintainers agree.

use super::{Store, Tx};
use crate::domain::id::{IncidentId, RevisionId};
use crate::domain::time::Timestamp;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

impl Store {
    /// Records that a maintainer agrees with all present claims of an incident: which revisions broke which projects.
    /// Returns whether any of this is new.
    pub async fn agree(&self, tx: &mut Tx, id: &IncidentId, who: &str, now: Timestamp) -> Result<bool> {
        let added = sqlx::query(
            "INSERT INTO agreement (incident_id, revision_id, project, who, at)
             SELECT DISTINCT incident_id, bad_id, project, $2, CAST($3 AS BIGINT) FROM regression WHERE incident_id = $1
             ON CONFLICT (incident_id, revision_id, project) DO NOTHING",
        )
        .bind(id.as_str())
        .bind(who)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        Ok(added.rows_affected() > 0)
    }

    /// Removes all agreements with an incident. Returns whether there were any.
    pub async fn revoke_agreement(&self, tx: &mut Tx, id: &IncidentId) -> Result<bool> {
        let removed = sqlx::query("DELETE FROM agreement WHERE incident_id = $1")
            .bind(id.as_str())
            .execute(&mut **tx)
            .await?;
        Ok(removed.rows_affected() > 0)
    }

    /// Returns the revisions and projects with which maintainers agreed in an incident.
    pub async fn agreements(&self, id: &IncidentId) -> Result<BTreeSet<(RevisionId, String)>> {
        let sql = "SELECT revision_id, project FROM agreement WHERE incident_id = $1";
        let rows: Vec<(RevisionId, String)> = sqlx::query_as(sql).bind(id.as_str()).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().collect())
    }

    /// Returns, for each project in an incident, with how many of its incidents maintainers agreed. Projects without
    /// such an incident are left out.
    pub async fn agreed_of_projects_in(&self, id: &IncidentId) -> Result<BTreeMap<String, i64>> {
        let sql = "SELECT project, COUNT(DISTINCT incident_id) FROM agreement
                   WHERE project IN (SELECT project FROM regression WHERE incident_id = $1) GROUP BY project";
        let rows: Vec<(String, i64)> = sqlx::query_as(sql).bind(id.as_str()).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().collect())
    }

    /// Returns, for each project, with how many of its incidents maintainers agreed. Projects without such an incident
    /// are left out.
    pub async fn agreed_of_projects(&self) -> Result<BTreeMap<String, i64>> {
        let sql = "SELECT project, COUNT(DISTINCT incident_id) FROM agreement GROUP BY project";
        let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().collect())
    }

    /// Returns with how many incidents of a project maintainers agreed.
    pub async fn agreed_of_project(&self, project: &str) -> Result<i64> {
        let sql = "SELECT COUNT(DISTINCT incident_id) FROM agreement WHERE project = $1";
        Ok(sqlx::query_scalar(sql).bind(project).fetch_one(self.pool()).await?)
    }
}
