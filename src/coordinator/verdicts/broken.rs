//! What is known to be broken.

use super::super::Coordinator;
use super::results::{BACK, BACK_MOST};
use crate::store::judge::Column;
use crate::verdict::Subject;
use anyhow::Result;
use std::collections::BTreeMap;

/// Passes in a row that chance gives as seldom as this are a repair of what fails now and then.
pub const BY_CHANCE: f64 = 0.01;

/// What is broken of a project on a branch: subjects, and how often each fails (1.0: always).
pub struct Broken(BTreeMap<Subject, f64>);

impl Broken {
    /// As far as it broke before a place.
    pub async fn read(coordinator: &Coordinator, column: &Column<'_>, seq: i64) -> Result<Self> {
        let store = &coordinator.store;
        let breakages = store.breakages_about(store.pool(), column, false).await?;
        let mut broken = BTreeMap::new();
        for breakage in breakages
            .iter()
            .filter(|breakage| breakage.bad_seq <= seq || breakage.exact == 0)
        {
            let subjects: Vec<Subject> = serde_json::from_str(&breakage.subjects)?;
            let rate = breakage.rate.map_or(1.0, |rate| rate as f64 / 1000.0);
            for subject in subjects {
                // of two breakages, the one that came first
                broken.entry(subject).or_insert(rate);
            }
        }
        Ok(Self(broken))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.0.keys()
    }

    /// How far back is looked: what fails now and then has to pass for long until that is no chance.
    pub fn back(&self) -> i64 {
        let seldom = self.0.values().copied().fold(1.0, f64::min);
        let passes = BY_CHANCE.ln() / (1.0 - seldom).ln();
        (passes.ceil() as i64 + BACK).clamp(BACK, BACK_MOST)
    }

    /// None: it is not broken, as far as is known.
    pub fn rate(&self, subject: &Subject) -> Option<f64> {
        self.0.get(subject).copied()
    }
}
