//! What has to hold when all faults are healed and the queue has drained.

use super::lines::{SAMPLES, Sample};
use super::world::World;
use pybots::store::Store;
use std::collections::{BTreeMap, BTreeSet};

/// The coordinator's books, read beside it.
pub struct Books {
    store: Store,
}

#[derive(sqlx::FromRow)]
struct Run {
    id: String,
    sha: String,
    project: String,
}

#[derive(sqlx::FromRow)]
struct Attempt {
    id: String,
    job: String,
    job_state: String,
    kind: String,
    run: Option<String>,
    state: String,
    outcome: Option<String>,
    exit_code: Option<i64>,
}

impl Attempt {
    /// It tells something of the code under test.
    fn counts(&self) -> bool {
        !matches!(self.outcome.as_deref(), None | Some("infra" | "cancelled"))
    }
}

/// How far the work is.
pub struct Progress {
    pub done: bool,
    /// Jobs that gave up on the machinery, until a host starts.
    pub resting: i64,
    pub says: String,
}

impl Books {
    pub async fn open(world: &World) -> Self {
        Self {
            store: Store::open(&world.database()).await.unwrap(),
        }
    }

    pub async fn progress(&self, revisions: usize) -> Progress {
        let ahead = self.store.ahead().await.unwrap();
        let resting: i64 = self
            .number(
                "SELECT COUNT(*) FROM job WHERE state = 'finished' AND (SELECT outcome FROM attempt
                 WHERE job_id = job.id ORDER BY number DESC LIMIT 1) = 'infra'",
            )
            .await;
        let runs = self.number("SELECT COUNT(*) FROM run").await;
        let wanted = revisions * SAMPLES.len();
        Progress {
            done: ahead.nothing() && resting == 0 && runs >= wanted as i64,
            resting,
            says: format!("{ahead:?}, {resting} jobs rest, {runs} runs of {wanted}"),
        }
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.store.pool()).await.unwrap()
    }

    /// Milliseconds between a job's coming and its first claim, of runs of these revisions.
    pub async fn waits(&self, revisions: &[String]) -> Vec<i64> {
        let sql = "SELECT revision.sha, attempt.started_at - job.created_at FROM attempt
            JOIN job ON job.id = attempt.job_id JOIN run ON run.id = job.run_id
            JOIN revision ON revision.id = run.revision_id WHERE attempt.number = 1";
        let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(self.store.pool()).await.unwrap();
        let of_these = rows.into_iter().filter(|(sha, _)| revisions.contains(sha));
        of_these.map(|(_, wait)| wait).collect()
    }

    /// Every job is done and has exactly one result that counts, the right one; every log is whole, marked cut,
    /// or ended where the machinery ended it. `from`: how many revisions were looked at before.
    pub async fn violations(&self, world: &World, from: usize) -> Vec<String> {
        let mut wrong = Vec::new();
        for run in self.store.wrong_cells(i64::MAX).await.unwrap() {
            wrong.push(format!("the cell of run {run} is not what its attempts say"));
        }
        let wanted: BTreeSet<&String> = world.revisions[from..].iter().collect();
        let runs: Vec<Run> = self
            .rows("SELECT run.id, revision.sha, run.project FROM run JOIN revision ON revision.id = run.revision_id")
            .await;
        let attempts: Vec<Attempt> = self
            .rows(
                "SELECT attempt.id, job.id AS job, job.state AS job_state, job.kind, job.run_id AS run, attempt.state,
                 attempt.outcome, attempt.exit_code FROM job LEFT JOIN attempt ON attempt.job_id = job.id",
            )
            .await;
        let mut by_run: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
        let mut by_job: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
        for attempt in &attempts {
            by_job.entry(&attempt.job).or_default().push(attempt);
            by_run
                .entry(attempt.run.as_deref().unwrap_or_default())
                .or_default()
                .push(attempt);
            if attempt.state != "finished" {
                wrong.push(format!("attempt {} is still {}", attempt.id, attempt.state));
            }
        }
        for (job, attempts) in by_job {
            let counted = attempts.iter().filter(|attempt| attempt.counts()).count();
            if counted != 1 || attempts[0].job_state != "finished" {
                wrong.push(format!(
                    "job {job} is {} with {counted} results that count",
                    attempts[0].job_state
                ));
            }
            if let Some(bad) = attempts.iter().find(|attempt| {
                attempt.kind == "image" && attempt.counts() && attempt.outcome.as_deref() != Some("passed")
            }) {
                wrong.push(format!("image build {} ended as {:?}", bad.id, bad.outcome));
            }
        }
        for sha in &wanted {
            for sample in SAMPLES {
                let of_it = runs.iter().filter(|run| run.sha == **sha && run.project == sample.name);
                let of_it: Vec<&Run> = of_it.collect();
                let [run] = of_it[..] else {
                    wrong.push(format!("{} on {sha} has {} runs", sample.name, of_it.len()));
                    continue;
                };
                let attempts = by_run.get(run.id.as_str()).map(Vec::as_slice).unwrap_or_default();
                if attempts
                    .iter()
                    .map(|attempt| &attempt.job)
                    .collect::<BTreeSet<_>>()
                    .len()
                    != 1
                {
                    wrong.push(format!("run {} has not one job", run.id));
                }
                for attempt in attempts {
                    if let Err(why) = judge(world, sample, attempt).await {
                        let outcome = attempt.outcome.as_deref().unwrap_or("none");
                        wrong.push(format!(
                            "{} on {sha}, attempt {}, {outcome}: {why}",
                            sample.name, attempt.id
                        ));
                    }
                }
            }
        }
        wrong.extend(self.cells(world, &wanted).await);
        wrong
    }

    /// What people see: each cell is decided.
    async fn cells(&self, world: &World, wanted: &BTreeSet<&String>) -> Vec<String> {
        let url = format!(
            "http://{}/api/results?revisions={}",
            world.address,
            world.revisions.len() + 1
        );
        let cells: serde_json::Value = get(&url)
            .await
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let none = Vec::new();
        let cells = cells.as_array().unwrap_or(&none);
        let mut wrong = Vec::new();
        for sha in wanted {
            for sample in SAMPLES {
                let state = if sample.exit_code == 0 { "pass" } else { "fail" };
                let cell = cells
                    .iter()
                    .find(|cell| cell["revision"] == ***sha && cell["project"] == sample.name);
                if !cell.is_some_and(|cell| cell["state"] == state) {
                    wrong.push(format!("the cell of {} on {sha} is {cell:?}", sample.name));
                }
            }
        }
        wrong
    }

    async fn rows<T>(&self, sql: &'static str) -> Vec<T>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::any::AnyRow> + Send + Unpin,
    {
        sqlx::query_as(sql).fetch_all(self.store.pool()).await.unwrap()
    }
}

async fn judge(world: &World, sample: &Sample, attempt: &Attempt) -> Result<(), String> {
    let url = format!("http://{}/attempt/{}/log", world.address, attempt.id);
    let log = get(&url).await.unwrap_or_default();
    if !attempt.counts() {
        return sample.beginning(&log);
    }
    let (outcome, code) = match sample.exit_code {
        0 => ("passed", None),
        code => ("failed", Some(code)),
    };
    if attempt.outcome.as_deref() != Some(outcome) || code.is_some_and(|code| attempt.exit_code != Some(code)) {
        return Err(format!("has exit code {:?}; wanted is {outcome}", attempt.exit_code));
    }
    sample.whole(&log)
}

/// None: it is not there.
pub async fn get(url: &str) -> Option<String> {
    let answer = reqwest::get(url).await.ok()?;
    let answer = answer.error_for_status().ok()?;
    Some(String::from_utf8_lossy(&answer.bytes().await.ok()?).into_owned())
}
