//! Registered hosts. [`crate::enrolment`] adds them, and changes them for people. The queue, the host API and the
//! evaluation of first results keep their rows up to date.

use super::rows::from_row;
use super::types::Flag;
use super::{Store, Tx};
use crate::domain::host::{Capabilities, HostState};
use crate::domain::id::{HostId, JobId};
use crate::domain::streak::FailureStreak;
use crate::domain::time::Timestamp;
use anyhow::Result;

#[derive(Clone, Debug, PartialEq)]
pub struct HostRow {
    pub id: HostId,
    pub name: String,
    /// The mail address of the owner, or an empty text for the host of the coordinator's own process.
    pub owner: String,
    /// The SHA-256 of the host's token, in hex. `None` if no token is valid.
    pub token: Option<String>,
    pub token_at: Option<Timestamp>,
    /// Whether the host may build images.
    pub builds: bool,
    pub state: HostState,
    pub added_at: Timestamp,
    /// When the host last made a call, to within 5 seconds.
    pub seen_at: Option<Timestamp>,
    /// The capabilities, or `None` until the host has reported them.
    pub capabilities: Option<Capabilities>,
    /// How many strikes the host has: jobs in a row that its machinery failed, if they count against it.
    pub consecutive_failures: i64,
    /// The jobs behind the strikes. `None` if there are none, or if an earlier version of Pybots wrote the row; see
    /// [`HostRow::streak`].
    pub failure_streak: Option<FailureStreak>,
    /// The end of the back-off because of these failures.
    pub backoff_until: Option<Timestamp>,
    /// When the owner got a message because the host fell silent.
    pub silence_reported_at: Option<Timestamp>,
    /// Since when the host's results count without being repeated. `None` if the host is new, or was trusted with
    /// builds before.
    pub proven_at: Option<Timestamp>,
    /// How many repetitions no longer count towards quarantine, because a person has resumed the host since.
    pub repeats_forgiven: i64,
    /// The newest instance of the host's daemon.
    pub instance: Option<String>,
    /// The clock offset at the host's last call, in milliseconds.
    pub clock_offset_ms: Option<i64>,
}

from_row!(
    HostRow, "host" by "id":
    id, name, owner, token, token_at, builds, state, added_at, seen_at, capabilities, consecutive_failures, failure_streak,
    backoff_until, silence_reported_at, proven_at, repeats_forgiven, instance, clock_offset_ms,
);

impl HostRow {
    /// Returns whether the host is new, so that its results do not count before another host has repeated them. A new
    /// host is not trusted with builds, and too few of its results had the same outcome elsewhere.
    pub fn is_new(&self) -> bool {
        !self.builds && self.proven_at.is_none()
    }

    /// Returns the streak of jobs that the host's machinery failed.
    pub fn streak(&self) -> FailureStreak {
        let stored = self.failure_streak.clone();
        stored.unwrap_or_else(|| FailureStreak::of(self.consecutive_failures))
    }
}

const COLUMNS: &str = "id, name, owner, token, token_at, builds, state, added_at, seen_at, capabilities, consecutive_failures, \
                       failure_streak, backoff_until, silence_reported_at, proven_at, repeats_forgiven, instance, clock_offset_ms";

impl Store {
    /// Adds a host without a token. Returns `false` if another host has the name or the id.
    pub async fn insert_host(
        &self,
        id: &HostId,
        name: &str,
        owner: &str,
        builds: bool,
        now: Timestamp,
    ) -> Result<bool> {
        let added = sqlx::query(
            "INSERT INTO host (id, name, owner, builds, state, added_at) VALUES ($1, $2, $3, $4, 'active', $5)
             ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(name)
        .bind(owner)
        .bind(Flag(builds))
        .bind(now)
        .execute(self.pool())
        .await?;
        Ok(added.rows_affected() == 1)
    }

    /// Finds a host by its name or id.
    pub async fn host(&self, name: &str) -> Result<Option<HostRow>> {
        let sql = format!("SELECT {COLUMNS} FROM host WHERE name = $1 OR id = $1");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(name);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Returns how many hosts of an owner are not removed.
    pub async fn hosts_of(&self, owner: &str) -> Result<i64> {
        let sql = "SELECT COUNT(*) FROM host WHERE owner = $1 AND state <> 'removed'";
        Ok(sqlx::query_scalar(sql).bind(owner).fetch_one(self.pool()).await?)
    }

    /// Returns the other hosts that reported, by an attempt at the job that ended at or after `since`, that a source
    /// did not answer.
    pub async fn hosts_without_source(
        &self,
        tx: &mut Tx,
        (job, host): (&JobId, &HostId),
        since: Timestamp,
    ) -> Result<Vec<HostRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM host WHERE id <> $2 AND id IN (
                 SELECT attempt.host FROM attempt WHERE attempt.job_id = $1 AND attempt.outcome = 'infra' AND attempt.lost = 0
                   AND attempt.finished_at >= $3 AND attempt.report LIKE '%\"unreachable\"%') ORDER BY id"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(job)
            .bind(host)
            .bind(since);
        Ok(query.fetch_all(&mut **tx).await?)
    }

    /// Returns the name of a host for people. If the store has no such host, returns its id.
    pub async fn host_name(&self, id: &HostId) -> Result<String> {
        let name = sqlx::query_scalar("SELECT name FROM host WHERE id = $1").bind(id);
        Ok(name
            .fetch_optional(self.pool())
            .await?
            .unwrap_or_else(|| id.to_string()))
    }

    /// Finds a host by the digest of its token.
    pub async fn host_of_token(&self, digest: &str) -> Result<Option<HostRow>> {
        let sql = format!("SELECT {COLUMNS} FROM host WHERE token = $1");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(digest);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Returns all hosts by name. Removed hosts come last.
    pub async fn hosts(&self) -> Result<Vec<HostRow>> {
        let sql = format!("SELECT {COLUMNS} FROM host ORDER BY CASE state WHEN 'removed' THEN 1 ELSE 0 END, name");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(self.pool()).await?)
    }

    /// Replaces the token of a host. With `None`, the host has no token any more. Returns `false` if the host was
    /// removed.
    pub async fn set_host_token(&self, id: &HostId, digest: Option<&str>, now: Timestamp) -> Result<bool> {
        let moved = sqlx::query("UPDATE host SET token = $1, token_at = $2 WHERE id = $3 AND state <> 'removed'")
            .bind(digest)
            .bind(digest.map(|_| now))
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Moves a host from one state to another. A removed host loses its token. An active host starts without failures
    /// and back-off, and its repetitions so far are forgiven. Returns `false` if the host is not in the state `from`.
    pub async fn move_host(&self, id: &HostId, from: HostState, to: HostState) -> Result<bool> {
        let mut tx = self.begin().await?;
        let moved = self.move_host_in(&mut tx, id, from, to).await?;
        tx.commit().await?;
        Ok(moved)
    }

    /// Does the same as [`Store::move_host`] inside the caller's transaction.
    pub async fn move_host_in(&self, tx: &mut Tx, id: &HostId, from: HostState, to: HostState) -> Result<bool> {
        let more = match to {
            HostState::Removed => ", token = NULL, token_at = NULL",
            // earlier failures do not count against a host that a person resumed
            HostState::Active => {
                ", consecutive_failures = 0, failure_streak = NULL, backoff_until = NULL,
                   repeats_forgiven = (SELECT COUNT(repeat_job_id) FROM attempt
                       WHERE attempt.host = host.id AND attempt.repetition <> 'no_host')"
            }
            _ => "",
        };
        let sql = format!("UPDATE host SET state = $1{more} WHERE id = $2 AND state = $3");
        let moved = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(to)
            .bind(id)
            .bind(from)
            .execute(&mut **tx)
            .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Sets whether a host may build images.
    pub async fn trust_host(&self, id: &HostId, builds: bool) -> Result<()> {
        sqlx::query("UPDATE host SET builds = $1 WHERE id = $2")
            .bind(Flag(builds))
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Stores the capabilities that a host reports, if they changed.
    pub async fn save_capabilities(&self, host: &HostRow, capabilities: &Capabilities) -> Result<()> {
        if host.capabilities.as_ref() != Some(capabilities) {
            sqlx::query("UPDATE host SET capabilities = $1 WHERE id = $2")
                .bind(capabilities)
                .bind(&host.id)
                .execute(self.pool())
                .await?;
        }
        Ok(())
    }

    /// Records the newest instance of a host's daemon, which replaces all others.
    pub async fn set_instance(&self, id: &HostId, instance: Option<&str>) -> Result<()> {
        sqlx::query("UPDATE host SET instance = $1 WHERE id = $2")
            .bind(instance)
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Stores the streak of jobs that a host failed.
    pub async fn set_streak(&self, tx: &mut Tx, id: &HostId, streak: &FailureStreak) -> Result<()> {
        sqlx::query("UPDATE host SET consecutive_failures = $1, failure_streak = $2 WHERE id = $3")
            .bind(streak.strikes())
            .bind((*streak != FailureStreak::default()).then_some(streak))
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Sets the end of a host's back-off, or ends the back-off with `None`.
    pub async fn set_backoff(&self, tx: &mut Tx, id: &HostId, until: Option<Timestamp>) -> Result<()> {
        sqlx::query("UPDATE host SET backoff_until = $1 WHERE id = $2")
            .bind(until)
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Returns hosts that should make calls but made none since a time, and whose owners got no message about that.
    /// Hosts that never made a call, or have no owner, are left out.
    pub async fn silent_hosts(&self, since: Timestamp) -> Result<Vec<HostRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM host WHERE state IN ('active', 'draining') AND token IS NOT NULL
             AND seen_at < $1 AND silence_reported_at IS NULL AND owner <> '' ORDER BY name"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(since);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Returns whether another host is active and made a call at or after `since`.
    pub async fn others_are_there(&self, tx: &mut Tx, host: &HostId, since: Timestamp) -> Result<bool> {
        let sql = "SELECT id FROM host WHERE id <> $1 AND state = 'active' AND seen_at >= $2 LIMIT 1";
        let found: Option<String> = sqlx::query_scalar(sql)
            .bind(host)
            .bind(since)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(found.is_some())
    }

    /// Records that the owner of a silent host gets a message.
    pub async fn silence_reported(&self, id: &HostId, now: Timestamp) -> Result<()> {
        sqlx::query("UPDATE host SET silence_reported_at = $1 WHERE id = $2")
            .bind(now)
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Records that a host made a call, and the clock offset of the call if it has one. Does so only every few seconds
    /// unless the offset changed. The next silence of the host can be reported again.
    pub async fn saw_host(&self, host: &HostRow, clock_offset_ms: Option<i64>, now: Timestamp) -> Result<()> {
        const EVERY_MS: i64 = 5_000;
        let is_new = |offset: i64| {
            host.clock_offset_ms
                .is_none_or(|stored| stored.abs_diff(offset) > 1_000)
        };
        let is_recent = host.seen_at.is_some_and(|seen| (0..EVERY_MS).contains(&(now - seen)));
        if is_recent && !clock_offset_ms.is_some_and(is_new) {
            return Ok(());
        }
        let _writer = self.writer().await;
        let sql = "UPDATE host SET seen_at = $1, silence_reported_at = NULL,
                          clock_offset_ms = COALESCE($3, clock_offset_ms) WHERE id = $2";
        sqlx::query(sql)
            .bind(now)
            .bind(&host.id)
            .bind(clock_offset_ms)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
