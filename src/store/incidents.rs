//! Incidents and their notes. [`super::regressions`] has their parts: one for each project, branch and variant.

use super::decode::RowOf;
use super::events::EventKind;
use super::regressions::Regression;
use super::rows::BadRow;
use super::{Store, Tx, new_id};
use crate::domain::id::{IncidentId, RevisionId};
use crate::domain::incident::{self, Assignee, Records, RegressionProgress, State};
use crate::domain::time::Timestamp;
use anyhow::Result;
use sqlx::FromRow;

/// An incident, as the database holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    pub id: IncidentId,
    /// The number by which people refer to it.
    pub number: i64,
    /// Milliseconds UTC, like the other times.
    pub opened_at: Timestamp,
    pub reported_at: Option<Timestamp>,
    /// The address of the report.
    pub reported_as: Option<String>,
    pub assigned_to: Option<Assignee>,
    pub waiver: Option<Waiver>,
    pub closed_at: Option<Timestamp>,
    /// The earlier incident of which this one is the return.
    pub recurrence_of: Option<IncidentId>,
}

/// The decision to accept an incident until a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    pub who: String,
    pub why: String,
    /// Milliseconds UTC.
    pub until: Timestamp,
}

/// An entry in the history of an incident.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Note {
    /// Milliseconds UTC.
    pub at: Timestamp,
    pub who: String,
    pub what: String,
}

/// The author of notes about actions of Pybots itself.
pub const PYBOTS: &str = "pybots";

#[derive(FromRow)]
struct Stored {
    id: IncidentId,
    number: i64,
    opened_at: Timestamp,
    reported_at: Option<Timestamp>,
    reported_as: Option<String>,
    assigned_to: Option<String>,
    waived_by: Option<String>,
    waived_why: Option<String>,
    waived_until: Option<Timestamp>,
    closed_at: Option<Timestamp>,
    recurrence_of: Option<IncidentId>,
}

impl Stored {
    fn decode(self) -> Result<Incident, BadRow> {
        let row = RowOf {
            table: "incident",
            id: self.id.as_str(),
        };
        let assigned_to = match &self.assigned_to {
            Some(name) => Some(row.named("assigned_to", name, &Assignee::ALL, Assignee::name)?),
            None => None,
        };
        let waiver = self.waived_by.zip(self.waived_why).zip(self.waived_until);
        Ok(Incident {
            assigned_to,
            waiver: waiver.map(|((who, why), until)| Waiver { who, why, until }),
            id: self.id,
            number: self.number,
            opened_at: self.opened_at,
            reported_at: self.reported_at,
            reported_as: self.reported_as,
            closed_at: self.closed_at,
            recurrence_of: self.recurrence_of,
        })
    }
}

const INCIDENT: &str = "id, number, opened_at, reported_at, reported_as, assigned_to, waived_by, waived_why, waived_until, \
     closed_at, recurrence_of";

fn select(rest: &str) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!("SELECT {INCIDENT} FROM incident {rest}"))
}

fn decoded(rows: Vec<Stored>) -> Result<Vec<Incident>> {
    Ok(rows.into_iter().map(Stored::decode).collect::<Result<_, _>>()?)
}

impl Incident {
    /// Returns the incident's state at the time `now`.
    pub fn state(&self, regressions: &[Regression], now: Timestamp) -> State {
        let progress: Vec<RegressionProgress> = regressions.iter().map(Regression::progress).collect();
        let records = Records {
            closed: self.closed_at.is_some(),
            reported: self.reported_at.is_some(),
            waived_until: self.waiver.as_ref().map(|waiver| waiver.until),
        };
        incident::state(&progress, records, now)
    }
}

impl Store {
    /// Opens an incident, and records the event. Returns the incident's id and number.
    pub async fn insert_incident(
        &self,
        tx: &mut Tx,
        recurrence_of: Option<&IncidentId>,
        now: Timestamp,
    ) -> Result<(IncidentId, i64)> {
        let id = IncidentId::from(new_id());
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO incident (id, number, opened_at, recurrence_of)
             SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3 FROM incident RETURNING number",
        )
        .bind(id.as_str())
        .bind(now)
        .bind(recurrence_of.map(IncidentId::as_str))
        .fetch_one(&mut **tx)
        .await?;
        self.insert_event(tx, EventKind::IncidentOpened, id.as_str(), now)
            .await?;
        Ok((id, number))
    }

    /// Returns the incidents that are not closed, newest first.
    pub async fn open_incidents(&self) -> Result<Vec<Incident>> {
        let sql = select("WHERE closed_at IS NULL ORDER BY number DESC");
        decoded(sqlx::query_as(sql).fetch_all(self.pool()).await?)
    }

    /// Returns the newest closed incidents, newest first, at most `most`.
    pub async fn closed_incidents(&self, most: i64) -> Result<Vec<Incident>> {
        let sql = select("WHERE closed_at IS NOT NULL ORDER BY number DESC LIMIT $1");
        decoded(sqlx::query_as(sql).bind(most).fetch_all(self.pool()).await?)
    }

    /// Returns the numbers of the newest incidents, at most `most`, of which a revision is a culprit.
    pub async fn incidents_at(&self, revision: &RevisionId, most: i64) -> Result<Vec<i64>> {
        let sql = "SELECT number FROM incident WHERE id IN (SELECT incident_id FROM regression WHERE bad_id = $1 AND exact = 1)
                   ORDER BY number DESC LIMIT $2";
        let query = sqlx::query_scalar(sql).bind(revision).bind(most);
        Ok(query.fetch_all(self.pool()).await?)
    }

    pub async fn incident(&self, number: i64) -> Result<Option<Incident>> {
        let sql = select("WHERE number = $1");
        let row: Option<Stored> = sqlx::query_as(sql).bind(number).fetch_optional(self.pool()).await?;
        Ok(row.map(Stored::decode).transpose()?)
    }

    pub async fn incident_by_id(&self, id: &IncidentId) -> Result<Option<Incident>> {
        let sql = select("WHERE id = $1");
        let row: Option<Stored> = sqlx::query_as(sql)
            .bind(id.as_str())
            .fetch_optional(self.pool())
            .await?;
        Ok(row.map(Stored::decode).transpose()?)
    }

    /// Returns the notes of an incident, oldest first.
    pub async fn notes_of(&self, incident_id: &IncidentId) -> Result<Vec<Note>> {
        let sql = "SELECT at, who, what FROM incident_note WHERE incident_id = $1 ORDER BY at, id";
        let query = sqlx::query_as(sql).bind(incident_id.as_str());
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Adds a note to the history of an incident, and records that the incident changed.
    pub async fn note(
        &self,
        tx: &mut Tx,
        incident_id: &IncidentId,
        who: &str,
        what: &str,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query("INSERT INTO incident_note (id, incident_id, at, who, what) VALUES ($1, $2, $3, $4, $5)")
            .bind(new_id())
            .bind(incident_id.as_str())
            .bind(now)
            .bind(who)
            .bind(what)
            .execute(&mut **tx)
            .await?;
        self.insert_event(tx, EventKind::IncidentChanged, incident_id.as_str(), now)
            .await
    }

    /// Records a waiver, in place of an earlier one. Returns `false`, and changes nothing, if the incident is closed.
    pub async fn waive(&self, tx: &mut Tx, id: &IncidentId, waiver: &Waiver) -> Result<bool> {
        let moved = sqlx::query(
            "UPDATE incident SET waived_by = $1, waived_why = $2, waived_until = $3 WHERE id = $4 AND closed_at IS NULL",
        )
        .bind(&waiver.who)
        .bind(&waiver.why)
        .bind(waiver.until)
        .bind(id.as_str())
        .execute(&mut **tx)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Records who acts on an incident. Returns `false`, and changes nothing, if the incident is closed.
    pub async fn assign_incident(&self, tx: &mut Tx, id: &IncidentId, assigned_to: Assignee) -> Result<bool> {
        let moved = sqlx::query("UPDATE incident SET assigned_to = $1 WHERE id = $2 AND closed_at IS NULL")
            .bind(assigned_to.name())
            .bind(id.as_str())
            .execute(&mut **tx)
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Records the address of a report. Returns `false`, and changes nothing, if the incident is closed.
    pub async fn incident_reported(&self, tx: &mut Tx, id: &IncidentId, at: &str, now: Timestamp) -> Result<bool> {
        let moved =
            sqlx::query("UPDATE incident SET reported_at = $1, reported_as = $2 WHERE id = $3 AND closed_at IS NULL")
                .bind(now)
                .bind(at)
                .bind(id.as_str())
                .execute(&mut **tx)
                .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Closes an incident, and records the event. Returns whether the incident was still open.
    pub async fn close_incident(&self, tx: &mut Tx, id: &IncidentId, now: Timestamp) -> Result<bool> {
        let moved = sqlx::query("UPDATE incident SET closed_at = $1 WHERE id = $2 AND closed_at IS NULL")
            .bind(now)
            .bind(id.as_str())
            .execute(&mut **tx)
            .await?;
        let is_closed = moved.rows_affected() == 1;
        if is_closed {
            self.insert_event(tx, EventKind::IncidentClosed, id.as_str(), now)
                .await?;
        }
        Ok(is_closed)
    }
}
