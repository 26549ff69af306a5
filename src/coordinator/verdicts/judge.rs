//! Looks at each run that has ended: what it says that the rows before did not.

use super::super::Coordinator;
use super::broken::{BY_CHANCE, Broken};
use super::earlier::{Broke, Earlier};
use super::kept::{keep_lock, repeat};
use super::named;
use super::results::rows_back;
use crate::domain::job::Report;
use crate::domain::outcome::Outcome;
use crate::known::Known;
use crate::recipe::{KnownFailure, Registered};
use crate::store::inquiries::NewInquiry;
use crate::store::judge::{Column, Unjudged};
use crate::verdict::{Change, End, Row, Seen, Subject, Suspicion, first_error, signature, suspicions};
use anyhow::Result;

/// Runs that are looked at in one pass.
const AT_ONCE: i64 = 200;
/// Results after one that are looked at once more when it comes.
const LATER_MOST: usize = 50;
/// What did not fail again so often raises no suspicion for a while.
const UNSEEN_MOST: usize = 2;

pub async fn tick(coordinator: &Coordinator, projects: &[Registered], now: i64) -> Result<()> {
    for run in coordinator.store.unjudged(AT_ONCE).await? {
        match judge(coordinator, projects, &run, now).await {
            Ok(true) => coordinator.store.run_judged(&run.id, now).await?,
            Ok(false) => {}
            // the others are not to wait for one that can't be judged
            Err(error) => tracing::error!(run = run.id, error = format!("{error:#}"), "failed to judge"),
        }
    }
    Ok(())
}

/// False: what its tests said is not there yet.
async fn judge(coordinator: &Coordinator, projects: &[Registered], run: &Unjudged, now: i64) -> Result<bool> {
    let column = run.column();
    let Some((said, at)) = coordinator.results().report(&column, run.seq).await? else {
        return Ok(true); // it says nothing
    };
    keep_lock(coordinator, run, &said, at).await?;
    // also of a run by a recipe that has changed since: what it shows is asked of the one that is in force
    if let Some(project) = named(projects, &run.project)
        && !look_from(coordinator, project, &column, run.seq, now).await?
    {
        return Ok(false);
    }
    repeat(coordinator, run, &said, now).await?;
    Ok(true)
}

/// Looks at a result, and at those after it up to the next that says all there is to say: results come in any order, and
/// what came later may fail since this one. False: what its tests said is not there yet.
async fn look_from(
    coordinator: &Coordinator,
    project: &Registered,
    column: &Column<'_>,
    seq: i64,
    now: i64,
) -> Result<bool> {
    let broken = Broken::read(coordinator, column, i64::MAX).await?;
    let mut overdue = known_failures(project, |known| known.is_over_lately(now));
    overdue.retain(|subject| broken.rate(subject).is_none());
    let mut next = Some(seq);
    for _ in 0..LATER_MOST {
        let Some(here) = next else { break };
        let said = coordinator
            .results()
            .report(column, here)
            .await?
            .map(|(report, _)| report);
        // what passes where nothing is broken needs no look at its tests, nor at those before
        let is_news = |report: &Report| report.outcome != Outcome::Passed || !broken.is_empty();
        if said.as_ref().is_some_and(is_news) {
            let Some(rows) = rows_back(coordinator, column, here, &broken, &overdue, now).await? else {
                return Ok(false);
            };
            let plain: Vec<Row> = rows.iter().map(|known| known.row.clone()).collect();
            look(coordinator, project, column, &rows, suspicions(&plain, &overdue), now).await?;
        }
        let is_whole = said.is_some_and(|report| match report.outcome {
            Outcome::Passed => true,
            Outcome::Failed { .. } => report.summary.is_some(),
            _ => false,
        });
        if here > seq && is_whole {
            break;
        }
        next = coordinator.store.next_result(column, here).await?;
    }
    Ok(true)
}

/// Opens inquiries about what is suspected of the last row, as far as none looks into it or has answered it.
pub async fn look(
    coordinator: &Coordinator,
    project: &Registered,
    column: &Column<'_>,
    known: &[Known],
    suspicions: Vec<Suspicion>,
    now: i64,
) -> Result<()> {
    let rows: Vec<Row> = known.iter().map(|known| known.row.clone()).collect();
    let Some(last) = known.last() else { return Ok(()) };
    let broken = Broken::read(coordinator, column, last.seq).await?;
    let store = &coordinator.store;
    let searched = store.searched_within().await?;
    let rows_of = store.inquiries_about(column).await?;
    let earlier = rows_of
        .iter()
        .map(|row| Earlier::read(row, &searched))
        .collect::<Result<Vec<_>>>()?;
    let breakages = store.breakages_on(column).await?;
    let broke = breakages.iter().map(Broke::read).collect::<Result<Vec<_>>>()?;
    let excused = known_failures(project, |known| known.holds(now));
    let all_excused = last.row.end.failing().iter().all(|subject| excused.contains(subject));
    for mut suspicion in suspicions {
        let Some(base) = known.get(suspicion.base) else {
            continue;
        };
        suspicion.subjects.retain(|subject| {
            *subject != Subject::Build
                && match suspicion.change {
                    Change::Broke => {
                        let is_excused = excused.contains(subject) || (*subject == Subject::Run && all_excused);
                        broken.rate(subject).is_none() && !is_excused
                    }
                    Change::Fixed => broken
                        .rate(subject)
                        .is_some_and(|rate| passes_by_chance(&rows, subject, rate) < BY_CHANCE),
                }
        });
        let covered = |subject: &Subject| {
            let asked = (suspicion.change, subject);
            let stretch = (base.seq, last.seq);
            let covers = |earlier: &Earlier| earlier.covers(&project.digest, asked, stretch, now);
            let unseen = |earlier: &&Earlier| earlier.was_not_seen_again(asked, now);
            let explains = |broke: &Broke| suspicion.change == Change::Broke && broke.explains(subject, stretch);
            broke.iter().any(explains)
                || earlier.iter().any(covers)
                || earlier.iter().filter(unseen).count() >= UNSEEN_MOST
        };
        let subjects: Vec<Subject> = suspicion.subjects.iter().filter(|one| !covered(one)).cloned().collect();
        if !subjects.is_empty() {
            open(
                coordinator,
                project,
                column,
                suspicion.change,
                (base, last),
                &subjects,
                now,
            )
            .await?;
        }
    }
    Ok(())
}

/// How likely it is that something which fails at a rate passes as it did of late.
fn passes_by_chance(rows: &[Row], subject: &Subject, rate: f64) -> f64 {
    let seen = rows.iter().rev().filter_map(|row| row.end.seen(subject));
    let passes = seen
        .take_while(|seen| *seen != Seen::Fail)
        .filter(|seen| *seen == Seen::Pass);
    (1.0 - rate).powi(i32::try_from(passes.count()).unwrap_or(i32::MAX))
}

/// Of the tests that its recipe says to fail, some.
fn known_failures(project: &Registered, which: impl Fn(&KnownFailure) -> bool) -> Vec<Subject> {
    let known = project.recipe.known_failure.iter().map(|known| known.get_ref());
    known
        .filter(|known| which(known))
        .map(|known| Subject::Test(known.test.clone()))
        .collect()
}

async fn open(
    coordinator: &Coordinator,
    project: &Registered,
    column: &Column<'_>,
    change: Change,
    (base, last): (&Known, &Known),
    subjects: &[Subject],
    now: i64,
) -> Result<()> {
    // another recipe's versions may not be those that this one needs
    let lock = |known: &Known| known.lock.clone().filter(|_| known.recipe == project.digest);
    // where nothing was installed before, what was installed now is held
    let (base_lock, now_lock) = (lock(base).or_else(|| lock(last)), lock(last));
    let signature = error(&last.row.end, subjects).as_deref().and_then(signature);
    let new = NewInquiry {
        branch_id: column.branch_id,
        project: column.project,
        variant: column.variant,
        platform: column.platform,
        recipe: &project.digest,
        change: change.name(),
        base: (&base.row.revision, base.seq),
        now: (&last.row.revision, last.seq),
        subjects: &serde_json::to_string(subjects)?,
        base_lock: base_lock.as_deref(),
        now_lock: now_lock.as_deref().filter(|lock| Some(*lock) != base_lock.as_deref()),
        signature: signature.as_deref(),
        within: None,
        by_hand: false,
    };
    let mut tx = coordinator.store.begin().await?;
    let id = coordinator.store.insert_inquiry(&mut tx, &new, now).await?;
    tx.commit().await?;
    let (project, variant) = (column.project, column.variant);
    let about = subjects.first().map(ToString::to_string);
    tracing::info!(
        project,
        variant,
        change = change.name(),
        about,
        inquiry = id,
        "an inquiry is opened"
    );
    Ok(())
}

/// What a failing test said first, if its runner tells.
pub(super) fn error(end: &End, subjects: &[Subject]) -> Option<String> {
    let End::Run(_, Some(tests)) = end else { return None };
    let failed = tests.failed.iter();
    let lines: Vec<String> = failed
        .filter(|failure| subjects.contains(&Subject::Test(failure.test.clone())) || subjects.contains(&Subject::Run))
        .map(|failure| failure.message.clone())
        .filter(|message| !message.is_empty())
        .collect();
    first_error(&lines).map(str::to_owned)
}
