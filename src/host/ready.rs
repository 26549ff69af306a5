//! Decides whether a host takes jobs now, by its owner's hours, its engine and its disk.

use super::Host;
use super::client::Client;
use crate::domain::host::Capabilities;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often an idle host reports why it takes no jobs, so that the coordinator does not take it for silent.
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// The state that was logged last. The slots share it, so that each change is logged once.
#[derive(Default)]
pub struct ReadinessLog(Mutex<String>);

impl ReadinessLog {
    /// Logs why the host takes no jobs, or that it takes jobs again. Logs nothing if the state is the one logged last.
    pub fn note(&self, ready: &Result<(), Pause>) {
        let now = match ready {
            Ok(()) => "",
            Err(Pause::Rests(hours)) => hours,
            Err(Pause::Unwell(reason)) => reason,
        };
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *logged == now {
            return;
        }
        match ready {
            Ok(()) => tracing::info!("this host takes jobs again"),
            Err(Pause::Rests(hours)) => {
                tracing::info!("this host takes no jobs outside of its hours; it works {hours}");
            }
            Err(Pause::Unwell(reason)) => {
                tracing::error!(reason, "this host takes no jobs until that is fixed");
            }
        }
        now.clone_into(&mut logged);
    }
}

/// Why a host takes no jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The owner's hours exclude the present time. The text lists these hours.
    Rests(String),
    /// Someone has to fix a problem first, such as a full disk. The text says what to fix.
    Unwell(String),
}

impl Host {
    /// Checks whether the host takes jobs now. The error says why it takes none. Jobs wait for a host that can't work
    /// instead of failing on it.
    pub(super) async fn ready(&self) -> Result<(), Pause> {
        let say = self.policy.current();
        if say.rests(jiff::Timestamp::now()).is_some() {
            return Err(Pause::Rests(say.shown_hours().unwrap_or_default()));
        }
        self.well().await.map_err(Pause::Unwell)?;
        let needed = self.engine.min_free_gib;
        match self.disk_left().map(|left| left >> 30) {
            Some(left) if left < needed => Err(Pause::Unwell(format!(
                "{left} GiB are left of `host.disk`, less than {needed}; raise it, or lower `engine.min_free_gib`"
            ))),
            _ => Ok(()),
        }
    }

    /// Checks that the engine answers and has room. The error says what to fix. If the engine answers, also removes
    /// remains of ended attempts from it.
    pub(super) async fn well(&self) -> Result<(), String> {
        let engine = self.runtime.engine().await.map_err(|error| {
            self.leftovers.doubt();
            error.to_string()
        })?;
        self.clear_left().await;
        let needed = self.engine.min_free_gib;
        match engine.free_gib {
            Some(free) if free < needed => Err(format!(
                "the engine's disk has {free} GiB free, less than {needed}; make room on it, or lower `engine.min_free_gib`"
            )),
            _ => Ok(()),
        }
    }

    /// Returns the capabilities under the present host policy.
    pub fn capabilities_now(&self) -> Capabilities {
        self.policy.current().capabilities(&self.capabilities)
    }

    /// Reports to the coordinator why the host takes no jobs, and then once that it takes jobs again. Runs until it is
    /// dropped.
    pub(super) async fn report_pauses(&self, client: &Client) {
        let mut paused = false;
        loop {
            let pause = match self.ready().await {
                Ok(()) => None,
                Err(Pause::Rests(_)) => Some("outside of its hours".to_owned()),
                Err(Pause::Unwell(reason)) => Some(reason),
            };
            if pause.is_some() || paused {
                paused = pause.is_some();
                let capabilities = Capabilities {
                    pause,
                    ..self.capabilities_now()
                };
                if let Err(error) = client.capabilities(&capabilities).await {
                    tracing::debug!(
                        error = format!("{error:#}"),
                        "failed to report why this host takes no jobs"
                    );
                }
            }
            tokio::time::sleep(REPORT_EVERY).await;
        }
    }
}
