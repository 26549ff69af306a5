//! Regressions: what an answer proves about one project on one branch as one variant.

use super::decode::RowOf;
use super::rows::BadRow;
use super::{Store, Tx, new_id};
use crate::domain::id::{AttemptId, BranchId, IncidentId, InvestigationId, RegressionId, RevisionId};
use crate::domain::incident::{ProbedRevision, RegressionProgress};
use crate::domain::series::Series;
use crate::domain::time::Timestamp;
use crate::verdict::Subject;
use anyhow::Result;
use sqlx::{Any, Executor, FromRow};

/// A regression, as the database holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression {
    pub id: RegressionId,
    pub incident_id: IncidentId,
    /// The investigation. It is `None` for a build that fails, which needs none.
    pub investigation_id: Option<InvestigationId>,
    pub series: Series,
    /// The name of the branch.
    pub branch: String,
    /// The address of the branch's repository, without a login.
    pub source: String,
    pub subjects: Vec<Subject>,
    /// The revision before the change.
    pub good_id: RevisionId,
    /// The culprit, or the end of the range.
    pub bad_id: RevisionId,
    /// The positions of both on the watched branch. If a merge brought the culprit, these are the positions of the
    /// merge and of the revision before it.
    pub good_seq: i64,
    pub bad_seq: i64,
    /// Whether `bad` is the culprit.
    pub exact: bool,
    /// Why the answer is a range, if `exact` is false.
    pub reason: Option<String>,
    /// The part of runs that fail, from 0 to 1. `None` stands for all.
    pub rate: Option<f64>,
    pub error: Option<String>,
    pub signature: Option<String>,
    /// Lines that the log of `bad` has and the log of `good` lacks.
    pub difference: Vec<String>,
    /// The differences between the two attempts besides CPython.
    pub conditions: Vec<String>,
    /// What the probes showed at each revision of the searched range, in its order.
    pub probed: Vec<ProbedRevision>,
    pub good_attempt: Option<AttemptId>,
    pub bad_attempt: Option<AttemptId>,
    pub fixed_id: Option<RevisionId>,
    /// The reason for the fix, if it was not a revision of CPython.
    pub fixed_as: Option<String>,
    /// Milliseconds UTC.
    pub fixed_at: Option<Timestamp>,
}

/// A regression to be recorded. The fields are those of [`Regression`].
pub struct NewRegression<'a> {
    pub investigation_id: Option<&'a InvestigationId>,
    pub series: &'a Series,
    pub subjects: &'a [Subject],
    pub good_id: &'a RevisionId,
    pub bad_id: &'a RevisionId,
    pub good_seq: i64,
    pub bad_seq: i64,
    pub exact: bool,
    pub reason: Option<&'a str>,
    pub rate: Option<f64>,
    pub error: Option<&'a str>,
    pub signature: Option<&'a str>,
    pub difference: &'a [String],
    pub conditions: &'a [String],
    pub probed: &'a [ProbedRevision],
    pub good_attempt: Option<&'a AttemptId>,
    pub bad_attempt: Option<&'a AttemptId>,
}

/// The revision or the event that fixed a regression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedBy<'a> {
    /// The id of a revision.
    Revision(&'a RevisionId),
    /// Something other than a revision of CPython, explained by this text.
    Otherwise(&'a str),
}

impl Regression {
    /// Returns the part on which the state of the regression's incident depends.
    pub fn progress(&self) -> RegressionProgress {
        RegressionProgress {
            branch: self.branch.clone(),
            exact: self.exact,
            fixed: self.fixed_at.is_some(),
        }
    }
}

#[derive(FromRow)]
struct Stored {
    id: RegressionId,
    incident_id: IncidentId,
    investigation_id: Option<InvestigationId>,
    branch_id: BranchId,
    branch: String,
    source: String,
    project: String,
    variant: String,
    platform: String,
    subjects: String,
    good_id: RevisionId,
    bad_id: RevisionId,
    good_seq: i64,
    bad_seq: i64,
    exact: i64,
    reason: Option<String>,
    /// The part of runs that fail, per mille.
    rate: Option<i64>,
    error: Option<String>,
    signature: Option<String>,
    difference: String,
    conditions: String,
    probed: String,
    good_attempt: Option<AttemptId>,
    bad_attempt: Option<AttemptId>,
    fixed_id: Option<RevisionId>,
    fixed_as: Option<String>,
    fixed_at: Option<Timestamp>,
}

impl Stored {
    fn decode(self) -> Result<Regression, BadRow> {
        let row = RowOf {
            table: "regression",
            id: self.id.as_str(),
        };
        Ok(Regression {
            subjects: row.json("subjects", &self.subjects)?,
            exact: row.flag("exact", self.exact)?,
            difference: row.json("difference", &self.difference)?,
            conditions: row.json("conditions", &self.conditions)?,
            probed: row.json("probed", &self.probed)?,
            id: self.id,
            incident_id: self.incident_id,
            investigation_id: self.investigation_id,
            series: Series {
                branch_id: self.branch_id,
                project: self.project,
                variant: self.variant,
                platform: self.platform,
            },
            branch: self.branch,
            source: self.source,
            good_id: self.good_id,
            bad_id: self.bad_id,
            good_seq: self.good_seq,
            bad_seq: self.bad_seq,
            reason: self.reason,
            rate: self.rate.map(|rate| rate as f64 / 1000.0),
            error: self.error,
            signature: self.signature,
            good_attempt: self.good_attempt,
            bad_attempt: self.bad_attempt,
            fixed_id: self.fixed_id,
            fixed_as: self.fixed_as,
            fixed_at: self.fixed_at,
        })
    }
}

const REGRESSION: &str = "SELECT regression.id, regression.incident_id, regression.investigation_id, regression.branch_id, \
     branch.name AS branch, branch.source, regression.project, regression.variant, regression.platform, regression.subjects, \
     regression.good_id, regression.bad_id, regression.good_seq, regression.bad_seq, regression.exact, regression.reason, \
     regression.rate, regression.error, regression.signature, regression.difference, regression.conditions, regression.good_attempt, \
     regression.bad_attempt, regression.fixed_id, regression.fixed_as, regression.fixed_at, \
     regression.probed \
     FROM regression JOIN branch ON branch.id = regression.branch_id";

fn select(rest: &str) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!("{REGRESSION} {rest} ORDER BY regression.id"))
}

fn decoded(rows: Vec<Stored>) -> Result<Vec<Regression>> {
    Ok(rows.into_iter().map(Stored::decode).collect::<Result<_, _>>()?)
}

impl Store {
    pub async fn insert_regression(
        &self,
        tx: &mut Tx,
        incident_id: &IncidentId,
        new: &NewRegression<'_>,
    ) -> Result<RegressionId> {
        let id = RegressionId::from(new_id());
        sqlx::query(
            "INSERT INTO regression (id, incident_id, investigation_id, branch_id, project, variant, platform, subjects, good_id,
                 bad_id, good_seq, bad_seq, exact, reason, rate, error, signature, difference, conditions, good_attempt,
                 bad_attempt, probed)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)",
        )
        .bind(id.as_str())
        .bind(incident_id.as_str())
        .bind(new.investigation_id.map(InvestigationId::as_str))
        .bind(new.series.branch_id.as_str())
        .bind(&new.series.project)
        .bind(&new.series.variant)
        .bind(&new.series.platform)
        .bind(serde_json::to_string(new.subjects)?)
        .bind(new.good_id)
        .bind(new.bad_id)
        .bind(new.good_seq)
        .bind(new.bad_seq)
        .bind(i64::from(new.exact))
        .bind(new.reason)
        .bind(new.rate.map(|rate| (rate * 1000.0).round() as i64))
        .bind(new.error)
        .bind(new.signature)
        .bind(serde_json::to_string(new.difference)?)
        .bind(serde_json::to_string(new.conditions)?)
        .bind(new.good_attempt.map(AttemptId::as_str))
        .bind(new.bad_attempt.map(AttemptId::as_str))
        .bind(serde_json::to_string(new.probed)?)
        .execute(&mut **tx)
        .await?;
        Ok(id)
    }

    /// Replaces the subjects of a regression by one subject. A fixed regression does not change.
    pub async fn set_subject(&self, tx: &mut Tx, id: &RegressionId, subject: &Subject) -> Result<()> {
        sqlx::query("UPDATE regression SET subjects = $1, searchable = NULL WHERE id = $2 AND fixed_at IS NULL")
            .bind(serde_json::to_string(&[subject])?)
            .bind(id.as_str())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Records what fixed the subjects `fixed` of a regression. The subjects `rest` still fail, so they become a
    /// regression of their own. Returns `false`, and changes nothing, if the regression was fixed before.
    pub async fn fix_regression(
        &self,
        tx: &mut Tx,
        regression: &Regression,
        (fixed, rest): (&[Subject], &[Subject]),
        by: FixedBy<'_>,
        now: Timestamp,
    ) -> Result<bool> {
        let (fixed_id, fixed_as) = match by {
            FixedBy::Revision(id) => (Some(id), None),
            FixedBy::Otherwise(how) => (None, Some(how)),
        };
        let moved = sqlx::query(
            "UPDATE regression SET subjects = $1, fixed_id = $2, fixed_as = $3, fixed_at = $4 WHERE id = $5 AND fixed_at IS NULL",
        )
        .bind(serde_json::to_string(fixed)?)
        .bind(fixed_id)
        .bind(fixed_as)
        .bind(now)
        .bind(regression.id.as_str())
        .execute(&mut **tx)
        .await?;
        if moved.rows_affected() == 1 && !rest.is_empty() {
            sqlx::query(
                "INSERT INTO regression (id, incident_id, investigation_id, branch_id, project, variant, platform, subjects,
                     good_id, bad_id, good_seq, bad_seq, exact, reason, rate, error, signature, difference, conditions,
                     good_attempt, bad_attempt, probed)
                 SELECT $1, incident_id, investigation_id, branch_id, project, variant, platform, $2,
                     good_id, bad_id, good_seq, bad_seq, exact, reason, rate, error, signature, difference, conditions,
                     good_attempt, bad_attempt, probed
                 FROM regression WHERE id = $3",
            )
            .bind(new_id())
            .bind(serde_json::to_string(rest)?)
            .bind(regression.id.as_str())
            .execute(&mut **tx)
            .await?;
        }
        Ok(moved.rows_affected() == 1)
    }

    /// Returns the regressions of an incident, oldest first.
    pub async fn regressions_of(&self, incident_id: &IncidentId) -> Result<Vec<Regression>> {
        let sql = select("WHERE regression.incident_id = $1");
        let query = sqlx::query_as(sql).bind(incident_id.as_str());
        decoded(query.fetch_all(self.pool()).await?)
    }

    /// Returns the regressions of all open incidents, oldest first.
    pub async fn open_regressions<'e>(&self, on: impl Executor<'e, Database = Any>) -> Result<Vec<Regression>> {
        let sql = select("WHERE regression.incident_id IN (SELECT id FROM incident WHERE closed_at IS NULL)");
        decoded(sqlx::query_as(sql).fetch_all(on).await?)
    }

    /// Returns the regressions of a series that are not fixed and whose incident is open, oldest first.
    pub async fn unfixed_regressions<'e>(
        &self,
        on: impl Executor<'e, Database = Any>,
        series: &Series,
    ) -> Result<Vec<Regression>> {
        let which = "regression.fixed_at IS NULL
                       AND regression.incident_id NOT IN (SELECT id FROM incident WHERE closed_at IS NOT NULL)";
        of_series(on, series, which).await
    }

    /// Returns the regressions of a series that are fixed or whose incident is closed, oldest first.
    pub async fn past_regressions<'e>(
        &self,
        on: impl Executor<'e, Database = Any>,
        series: &Series,
    ) -> Result<Vec<Regression>> {
        let which = "(regression.fixed_at IS NOT NULL
                       OR regression.incident_id IN (SELECT id FROM incident WHERE closed_at IS NOT NULL))";
        of_series(on, series, which).await
    }

    /// Returns the regressions of a series, fixed or not, whose `bad_seq` is still on the branch, oldest first.
    pub async fn regressions_on(&self, series: &Series) -> Result<Vec<Regression>> {
        let which = "EXISTS (SELECT 1 FROM revision WHERE revision.branch_id = regression.branch_id
                       AND revision.seq = regression.bad_seq AND revision.left_at IS NULL)";
        of_series(self.pool(), series, which).await
    }

    /// Returns the unfixed regressions of open incidents whose `bad_seq` has left the branch.
    pub async fn regressions_that_left(&self) -> Result<Vec<Regression>> {
        let sql = select(
            "JOIN revision ON revision.branch_id = regression.branch_id AND revision.seq = regression.bad_seq
             WHERE revision.left_at IS NOT NULL AND regression.fixed_at IS NULL
               AND regression.incident_id IN (SELECT id FROM incident WHERE closed_at IS NULL)",
        );
        decoded(sqlx::query_as(sql).fetch_all(self.pool()).await?)
    }
}

async fn of_series<'e>(on: impl Executor<'e, Database = Any>, series: &Series, which: &str) -> Result<Vec<Regression>> {
    let sql = select(&format!(
        "WHERE regression.branch_id = $1 AND regression.project = $2 AND regression.variant = $3
           AND regression.platform = $4 AND {which}"
    ));
    let query = sqlx::query_as(sql)
        .bind(series.branch_id.as_str())
        .bind(&series.project)
        .bind(&series.variant)
        .bind(&series.platform);
    decoded(query.fetch_all(on).await?)
}
