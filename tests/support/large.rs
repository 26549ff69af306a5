//! A store with the results of years: revisions of several branches, each tested by every project. The database itself
//! makes the rows, which is faster than to send them.

use super::world::World;
use pybots::domain::id::{HostId, JobId};
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

/// The beginnings of the digests of recipes, and of the ids of hosts, in SQL.
const RECIPE: &str = "'00000000000000000000000000000000000000000000000000000000000'";
const HOST: &str = "'0190abcdef012-0000-0000-0000-00000'";

/// The id of a host. `host3` has the number 3.
pub fn host_id(number: i64) -> String {
    format!("{}{number}", HOST.trim_matches('\''))
}

/// The id of a revision. Ids are as long as those of a real store.
pub fn revision_id(branch: i64, seq: i64) -> String {
    format!("0190abcdef012-{}-{}-revision0", 10_000_000 + seq, 100 + branch)
}

fn key(branch: i64, seq: i64, project: i64) -> String {
    format!(
        "0190abcdef012-{}-{}-{}",
        10_000_000 + seq,
        100 + branch,
        10_000 + project
    )
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
    let (passed, failed) = (Outcome::Passed, Outcome::Failed { exit_code: 1 });
    for outcome in [passed.clone(), failed.clone()] {
        attempt(store, outcome).await;
    }
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
            "INSERT INTO recipe (digest, project, text, seen_at)
             {count} SELECT {RECIPE} || (10000 + n), 'project-' || (10000 + n), '', 1 FROM n"
        ),
        &[size.projects],
        &[],
    )
    .await;
    run(
        &format!(
            "INSERT INTO project (name, summary, homepage, recipe, registered_at)
             {count} SELECT 'project-' || (10000 + n), 'A project', 'https://example.org', {RECIPE} || (10000 + n), 1 FROM n"
        ),
        &[size.projects],
        &[],
    )
    .await;
    run(
        &format!(
            "INSERT INTO revision (id, branch_id, seq, sha, tree, author, subject, committed_at, listed_at, version,
                                   discovered_at, planned_at)
             {count} SELECT '0190abcdef012-' || (10000000 + n) || '-' || substr(branch.id, 2) || '-revision0', branch.id, n,
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
         FROM revision WHERE id LIKE '0190abcdef012-%'",
        &[],
        &[serde_json::to_string(&Facts::default()).unwrap()],
    )
    .await;
    run(
        "INSERT INTO revision_image (revision_id, variant, platform, image_id, build_events)
         SELECT revision_id, 'default', 'linux/amd64', id, 0 FROM image WHERE id LIKE 'i0190abcdef012-%'",
        &[],
        &[],
    )
    .await;
    run(
        "INSERT INTO job_group (id, kind, platform, project, branch, variant, labels, newest)
         SELECT 'run linux/amd64 ' || project.name || ' ' || branch.name || ' default  0', 'run', 'linux/amd64', project.name, branch.name, 'default', '',
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
        "SELECT substr(revision.id, 1, 26) || '-' || substr(project.name, 9) AS key, revision.id AS revision_id,
                revision.seq, revision.committed_at AS at, branch.name AS branch, project.name AS project, {ended} AS s
         FROM revision JOIN branch ON branch.id = revision.branch_id CROSS JOIN project
         WHERE branch.name LIKE 'line%' AND project.name LIKE 'project-%'"
    );
    // the failed attempt at the world's run has stored these names
    let names = r#"["unit: test_it.Test.test_one"]"#;
    let failing = pybots::domain::digest::digest(&[names.as_bytes()]);
    share(&run).await;
    let json = |outcome: &Outcome| serde_json::to_string(outcome).unwrap();
    run(
        &format!(
            "INSERT INTO run (id, revision_id, project, variant, platform, recipe, image_id, created_at, evaluated_at,
                              ended, cell_ended, cell_attempts, cell_state, cell_attempt_id, cell_outcome, cell_ms, cell_failed_in,
                              cell_tests, cell_failed_tests, cell_first_error, cell_failing)
             SELECT key || '-run', revision_id, project, 'default', 'linux/amd64', {RECIPE} || substr(project, 9), 'i' || revision_id, at,
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
        &[json(&passed), json(&failed), failing],
    )
    .await;
    run(
        &format!(
            "INSERT INTO job (id, kind, run_id, state, priority, not_before, created_at, spec, spec_image, spec_recipe,
                              group_id, target_image_id)
             SELECT key || '-job', 'run', key || '-run', CASE s WHEN 2 THEN 'queued' ELSE 'finished' END, at, 1, at,
                    (SELECT MIN(spec) FROM job WHERE spec_image IS NOT NULL), 'spec_image' || substr(revision_id, 5, 22),
                    'spec_recipe ' || project, 'run linux/amd64 ' || project || ' ' || branch || ' default  0',
                    'i' || revision_id
             FROM ({rows}) AS made"
        ),
        &[size.revisions],
        &[],
    )
    .await;
    run(
        &format!(
            "INSERT INTO attempt (id, job_id, number, host, state, fence, lease_until, started_at, finished_at, outcome,
                                  exit_code, report, report_images, report_lock)
             SELECT key || '-att', key || '-job', 1, {HOST} || (seq % 20), 'finished', '0123456789abcdef0123456789abcdef', at, at, at + 51700,
                    CASE s WHEN 0 THEN 'passed' ELSE 'failed' END, s,
                    (SELECT report FROM attempt WHERE exit_code = s OR s = 0 AND outcome = 'passed'),
                    'report_img' || substr(revision_id, 5, 22), 'report_lock ' || project
             FROM ({rows}) AS made WHERE s < 2"
        ),
        &[size.revisions],
        &[],
    )
    .await;
    run(
        &format!(
            "INSERT INTO host (id, name, owner, builds, state, added_at, seen_at, proven_at)
             {count} SELECT {HOST} || (n - 1), 'host' || (n - 1), 'o@example.org', 1, 'active', 1, 1, 1 FROM n"
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

/// Ends an attempt at the run of the world, so that its report is stored as the program stores it.
async fn attempt(store: &Store, outcome: Outcome) {
    let job = sqlx::query_scalar("SELECT id FROM job WHERE run_id IS NOT NULL");
    let job: JobId = job.fetch_one(store.pool()).await.unwrap();
    let (host, at) = (HostId::from("h"), Timestamp::from_millis(1));
    let mut tx = store.begin().await.unwrap();
    let attempt = store.insert_attempt(&mut tx, &job, &host, at, at).await.unwrap();
    assert!(
        store
            .end_attempt(&mut tx, &attempt.id, &report(outcome), false, at)
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
}

/// Gives each image and each project shared parts of specs and reports of its own.
async fn share(run: &impl AsyncFn(&str, &[i64], &[String])) {
    let of_image = "substr(revision.id, 5, 22) AS of FROM revision WHERE revision.id LIKE '0190abcdef012-%'";
    let of_project = "name AS of FROM project WHERE name LIKE 'project-%'";
    for (table, column, prefix, of) in [
        ("job", "spec_image", "spec_image", of_image),
        ("job", "spec_recipe", "spec_recipe ", of_project),
        ("attempt", "report_images", "report_img", of_image),
        ("attempt", "report_lock", "report_lock ", of_project),
    ] {
        let sql = format!(
            "INSERT INTO shared_json (digest, members)
             SELECT '{prefix}' || made.of, shared_json.members FROM (SELECT {of}) AS made CROSS JOIN shared_json
             WHERE shared_json.digest = (SELECT MIN({column}) FROM {table})"
        );
        run(&sql, &[], &[]).await;
    }
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
             SELECT 'inv ' || branch.name || ' ' || project.name, branch.id, project.name, 'default', 'linux/amd64', {RECIPE} || substr(project.name, 9), 'broke',
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
