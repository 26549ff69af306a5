//! `make bench-queue`: 200 simulated hosts claim, renew and finish trivial jobs against one coordinator process,
//! with ever more jobs queued behind those that they do. A table, then JSON.
//!
//! | variable | meaning |
//! |---|---|
//! | `PYBOTS_BENCH_CYCLES` | life cycles that are measured at each depth; 6000 |
//! | `PYBOTS_BENCH_DEPTHS` | jobs behind them; `0 25000 1000000` |
//! | `PYBOTS_TEST_POSTGRES` | a PostgreSQL to measure too (scripts/with-postgres starts one) |

#[path = "../tests/support/mod.rs"]
mod support;

use pybots::domain::id::ImageId;
use pybots::domain::job::Report;
use pybots::domain::outcome::Outcome;
use pybots::domain::time::Timestamp;
use pybots::enrolment;
use pybots::host::client::Client;
use pybots::protocol::FinishRequest;
use pybots::store::Store;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use support::up::{Up, settings};
use support::world::{PLATFORM, World};

const HOSTS: usize = 200;
/// Projects, each on five branches: so many groups wait.
const PROJECTS: usize = 40;
const BRANCHES: usize = 5;

/// One database at one depth.
struct Row {
    database: &'static str,
    depth: i64,
    cycles_per_s: f64,
    /// Milliseconds from asking to having a job.
    claim_p50: f64,
    claim_p99: f64,
    /// MB that the coordinator had at most.
    peak: f64,
}

#[tokio::main]
async fn main() {
    let cycles: i64 = std::env::var("PYBOTS_BENCH_CYCLES").map_or(6_000, |text| text.parse().unwrap());
    let depths = std::env::var("PYBOTS_BENCH_DEPTHS").unwrap_or("0 25000 1000000".to_owned());
    let depths: Vec<i64> = depths.split_whitespace().map(|depth| depth.parse().unwrap()).collect();
    let postgres = std::env::var("PYBOTS_TEST_POSTGRES").ok();
    if postgres.is_none() {
        println!("SKIPPED: PostgreSQL, for PYBOTS_TEST_POSTGRES names no server (scripts/with-postgres starts one)");
    }
    let mut rows = Vec::new();
    for (database, url) in [("sqlite", None), ("postgresql", postgres)] {
        if database == "postgresql" && url.is_none() {
            continue;
        }
        for depth in &depths {
            let row = measure(database, url.as_deref(), *depth, cycles).await;
            eprintln!("{database}, {depth} behind: {:.0} cycles/s", row.cycles_per_s);
            rows.push(row);
        }
    }
    println!("| database | jobs behind | cycles/s | claim p50 ms | claim p99 ms | coordinator MB |");
    println!("|---|---:|---:|---:|---:|---:|");
    for row in &rows {
        let Row {
            database,
            depth,
            cycles_per_s,
            claim_p50,
            claim_p99,
            peak,
        } = row;
        println!("| {database} | {depth} | {cycles_per_s:.0} | {claim_p50:.1} | {claim_p99:.1} | {peak:.0} |");
    }
    // the worse of the databases
    let (least, most) = (*depths.iter().min().unwrap(), *depths.iter().max().unwrap());
    let at = |depth: i64| rows.iter().filter(move |row| row.depth == depth);
    let slowest = |depth| at(depth).map(|row| row.cycles_per_s).fold(f64::INFINITY, f64::min);
    println!(
        "{}",
        serde_json::json!({
            "cycles_per_s_empty": slowest(least).round(),
            "cycles_per_s_1m": slowest(most).round(),
            "claim_p99_ms_1m": at(most).map(|row| row.claim_p99).fold(0.0, f64::max).round(),
            "peak_mb": rows.iter().map(|row| row.peak).fold(0.0, f64::max).round(),
        })
    );
}

async fn measure(database: &'static str, url: Option<&str>, depth: i64, cycles: i64) -> Row {
    let folder = tempfile::tempdir().unwrap();
    let repository = support::Repository::new(&folder.path().join("cpython"));
    repository.write("README", "nothing that can be built");
    repository.commit("nothing");
    let projects = folder.path().join("projects");
    std::fs::create_dir_all(&projects).unwrap();
    // a database of its own, which a server that is thrown away takes along
    let server = match url {
        Some(server) => Some(support::new_database(server).await),
        None => None,
    };
    let more = server
        .as_ref()
        .map_or(String::new(), |url| format!("database = {url:?}\n"));
    settings(folder.path(), &projects, &[("trunk", "main", 1)], &more);
    let file = format!(
        "sqlite://{}?mode=rwc",
        folder.path().join("data/pybots.sqlite").display()
    );
    std::fs::create_dir_all(folder.path().join("data")).unwrap();
    let store = Store::open(server.as_ref().unwrap_or(&file)).await.unwrap();
    let tokens = fill(&store, depth + cycles).await;
    let up = Up::start_as(folder.path(), "serve");
    let row = cycle(&up, &store, tokens, database, depth, cycles).await;
    drop(up);
    row
}

/// Queues so many runs, and registers the hosts. Returns their tokens.
async fn fill(store: &Store, jobs: i64) -> Vec<String> {
    let world = World::on("bench", store).await;
    let built = world.revision("trunk", "aa", 1).await;
    world.run("project", &built, 1).await;
    let per_group = jobs / (PROJECTS * BRANCHES) as i64 + 1;
    let run = |statement: &'static str| {
        let query = sqlx::query(statement);
        async move { query.execute(store.pool()).await.unwrap() }
    };
    run(
        "INSERT INTO job_group (id, kind, platform, project, branch, variant, labels, newest)
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 200)
         SELECT 'g' || n, 'run', 'linux/amd64', 'p' || (n % 40), 'b' || (n / 40), 'default', '', 1000000 FROM n",
    )
    .await;
    // revisions, then a run of each group on each of them, then their jobs
    sqlx::query(
        "INSERT INTO revision (id, branch_id, seq, sha, tree, author, subject, committed_at, version, discovered_at, planned_at)
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1)
         SELECT 'r' || n, (SELECT MIN(branch_id) FROM revision), n + 10, 'sha' || n, 't', 'a', 's', n, '3.14.0', 1, 1 FROM n",
    )
    .bind(per_group)
    .execute(store.pool())
    .await
    .unwrap();
    run(
        "INSERT INTO run (id, revision_id, project, variant, platform, recipe, image_id, created_at, cell_ended)
         SELECT revision.id || ' ' || job_group.id, revision.id, job_group.id, 'default', 'linux/amd64', 'd',
                (SELECT MIN(id) FROM image), 1, 0
         FROM revision CROSS JOIN job_group WHERE revision.id LIKE 'r%' AND job_group.id LIKE 'g%'",
    )
    .await;
    run(
        "INSERT INTO job (id, kind, run_id, state, priority, not_before, created_at, spec, group_id, target_image_id)
         SELECT 'j ' || run.id, 'run', run.id, 'queued', revision.committed_at, 1, 1,
                (SELECT MIN(spec) FROM job_spec), run.project, run.image_id
         FROM run JOIN revision ON revision.id = run.revision_id WHERE run.id LIKE 'r% g%'",
    )
    .await;
    run("UPDATE image SET state = 'ready', digest = 'd', ready_at = 1").await;
    run("UPDATE revision SET planned_at = 1").await;
    run("ANALYZE").await;
    let mut tokens = Vec::new();
    for number in 0..HOSTS {
        let (host, token) = enrolment::add(
            store,
            &format!("h{number}"),
            "o@example.org",
            true,
            Timestamp::from_millis(1),
        )
        .await
        .unwrap();
        let mut tx = store.begin().await.unwrap();
        store
            .holds(
                &mut tx,
                &host.id,
                &ImageId::from(built.image.as_str()),
                Timestamp::from_millis(1),
            )
            .await
            .unwrap();
        tx.commit().await.unwrap();
        tokens.push(token.secret().to_owned());
    }
    tokens
}

/// Lets all hosts work until so many jobs are done.
async fn cycle(up: &Up, store: &Store, tokens: Vec<String>, database: &'static str, depth: i64, cycles: i64) -> Row {
    let left = Arc::new(AtomicI64::new(cycles));
    let capabilities = pybots::domain::host::Capabilities {
        platform: PLATFORM.into(),
        slots: 1,
        version: "bench".into(),
        ..Default::default()
    };
    let start = Instant::now();
    let mut hosts = tokio::task::JoinSet::new();
    for token in tokens {
        let (client, left, capabilities) = (
            Client::new(&up.url, &token).unwrap(),
            left.clone(),
            capabilities.clone(),
        );
        hosts.spawn(async move {
            let mut waits = Vec::new();
            while left.fetch_sub(1, Ordering::SeqCst) > 0 {
                let asked = Instant::now();
                let Some(claim) = client.claim(&capabilities).await.unwrap() else {
                    break;
                };
                waits.push(asked.elapsed());
                assert!(client.renew(&claim, Duration::ZERO).await.unwrap().wanted);
                let finish = FinishRequest {
                    fence: claim.fence.clone(),
                    report: Report::of(Outcome::Passed),
                };
                client.finish(claim.attempt.as_str(), &finish).await.unwrap();
            }
            waits
        });
    }
    let mut waits: Vec<Duration> = hosts.join_all().await.into_iter().flatten().collect();
    let took = start.elapsed();
    waits.sort();
    assert_eq!(waits.len() as i64, cycles, "each cycle was gone through");
    // nothing was lost, nothing done twice
    let done: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM job WHERE state = 'finished'")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(done, cycles);
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
    Row {
        database,
        depth,
        cycles_per_s: cycles as f64 / took.as_secs_f64(),
        claim_p50: at(0.5),
        claim_p99: at(0.99),
        peak: peak_mb(up.id()),
    }
}

/// The most memory that a process ever had, in MB.
fn peak_mb(process: u32) -> f64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0 / 1e6
}
