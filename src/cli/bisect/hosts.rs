//! `pybots bisect --on-hosts`: the coordinator investigates, and its hosts build and run.

use super::answers::Answers;
use super::ends::{EndView, Ends, no_difference, roles, subjects};
use crate::cli::progress::Progress;
use crate::cli::waiting::{SEE_HOSTS, standstill};
use crate::clock::now;
use crate::config::Settings;
use crate::domain::id::InvestigationId;
use crate::domain::limits::Seconds;
use crate::domain::series::Series;
use crate::domain::state::JobState;
use crate::investigate::history::HistoryReader;
use crate::store::Store;
use crate::store::investigations::{InvestigationRow, InvestigationState, NewInvestigation, Position};
use crate::store::logs::Objects;
use crate::store::revisions::Revision;
use crate::verdict::{Change, End, HistoryEntry, RunEnd, Subject};
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};

/// The most results in which the command looks for a revision that can be an end.
const MOST_RESULTS: i64 = 480;

/// A bisection on hosts: which revision broke or fixed a registered project between two revisions of a watched branch.
pub struct Question<'a> {
    pub project: &'a str,
    /// A revision, or a branch.
    pub good: &'a str,
    /// A revision, or a branch.
    pub bad: &'a str,
    /// The tests to search for. If empty, everything that differs between the ends.
    pub tests: &'a [String],
    pub variant: &'a str,
    pub platform: &'a str,
    /// The longest time to wait for the answer.
    pub wait: Seconds,
}

/// One end of the range to search, with its result if there is one.
struct Endpoint {
    /// The id of the revision that the command named.
    asked: String,
    revision: Revision,
    row: Option<HistoryEntry>,
}

impl Endpoint {
    fn position(&self) -> Position {
        Position {
            revision: self.revision.id.as_str().into(),
            seq: self.revision.seq,
        }
    }

    fn result(&self) -> Option<&RunEnd> {
        self.row.as_ref().map(|row| &row.end)
    }

    fn view(&self) -> EndView {
        EndView::new(&self.asked, &self.revision.sha, self.result())
    }

    /// Returns whether the revision can be an end. A revision without a result can be one only in a search for tests,
    /// because the investigation then runs it.
    fn is_usable(&self, end: End, has_tests: bool) -> bool {
        self.result().map_or(has_tests, |result| end.accepts(result, has_tests))
    }

    /// Returns the lock of the result, or `None` if it has none.
    fn lock(&self) -> Option<String> {
        let lock = self.row.as_ref().and_then(|row| row.lock.clone());
        lock.filter(|lock| !lock.is_empty())
    }
}

impl Question<'_> {
    /// Opens an investigation and waits for its answer. A coordinator must be running.
    pub async fn ask(&self, settings: &Settings) -> Result<Answers> {
        let store = crate::cli::open::store(settings).await?;
        let objects = Objects::open(&settings.data)?;
        let projects = store.projects().await?;
        let Some(project) = projects.iter().find(|project| project.name == self.project) else {
            bail!(
                "{:?} is not a registered project; a recipe file works without --on-hosts",
                self.project
            );
        };
        let (good, bad) = (revision(&store, self.good).await?, revision(&store, self.bad).await?);
        if good.branch_id != bad.branch_id {
            bail!(
                "{} is on {} and {} on {}; two branches work without --on-hosts",
                self.good,
                good.branch,
                self.bad,
                bad.branch
            );
        }
        let (change, old, new) = match good.seq.cmp(&bad.seq) {
            std::cmp::Ordering::Equal => bail!("the good revision and the bad one are the same, {}", good.sha),
            std::cmp::Ordering::Less => (Change::Broke, good, bad),
            std::cmp::Ordering::Greater => (Change::Fixed, bad, good),
        };
        let series = Series {
            branch_id: old.branch_id.as_str().into(),
            project: project.name.clone(),
            variant: self.variant.to_owned(),
            platform: self.platform.to_owned(),
        };
        let results = HistoryReader {
            store: &store,
            objects: &objects,
        };
        let [old, new] = self.usable_range(&results, &series, change, [old, new]).await?;
        let mut answers = Answers::new(change, Ends::of(change, old.view(), new.view()));
        let subjects = match (old.result(), new.result()) {
            (Some(old), Some(new)) => {
                let subjects = subjects(self.tests, change, old, new);
                if subjects.is_empty() {
                    answers.add_inconclusive(no_difference(change, old, new).describe());
                    return Ok(answers);
                }
                subjects
            }
            _ if self.tests.is_empty() => {
                bail!(
                    "one of the two revisions has no result yet, nor has one between them; name what fails with --test ID"
                )
            }
            _ => self.tests.iter().cloned().map(Subject::Test).collect(),
        };
        let base_lock = old.lock().or_else(|| new.lock());
        let investigation = NewInvestigation {
            series,
            recipe: project.recipe.clone(),
            change,
            base: old.position(),
            now: new.position(),
            subjects,
            base_lock,
            now_lock: None,
            signature: None,
            parent: None,
            manual: true,
        };
        let mut tx = store.begin().await?;
        let id = store.insert_investigation(&mut tx, &investigation, now()).await?;
        tx.commit().await?;
        errln!("opened investigation {id}; a running `pybots up` or `pybots serve` schedules its runs");
        for investigation in answered(&store, &id, self.wait).await? {
            answers.add_investigation(&store, &investigation).await?;
        }
        let agreed = store.agreed_of_project(&project.name).await?;
        if settings.trust().is_in_probation(&project.name, agreed) {
            answers.leave_out_authors();
        }
        Ok(answers)
    }

    /// Returns the results of both ends. If an end can't show the change, the nearest usable revision between the ends
    /// replaces it, or the end stays if there is none. Fails if the ends would meet.
    async fn usable_range(
        &self,
        results: &HistoryReader<'_>,
        series: &Series,
        change: Change,
        [old, new]: [Revision; 2],
    ) -> Result<[Endpoint; 2]> {
        let mut ends = [
            endpoint(results, series, old).await?,
            endpoint(results, series, new).await?,
        ];
        let (old_end, new_end) = roles(change);
        let has_tests = !self.tests.is_empty();
        let is_usable = [
            ends[0].is_usable(old_end, has_tests),
            ends[1].is_usable(new_end, has_tests),
        ];
        if is_usable == [true, true] {
            return Ok(ends);
        }
        let (first, last) = (ends[0].revision.seq, ends[1].revision.seq);
        let between = results.entries(series, last - 1, MOST_RESULTS, &[], now()).await?;
        let mut between = between.complete().unwrap_or_default();
        between.retain(|entry| entry.seq > first);
        let accepted = |end: End, entry: &&HistoryEntry| end.accepts(&entry.end, has_tests);
        let nearest = [
            between.iter().find(|entry| accepted(old_end, entry)),
            between.iter().rfind(|entry| accepted(new_end, entry)),
        ];
        for ((end, nearest), is_usable) in ends.iter_mut().zip(nearest).zip(is_usable) {
            if let Some(nearest) = nearest.filter(|_| !is_usable) {
                let revision = results.store.revision(&nearest.revision.as_str().into()).await?;
                let found = endpoint(results, series, revision.context("a result without its revision")?).await?;
                *end = Endpoint {
                    asked: std::mem::take(&mut end.asked),
                    ..found
                };
            }
        }
        if ends[0].revision.seq >= ends[1].revision.seq {
            bail!(
                "only one revision between the two has a result that can be an end; name others with --good and --bad"
            );
        }
        Ok(ends)
    }
}

/// Finds a revision of a watched branch by its id. The name of a watched branch stands for its newest revision.
async fn revision(store: &Store, name: &str) -> Result<Revision> {
    let branches = store.watched_branches().await?;
    let sha = match branches.into_iter().find(|branch| branch.name == name) {
        Some(branch) => branch
            .head
            .with_context(|| format!("the branch {name} has no revisions yet"))?,
        None => name.to_owned(),
    };
    let found = store.revision_by_sha(&sha).await?;
    found.with_context(|| format!("{name:?} is neither a watched branch nor a revision that Pybots has seen on one"))
}

async fn endpoint(results: &HistoryReader<'_>, series: &Series, revision: Revision) -> Result<Endpoint> {
    let entries = results.entries(series, revision.seq, 1, &[], now()).await?;
    // the newest result may belong to an earlier revision
    let mut entries = entries.complete().unwrap_or_default().into_iter();
    let row = entries.find(|entry| entry.seq == revision.seq);
    Ok(Endpoint {
        asked: revision.sha.clone(),
        revision,
        row,
    })
}

/// Waits until an investigation, and its children that search inside merges, are answered. Returns all of them. Fails
/// after `limit`.
async fn answered(store: &Store, id: &InvestigationId, limit: Seconds) -> Result<Vec<InvestigationRow>> {
    let mut progress = Progress::new();
    let start = Instant::now();
    loop {
        let all = store.investigation_and_inner(id).await?;
        if all.iter().all(|row| row.state == InvestigationState::Answered) {
            progress.end();
            return Ok(all);
        }
        let (mut rounds, mut done, mut runs) = (0, 0, 0);
        for investigation in &all {
            let probes = store.probes(&investigation.id).await?;
            rounds += investigation.rounds;
            runs += probes.len();
            done += probes.iter().filter(|probe| probe.state == JobState::Finished).count();
        }
        let ids: Vec<InvestigationId> = all.iter().map(|row| row.id.clone()).collect();
        let waiting = store.waiting_in(&ids).await?.into_values().map(|waiting| (waiting, 1));
        let text = format!("round {rounds}: {done} of {runs} runs") + &standstill(waiting, now());
        if start.elapsed().as_secs() >= limit.0 {
            progress.end();
            bail!(
                "waited {limit}, and there is no answer yet: {text}; the investigation goes on, and the page Incidents shows its answer. \
                 {SEE_HOSTS}"
            );
        }
        progress.at(done as u64, runs as u64, &text);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
