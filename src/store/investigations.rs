//! Investigations, each of which searches the revision that changed something in a project. The reruns that an
//! investigation schedules are jobs like all others. Several such jobs may belong to one run.

use super::decode::RowOf;
use super::rows::BadRow;
use super::{Store, Tx, new_id};
use crate::domain::id::{BranchId, InvestigationId, RevisionId, RunId};
use crate::domain::series::Series;
use crate::domain::time::Timestamp;
use crate::verdict::{Change, Finding, Subject};
use anyhow::Result;
use sqlx::FromRow;
use std::collections::BTreeSet;

/// A revision with its position on its branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub revision: RevisionId,
    pub seq: i64,
}

/// Whether an investigation has its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvestigationState {
    Open,
    Answered,
}

impl InvestigationState {
    /// Returns the name that the database, pages and JSON use.
    pub fn name(self) -> &'static str {
        match self {
            InvestigationState::Open => "open",
            InvestigationState::Answered => "answered",
        }
    }
}

/// An investigation, as the database holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct InvestigationRow {
    pub id: InvestigationId,
    /// The series whose results the investigation is about. If it searches among the revisions that a merge brought,
    /// these are a branch of their own.
    pub series: Series,
    /// The name of the branch.
    pub branch: String,
    /// The digest of the recipe by which the investigation runs the project.
    pub recipe: String,
    pub change: Change,
    pub base: Position,
    pub now: Position,
    pub subjects: Vec<Subject>,
    /// The lock of the base.
    pub base_lock: Option<String>,
    /// The lock of the other end, if it differs from the lock of the base.
    pub now_lock: Option<String>,
    pub signature: Option<String>,
    /// The investigation whose culprit is a merge, if this one searches among the revisions that the merge brought.
    pub parent: Option<InvestigationId>,
    /// Whether a person requested the investigation. Then its answer records neither regressions nor fixes.
    pub manual: bool,
    pub state: InvestigationState,
    /// The findings. The list is empty while the investigation is open.
    pub findings: Vec<Finding>,
    /// The number of rounds of the search.
    pub rounds: i64,
    /// Milliseconds UTC, like the other times.
    pub opened_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// The time before which its answer keeps the subjects from opening another investigation.
    pub suppressed_until: Option<Timestamp>,
}

/// An investigation to be opened. The fields are those of [`InvestigationRow`].
#[derive(Clone, Debug, PartialEq)]
pub struct NewInvestigation {
    pub series: Series,
    pub recipe: String,
    pub change: Change,
    pub base: Position,
    pub now: Position,
    pub subjects: Vec<Subject>,
    pub base_lock: Option<String>,
    pub now_lock: Option<String>,
    pub signature: Option<String>,
    pub parent: Option<InvestigationId>,
    pub manual: bool,
}

#[derive(FromRow)]
struct Stored {
    id: InvestigationId,
    branch_id: BranchId,
    branch: String,
    project: String,
    variant: String,
    platform: String,
    recipe: String,
    change: String,
    base_id: RevisionId,
    now_id: RevisionId,
    base_seq: i64,
    now_seq: i64,
    subjects: String,
    base_lock: Option<String>,
    now_lock: Option<String>,
    signature: Option<String>,
    parent_id: Option<InvestigationId>,
    manual: i64,
    state: String,
    findings: Option<String>,
    rounds: i64,
    opened_at: Timestamp,
    ended_at: Option<Timestamp>,
    suppressed_until: Option<Timestamp>,
}

impl Stored {
    fn decode(self) -> Result<InvestigationRow, BadRow> {
        let id = self.id.clone();
        let row = RowOf {
            table: "investigation",
            id: id.as_str(),
        };
        let states = [InvestigationState::Open, InvestigationState::Answered];
        Ok(InvestigationRow {
            change: row.named("change", &self.change, &[Change::Broke, Change::Fixed], Change::name)?,
            subjects: row.json("subjects", &self.subjects)?,
            manual: row.flag("manual", self.manual)?,
            state: row.named("state", &self.state, &states, InvestigationState::name)?,
            findings: match &self.findings {
                Some(findings) => row.json("findings", findings)?,
                None => Vec::new(),
            },
            id: self.id,
            series: Series {
                branch_id: self.branch_id,
                project: self.project,
                variant: self.variant,
                platform: self.platform,
            },
            branch: self.branch,
            recipe: self.recipe,
            base: Position {
                revision: self.base_id,
                seq: self.base_seq,
            },
            now: Position {
                revision: self.now_id,
                seq: self.now_seq,
            },
            base_lock: self.base_lock,
            now_lock: self.now_lock,
            signature: self.signature,
            parent: self.parent_id,
            rounds: self.rounds,
            opened_at: self.opened_at,
            ended_at: self.ended_at,
            suppressed_until: self.suppressed_until,
        })
    }
}

const COLUMNS: &str = "investigation.id, investigation.branch_id, branch.name AS branch, investigation.project, investigation.variant, \
     investigation.platform, investigation.recipe, investigation.change, investigation.base_id, investigation.now_id, investigation.base_seq, \
     investigation.now_seq, investigation.subjects, investigation.base_lock, investigation.now_lock, investigation.signature, investigation.parent_id, \
     investigation.manual, investigation.state, investigation.findings, investigation.rounds, investigation.opened_at, investigation.ended_at, \
     investigation.suppressed_until";

fn select(rest: &str) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM investigation JOIN branch ON branch.id = investigation.branch_id {rest}"
    ))
}

fn decoded(rows: Vec<Stored>) -> Result<Vec<InvestigationRow>> {
    Ok(rows.into_iter().map(Stored::decode).collect::<Result<_, _>>()?)
}

impl Store {
    /// Opens an investigation. Returns its id.
    pub async fn insert_investigation(
        &self,
        tx: &mut Tx,
        new: &NewInvestigation,
        now: Timestamp,
    ) -> Result<InvestigationId> {
        let id = InvestigationId::from(new_id());
        sqlx::query(
            "INSERT INTO investigation (id, branch_id, project, variant, platform, recipe, change, base_id, now_id, base_seq,
                 now_seq, subjects, base_lock, now_lock, signature, parent_id, manual, state, opened_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 'open', $18)",
        )
        .bind(id.as_str())
        .bind(new.series.branch_id.as_str())
        .bind(&new.series.project)
        .bind(&new.series.variant)
        .bind(&new.series.platform)
        .bind(&new.recipe)
        .bind(new.change.name())
        .bind(new.base.revision.as_str())
        .bind(new.now.revision.as_str())
        .bind(new.base.seq)
        .bind(new.now.seq)
        .bind(serde_json::to_string(&new.subjects)?)
        .bind(new.base_lock.as_deref())
        .bind(new.now_lock.as_deref())
        .bind(new.signature.as_deref())
        .bind(new.parent.as_ref().map(InvestigationId::as_str))
        .bind(i64::from(new.manual))
        .bind(now)
        .execute(&mut **tx)
        .await?;
        Ok(id)
    }

    /// Returns the investigations that have no answer yet, oldest first.
    pub async fn open_investigations(&self) -> Result<Vec<InvestigationRow>> {
        let sql = select("WHERE investigation.state = 'open' ORDER BY investigation.opened_at, investigation.id");
        decoded(sqlx::query_as(sql).fetch_all(self.pool()).await?)
    }

    /// Counts the investigations without an answer.
    pub async fn open_investigations_count(&self) -> Result<usize> {
        let query = sqlx::query_scalar("SELECT COUNT(*) FROM investigation WHERE state = 'open'");
        let count: i64 = query.fetch_one(self.pool()).await?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    pub async fn investigation(&self, id: &InvestigationId) -> Result<Option<InvestigationRow>> {
        let sql = select("WHERE investigation.id = $1");
        let row: Option<Stored> = sqlx::query_as(sql)
            .bind(id.as_str())
            .fetch_optional(self.pool())
            .await?;
        Ok(row.map(Stored::decode).transpose()?)
    }

    /// Returns an investigation, and the investigations that search inside the merges that it found.
    pub async fn investigation_and_inner(&self, id: &InvestigationId) -> Result<Vec<InvestigationRow>> {
        let sql = select("WHERE investigation.id = $1 OR investigation.parent_id = $1 ORDER BY investigation.id");
        decoded(sqlx::query_as(sql).bind(id.as_str()).fetch_all(self.pool()).await?)
    }

    /// Returns the investigations that were opened last, newest first, at most `most`.
    pub async fn newest_investigations(&self, most: i64) -> Result<Vec<InvestigationRow>> {
        let sql = select("ORDER BY investigation.opened_at DESC, investigation.id DESC LIMIT $1");
        decoded(sqlx::query_as(sql).bind(most).fetch_all(self.pool()).await?)
    }

    /// Returns the investigations of a series, oldest first.
    pub async fn investigations_about(&self, series: &Series) -> Result<Vec<InvestigationRow>> {
        let sql = select(
            "WHERE investigation.branch_id = $1 AND investigation.project = $2 AND investigation.variant = $3 AND investigation.platform = $4
             ORDER BY investigation.opened_at, investigation.id",
        );
        let query = sqlx::query_as(sql)
            .bind(series.branch_id.as_str())
            .bind(&series.project)
            .bind(&series.variant)
            .bind(&series.platform);
        decoded(query.fetch_all(self.pool()).await?)
    }

    /// Returns the answered investigations about a project on the watched branches, at most `most`, in the order of
    /// their ends, newest first. Investigations that a person requested are left out.
    pub async fn newest_answers(&self, project: &str, most: i64) -> Result<Vec<InvestigationRow>> {
        let sql = select(
            "WHERE investigation.branch_id IN (SELECT id FROM branch WHERE watched = 1) AND investigation.project = $1
                   AND investigation.state = 'answered' AND investigation.manual = 0
             ORDER BY investigation.ended_at DESC, investigation.id DESC LIMIT $2",
        );
        decoded(
            sqlx::query_as(sql)
                .bind(project)
                .bind(most)
                .fetch_all(self.pool())
                .await?,
        )
    }

    /// Returns the ids of the investigations inside whose merges other, open investigations search.
    pub async fn searched_within(&self) -> Result<BTreeSet<InvestigationId>> {
        let sql = "SELECT parent_id FROM investigation WHERE state = 'open' AND parent_id IS NOT NULL";
        let parents: Vec<InvestigationId> = sqlx::query_scalar(sql).fetch_all(self.pool()).await?;
        Ok(parents.into_iter().collect())
    }

    /// Counts one more round of a search.
    pub async fn investigation_round(&self, tx: &mut Tx, id: &InvestigationId) -> Result<()> {
        sqlx::query("UPDATE investigation SET rounds = rounds + 1 WHERE id = $1 AND state = 'open'")
            .bind(id.as_str())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Crosses the reruns that an investigation made at its base, so that they count for no cell and no history. Only
    /// runs with an attempt of their own that had ended at the time `before` are affected.
    pub async fn cross_probes(&self, tx: &mut Tx, row: &InvestigationRow, before: Timestamp) -> Result<()> {
        let probed =
            "SELECT DISTINCT run_id FROM job WHERE investigation_id = $1 AND run_id IS NOT NULL ORDER BY run_id";
        let runs: Vec<RunId> = sqlx::query_scalar(probed).bind(&row.id).fetch_all(&mut **tx).await?;
        for run in &runs {
            self.lock_cell(tx, run).await?;
        }
        let sql = "UPDATE job SET crossed = 1
                   WHERE investigation_id = $1 AND run_id IN (SELECT id FROM run WHERE revision_id = $2)
                     AND EXISTS (SELECT 1 FROM job AS own
                         JOIN attempt ON attempt.job_id = own.id AND attempt.state = 'finished' AND attempt.finished_at <= $3
                         WHERE own.run_id = job.run_id AND own.investigation_id IS NULL AND own.crossed = 0)
                   RETURNING run_id";
        let crossed: Vec<RunId> = sqlx::query_scalar(sql)
            .bind(&row.id)
            .bind(&row.base.revision)
            .bind(before)
            .fetch_all(&mut **tx)
            .await?;
        for run in crossed.into_iter().collect::<BTreeSet<_>>() {
            self.write_cell(tx, &run).await?;
        }
        Ok(())
    }

    /// Ends an investigation with its findings. Returns whether it was still open.
    pub async fn answer_investigation(
        &self,
        tx: &mut Tx,
        id: &InvestigationId,
        findings: &[Finding],
        suppressed_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE investigation SET state = 'answered', findings = $1, ended_at = $2, suppressed_until = $3
             WHERE id = $4 AND state = 'open'",
        )
        .bind(serde_json::to_string(findings)?)
        .bind(now)
        .bind(suppressed_until)
        .bind(id.as_str())
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Returns investigations whose suppression is over, at most 100.
    pub async fn suppressions_over(&self, now: Timestamp) -> Result<Vec<InvestigationRow>> {
        let sql = select(
            "WHERE investigation.suppressed_until <= $1 ORDER BY investigation.suppressed_until, investigation.id LIMIT 100",
        );
        decoded(sqlx::query_as(sql).bind(now).fetch_all(self.pool()).await?)
    }

    /// Records that the subjects of an investigation were rechecked after its suppression.
    pub async fn end_suppression(&self, tx: &mut Tx, id: &InvestigationId) -> Result<()> {
        sqlx::query("UPDATE investigation SET suppressed_until = NULL WHERE id = $1")
            .bind(id.as_str())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
