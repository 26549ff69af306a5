//! Whether a host takes jobs now: its owner's hours, its engine, its disk.

use super::Host;
use super::client::Client;
use crate::domain::host::Offer;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often the coordinator learns that a host takes no jobs: it is idle, and has not fallen silent.
const TELL: Duration = Duration::from_secs(30);

/// What was said last; the slots share it, so that each change is said once.
#[derive(Default)]
pub struct Told(Mutex<String>);

impl Told {
    /// Says why nothing is taken, or that something is again.
    pub fn say(&self, ready: &Result<(), Pause>) {
        let now = match ready {
            Ok(()) => "",
            Err(Pause::Rests(hours)) => hours,
            Err(Pause::Unwell(reason)) => reason,
        };
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == now {
            return;
        }
        match ready {
            Ok(()) => tracing::info!("this host takes jobs again"),
            Err(Pause::Rests(hours)) => {
                tracing::info!("this host takes no new jobs outside of its hours; it works {hours}");
            }
            Err(Pause::Unwell(reason)) => {
                tracing::error!(reason, "this host takes no jobs until that is mended");
            }
        }
        now.clone_into(&mut told);
    }
}

/// Why a host takes no jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Its hours.
    Rests(String),
    /// What to mend.
    Unwell(String),
}

impl Host {
    /// Whether it takes jobs now: jobs wait for a host that can't work instead of failing on it.
    pub(super) async fn ready(&self) -> Result<(), Pause> {
        let say = self.owner.say();
        if say.rests(jiff::Timestamp::now()).is_some() {
            return Err(Pause::Rests(say.shown_hours().unwrap_or_default()));
        }
        self.well().await.map_err(Pause::Unwell)?;
        let needed = self.engine.min_free_gib;
        match self.left_of_share().map(|left| left >> 30) {
            Some(left) if left < needed => Err(Pause::Unwell(format!(
                "of what the owner gives (`host.disk`) {left} GiB are left, less than {needed}; raise it, or lower `engine.min_free_gib`"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether its engine answers and has room. Otherwise what to mend.
    pub(super) async fn well(&self) -> Result<(), String> {
        let engine = self.runtime.engine().await.map_err(|error| error.to_string())?;
        let needed = self.engine.min_free_gib;
        match engine.free_gib {
            Some(free) if free < needed => Err(format!(
                "the engine's disk has {free} GiB free, less than {needed}; make room on it, or lower `engine.min_free_gib`"
            )),
            _ => Ok(()),
        }
    }

    /// What this host offers now.
    pub fn offer_now(&self) -> Offer {
        self.owner.say().offer(&self.offer)
    }

    /// Tells the coordinator why nothing is taken, as long as that is so.
    pub(super) async fn tell(&self, client: &Client) {
        let mut paused = false;
        loop {
            let pause = match self.ready().await {
                Ok(()) => None,
                Err(Pause::Rests(_)) => Some("outside of its hours".to_owned()),
                Err(Pause::Unwell(reason)) => Some(reason),
            };
            if pause.is_some() || paused {
                paused = pause.is_some();
                let offer = Offer {
                    pause,
                    ..self.offer_now()
                };
                if let Err(error) = client.offer(&offer).await {
                    tracing::debug!(error = format!("{error:#}"), "failed to tell why no job is taken");
                }
            }
            tokio::time::sleep(TELL).await;
        }
    }
}
