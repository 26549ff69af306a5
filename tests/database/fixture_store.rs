//! Upgrades: the program opens a database of the version before and shows the same results.
//!
//! `tests/fixtures/store-0008.{sqlite,postgres}.sql` are dumps of one small world, made by the version whose newest
//! migration is 0008. `store-0008.expected.json` holds the matrix, the incidents and so on as that version showed them.
//! The JSON keys are independent of the program's names: after a rename, only [`snapshot`] and the functions that it
//! calls change, and the fixtures stay as they are.

use crate::support;
use pybots::domain::time::Timestamp;
use pybots::domain::trust::Trust;

use pybots::clock::now;
use pybots::domain::job::JobSpec;
use pybots::incidents::{IncidentReader, IncidentView, RegressionView};
use pybots::queue::Queue;
use pybots::store::Store;
use pybots::store::claims::Taker;
use pybots::store::hosts::HostRow;
use pybots::store::investigations::InvestigationRow;
use pybots::store::locks::StaleLock;
use pybots::store::views::{ImageProgress, Matrix, Scope};
use pybots::verdict::{Answer, Subject};
use serde_json::{Map, Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use std::path::PathBuf;

/// A limit above the number of rows of any table in the fixtures.
const ALL: i64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn opens_a_store_of_the_version_before() {
    let expected: Value = serde_json::from_str(&fixture("expected.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("db.sqlite").display());
    check("sqlite", &url, &expected).await;
    match std::env::var("PYBOTS_TEST_POSTGRES") {
        Ok(server) => check("postgres", &support::new_database(&server).await, &expected).await,
        Err(_) => {
            println!("SKIPPED: PostgreSQL, for PYBOTS_TEST_POSTGRES names no server (scripts/with-postgres starts one)")
        }
    }
}

/// Loads the dump into an empty database, opens it, compares it with the expected values and claims a job from it.
async fn check(database: &str, url: &str, expected: &Value) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let dump = AssertSqlSafe(fixture(&format!("{database}.sql")));
    sqlx::raw_sql(dump).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    // the second pass proves that migrating is done once
    for _ in 0..2 {
        let store = Store::open(url).await.unwrap();
        let found = snapshot(&store).await;
        for (part, expected) in expected.as_object().unwrap() {
            assert_eq!(&found[part], expected, "{database}: {part}");
        }
        assert_eq!(found.as_object().unwrap().len(), expected.as_object().unwrap().len());
    }
    claims_a_job(&Store::open(url).await.unwrap()).await;
}

/// A job that the version before queued is still valid for a host.
async fn claims_a_job(store: &Store) {
    let host = store.host("host0").await.unwrap().unwrap();
    let capabilities = host.capabilities.clone().unwrap();
    let taker = Taker {
        host: &host.id,
        builds: true,
        pulls: false,
        most: None,
        capabilities: &capabilities,
    };
    let claim = Queue::new(store.clone()).claim(&taker, now()).await.unwrap();
    let claim = claim.expect("the fixture has queued jobs");
    let JobSpec::Run(run) = &claim.spec else {
        panic!("not a run: {:?}", claim.spec);
    };
    assert_eq!((run.project.as_str(), run.suites.len()), ("click", 1));
}

fn fixture(end: &str) -> String {
    let path: PathBuf = support::here().join("tests/fixtures").join(format!("store-0008.{end}"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Everything that is compared, under the keys of the expected file.
async fn snapshot(store: &Store) -> Value {
    let status = store.status().await.unwrap();
    let mut branches = Map::new();
    for branch in &status.branches {
        let scope = Scope::Branch(branch.name.clone());
        let matrix = store.matrix(&scope, ALL, None).await.unwrap();
        branches.insert(branch.name.clone(), of_matrix(&matrix));
    }
    let incidents = IncidentReader {
        store,
        trust: &Trust::all(),
    }
    .all(ALL, now())
    .await
    .unwrap();
    let investigations = store.newest_investigations(ALL).await.unwrap();
    let suppressed = investigations
        .iter()
        .filter(|row| row.suppressed_until.is_some_and(|until| until > now()));
    let mut locks = Vec::new();
    for lock in store.stale_locks(Timestamp::from_millis(i64::MAX)).await.unwrap() {
        locks.push(of_lock(
            &lock,
            store
                .pinned_lock(&mut store.begin().await.unwrap(), &lock.key())
                .await
                .unwrap(),
        ));
    }
    let pins = store.pins().await.unwrap();
    json!({
        "branches": branches,
        "incidents": incidents.iter().map(of_incident).collect::<Vec<_>>(),
        "investigations": investigations.iter().map(of_investigation).collect::<Vec<_>>(),
        "suppressed": suppressed.map(of_suppressed).collect::<Vec<_>>(),
        "pinned_locks": locks,
        "pinned_images": pins.iter().map(|pin| json!([pin.build_key, pin.reason])).collect::<Vec<_>>(),
        "hosts": store.hosts().await.unwrap().iter().map(of_host).collect::<Vec<_>>(),
        "jobs": { "queued": status.waiting, "leased": status.working },
        "refused_recipes": status.refused,
    })
}

fn of_matrix(matrix: &Matrix) -> Value {
    let rows = matrix.rows.iter().map(|row| {
        let cells = matrix.columns.iter().zip(&row.cells);
        let cells = cells.filter_map(|(project, cell)| {
            let cell = cell.as_ref()?;
            let value = json!({
                "state": cell.state.name(),
                "outcome": cell.outcome.as_ref().map(|outcome| outcome.name()),
                "exit_code": cell.outcome.as_ref().and_then(|outcome| outcome.exit_code()),
                "running": cell.running,
                "attempts": cell.attempts,
                // only a stored reason: the text for a failed build is made when it is shown
                "reason": cell.reason(row, pybots::clock::now()).filter(|_| row.image != ImageProgress::Failed && cell.state != pybots::verdict::Cell::Pending),
            });
            Some((project.name.clone(), value))
        });
        json!({
            "revision": row.sha,
            "label": row.label,
            "subject": row.subject,
            "version": row.version,
            "variant": row.variant,
            "image_of": row.built_from.as_ref().map(|other| &other.sha),
            "cells": cells.collect::<Map<_, _>>(),
        })
    });
    rows.collect()
}

fn of_incident(incident: &IncidentView) -> Value {
    json!({
        "number": incident.number,
        "state": incident.state,
        "fixed_on": incident.fixed_on,
        "culprits": incident.culprits.iter().map(|culprit| &culprit.revision).collect::<Vec<_>>(),
        "projects": incident.projects,
        "regressions": incident.regressions.iter().map(of_regression).collect::<Vec<_>>(),
        "assigned_to": incident.assigned_to,
        "reported_as": incident.reported_as,
        "waived": incident.waiver.as_ref().map(|waiver| json!({ "by": waiver.who, "why": waiver.why, "until": waiver.until })),
        "return_of": incident.recurrence_of,
        "notes": incident.history.iter().map(|note| json!([note.who, note.what])).collect::<Vec<_>>(),
    })
}

fn of_regression(regression: &RegressionView) -> Value {
    json!({
        "branch": regression.branch,
        "project": regression.project,
        "variant": regression.variant,
        "subjects": regression.tests,
        // if exact, the culprit's parent and the culprit; otherwise, the ends of a range
        "exact": regression.exact,
        "good": regression.good.revision,
        "bad": regression.bad.revision,
        "reason": regression.reason,
        "rate": regression.rate,
        "error": regression.error,
        "difference": regression.difference,
        "fixed_by": regression.fixed_by.as_ref().map(|fix| &fix.revision),
        "fixed_as": regression.fixed_as,
        "rounds": regression.rounds,
    })
}

fn of_investigation(row: &InvestigationRow) -> Value {
    let answers = row.findings.iter().map(|finding| match &finding.answer {
        Answer::Culprit { .. } => "culprit",
        Answer::Range { .. } => "range",
        Answer::NotCpython(_) => "not_cpython",
        Answer::Inconclusive(_) => "inconclusive",
    });
    let answers: Vec<&str> = answers.collect();
    json!({
        "branch": row.branch,
        "project": row.series.project,
        "variant": row.series.variant,
        "change": row.change.name(),
        "subjects": subjects(row),
        "state": row.state.name(),
        "by_hand": row.manual,
        "inside_a_merge": row.parent.is_some(),
        "answers": answers,
        "rounds": row.rounds,
    })
}

fn of_suppressed(row: &InvestigationRow) -> Value {
    json!({
        "branch": row.branch,
        "project": row.series.project,
        "variant": row.series.variant,
        "subjects": subjects(row),
        "suppressed_until": row.suppressed_until,
    })
}

fn subjects(row: &InvestigationRow) -> Vec<String> {
    let name = |subject: &Subject| subject.test().map_or_else(|| subject.to_string(), str::to_owned);
    row.subjects.iter().map(name).collect()
}

fn of_lock(lock: &StaleLock, text: Option<String>) -> Value {
    json!({
        "project": lock.project,
        "python": lock.python,
        "variant": lock.variant,
        "pinned_lock": text,
        "is_refreshed": lock.refresh_job.is_some(),
        "refreshed_at": lock.refresh_at,
    })
}

fn of_host(host: &HostRow) -> Value {
    let capabilities = host.capabilities.clone().map(|capabilities| {
        json!({
            "version": capabilities.version,
            "platform": capabilities.platform,
            "slots": capabilities.slots,
            "projects": capabilities.projects,
            "branches": capabilities.branches,
            "labels": capabilities.labels,
            "memory_mib": capabilities.memory_mib,
            "hours": capabilities.hours,
            "pause": capabilities.pause,
        })
    });
    json!({
        "name": host.name,
        "owner": host.owner,
        "state": host.state,
        "builds": host.builds,
        "failures_in_a_row": host.consecutive_failures,
        "capabilities": capabilities,
    })
}
