//! `make bench-pages`: how long each page and each list of the API takes on a store of millions of finished runs, how
//! large it is, and the same while hosts end attempts. A table for each database, then JSON.
//!
//! | variable | meaning |
//! |---|---|
//! | `PYBOTS_BENCH_BRANCHES` | branches; 10 |
//! | `PYBOTS_BENCH_REVISIONS` | revisions of each branch; 4000 |
//! | `PYBOTS_BENCH_PROJECTS` | projects that ran on each revision; 250 |
//! | `PYBOTS_BENCH_REQUESTS` | requests for each page; 200 |
//! | `PYBOTS_BENCH_ENDS` | attempts that end each second under load; 300 |
//! | `PYBOTS_TEST_POSTGRES` | a PostgreSQL to measure too (scripts/with-postgres starts one) |
//!
//! SQLite writes to the folder for temporary files: some 5 KB for each run.

#[path = "../tests/support/mod.rs"]
mod support;

use pybots::domain::host::Capabilities;
use pybots::domain::id::HostId;
use pybots::domain::job::Report;
use pybots::domain::outcome::Outcome;
use pybots::domain::trust::Trust;
use pybots::queue::Queue;
use pybots::server::site;
use pybots::store::Store;
use pybots::store::claims::Taker;
use pybots::store::logs::Objects;
use pybots::web::Web;
use reqwest::Client;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};
use support::large::{self, Size};
use support::world::PLATFORM;

/// How long pages are asked for under load.
const LOAD_S: u64 = 20;

/// One page on one database.
struct PageRow {
    name: &'static str,
    path: String,
    /// Milliseconds of the first request.
    cold: f64,
    p50: f64,
    p99: f64,
    kb: f64,
}

/// All pages on one database.
struct Measured {
    database: &'static str,
    pages: Vec<PageRow>,
    matrix_first_byte_ms: f64,
    peak_mb: f64,
    p99_under_load_ms: f64,
    ends_per_s: f64,
    bytes_per_run: f64,
}

#[tokio::main]
async fn main() {
    let number = |name: &str, default: i64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let size = Size {
        branches: number("PYBOTS_BENCH_BRANCHES", 10),
        revisions: number("PYBOTS_BENCH_REVISIONS", 4_000),
        projects: number("PYBOTS_BENCH_PROJECTS", 250),
    };
    let requests = usize::try_from(number("PYBOTS_BENCH_REQUESTS", 200)).unwrap();
    let ends = number("PYBOTS_BENCH_ENDS", 300);
    let runs = size.branches * size.revisions * size.projects;
    let mut all = Vec::new();
    for database in support::databases().await {
        eprintln!("{}: writing {runs} runs", database.name);
        let begun = Instant::now();
        let store = Store::open(&database.url).await.unwrap();
        large::fill(database.name, &store, size).await;
        eprintln!("{}: written in {:.0} s", database.name, begun.elapsed().as_secs_f64());
        let measured = measure(database.name, &store, size, (requests, ends), runs).await;
        print(&measured, runs);
        all.push(measured);
    }
    let worst = |of: fn(&Measured) -> f64| all.iter().map(of).fold(0.0, f64::max);
    let of_pages = |of: fn(&PageRow) -> f64| all.iter().flat_map(|one| &one.pages).map(of).fold(0.0, f64::max);
    println!(
        "{}",
        json!({
            "runs": runs,
            "worst_p99_ms": rounded(of_pages(|page| page.p99)),
            "matrix_first_byte_ms": rounded(worst(|one| one.matrix_first_byte_ms)),
            "worst_page_kb": rounded(of_pages(|page| page.kb)),
            "peak_mb": rounded(worst(|one| one.peak_mb)),
            "p99_under_load_ms": rounded(worst(|one| one.p99_under_load_ms)),
            "ends_per_s": rounded(all.iter().map(|one| one.ends_per_s).fold(f64::MAX, f64::min)),
            "bytes_per_run": worst(|one| one.bytes_per_run).round(),
        })
    );
}

fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn paths(size: Size) -> Vec<(&'static str, String)> {
    let middle = size.revisions / 2;
    let sha = |seq| large::sha(101, seq);
    let before = large::revision_id(1, middle);
    vec![
        ("home", "/".to_owned()),
        ("matrix of a branch", "/branch/line1".to_owned()),
        ("its middle", format!("/branch/line1?before={before}")),
        ("only changes", "/branch/line1?changes=only".to_owned()),
        ("projects by name", "/branch/line1?named=1000".to_owned()),
        ("revision", format!("/revision/{}", sha(middle))),
        ("run that passes", format!("/run/{}", large::run_id(1, middle + 5, 4))),
        ("run that fails", format!("/run/{}", large::run_id(1, middle + 5, 3))),
        ("image", format!("/image/i{}", large::revision_id(1, middle))),
        ("project", "/project/project-10003".to_owned()),
        ("projects", "/recipes".to_owned()),
        ("incidents", "/incidents".to_owned()),
        ("incident", "/incident/3".to_owned()),
        ("compare", format!("/compare/{}/{}", sha(middle), sha(middle + 1))),
        ("compare, form", "/compare".to_owned()),
        ("search, words", "/search?q=change+module".to_owned()),
        ("search, a project", "/search?q=project-10003".to_owned()),
        ("hosts", "/hosts".to_owned()),
        ("queue", "/queue".to_owned()),
        ("failing tests", "/project/project-10003/tests?branch=line1".to_owned()),
        (
            "history of a test",
            "/project/project-10003/tests?branch=line1&test=unit%3A+test_it.Test.test_one".to_owned(),
        ),
        ("host", "/host/host3".to_owned()),
        ("badge", "/badge/project-10003.svg?branch=line1".to_owned()),
        ("API: results", "/api/results?branch=line1&revisions=10".to_owned()),
        ("API: incidents", "/api/incidents".to_owned()),
        (
            "API: compare",
            format!("/api/compare/{}/{}", sha(middle), sha(middle + 1)),
        ),
    ]
}

async fn measure(
    database: &'static str,
    store: &Store,
    size: Size,
    (requests, ends): (usize, i64),
    runs: i64,
) -> Measured {
    let data = tempfile::tempdir().unwrap();
    let pages = store.for_pages();
    let web = Web::open(pages, Objects::open(data.path()).unwrap(), Trust::all());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(warp::serve(site(web)).incoming(listener).run());
    let client = Client::builder().no_proxy().build().unwrap();
    forget_peak();
    let mut rows = Vec::new();
    for (name, path) in paths(size) {
        let (cold, bytes) = ask(&client, &base, &path).await;
        let mut times = Vec::new();
        for _ in 0..requests {
            times.push(ask(&client, &base, &path).await.0);
        }
        rows.push(PageRow {
            cold,
            p50: part(&mut times, 0.5),
            p99: part(&mut times, 0.99),
            kb: bytes as f64 / 1_000.0,
            name,
            path,
        });
    }
    let mut first = Vec::new();
    for _ in 0..requests {
        let begun = Instant::now();
        let mut answer = client.get(format!("{base}/branch/line1")).send().await.unwrap();
        answer.chunk().await.unwrap();
        first.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    let (p99_under_load_ms, ends_per_s) = under_load(store, &client, &base, &rows, ends).await;
    let measured = Measured {
        database,
        pages: rows,
        matrix_first_byte_ms: part(&mut first, 0.99),
        peak_mb: peak_mb(),
        p99_under_load_ms,
        ends_per_s,
        bytes_per_run: bytes(database, store).await as f64 / runs as f64,
    };
    server.abort();
    measured
}

/// Asks for a page. Returns how many milliseconds it took, and its bytes.
async fn ask(client: &Client, base: &str, path: &str) -> (f64, usize) {
    let begun = Instant::now();
    let answer = client.get(format!("{base}{path}")).send().await.unwrap();
    let status = answer.status();
    let bytes = answer.bytes().await.unwrap();
    assert_eq!(status, 200, "{path}");
    (begun.elapsed().as_secs_f64() * 1_000.0, bytes.len())
}

/// Asks for all pages again and again while hosts claim waiting runs and end them. Returns the milliseconds within which
/// 99 of 100 pages came, and how many attempts ended in a second.
async fn under_load(store: &Store, client: &Client, base: &str, pages: &[PageRow], ends: i64) -> (f64, f64) {
    let queue = Queue::new(store.clone());
    let (stopped, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
    let mut hosts = Vec::new();
    for number in 0..8 {
        let (queue, stopped, ended) = (queue.clone(), stopped.clone(), ended.clone());
        hosts.push(tokio::spawn(async move {
            let capabilities = Capabilities {
                platform: PLATFORM.to_owned(),
                ..Capabilities::default()
            };
            let host = HostId::from(large::host_id(number));
            let mut beat = tokio::time::interval(Duration::from_secs_f64(8.0 / ends.max(1) as f64));
            beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
            while !stopped.load(Ordering::SeqCst) {
                beat.tick().await;
                let taker = Taker {
                    host: &host,
                    builds: true,
                    pulls: true,
                    most: None,
                    capabilities: &capabilities,
                };
                let now = pybots::clock::now();
                let Some(claim) = queue.claim(&taker, now).await.unwrap() else {
                    break;
                };
                let report = Report::of(Outcome::Passed);
                let received = queue.finish(&claim.attempt, &claim.fence, &report, now).await;
                received.unwrap().unwrap();
                ended.fetch_add(1, Ordering::SeqCst);
            }
        }));
    }
    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed() < Duration::from_secs(LOAD_S) {
        for page in pages {
            times.push(ask(client, base, &page.path).await.0);
            if hosts.iter().all(tokio::task::JoinHandle::is_finished) {
                break;
            }
        }
        if hosts.iter().all(tokio::task::JoinHandle::is_finished) {
            println!(
                "the queue was empty after {:.0} s under load",
                begun.elapsed().as_secs_f64()
            );
            break;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    stopped.store(true, Ordering::SeqCst);
    for host in hosts {
        host.await.unwrap();
    }
    (part(&mut times, 0.99), ended.load(Ordering::SeqCst) as f64 / seconds)
}

/// Returns the value within which this part of the values lies.
fn part(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len().max(1) - 1) as f64 * part).round() as usize;
    values.get(at).copied().unwrap_or_default()
}

/// Makes the kernel count the peak of the memory of this process anew.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1.024 / 1_000.0
}

async fn bytes(database: &str, store: &Store) -> i64 {
    let sql = match database {
        "sqlite" => "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)",
        _ => "SELECT pg_database_size(current_database())",
    };
    sqlx::query_scalar(sql).fetch_one(store.pool()).await.unwrap()
}

fn print(measured: &Measured, runs: i64) {
    println!(
        "\n| {}, {runs} runs | cold ms | p50 ms | p99 ms | KB |",
        measured.database
    );
    println!("|---|---|---|---|---|");
    for page in &measured.pages {
        let PageRow {
            name,
            cold,
            p50,
            p99,
            kb,
            ..
        } = page;
        println!("| {name} | {cold:.1} | {p50:.1} | {p99:.1} | {kb:.0} |");
    }
    println!(
        "\nThe matrix's first byte came within {:.1} ms. The process had {:.0} MB at most. While {:.0} attempts a second ended, 99 of 100 pages \
         came within {:.1} ms. A run takes {:.0} bytes of the store.",
        measured.matrix_first_byte_ms,
        measured.peak_mb,
        measured.ends_per_s,
        measured.p99_under_load_ms,
        measured.bytes_per_run,
    );
}
