//! From results to incidents. Each step rereads the store and may be repeated.
//!
//! ```text
//! a run has ended -> judge: is anything new? -> inquiry -> ask: runs, side by side -> answer -> settle: incident
//! ```

mod ask;
mod broken;
mod builds;
mod earlier;
mod evidence;
mod follow;
mod hosts;
mod judge;
mod kept;
mod quiet;
mod record;
mod refresh;
mod results;
mod round;
mod settle;

use super::Coordinator;
use crate::known::Results;
use crate::recipe::Registered;
use crate::store::inquiries::InquiryRow;
use crate::verdict::{Change, Finding, Subject};
use anyhow::{Context, Result};

/// One pass over what is new and what is open. Returns how many jobs it added.
pub async fn tick(coordinator: &Coordinator, projects: &[Registered], now: i64) -> Result<usize> {
    record::left(&coordinator.store, now).await?;
    quiet::tick(coordinator, projects, now).await?;
    judge::tick(coordinator, projects, now).await?;
    builds::tick(coordinator, now).await?;
    let refreshed = refresh::tick(coordinator, now).await?;
    Ok(refreshed + ask::tick(coordinator, projects, now).await?)
}

/// The recipe of a project that is in force.
fn named<'a>(projects: &'a [Registered], name: &str) -> Option<&'a Registered> {
    projects.iter().find(|project| project.recipe.name.get_ref() == name)
}

impl Coordinator {
    /// How long a lock is kept, in milliseconds.
    pub(super) fn lock_term_ms(&self) -> i64 {
        i64::try_from(self.settings.verdicts.locks.0.saturating_mul(1000)).unwrap_or(i64::MAX)
    }

    /// The inquiry about the branch that people watch, also where one goes on among what a merge brought.
    async fn watched(&self, inquiry: &InquiryRow) -> Result<InquiryRow> {
        match &inquiry.within {
            Some(outer) => self.store.inquiry(outer).await?.context("an inquiry within none"),
            None => Ok(inquiry.clone()),
        }
    }

    fn results(&self) -> Results<'_> {
        Results {
            store: &self.store,
            objects: &self.objects,
        }
    }
}

impl InquiryRow {
    pub fn change(&self) -> Change {
        // the schema has no others
        match self.change.as_str() {
            "fixed" => Change::Fixed,
            _ => Change::Broke,
        }
    }

    pub fn subjects(&self) -> Result<Vec<Subject>> {
        serde_json::from_str(&self.subjects).context("the subjects of an inquiry can't be read")
    }

    /// Empty as long as it is open.
    pub fn findings(&self) -> Result<Vec<Finding>> {
        let Some(text) = &self.findings else {
            return Ok(Vec::new());
        };
        serde_json::from_str(text).context("the findings of an inquiry can't be read")
    }
}
