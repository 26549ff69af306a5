//! The same question, put to the coordinator: its hosts build and run.

use super::Bisect;
use super::found::Found;
use crate::cli::progress::Progress;
use crate::clock::now_ms;
use crate::config::Settings;
use crate::known::Results;
use crate::store::Store;
use crate::store::inquiries::{InquiryRow, NewInquiry};
use crate::store::judge::Column;
use crate::store::logs::Objects;
use crate::store::revisions::Revision;
use crate::verdict::{Change, Row, Subject, suspicions};
use anyhow::{Context, Result, bail};
use std::time::Duration;

/// One end of the question: a check-in, and what is known there.
struct Side {
    revision: Revision,
    row: Option<Row>,
}

impl Bisect {
    /// Opens an inquiry, and waits for its answer. The coordinator has to be at work.
    pub(super) async fn ask_hosts(&self, settings: &Settings, platform: &str) -> Result<Found> {
        let store = crate::cli::store(settings).await?;
        let objects = Objects::open(&settings.data)?;
        let projects = store.projects().await?;
        let Some(project) = projects.iter().find(|project| project.name == self.project) else {
            bail!(
                "{:?} is no registered project; without --on-hosts it may be a recipe file",
                self.project
            );
        };
        let (good, bad) = (revision(&store, &self.good).await?, revision(&store, &self.bad).await?);
        if good.branch_id != bad.branch_id {
            bail!(
                "{} is on {} and {} on {}; without --on-hosts they may be on two branches",
                self.good,
                good.branch,
                self.bad,
                bad.branch
            );
        }
        let (change, old, new) = match good.seq.cmp(&bad.seq) {
            std::cmp::Ordering::Equal => bail!("the good check-in and the bad one are the same, {}", good.sha),
            std::cmp::Ordering::Less => (Change::Broke, good, bad),
            std::cmp::Ordering::Greater => (Change::Fixed, bad, good),
        };
        let branch_id = old.branch_id.clone();
        let column = Column {
            branch_id: &branch_id,
            project: &project.name,
            variant: &self.how.variant,
            platform,
        };
        let old = side(&store, &objects, &column, old).await?;
        let new = side(&store, &objects, &column, new).await?;
        let subjects = self.asked(change, &old, &new)?;
        let mut found = Found::new(change);
        if subjects.is_empty() {
            found.nothing("both ends say the same of everything");
            return Ok(found);
        }
        let lock = |side: &Side| {
            side.row
                .as_ref()
                .map(|row| row.lock.clone())
                .filter(|lock| !lock.is_empty())
        };
        let base_lock = lock(&old).or_else(|| lock(&new));
        let question = NewInquiry {
            branch_id: column.branch_id,
            project: column.project,
            variant: column.variant,
            platform,
            recipe: &project.recipe,
            change: change.name(),
            base: (&old.revision.id, old.revision.seq),
            now: (&new.revision.id, new.revision.seq),
            subjects: &serde_json::to_string(&subjects)?,
            base_lock: base_lock.as_deref(),
            now_lock: None,
            signature: None,
            within: None,
            by_hand: true,
        };
        let mut tx = store.begin().await?;
        let id = store.insert_inquiry(&mut tx, &question, now_ms()).await?;
        tx.commit().await?;
        eprintln!("inquiry {id} is opened; `pybots up` or `pybots serve` looks into it");
        for inquiry in answered(&store, &id).await? {
            found.take(&store, &inquiry).await?;
        }
        Ok(found)
    }

    /// What is looked into: what was asked for, or all that is known to differ between the two ends.
    fn asked(&self, change: Change, old: &Side, new: &Side) -> Result<Vec<Subject>> {
        if !self.test.is_empty() {
            return Ok(self.test.iter().cloned().map(Subject::Test).collect());
        }
        let (Some(old), Some(new)) = (&old.row, &new.row) else {
            bail!("there is no result on one of the two yet; say what fails, --test ID");
        };
        let suspicions = suspicions(&[old.clone(), new.clone()], &[]).into_iter();
        let asked = suspicions.filter(|suspicion| suspicion.change == change);
        Ok(asked.flat_map(|suspicion| suspicion.subjects).collect())
    }
}

/// A check-in of a watched branch, or the newest of one.
async fn revision(store: &Store, name: &str) -> Result<Revision> {
    let branches = store.watched_branches().await?;
    let sha = match branches.into_iter().find(|branch| branch.name == name) {
        Some(branch) => branch.head.with_context(|| format!("{name} was not looked at yet"))?,
        None => name.to_owned(),
    };
    let found = store.revision_by_sha(&sha).await?;
    found.with_context(|| format!("{name:?} is neither a watched branch nor a check-in that Pybots has seen on one"))
}

async fn side(store: &Store, objects: &Objects, column: &Column<'_>, revision: Revision) -> Result<Side> {
    let known = Results { store, objects }
        .rows(column, revision.seq, 1, &[], now_ms())
        .await?
        .unwrap_or_default();
    // the newest result up to there may be another check-in's
    let here = known.into_iter().find(|known| known.seq == revision.seq);
    Ok(Side {
        revision,
        row: here.map(|known| known.row),
    })
}

/// Waits for the answer, and for those about what a merge brought.
async fn answered(store: &Store, id: &str) -> Result<Vec<InquiryRow>> {
    let mut progress = Progress::new();
    loop {
        let all = store.inquiry_and_inner(id).await?;
        if all.iter().all(|inquiry| inquiry.state == "answered") {
            progress.end();
            return Ok(all);
        }
        let (mut rounds, mut done, mut runs) = (0, 0, 0);
        for inquiry in &all {
            let probes = store.probes(&inquiry.id).await?;
            rounds += inquiry.rounds;
            runs += probes.len();
            done += probes.iter().filter(|probe| probe.state == "finished").count();
        }
        progress.at(
            done as u64,
            runs as u64,
            &format!("round {rounds}: {done} of {runs} runs"),
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
