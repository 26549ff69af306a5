//! What waits, for those that claim: the first jobs of each group. Which of them a host gets is decided in
//! [`crate::queue`].

use super::jobs::Job;
use super::{Store, Tx};
use crate::domain::host::Offer;
use anyhow::Result;
use sqlx::FromRow;
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
pub const ELSEWHERE_FIRST_MS: i64 = 60_000;

/// Values in one statement: both databases take more.
const AT_ONCE: usize = 500;

/// Jobs that are alike, by those that are first.
#[derive(Clone, Debug, Default, FromRow, PartialEq, Eq)]
pub struct Group {
    pub id: String,
    /// `image` or `run`.
    pub kind: String,
    pub platform: String,
    /// Empty for images.
    pub project: String,
    pub branch: String,
    /// `|this||and||that|`.
    pub labels: String,
    pub memory_mib: i64,
    /// The highest priority that a job of it ever had.
    pub newest: i64,
    /// How often it had its turn.
    pub round: i64,
    pub expected_ms: i64,
    /// The job that is first, and whose time has come.
    pub first: Option<String>,
    /// The first of those that also hosts may have that do not hold the image.
    pub ripe: Option<String>,
    /// The first of those whose image can be pulled.
    pub pullable: Option<String>,
}

impl Group {
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.labels.split('|').filter(|label| !label.is_empty())
    }
}

/// What a choice needs to know of a job.
#[derive(Clone, Debug, Default, FromRow, PartialEq, Eq)]
pub struct Head {
    pub id: String,
    pub priority: i64,
    /// The image that it makes or works with.
    pub uses: Option<String>,
    /// The host that failed it last.
    pub avoid: Option<String>,
    pub not_before: i64,
}

const MINE: &str = "job.group_id = job_group.id AND job.state = 'queued' AND job.not_before <= $1";
const ORDER: &str = "ORDER BY job.priority DESC, job.created_at, job.id LIMIT 1";
const PULLABLE: &str = "EXISTS (SELECT 1 FROM image WHERE image.id = job.uses AND image.remote IS NOT NULL)";

impl Store {
    /// The groups in which a job waits whose time has come.
    pub async fn waiting_groups(&self, tx: &mut Tx, pulls: bool, now: i64) -> Result<Vec<Group>> {
        let ripe = format!("{MINE} AND job.not_before <= $1 - {LOCAL_FIRST_MS}");
        let first = |which: &str| format!("(SELECT job.id FROM job WHERE {which} {ORDER})");
        let pullable = if pulls {
            first(&format!("{ripe} AND {PULLABLE}"))
        } else {
            "NULL".to_owned()
        };
        let sql = format!(
            "SELECT id, kind, platform, project, branch, labels, memory_mib, newest, round, expected_ms,
                    {first} AS first, {ripe} AS ripe, {pullable} AS pullable FROM job_group",
            first = first(MINE),
            ripe = first(&ripe),
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(now);
        let mut groups: Vec<Group> = query.fetch_all(&mut **tx).await?;
        groups.retain(|group| group.first.is_some());
        Ok(groups)
    }

    /// The jobs that groups name.
    pub async fn heads(&self, tx: &mut Tx, groups: &[Group]) -> Result<Vec<Head>> {
        let named = |group: &Group| [group.first.clone(), group.ripe.clone(), group.pullable.clone()];
        let ids: BTreeSet<String> = groups.iter().flat_map(named).flatten().collect();
        let mut heads = Vec::new();
        for ids in Vec::from_iter(ids).chunks(AT_ONCE) {
            let among = places(1, ids.len());
            let sql = format!("SELECT id, priority, uses, avoid, not_before FROM job WHERE id IN ({among})");
            let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
            for id in ids {
                query = query.bind(id);
            }
            heads.extend(query.fetch_all(&mut **tx).await?);
        }
        Ok(heads)
    }

    /// Which of the hosts hold which of the images.
    pub async fn held(&self, tx: &mut Tx, hosts: &[String], images: &[String]) -> Result<BTreeSet<(String, String)>> {
        let mut held = BTreeSet::new();
        for images in images.chunks(AT_ONCE) {
            let (these, those) = (places(1, images.len()), places(images.len() + 1, hosts.len()));
            let sql =
                format!("SELECT host, image_id FROM image_on_host WHERE image_id IN ({these}) AND host IN ({those})");
            let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
            for value in images.iter().chain(hosts) {
                query = query.bind(value);
            }
            held.extend(query.fetch_all(&mut **tx).await?);
        }
        Ok(held)
    }

    /// The first job of a group that a host can have now, and whether the host holds its image.
    pub async fn first_for(
        &self,
        tx: &mut Tx,
        group: &Group,
        taker: &Taker<'_>,
        now: i64,
    ) -> Result<Option<(Head, bool)>> {
        let held = "EXISTS (SELECT 1 FROM image_on_host AS held WHERE held.image_id = job.uses AND held.host = $2)";
        let there = if group.kind == "image" {
            "1 = 1".to_owned()
        } else if taker.builds {
            format!("(job.not_before <= $1 - {LOCAL_FIRST_MS} OR {held})")
        } else if taker.pulls {
            format!("(job.not_before <= $1 - {LOCAL_FIRST_MS} AND {PULLABLE} OR {held})")
        } else {
            held.to_owned()
        };
        let sql = format!(
            "SELECT id, priority, uses, avoid, not_before, CASE WHEN {held} THEN 1 ELSE 0 END AS held FROM job
             WHERE group_id = $3 AND state = 'queued' AND not_before <= $1
               AND (avoid IS NULL OR avoid <> $2 OR not_before <= $1 - {ELSEWHERE_FIRST_MS}) AND {there} {ORDER}"
        );
        #[derive(FromRow)]
        struct Row {
            #[sqlx(flatten)]
            head: Head,
            held: i64,
        }
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(now)
            .bind(taker.host)
            .bind(&group.id)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(row.map(|row| (row.head, row.held == 1)))
    }

    /// How many jobs a host has in work.
    pub async fn working(&self, tx: &mut Tx, host: &str) -> Result<i64> {
        let sql = "SELECT COUNT(*) FROM attempt WHERE host = $1 AND state = 'leased'";
        Ok(sqlx::query_scalar(sql).bind(host).fetch_one(&mut **tx).await?)
    }

    /// Takes a job out of the queue, as its group's turn. None: somebody else has.
    pub async fn take_job(&self, tx: &mut Tx, id: &str) -> Result<Option<Job>> {
        let taken: Option<Job> = sqlx::query_as(
            "UPDATE job SET state = 'leased' WHERE id = $1 AND state = 'queued'
             RETURNING id, group_id, image_id, run_id, uses, state, tries, wish, spec, inquiry_id",
        )
        .bind(id)
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

/// `$3, $4, $5`.
fn places(from: usize, count: usize) -> String {
    let places: Vec<String> = (from..from + count).map(|place| format!("${place}")).collect();
    places.join(", ")
}

pub fn mib(mib: u64) -> i64 {
    i64::try_from(mib).unwrap_or(i64::MAX)
}

/// `|this||that|`.
pub(super) fn piped(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| format!("|{name}|")).collect()
}
