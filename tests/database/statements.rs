//! What the database does for each page and each call on a large store. No statement may read a large table as a whole,
//! and no page may read many more rows than it shows.

use crate::support::large::{self, Size};
use crate::support::world::PLATFORM;
use crate::support::{TestStore, stores};
use pybots::domain::host::Capabilities;
use pybots::domain::id::HostId;
use pybots::domain::series::Series;
use pybots::domain::trust::Trust;
use pybots::queue::Queue;
use pybots::server::site;
use pybots::store::Store;
use pybots::store::claims::Taker;
use pybots::store::logs::Objects;
use pybots::web::Web;
use reqwest::Client;
use sqlx::Row;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt};

const SIZE: Size = Size {
    branches: 3,
    revisions: 300,
    projects: 40,
};

/// Tables that grow with revisions and runs.
const LARGE: [&str; 9] = [
    "run",
    "job",
    "attempt",
    "revision",
    "revision_image",
    "image",
    "event",
    "investigation",
    "search_word",
];

/// The most rows that the database may read for one page. A matrix of 30 revisions and 40 projects has 1,200 cells.
const ROWS_MOST: i64 = 8_000;

fn paths() -> Vec<String> {
    let middle = SIZE.revisions / 2;
    let run = |seq, project| large::run_id(1, seq, project);
    let sha = |seq| large::sha(101, seq);
    [
        "/".to_owned(),
        "/branch/line2".to_owned(),
        "/branch/line2?variant=default".to_owned(),
        "/branch/line2?changes=only&named=project-1000".to_owned(),
        format!("/branch/line2?before={}", large::revision_id(2, middle)),
        format!("/?before={}", large::revision_id(2, middle)),
        format!("/revision/{}", sha(middle)),
        format!("/run/{}", run(middle + 5, 3)),
        format!("/run/{}", run(middle + 5, 4)),
        format!("/run/{}", run(SIZE.revisions, 4)),
        format!("/image/i{}", large::revision_id(1, middle)),
        "/project/project-10003".to_owned(),
        "/project/project-10004".to_owned(),
        "/recipes".to_owned(),
        "/hosts".to_owned(),
        "/queue".to_owned(),
        "/project/project-10003/tests?branch=line2".to_owned(),
        "/project/project-10003/tests?branch=line2&test=unit%3A+test_it.Test.test_one".to_owned(),
        "/branch/line2?until=2023-11-20".to_owned(),
        "/?until=2023-11-20".to_owned(),
        "/branch/line2?about=ada+change&owner=x".to_owned(),
        "/?about=ada&state=fail".to_owned(),
        "/host/host3".to_owned(),
        "/incidents".to_owned(),
        "/incident/3".to_owned(),
        "/compare".to_owned(),
        "/compare?base=line2&now=revision".to_owned(),
        "/search?q=change+number".to_owned(),
        "/search?q=project-10003".to_owned(),
        "/badge/project-10003.svg?branch=line2".to_owned(),
        format!("/compare/{}/{}", sha(middle), sha(middle + 1)),
        "/account".to_owned(),
        "/api/results".to_owned(),
        "/api/results?branch=line2".to_owned(),
        "/api/incidents".to_owned(),
        "/api/incidents/3".to_owned(),
        format!("/api/compare/{}/{}", sha(middle), sha(middle + 1)),
        "/healthz".to_owned(),
    ]
    .into()
}

/// The statements that sqlx runs.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<BTreeSet<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            let mut statement = Statement::default();
            event.record(&mut statement);
            let text = if statement.whole.trim().is_empty() {
                statement.summary
            } else {
                statement.whole
            };
            self.0.lock().unwrap().insert(text.trim().to_owned());
        }
    }
}

#[derive(Default)]
struct Statement {
    summary: String,
    /// Empty if the summary is the whole statement.
    whole: String,
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary = value.to_owned(),
            "db.statement" => self.whole = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// How the pages of a store are reached.
struct Pages {
    base: String,
    client: Client,
    server: tokio::task::JoinHandle<()>,
    _data: tempfile::TempDir,
}

impl Pages {
    async fn of(store: &Store) -> Self {
        let data = tempfile::tempdir().unwrap();
        let web = Web::open(store.clone(), Objects::open(data.path()).unwrap(), Trust::all());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(warp::serve(site(web)).incoming(listener).run());
        Self {
            base,
            client: Client::builder().no_proxy().build().unwrap(),
            server,
            _data: data,
        }
    }

    async fn get(&self, path: &str) -> usize {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        let status = answer.status().as_u16();
        // there is no mirror here
        let text = answer.text().await.unwrap();
        assert!(status == 200 || path == "/healthz", "{path}: {status}: {text}");
        text.len()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// On SQLite, by the plan of each statement that the pages and the tasks of the coordinator run.
#[tokio::test(flavor = "multi_thread")]
async fn no_statement_reads_a_large_table_as_a_whole() {
    let statements = Statements::default();
    let subscriber = tracing_subscriber::registry().with(statements.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let TestStore { name, store, .. } = &stores().await[0];
    large::fill(name, store, SIZE).await;
    assert_eq!(store.wrong_cells(300).await.unwrap(), [""; 0]);
    let pages = Pages::of(store).await;
    statements.0.lock().unwrap().clear();
    for path in paths() {
        pages.get(&path).await;
    }
    work(store).await;
    let run = statements.0.lock().unwrap().clone();
    assert!(run.len() > 60, "only {} statements were seen", run.len());
    let partial: BTreeSet<String> = sqlx::query_scalar("SELECT name FROM sqlite_master WHERE sql LIKE '% WHERE %'")
        .fetch_all(store.pool())
        .await
        .unwrap()
        .into_iter()
        .collect();
    let mut scans = Vec::new();
    for statement in run {
        if !["SELECT", "UPDATE", "DELETE", "INSERT", "WITH"]
            .iter()
            .any(|word| statement.starts_with(word))
        {
            continue;
        }
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        for step in sqlx::query(explain).fetch_all(store.pool()).await.unwrap() {
            let step: String = step.get("detail");
            if is_scan(&step, &partial) {
                scans.push(format!(
                    "{step}\n    in {}",
                    statement.split_whitespace().collect::<Vec<_>>().join(" ")
                ));
            }
        }
    }
    assert_eq!(scans, Vec::<String>::new(), "\n{}", scans.join("\n"));
}

/// What the tasks of the coordinator and one host do again and again.
async fn work(store: &Store) {
    let now = pybots::clock::now();
    let middle = SIZE.revisions / 2;
    let series = Series {
        branch_id: "b101".into(),
        project: large::project(3),
        variant: "default".to_owned(),
        platform: PLATFORM.to_owned(),
    };
    store.revisions_to_plan().await.unwrap();
    store.jobs_of_past_recipes(10).await.unwrap();
    store.is_changed_recipe_leased().await.unwrap();
    store.cancel_jobs_of_removed_projects().await.unwrap();
    store.withdrawn_runs(10).await.unwrap();
    store.unevaluated(10).await.unwrap();
    store.build_events(10).await.unwrap();
    store.ahead().await.unwrap();
    store.open_investigations().await.unwrap();
    store.suppressions_over(now).await.unwrap();
    store.newest_investigations(10).await.unwrap();
    store.number_events().await.unwrap();
    store.index_words().await.unwrap();
    store.events_after(0, 10).await.unwrap();
    store.stale_locks(now).await.unwrap();
    store.queued_repetitions().await.unwrap();
    store.silent_hosts(now).await.unwrap();
    store.leased_since(now).await.unwrap();
    store.unwanted_attempts().await.unwrap();
    store.jobs_of_decided_trials(10).await.unwrap();
    store.repeated_runs(&series.project, 100).await.unwrap();
    store.results_up_to(&series, middle, 5).await.unwrap();
    store.awaits_before(&series, middle, 5).await.unwrap();
    store.next_result(&series, middle).await.unwrap();
    store.candidates(&series, (middle, middle + 5)).await.unwrap();
    store
        .newest_with_image(&series.branch_id, ("default", PLATFORM), 5)
        .await
        .unwrap();
    store.regressions_on(&series).await.unwrap();
    let queue = Queue::new(store.clone());
    queue.expire(now).await.unwrap();
    queue.end_overdue(now).await.unwrap();
    queue.look_for_requests().await.unwrap();
    let host = HostId::from(large::host_id(3));
    let capabilities = Capabilities {
        platform: PLATFORM.to_owned(),
        ..Capabilities::default()
    };
    let taker = Taker {
        host: &host,
        builds: true,
        pulls: true,
        most: None,
        capabilities: &capabilities,
    };
    queue.claim(&taker, now).await.unwrap();
}

/// Indexes in whose order a statement reads until its LIMIT.
const UNTIL_LIMIT: [&str; 2] = ["revision_time", "investigation_opened"];

/// Returns whether a step of a plan reads a large table, or an index of all its rows, from one end to the other.
fn is_scan(step: &str, partial: &BTreeSet<String>) -> bool {
    let words: Vec<&str> = step.split(' ').collect();
    let ["SCAN", table, rest @ ..] = &words[..] else {
        return false;
    };
    let index = rest.iter().skip_while(|word| **word != "INDEX").nth(1);
    let is_small = index.is_some_and(|name| partial.contains(*name) || UNTIL_LIMIT.contains(name));
    (LARGE.contains(table) || ALIASES.contains(table)) && !is_small
}

/// Names that statements give to large tables. `picked` is what a statement has chosen before.
const ALIASES: [&str; 11] = [
    "planned", "built", "building", "leased", "newest", "own", "last", "edge", "all_jobs", "earlier", "other",
];

/// On PostgreSQL, by the rows that it counts as read.
#[tokio::test(flavor = "multi_thread")]
async fn no_page_reads_many_more_rows_than_it_shows() {
    let stores = stores().await;
    let Some(TestStore { name, store, .. }) = stores.iter().find(|store| store.name == "postgres") else {
        return;
    };
    large::fill(name, store, SIZE).await;
    // a plan may scan a table that is as small as some are here, unless an index is there and it is told to take it
    let database: String = sqlx::query_scalar("SELECT current_database()::TEXT")
        .fetch_one(store.pool())
        .await
        .unwrap();
    let indexes = format!("ALTER DATABASE \"{database}\" SET enable_seqscan = off");
    sqlx::query(sqlx::AssertSqlSafe(indexes))
        .execute(store.pool())
        .await
        .unwrap();
    let mut wrong = Vec::new();
    for path in paths() {
        let before = rows_read(store).await;
        // a connection reports what it has read when it ends
        let connections = store.for_pages();
        let bytes = Pages::of(&connections).await.get(&path).await;
        connections.pool().close().await;
        let after = rows_read(store).await;
        let (scans, rows) = (after.0 - before.0, after.1 - before.1);
        println!("{rows:>8} rows, {scans:>8} of them by scans, {bytes:>9} bytes  {path}");
        if scans > 0 || rows > ROWS_MOST {
            wrong.push(format!("{path}: {rows} rows, {scans} of them by scans of large tables"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// The rows that connections which have ended read from large tables: by scans, and in all.
async fn rows_read(store: &Store) -> (i64, i64) {
    tokio::time::sleep(Duration::from_millis(300)).await;
    let tables = LARGE.map(|table| format!("'{table}'")).join(", ");
    let sql = format!(
        "SELECT CAST(SUM(seq_tup_read) AS BIGINT), CAST(SUM(seq_tup_read + COALESCE(idx_tup_fetch, 0)) AS BIGINT)
         FROM pg_stat_user_tables WHERE relname IN ({tables})"
    );
    sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .fetch_one(store.pool())
        .await
        .unwrap()
}
