//! Inquiries: which check-in changed something of a project. Their runs are jobs like others, several of a run at once.

use super::judge::Column;
use super::{Store, Tx, new_id};
use crate::domain::job::Report;
use anyhow::Result;
use sqlx::FromRow;
use std::collections::BTreeSet;

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct InquiryRow {
    pub id: String,
    pub branch_id: String,
    /// Its name.
    pub branch: String,
    pub project: String,
    pub variant: String,
    pub platform: String,
    pub recipe: String,
    /// `broke` or `fixed`.
    pub change: String,
    pub base_id: String,
    pub now_id: String,
    pub base_seq: i64,
    pub now_seq: i64,
    /// [`crate::verdict::Subject`]s as JSON.
    pub subjects: String,
    pub base_lock: Option<String>,
    /// Where they differ from those of the base.
    pub now_lock: Option<String>,
    pub signature: Option<String>,
    /// The inquiry whose culprit is a merge: this one goes on among what it brought.
    pub within: Option<String>,
    /// Truth value: a person asked, and no incident comes of it.
    pub by_hand: i64,
    /// `open` or `answered`.
    pub state: String,
    /// [`crate::verdict::Finding`]s as JSON.
    pub findings: Option<String>,
    pub rounds: i64,
    pub opened_at: i64,
    pub ended_at: Option<i64>,
    /// Up to then what it found to be nobody's raises no suspicion.
    pub quiet_until: Option<i64>,
}

impl InquiryRow {
    /// Whose results it is about.
    pub fn column(&self) -> Column<'_> {
        Column {
            branch_id: &self.branch_id,
            project: &self.project,
            variant: &self.variant,
            platform: &self.platform,
        }
    }
}

pub struct NewInquiry<'a> {
    pub branch_id: &'a str,
    pub project: &'a str,
    pub variant: &'a str,
    pub platform: &'a str,
    pub recipe: &'a str,
    pub change: &'a str,
    /// Id and place on the branch.
    pub base: (&'a str, i64),
    pub now: (&'a str, i64),
    pub subjects: &'a str,
    pub base_lock: Option<&'a str>,
    pub now_lock: Option<&'a str>,
    pub signature: Option<&'a str>,
    pub within: Option<&'a str>,
    pub by_hand: bool,
}

/// A job of an inquiry, and how it ended.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct ProbeRow {
    pub job_id: String,
    pub run_id: String,
    pub revision_id: String,
    /// `queued`, `leased` or `finished`.
    pub state: String,
    /// `base` or `now`.
    pub lock_of: String,
    pub created_at: i64,
    /// Those that a host must have: `|this||and||that|`.
    pub labels: String,
    /// Of its last attempt.
    pub attempt_id: Option<String>,
    pub host: Option<String>,
    pub finished_at: Option<i64>,
    pub report: Option<String>,
}

impl ProbeRow {
    pub fn report(&self) -> Option<Report> {
        serde_json::from_str(self.report.as_deref()?).ok()
    }
}

const COLUMNS: &str = "inquiry.id, inquiry.branch_id, branch.name AS branch, inquiry.project, inquiry.variant, \
     inquiry.platform, inquiry.recipe, inquiry.change, inquiry.base_id, inquiry.now_id, inquiry.base_seq, \
     inquiry.now_seq, inquiry.subjects, inquiry.base_lock, inquiry.now_lock, inquiry.signature, inquiry.within, \
     inquiry.by_hand, inquiry.state, inquiry.findings, inquiry.rounds, inquiry.opened_at, inquiry.ended_at, \
     inquiry.quiet_until";

fn select(rest: &str) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM inquiry JOIN branch ON branch.id = inquiry.branch_id {rest}"
    ))
}

impl Store {
    /// Opens an inquiry; returns its id.
    pub async fn insert_inquiry(&self, tx: &mut Tx, new: &NewInquiry<'_>, now: i64) -> Result<String> {
        let id = new_id();
        sqlx::query(
            "INSERT INTO inquiry (id, branch_id, project, variant, platform, recipe, change, base_id, now_id, base_seq,
                 now_seq, subjects, base_lock, now_lock, signature, within, by_hand, state, opened_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 'open', $18)",
        )
        .bind(&id)
        .bind(new.branch_id)
        .bind(new.project)
        .bind(new.variant)
        .bind(new.platform)
        .bind(new.recipe)
        .bind(new.change)
        .bind(new.base.0)
        .bind(new.now.0)
        .bind(new.base.1)
        .bind(new.now.1)
        .bind(new.subjects)
        .bind(new.base_lock)
        .bind(new.now_lock)
        .bind(new.signature)
        .bind(new.within)
        .bind(i64::from(new.by_hand))
        .bind(now)
        .execute(&mut **tx)
        .await?;
        Ok(id)
    }

    /// Those that have no answer yet, the oldest first.
    pub async fn open_inquiries(&self) -> Result<Vec<InquiryRow>> {
        let sql = select("WHERE inquiry.state = 'open' ORDER BY inquiry.opened_at, inquiry.id");
        Ok(sqlx::query_as(sql).fetch_all(self.pool()).await?)
    }

    pub async fn inquiry(&self, id: &str) -> Result<Option<InquiryRow>> {
        let sql = select("WHERE inquiry.id = $1");
        Ok(sqlx::query_as(sql).bind(id).fetch_optional(self.pool()).await?)
    }

    /// One, and those that go on within what it found.
    pub async fn inquiry_and_inner(&self, id: &str) -> Result<Vec<InquiryRow>> {
        let sql = select("WHERE inquiry.id = $1 OR inquiry.within = $1 ORDER BY inquiry.id");
        Ok(sqlx::query_as(sql).bind(id).fetch_all(self.pool()).await?)
    }

    /// Those that were opened last.
    pub async fn newest_inquiries(&self, most: i64) -> Result<Vec<InquiryRow>> {
        let sql = select("ORDER BY inquiry.opened_at DESC, inquiry.id DESC LIMIT $1");
        Ok(sqlx::query_as(sql).bind(most).fetch_all(self.pool()).await?)
    }

    /// Those about a project on a branch, oldest first.
    pub async fn inquiries_about(&self, column: &Column<'_>) -> Result<Vec<InquiryRow>> {
        let sql = select(
            "WHERE inquiry.branch_id = $1 AND inquiry.project = $2 AND inquiry.variant = $3 AND inquiry.platform = $4
             ORDER BY inquiry.opened_at, inquiry.id",
        );
        Ok(sqlx::query_as(sql)
            .bind(column.branch_id)
            .bind(column.project)
            .bind(column.variant)
            .bind(column.platform)
            .fetch_all(self.pool())
            .await?)
    }

    /// The inquiries within whose answers one goes on.
    pub async fn searched_within(&self) -> Result<BTreeSet<String>> {
        let sql = "SELECT within FROM inquiry WHERE state = 'open' AND within IS NOT NULL";
        let within: Vec<String> = sqlx::query_scalar(sql).fetch_all(self.pool()).await?;
        Ok(within.into_iter().collect())
    }

    /// One more round of its search begins.
    pub async fn inquiry_round(&self, tx: &mut Tx, id: &str) -> Result<()> {
        sqlx::query("UPDATE inquiry SET rounds = rounds + 1 WHERE id = $1 AND state = 'open'")
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Ends an inquiry; false: it had ended before.
    pub async fn answer_inquiry(
        &self,
        tx: &mut Tx,
        id: &str,
        findings: &str,
        quiet_until: Option<i64>,
        now: i64,
    ) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE inquiry SET state = 'answered', findings = $1, ended_at = $2, quiet_until = $3
             WHERE id = $4 AND state = 'open'",
        )
        .bind(findings)
        .bind(now)
        .bind(quiet_until)
        .bind(id)
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Those that are to be looked at again.
    pub async fn silences_over(&self, now: i64) -> Result<Vec<InquiryRow>> {
        let sql = select("WHERE inquiry.quiet_until <= $1 ORDER BY inquiry.quiet_until, inquiry.id LIMIT 100");
        Ok(sqlx::query_as(sql).bind(now).fetch_all(self.pool()).await?)
    }

    pub async fn silence_over(&self, tx: &mut Tx, id: &str) -> Result<()> {
        sqlx::query("UPDATE inquiry SET quiet_until = NULL WHERE id = $1")
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// The jobs of an inquiry, oldest first, each with its last attempt.
    pub async fn probes(&self, inquiry_id: &str) -> Result<Vec<ProbeRow>> {
        let sql = "SELECT job.id AS job_id, run.id AS run_id, run.revision_id, job.state, job.lock_of,
                          job.created_at, job_group.labels,
                          attempt.id AS attempt_id, attempt.host, attempt.finished_at, attempt.report
                   FROM job JOIN run ON run.id = job.run_id JOIN job_group ON job_group.id = job.group_id
                   LEFT JOIN attempt ON attempt.job_id = job.id AND attempt.number =
                       (SELECT MAX(number) FROM attempt AS last WHERE last.job_id = job.id)
                   WHERE job.inquiry_id = $1 ORDER BY job.created_at, job.id";
        Ok(sqlx::query_as(sql).bind(inquiry_id).fetch_all(self.pool()).await?)
    }
}
