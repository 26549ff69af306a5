//! Which job a host gets. Jobs that are alike are a group, and a claim looks at the first job of each: what it
//! costs depends on the number of groups, not on how many jobs wait.

use super::jobs::Job;
use super::{Store, Tx};
use crate::domain::host::Offer;
use anyhow::Result;
use std::collections::BTreeSet;

/// Who wants a job.
#[derive(Clone, Copy, Debug)]
pub struct Taker<'a> {
    /// The host's id.
    pub host: &'a str,
    /// It may build images. One that may not does runs only, on images that it holds or can pull.
    pub builds: bool,
    /// There is a registry, from which it can pull.
    pub pulls: bool,
    /// So many jobs it may have in work; None: any number.
    pub most: Option<i64>,
    pub offer: &'a Offer,
}

/// For so long hosts that hold an image are asked alone.
const LOCAL_FIRST_MS: i64 = 500;

/// For so long a job that failed on a host waits for another one.
const ELSEWHERE_FIRST_MS: i64 = 60_000;

/// The order of groups. What is newest on its branch goes first, for somebody waits for its answer, and of that
/// runs before builds, which are longer. Older check-ins fill in. Among equals each group has its turn; in
/// one turn, what the host holds the image of, and then what takes longest.
const ORDER: &str = "CASE WHEN head.priority >= head.newest THEN 0 ELSE 1 END, head.kind DESC, head.round,
    CASE WHEN EXISTS (SELECT 1 FROM image_on_host AS held WHERE held.image_id = head.uses AND held.host = $2)
         THEN 0 ELSE 1 END,
    head.expected_ms DESC, head.job_id";

impl Store {
    /// Takes the job that is next for the host. None: no work for it, or a lost race.
    pub async fn take_job(&self, tx: &mut Tx, taker: &Taker<'_>, now: i64) -> Result<Option<Job>> {
        if let Some(most) = taker.most {
            let sql = "SELECT COUNT(*) FROM attempt WHERE host = $1 AND state = 'leased'";
            let working: i64 = sqlx::query_scalar(sql).bind(taker.host).fetch_one(&mut **tx).await?;
            if working >= most {
                return Ok(None);
            }
        }
        let sql = format!(
            "WITH first AS MATERIALIZED (
                 SELECT job_group.kind, job_group.newest, job_group.round, job_group.expected_ms, ({first}) AS job_id
                 FROM job_group WHERE job_group.platform = $3 AND {fits}),
             -- one by one: for a join, PostgreSQL reads all jobs that there are
             head AS MATERIALIZED (
                 SELECT first.*, (SELECT job.priority FROM job WHERE job.id = first.job_id) AS priority,
                        (SELECT job.uses FROM job WHERE job.id = first.job_id) AS uses
                 FROM first WHERE first.job_id IS NOT NULL)
             SELECT head.job_id FROM head ORDER BY {ORDER} LIMIT 1",
            first = first(taker),
            fits = fits(taker),
        );
        let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(now)
            .bind(taker.host)
            .bind(&taker.offer.platform)
            .bind(piped(taker.offer.projects.as_ref()))
            .bind(piped(taker.offer.branches.as_ref()))
            .bind(taker.offer.memory_mib.map_or(i64::MAX, mib));
        for label in &taker.offer.labels {
            query = query.bind(format!("|{label}|"));
        }
        let Some(id): Option<String> = query.fetch_optional(&mut **tx).await? else {
            return Ok(None);
        };
        let taken: Option<Job> = sqlx::query_as(
            "UPDATE job SET state = 'leased' WHERE id = $1 AND state = 'queued'
             RETURNING id, group_id, image_id, run_id, uses, state, tries, wish, spec",
        )
        .bind(&id)
        .fetch_optional(&mut **tx)
        .await?;
        if let Some(job) = &taken {
            sqlx::query("UPDATE job_group SET round = round + 1 WHERE id = $1")
                .bind(&job.group_id)
                .execute(&mut **tx)
                .await?;
        }
        Ok(taken)
    }

    /// Whether any job waits whose time has come, whoever may take it.
    pub async fn is_job_due(&self, now: i64) -> Result<bool> {
        let due: Option<String> =
            sqlx::query_scalar("SELECT id FROM job WHERE state = 'queued' AND not_before <= $1 LIMIT 1")
                .bind(now)
                .fetch_optional(self.pool())
                .await?;
        Ok(due.is_some())
    }
}

/// The first job of a group that a host can have now.
fn first(taker: &Taker<'_>) -> String {
    let mine = "job.group_id = job_group.id AND job.state = 'queued'";
    let due = format!(
        "job.not_before <= $1 AND (job.avoid IS NULL OR job.avoid <> $2 OR job.not_before <= $1 - {ELSEWHERE_FIRST_MS})"
    );
    let order = "ORDER BY job.priority DESC, job.created_at, job.id LIMIT 1";
    if taker.builds {
        format!(
            "SELECT job.id FROM job WHERE {mine} AND {due}
             AND (job_group.kind = 'image' OR job.not_before <= $1 - {LOCAL_FIRST_MS} OR EXISTS (
                  SELECT 1 FROM image_on_host AS held WHERE held.image_id = job.uses AND held.host = $2))
             {order}"
        )
    } else if taker.pulls {
        // nearly all images are in the registry: the first job of the group mostly is the one
        format!(
            "SELECT job.id FROM job WHERE {mine} AND {due} AND job_group.kind = 'run'
             AND (EXISTS (SELECT 1 FROM image_on_host AS held WHERE held.image_id = job.uses AND held.host = $2)
                  OR job.not_before <= $1 - {LOCAL_FIRST_MS} AND EXISTS (
                     SELECT 1 FROM image WHERE image.id = job.uses AND image.remote IS NOT NULL))
             {order}"
        )
    } else {
        // from the few images that it holds: whatever else waits is not looked at
        format!(
            "SELECT job.id FROM image_on_host AS held JOIN job ON job.uses = held.image_id
             WHERE held.host = $2 AND job_group.kind = 'run' AND {mine} AND {due} {order}"
        )
    }
}

/// Whether a group is for the host.
fn fits(taker: &Taker<'_>) -> String {
    let kind = if taker.builds {
        ""
    } else {
        "job_group.kind = 'run' AND "
    };
    // what is left of the group's labels without those that the host has
    let labels = (0..taker.offer.labels.len()).fold("job_group.labels".to_owned(), |rest, label| {
        format!("REPLACE({rest}, ${}, '')", label + 7)
    });
    let among = |parameter: &str, column: &str| {
        format!("({parameter} = '' OR REPLACE({parameter}, '|' || job_group.{column} || '|', '') <> {parameter})")
    };
    format!(
        "{kind}(job_group.kind = 'image' OR {projects}) AND {branches} AND job_group.memory_mib <= $6 AND {labels} = ''",
        projects = among("$4", "project"),
        branches = among("$5", "branch"),
    )
}

pub(super) fn mib(mib: u64) -> i64 {
    i64::try_from(mib).unwrap_or(i64::MAX)
}

/// `|this||that|`, in which each name is found with its ends; '' for all.
pub(super) fn piped(names: Option<&BTreeSet<String>>) -> String {
    match names {
        None => String::new(),
        // nothing is called so
        Some(none) if none.is_empty() => "||".to_owned(),
        Some(names) => names.iter().map(|name| format!("|{name}|")).collect(),
    }
}
