//! A store with the results of years: revisions of several branches, each tested by every project. The database itself
//! makes the rows, which is faster than to send them.

use super::world::World;
use pybots::domain::job::{Facts, Phase, Report};
use pybots::domain::outcome::Outcome;
use pybots::domain::results::{Failure, Summary};
use pybots::domain::time::Timestamp;
use pybots::store::Store;
use std::collections::BTreeMap;

/// How much there is of everything. There are `branches * revisions * projects` runs.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub branches: i64,
    pub revisions: i64,
    pub projects: i64,
}

/// When the oldest revision was made, in milliseconds. The next one of each branch is an hour younger.
const START: i64 = 1_700_000_000_000;

/// The hash of a revision: `seq` counts from 1 on each branch.
pub fn sha(branch: i64, seq: i64) -> String {
    format!("{:08}{:032}", 10_000_000 + seq, branch)
}

pub fn project(number: i64) -> String {
    format!("project-{}", 10_000 + number)
}

pub fn run_id(branch: i64, seq: i64, project: i64) -> String {
    format!("{}-run", key(branch, seq, project))
}

fn key(branch: i64, seq: i64, project: i64) -> String {
    format!("0190-{}-{}-{}", 10_000_000 + seq, 100 + branch, 10_000 + project)
}

fn report(outcome: Outcome) -> Report {
    let phase = |name: &str, seconds: f64, exit_code: i64| Phase {
        name: name.to_owned(),
        started_at: Timestamp::from_millis(START),
        seconds,
        exit_code: Some(exit_code),
        log_from: 0,
    };
    let code = outcome.exit_code().unwrap_or(1);
    let packages: Vec<String> = (0..12)
        .map(|number| format!(r#"{{"name":"package-{number}","version":"1.{number}.0","sha256":"{number:064}"}}"#))
        .collect();
    let images = ["toolchain", "base", "runtime", "cpython"];
    Report {
        phases: vec![
            phase("fetch", 3.2, 0),
            phase("install", 8.0, 0),
            phase("test: unit", 40.5, code),
        ],
        lock: Some(format!(r#"{{"packages":[{}]}}"#, packages.join(","))),
        interpreter: Some("3.15.0a1+ (heads/main:0123456789, Nov 30 2026, 12:00:00) [GCC 12.2.0]".to_owned()),
        images: images.map(|name| (name.to_owned(), format!("sha256:{:064}", 1))).into(),
        modes: BTreeMap::new(),
        summary: Some(Summary {
            passed: 412,
            failed: usize::from(code != 0),
            failures: match code {
                0 => Vec::new(),
                _ => vec![Failure::of("unit: test_it.Test.test_one", "AssertionError: 1 != 2")],
            },
            ..Summary::default()
        }),
        ..Report::of(outcome)
    }
}

/// Fills an empty store. On the newest revision of each branch, all runs wait; a project in eleven fails since the middle
/// of each branch, and one result in 97 is a failure by chance.
pub async fn fill(name: &'static str, store: &Store, size: Size) {
    let world = World::on(name, store).await;
    let built = world.revision("trunk", "aa", 1).await;
    world.run("project", &built, 1).await;
    let run = async |sql: &str, numbers: &[i64], texts: &[String]| {
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()));
        for number in numbers {
            query = query.bind(*number);
        }
        for text in texts {
            query = query.bind(text.clone());
        }
        query
            .execute(store.pool())
            .await
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
    };
    let count = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1)";
    run(
        &format!(
            "INSERT INTO branch (id, name, reference, source, position, watched, checked_at)
             {count} SELECT 'b' || (100 + n), 'line' || n, 'line' || n, 'sample', 10 + n, 1, 1 FROM n"
        ),
        &[size.branches],
        &[],
    )
    .await;
    run("UPDATE branch SET watched = 0 WHERE name IN ('trunk', '2.5')", &[], &[]).await;
    run(
        &format!(
            "INSERT INTO project (name, summary, homepage, recipe, registered_at)
             {count} SELECT 'project-' || (10000 + n), 'A project', 'https://example.org', 'd', 1 FROM n"
        ),
        &[size.projects],
        &[],
    )
    .await;
    run(
        &format!(
            "INSERT INTO revision (id, branch_id, seq, sha, tree, author, subject, committed_at, listed_at, version,
                                   discovered_at, planned_at)
             {count} SELECT '0190-' || (10000000 + n) || '-' || substr(branch.id, 2) || '-rev', branch.id, n,
                 (10000000 + n) || '00000000000000000000000000000' || substr(branch.id, 2), 'tree' || n, 'Ada Lovelace',
                 'gh-' || (100000 + n) || ': Change what the module does', $2 + n * CAST(3600000 AS BIGINT), $2 + n * CAST(3600000 AS BIGINT),
                 '3.15.0a1', 1, 1
             FROM n CROSS JOIN branch WHERE branch.name LIKE 'line%'"
        ),
        &[size.revisions, START],
        &[],
    )
    .await;
    run(
        "UPDATE branch SET head = (SELECT sha FROM revision WHERE branch_id = branch.id ORDER BY seq DESC LIMIT 1)",
        &[],
        &[],
    )
    .await;
    run(
        "INSERT INTO image (id, build_key, revision_id, variant, platform, state, reference, digest, size, facts,
                            created_at, ready_at)
         SELECT 'i' || revision.id, 'key ' || revision.id, revision.id, 'default', 'linux/amd64', 'ready', 'ref', 'd', 1,
                $1, 1, 1
         FROM revision WHERE id LIKE '0190-%'",
        &[],
        &[serde_json::to_string(&Facts::default()).unwrap()],
    )
    .await;
    run(
        "INSERT INTO revision_image (revision_id, variant, platform, image_id, build_events)
         SELECT revision_id, 'default', 'linux/amd64', id, 0 FROM image WHERE id LIKE 'i0190-%'",
        &[],
        &[],
    )
    .await;
    run(
        "INSERT INTO job_group (id, kind, platform, project, branch, variant, labels, newest)
         SELECT 'g ' || branch.name || ' ' || project.name, 'run', 'linux/amd64', project.name, branch.name, 'default', '',
                1
         FROM branch CROSS JOIN project WHERE branch.name LIKE 'line%' AND project.name LIKE 'project-%'",
        &[],
        &[],
    )
    .await;
    // s: how the run ended; 0 passed, 1 failed, 2 not yet
    let ended = "CASE WHEN revision.seq = $1 THEN 2
                      WHEN revision.seq > $1 / 2 AND (CAST(substr(project.name, 9) AS BIGINT) - 10000) % 11 = 3 THEN 1
                      WHEN (revision.seq * 31 + CAST(substr(project.name, 9) AS BIGINT) * 17) % 97 = 0 THEN 1 ELSE 0 END";
    let rows = format!(
        "SELECT substr(revision.id, 1, 17) || '-' || substr(project.name, 9) AS key, revision.id AS revision_id,
                revision.seq, revision.committed_at AS at, branch.name AS branch, project.name AS project, {ended} AS s
         FROM revision JOIN branch ON branch.id = revision.branch_id CROSS JOIN project
         WHERE branch.name LIKE 'line%' AND project.name LIKE 'project-%'"
    );
    let names = r#"["unit: test_it.Test.test_one"]"#.to_owned();
    let failing = pybots::domain::digest::digest(&[names.as_bytes()]);
    run(
        "INSERT INTO failing_tests (digest, names) VALUES ($1, $2)",
        &[],
        &[failing.clone(), names],
    )
    .await;
    let json = |outcome: &Outcome| serde_json::to_string(outcome).unwrap();
    run(
        &format!(
            "INSERT INTO run (id, revision_id, project, variant, platform, recipe, image_id, created_at, evaluated_at,
                              ended, cell_ended, cell_attempts, cell_state, cell_attempt_id, cell_outcome, cell_ms, cell_failed_in,
                              cell_tests, cell_failed_tests, cell_first_error, cell_failing)
             SELECT key || '-run', revision_id, project, 'default', 'linux/amd64', 'd', 'i' || revision_id, at,
                    CASE s WHEN 2 THEN NULL ELSE at END, CASE s WHEN 2 THEN 0 ELSE 1 END, CASE s WHEN 2 THEN 0 ELSE 1 END,
                    CASE s WHEN 2 THEN 0 ELSE 1 END,
                    CASE s WHEN 0 THEN 'pass' WHEN 1 THEN 'fail' END, CASE s WHEN 2 THEN NULL ELSE key || '-att' END,
                    CASE s WHEN 0 THEN $2 WHEN 1 THEN $3 END, CASE s WHEN 2 THEN NULL ELSE 51700 END,
                    CASE s WHEN 1 THEN 'test: unit' END, CASE s WHEN 0 THEN 412 WHEN 1 THEN 413 END,
                    CASE s WHEN 1 THEN 1 END,
                    CASE s WHEN 1 THEN 'unit: test_it.Test.test_one: AssertionError: 1 != 2' END, CASE s WHEN 1 THEN $4 END
             FROM ({rows}) AS made"
        ),
        &[size.revisions],
        &[json(&Outcome::Passed), json(&Outcome::Failed { exit_code: 1 }), failing],
    )
    .await;
    run(
        &format!(
            "INSERT INTO job (id, kind, run_id, state, priority, not_before, created_at, spec, group_id, target_image_id)
             SELECT key || '-job', 'run', key || '-run', CASE s WHEN 2 THEN 'queued' ELSE 'finished' END, at, 1, at,
                    (SELECT MIN(spec) FROM job WHERE run_id IS NOT NULL), 'g ' || branch || ' ' || project, 'i' || revision_id
             FROM ({rows}) AS made"
        ),
        &[size.revisions],
        &[],
    )
    .await;
    run(
        &format!(
            "INSERT INTO attempt (id, job_id, number, host, state, fence, lease_until, started_at, finished_at, outcome,
                                  exit_code, report)
             SELECT key || '-att', key || '-job', 1, 'h' || (seq % 20), 'finished', 'fence', at, at, at + 51700,
                    CASE s WHEN 0 THEN 'passed' ELSE 'failed' END, s, CASE s WHEN 0 THEN $2 ELSE $3 END
             FROM ({rows}) AS made WHERE s < 2"
        ),
        &[size.revisions],
        &[
            serde_json::to_string(&report(Outcome::Passed)).unwrap(),
            serde_json::to_string(&report(Outcome::Failed { exit_code: 1 })).unwrap(),
        ],
    )
    .await;
    run(
        &format!(
            "INSERT INTO host (id, name, owner, builds, state, added_at, seen_at, proven_at)
             {count} SELECT 'h' || (n - 1), 'host' || (n - 1), 'o@example.org', 1, 'active', 1, 1, 1 FROM n"
        ),
        &[20],
        &[],
    )
    .await;
    incidents(&run, size).await;
    run(
        &format!(
            "INSERT INTO event (id, number, at, kind, subject)
             {count} SELECT 'e' || n, n, n, 'revision.seen', 'r' FROM n"
        ),
        &[size.revisions],
        &[],
    )
    .await;
    run("UPDATE event_counter SET last = $1", &[size.revisions], &[]).await;
    while store.index_words().await.unwrap() > 0 {}
    run("ANALYZE", &[], &[]).await;
}

/// An incident for each project that fails since the middle of the first branch, and an answered investigation for each
/// project on each branch.
async fn incidents(run: &impl AsyncFn(&str, &[i64], &[String]), size: Size) {
    let middle = size.revisions / 2;
    let of = format!(
        "FROM branch JOIN revision AS good ON good.branch_id = branch.id AND good.seq = {middle}
         JOIN revision AS bad ON bad.branch_id = branch.id AND bad.seq = {middle} + 1 CROSS JOIN project
         WHERE branch.name = 'line1' AND (CAST(substr(project.name, 9) AS BIGINT) - 10000) % 11 = 3
           AND project.name LIKE 'project-%'"
    );
    let everywhere = "FROM branch JOIN revision AS good ON good.branch_id = branch.id AND good.seq = 1
         JOIN revision AS bad ON bad.branch_id = branch.id AND bad.seq = 2 CROSS JOIN project
         WHERE branch.name LIKE 'line%' AND project.name LIKE 'project-%'";
    let subjects = r#"[{"what":"test","test":"unit: test_it.Test.test_one"}]"#.to_owned();
    run(
        &format!(
            "INSERT INTO investigation (id, branch_id, project, variant, platform, recipe, change, base_id, now_id, base_seq,
                                        now_seq, subjects, state, findings, opened_at, ended_at)
             SELECT 'inv ' || branch.name || ' ' || project.name, branch.id, project.name, 'default', 'linux/amd64', 'd', 'broke',
                    good.id, bad.id, good.seq, bad.seq, $1, 'answered', '[]', bad.committed_at, bad.committed_at {everywhere}"
        ),
        &[],
        std::slice::from_ref(&subjects),
    )
    .await;
    run(
        &format!(
            "INSERT INTO incident (id, number, opened_at)
             SELECT 'inc ' || project.name, CAST(substr(project.name, 9) AS BIGINT) - 10000, {START} {of}"
        ),
        &[],
        &[],
    )
    .await;
    run(
        &format!(
            "INSERT INTO regression (id, incident_id, investigation_id, branch_id, project, variant, platform, subjects,
                                     good_id, bad_id, good_seq, bad_seq, exact, error, difference)
             SELECT 'reg ' || project.name, 'inc ' || project.name, 'inv line1 ' || project.name, branch.id, project.name,
                    'default', 'linux/amd64', $1, good.id, bad.id, good.seq, bad.seq, 1, 'AssertionError: 1 != 2', '[]' {of}"
        ),
        &[],
        &[subjects],
    )
    .await;
}
