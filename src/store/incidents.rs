//! Incidents, and what each is on a branch, of a project as a variant: its breakages.

use super::judge::Column;
use super::{Store, Tx, new_id};
use crate::domain::incident::{self, Part, PutTo, Said, State};
use anyhow::Result;
use sqlx::{Any, Executor, FromRow};

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Incident {
    pub id: String,
    /// What people call it.
    pub number: i64,
    pub opened_at: i64,
    pub reported_at: Option<i64>,
    /// Where: an address.
    pub reported_as: Option<String>,
    /// [`PutTo`], by its name.
    pub put_to: Option<String>,
    pub waived_by: Option<String>,
    pub waived_why: Option<String>,
    pub waived_until: Option<i64>,
    pub closed_at: Option<i64>,
    /// The one that it is the return of.
    pub again_of: Option<String>,
}

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Breakage {
    pub id: String,
    pub incident_id: String,
    pub inquiry_id: Option<String>,
    pub branch_id: String,
    /// Its name.
    pub branch: String,
    /// The repository that it is in, as the settings write it.
    pub source: String,
    pub project: String,
    pub variant: String,
    pub platform: String,
    /// [`crate::verdict::Subject`]s as JSON.
    pub subjects: String,
    pub good_id: String,
    pub bad_id: String,
    /// Their places on the branch; of what a merge brought, those of the merge and of the check-in before it.
    pub good_seq: i64,
    pub bad_seq: i64,
    /// Truth value: `bad` is the culprit.
    pub exact: i64,
    pub reason: Option<String>,
    /// Per mille of runs that fail, where not all.
    pub rate: Option<i64>,
    pub error: Option<String>,
    pub signature: Option<String>,
    /// Lines, as JSON.
    pub difference: String,
    pub good_attempt: Option<String>,
    pub bad_attempt: Option<String>,
    pub fixed_id: Option<String>,
    /// How it was mended where no check-in did.
    pub fixed_as: Option<String>,
    pub fixed_at: Option<i64>,
}

pub struct NewBreakage<'a> {
    pub inquiry_id: Option<&'a str>,
    pub branch_id: &'a str,
    pub project: &'a str,
    pub variant: &'a str,
    pub platform: &'a str,
    pub subjects: &'a str,
    pub good_id: &'a str,
    pub bad_id: &'a str,
    /// See [`Breakage`].
    pub places: (i64, i64),
    pub exact: bool,
    pub reason: Option<&'a str>,
    pub rate: Option<i64>,
    pub error: Option<&'a str>,
    pub signature: Option<&'a str>,
    pub difference: &'a str,
    pub good_attempt: Option<&'a str>,
    pub bad_attempt: Option<&'a str>,
}

/// What mended a breakage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mended<'a> {
    /// The id of a check-in.
    By(&'a str),
    /// No check-in of CPython: what it was, for people.
    Otherwise(&'a str),
}

#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Note {
    pub at: i64,
    pub who: String,
    pub what: String,
}

/// Who did what Pybots does by itself.
pub const PYBOTS: &str = "pybots";

const INCIDENT: &str = "id, number, opened_at, reported_at, reported_as, put_to, waived_by, waived_why, waived_until, \
     closed_at, again_of";
const BREAKAGE: &str = "SELECT breakage.id, breakage.incident_id, breakage.inquiry_id, breakage.branch_id, \
     branch.name AS branch, branch.source, breakage.project, breakage.variant, breakage.platform, breakage.subjects, \
     breakage.good_id, breakage.bad_id, breakage.good_seq, breakage.bad_seq, breakage.exact, breakage.reason, \
     breakage.rate, breakage.error, breakage.signature, breakage.difference, breakage.good_attempt, \
     breakage.bad_attempt, breakage.fixed_id, breakage.fixed_as, breakage.fixed_at \
     FROM breakage JOIN branch ON branch.id = breakage.branch_id";

impl Incident {
    pub fn state(&self, breakages: &[Breakage], now: i64) -> State {
        let parts: Vec<Part> = breakages.iter().map(Breakage::part).collect();
        let said = Said {
            closed: self.closed_at.is_some(),
            reported: self.reported_at.is_some(),
            waived_until: self.waived_until,
        };
        incident::state(&parts, said, now)
    }
}

impl Breakage {
    /// Whose results it is about.
    pub fn column(&self) -> Column<'_> {
        Column {
            branch_id: &self.branch_id,
            project: &self.project,
            variant: &self.variant,
            platform: &self.platform,
        }
    }

    fn part(&self) -> Part {
        Part {
            branch: self.branch.clone(),
            exact: self.exact == 1,
            fixed: self.fixed_at.is_some(),
        }
    }
}

impl Store {
    /// Opens an incident; returns its id and number.
    pub async fn insert_incident(&self, tx: &mut Tx, again_of: Option<&str>, now: i64) -> Result<(String, i64)> {
        let id = new_id();
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO incident (id, number, opened_at, again_of)
             SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3 FROM incident RETURNING number",
        )
        .bind(&id)
        .bind(now)
        .bind(again_of)
        .fetch_one(&mut **tx)
        .await?;
        Ok((id, number))
    }

    pub async fn insert_breakage(&self, tx: &mut Tx, incident_id: &str, new: &NewBreakage<'_>) -> Result<String> {
        let id = new_id();
        sqlx::query(
            "INSERT INTO breakage (id, incident_id, inquiry_id, branch_id, project, variant, platform, subjects, good_id,
                 bad_id, good_seq, bad_seq, exact, reason, rate, error, signature, difference, good_attempt, bad_attempt)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
        )
        .bind(&id)
        .bind(incident_id)
        .bind(new.inquiry_id)
        .bind(new.branch_id)
        .bind(new.project)
        .bind(new.variant)
        .bind(new.platform)
        .bind(new.subjects)
        .bind(new.good_id)
        .bind(new.bad_id)
        .bind(new.places.0)
        .bind(new.places.1)
        .bind(i64::from(new.exact))
        .bind(new.reason)
        .bind(new.rate)
        .bind(new.error)
        .bind(new.signature)
        .bind(new.difference)
        .bind(new.good_attempt)
        .bind(new.bad_attempt)
        .execute(&mut **tx)
        .await?;
        Ok(id)
    }

    /// Notes what mended it; `subjects` of it: the others stay, as a breakage of their own.
    pub async fn breakage_fixed(
        &self,
        tx: &mut Tx,
        breakage: &Breakage,
        (subjects, rest): (&str, Option<&str>),
        by: Mended<'_>,
        now: i64,
    ) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE breakage SET subjects = $1, fixed_id = $2, fixed_as = $3, fixed_at = $4 WHERE id = $5 AND fixed_at IS NULL",
        )
        .bind(subjects)
        .bind(match by {
            Mended::By(id) => Some(id),
            Mended::Otherwise(_) => None,
        })
        .bind(match by {
            Mended::By(_) => None,
            Mended::Otherwise(how) => Some(how),
        })
        .bind(now)
        .bind(&breakage.id)
        .execute(&mut **tx)
        .await?;
        if let (1, Some(rest)) = (moved.rows_affected(), rest) {
            sqlx::query(
                "INSERT INTO breakage (id, incident_id, inquiry_id, branch_id, project, variant, platform, subjects,
                     good_id, bad_id, good_seq, bad_seq, exact, reason, rate, error, signature, difference, good_attempt,
                     bad_attempt)
                 SELECT $1, incident_id, inquiry_id, branch_id, project, variant, platform, $2,
                     good_id, bad_id, good_seq, bad_seq, exact, reason, rate, error, signature, difference, good_attempt,
                     bad_attempt
                 FROM breakage WHERE id = $3",
            )
            .bind(new_id())
            .bind(rest)
            .bind(&breakage.id)
            .execute(&mut **tx)
            .await?;
        }
        Ok(moved.rows_affected() == 1)
    }

    /// Those that are not closed, the newest first.
    pub async fn open_incidents(&self) -> Result<Vec<Incident>> {
        let sql = format!("SELECT {INCIDENT} FROM incident WHERE closed_at IS NULL ORDER BY number DESC");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(self.pool()).await?)
    }

    /// The newest of those that are closed.
    pub async fn closed_incidents(&self, most: i64) -> Result<Vec<Incident>> {
        let sql = format!("SELECT {INCIDENT} FROM incident WHERE closed_at IS NOT NULL ORDER BY number DESC LIMIT $1");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(most);
        Ok(query.fetch_all(self.pool()).await?)
    }

    pub async fn incident(&self, number: i64) -> Result<Option<Incident>> {
        let sql = format!("SELECT {INCIDENT} FROM incident WHERE number = $1");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(number);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    pub async fn incident_by_id(&self, id: &str) -> Result<Option<Incident>> {
        let sql = format!("SELECT {INCIDENT} FROM incident WHERE id = $1");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    pub async fn breakages_of(&self, incident_id: &str) -> Result<Vec<Breakage>> {
        let sql = format!("{BREAKAGE} WHERE breakage.incident_id = $1 ORDER BY breakage.id");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(incident_id);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Of incidents that are not closed.
    pub async fn open_breakages<'e>(&self, on: impl Executor<'e, Database = Any>) -> Result<Vec<Breakage>> {
        let sql = format!(
            "{BREAKAGE} WHERE breakage.incident_id IN (SELECT id FROM incident WHERE closed_at IS NULL) \
             ORDER BY breakage.id"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(on).await?)
    }

    /// Of a project on a branch as a variant, oldest first: those that are over, or those that are not.
    pub async fn breakages_about<'e>(
        &self,
        on: impl Executor<'e, Database = Any>,
        column: &Column<'_>,
        over: bool,
    ) -> Result<Vec<Breakage>> {
        let which = match over {
            true => {
                "(breakage.fixed_at IS NOT NULL
                   OR breakage.incident_id IN (SELECT id FROM incident WHERE closed_at IS NOT NULL))"
            }
            false => {
                "breakage.fixed_at IS NULL
                   AND breakage.incident_id NOT IN (SELECT id FROM incident WHERE closed_at IS NOT NULL)"
            }
        };
        breakages(on, column, which).await
    }

    /// Of a project on a branch as a variant, over or not: those whose check-in is on the branch.
    pub async fn breakages_on(&self, column: &Column<'_>) -> Result<Vec<Breakage>> {
        let which = "EXISTS (SELECT 1 FROM revision WHERE revision.branch_id = breakage.branch_id
                   AND revision.seq = breakage.bad_seq AND revision.left_at IS NULL)";
        breakages(self.pool(), column, which).await
    }

    /// Those that are not over and whose check-in has left its branch.
    pub async fn breakages_that_left(&self) -> Result<Vec<Breakage>> {
        let sql = format!(
            "{BREAKAGE} JOIN revision ON revision.branch_id = breakage.branch_id AND revision.seq = breakage.bad_seq
             WHERE revision.left_at IS NOT NULL AND breakage.fixed_at IS NULL
               AND breakage.incident_id IN (SELECT id FROM incident WHERE closed_at IS NULL)
             ORDER BY breakage.id"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(self.pool()).await?)
    }

    pub async fn notes_of(&self, incident_id: &str) -> Result<Vec<Note>> {
        let sql = "SELECT at, who, what FROM incident_note WHERE incident_id = $1 ORDER BY at, id";
        Ok(sqlx::query_as(sql).bind(incident_id).fetch_all(self.pool()).await?)
    }

    pub async fn note(&self, tx: &mut Tx, incident_id: &str, who: &str, what: &str, now: i64) -> Result<()> {
        sqlx::query("INSERT INTO incident_note (id, incident_id, at, who, what) VALUES ($1, $2, $3, $4, $5)")
            .bind(new_id())
            .bind(incident_id)
            .bind(now)
            .bind(who)
            .bind(what)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Says that an incident does not matter until a time; None: it does.
    pub async fn waive(&self, tx: &mut Tx, id: &str, waiver: Option<(&str, &str, i64)>) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE incident SET waived_by = $1, waived_why = $2, waived_until = $3 WHERE id = $4 AND closed_at IS NULL",
        )
        .bind(waiver.map(|waiver| waiver.0))
        .bind(waiver.map(|waiver| waiver.1))
        .bind(waiver.map(|waiver| waiver.2))
        .bind(id)
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    pub async fn put_to(&self, tx: &mut Tx, id: &str, put_to: PutTo) -> Result<bool> {
        let moved = sqlx::query("UPDATE incident SET put_to = $1 WHERE id = $2 AND closed_at IS NULL")
            .bind(put_to.name())
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    pub async fn incident_reported(&self, tx: &mut Tx, id: &str, at: &str, now: i64) -> Result<bool> {
        let moved =
            sqlx::query("UPDATE incident SET reported_at = $1, reported_as = $2 WHERE id = $3 AND closed_at IS NULL")
                .bind(now)
                .bind(at)
                .bind(id)
                .execute(&mut **tx)
                .await?;
        Ok(moved.rows_affected() == 1)
    }

    pub async fn close_incident(&self, tx: &mut Tx, id: &str, now: i64) -> Result<bool> {
        let moved = sqlx::query("UPDATE incident SET closed_at = $1 WHERE id = $2 AND closed_at IS NULL")
            .bind(now)
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(moved.rows_affected() == 1)
    }
}

/// Some of a project's on a branch as a variant, oldest first.
async fn breakages<'e>(
    on: impl Executor<'e, Database = Any>,
    column: &Column<'_>,
    which: &str,
) -> Result<Vec<Breakage>> {
    let sql = format!(
        "{BREAKAGE} WHERE breakage.branch_id = $1 AND breakage.project = $2 AND breakage.variant = $3
           AND breakage.platform = $4 AND {which} ORDER BY breakage.id"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(column.branch_id)
        .bind(column.project)
        .bind(column.variant)
        .bind(column.platform)
        .fetch_all(on)
        .await?)
}
