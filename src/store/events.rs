//! Events: changes that other programs follow. The transaction of a change inserts its event. The event gets its number
//! afterwards, by which readers continue.

use super::{Store, Tx, new_id};
use crate::domain::names::names;
use crate::domain::time::Timestamp;
use anyhow::Result;
use utoipa::ToSchema;

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
pub enum EventKind {
    /// A run has ended, and its result counts and was compared.
    #[schema(rename = "run.finished")]
    RunFinished,
    #[schema(rename = "incident.opened")]
    IncidentOpened,
    /// The history of an incident has another note.
    #[schema(rename = "incident.changed")]
    IncidentChanged,
    #[schema(rename = "incident.closed")]
    IncidentClosed,
    /// A branch has a new revision.
    #[schema(rename = "revision.seen")]
    RevisionSeen,
}

names!(
    EventKind,
    "event": RunFinished = "run.finished",
    IncidentOpened = "incident.opened",
    IncidentChanged = "incident.changed",
    IncidentClosed = "incident.closed",
    RevisionSeen = "revision.seen",
);

/// An event with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The number of the event. A later event has a higher one.
    pub number: i64,
    pub at: Timestamp,
    pub kind: EventKind,
    /// The subject of the event. `None` if it is not shown: a trial, a run by a withdrawn recipe, or something that is
    /// gone.
    pub about: Option<About>,
}

/// The subject of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    Run {
        id: String,
        project: String,
        branch: String,
        revision: String,
        variant: String,
        platform: String,
    },
    Incident {
        number: i64,
        branches: Vec<String>,
        projects: Vec<String>,
    },
    Revision {
        branch: String,
        revision: String,
    },
}

/// How many events are kept for readers who come back. Older ones are deleted.
pub const EVENTS_MOST: i64 = 2_000;

/// How many events get a number in one transaction.
const AT_ONCE: i64 = 500;

impl Store {
    /// Records an event. Readers see it after the transaction is committed and [`Store::number_events`] has run, and
    /// never if it is rolled back.
    pub async fn insert_event(&self, tx: &mut Tx, kind: EventKind, subject: &str, now: Timestamp) -> Result<()> {
        self.insert_event_of(tx, kind, (subject, 0), now).await
    }

    /// Records an event about a subject, once for each `round` of a run.
    pub async fn insert_event_of(
        &self,
        tx: &mut Tx,
        kind: EventKind,
        (subject, round): (&str, i64),
        now: Timestamp,
    ) -> Result<()> {
        let sql = "INSERT INTO event (id, at, kind, subject, round) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        sqlx::query(sql)
            .bind(new_id())
            .bind(now)
            .bind(kind.name())
            .bind(subject)
            .bind(round)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Gives numbers to events that have none, the oldest first, and deletes the oldest beyond [`EVENTS_MOST`].
    pub async fn number_events(&self) -> Result<()> {
        let waits = "SELECT COUNT(*) FROM (SELECT 1 FROM event WHERE number IS NULL LIMIT 1) AS one";
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(self.pool()).await? > 0 {
            let mut tx = self.begin().await?;
            // this locks the counter, because another coordinator may do the same
            let locked = "UPDATE event_counter SET last = last WHERE id = 1 RETURNING last";
            let mut last: i64 = sqlx::query_scalar(locked).fetch_one(&mut *tx).await?;
            let sql = "SELECT id FROM event WHERE number IS NULL ORDER BY id LIMIT $1";
            let ids: Vec<String> = sqlx::query_scalar(sql).bind(AT_ONCE).fetch_all(&mut *tx).await?;
            for id in ids {
                last += 1;
                let numbered = sqlx::query("UPDATE event SET number = $1 WHERE id = $2");
                numbered.bind(last).bind(id).execute(&mut *tx).await?;
            }
            let counted = sqlx::query("UPDATE event_counter SET last = $1 WHERE id = 1");
            counted.bind(last).execute(&mut *tx).await?;
            let old = sqlx::query("DELETE FROM event WHERE number <= $1");
            old.bind(last - EVENTS_MOST).execute(&mut *tx).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Returns the highest number that an event got, or 0 if there was none yet.
    pub async fn last_event(&self) -> Result<i64> {
        let sql = "SELECT last FROM event_counter WHERE id = 1";
        Ok(sqlx::query_scalar(sql).fetch_one(self.pool()).await?)
    }

    /// Returns the events after a number, the oldest first, at most `most`.
    pub async fn events_after(&self, number: i64, most: i64) -> Result<Vec<Event>> {
        let sql = "SELECT number, at, kind, subject FROM event WHERE number > $1 ORDER BY number LIMIT $2";
        let rows: Vec<(i64, Timestamp, String, String)> = sqlx::query_as(sql)
            .bind(number)
            .bind(most)
            .fetch_all(self.pool())
            .await?;
        let mut events = Vec::new();
        for (number, at, kind, subject) in rows {
            let kind: EventKind = kind.parse().map_err(anyhow::Error::msg)?;
            let about = match kind {
                EventKind::RunFinished => self.about_run(&subject).await?,
                EventKind::RevisionSeen => self.about_revision(&subject).await?,
                _ => self.about_incident(&subject).await?,
            };
            events.push(Event {
                number,
                at,
                kind,
                about,
            });
        }
        Ok(events)
    }

    async fn about_run(&self, id: &str) -> Result<Option<About>> {
        let sql = "SELECT run.project, branch.name, revision.sha, run.variant, run.platform
                   FROM run JOIN revision ON revision.id = run.revision_id JOIN branch ON branch.id = revision.branch_id
                   WHERE run.id = $1 AND run.trial = 0 AND run.withdrawn IS NULL AND branch.watched = 1";
        let row: Option<(String, String, String, String, String)> =
            sqlx::query_as(sql).bind(id).fetch_optional(self.pool()).await?;
        Ok(row.map(|(project, branch, revision, variant, platform)| About::Run {
            id: id.to_owned(),
            project,
            branch,
            revision,
            variant,
            platform,
        }))
    }

    async fn about_revision(&self, id: &str) -> Result<Option<About>> {
        let sql = "SELECT branch.name, revision.sha FROM revision JOIN branch ON branch.id = revision.branch_id
                   WHERE revision.id = $1 AND revision.left_at IS NULL AND branch.watched = 1";
        let row: Option<(String, String)> = sqlx::query_as(sql).bind(id).fetch_optional(self.pool()).await?;
        Ok(row.map(|(branch, revision)| About::Revision { branch, revision }))
    }

    async fn about_incident(&self, id: &str) -> Result<Option<About>> {
        let number: Option<i64> = sqlx::query_scalar("SELECT number FROM incident WHERE id = $1")
            .bind(id)
            .fetch_optional(self.pool())
            .await?;
        let Some(number) = number else { return Ok(None) };
        let regressions = self.regressions_of(&id.into()).await?;
        let sorted = |names: Vec<String>| {
            let names = std::collections::BTreeSet::from_iter(names);
            names.into_iter().collect()
        };
        Ok(Some(About::Incident {
            number,
            branches: sorted(regressions.iter().map(|regression| regression.branch.clone()).collect()),
            projects: sorted(
                regressions
                    .into_iter()
                    .map(|regression| regression.series.project)
                    .collect(),
            ),
        }))
    }
}
