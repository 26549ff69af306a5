//! Reports that the coordinator has not taken yet, as files, each beside a folder with the rest of its log: a host
//! that is started again delivers them.

use super::client::{Client, Lost};
use super::deliver::deliver_left;
use crate::api::FinishRequest;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The folder of them, in the data folder.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Kept {
    attempt: String,
    #[serde(flatten)]
    finish: FinishRequest,
}

impl Spool {
    pub fn open(data: &Path) -> Result<Self> {
        let folder = data.join("spool");
        std::fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// The folder for what is not delivered of an attempt's log.
    pub fn of(&self, attempt: &str) -> PathBuf {
        self.folder.join(attempt)
    }

    /// Delivers a report, and keeps it in a file as long as that takes.
    pub async fn deliver(&self, client: &Client, attempt: &str, finish: FinishRequest) {
        self.keep(attempt, &finish);
        let kept = Kept {
            attempt: attempt.to_owned(),
            finish,
        };
        hand_in(client, &kept, &self.path(attempt)).await;
    }

    /// Keeps a report in a file.
    pub fn keep(&self, attempt: &str, finish: &FinishRequest) {
        let kept = serde_json::json!({ "attempt": attempt, "fence": finish.fence, "report": finish.report });
        if let Err(error) = write(&self.path(attempt), &kept) {
            // a full disk must not cost the result as long as this process lives
            tracing::warn!(attempt, error = format!("{error:#}"), "failed to keep a report");
        }
    }

    fn path(&self, attempt: &str) -> PathBuf {
        self.folder.join(format!("{attempt}.json"))
    }

    /// Delivers what an earlier life has left.
    pub async fn deliver_left(&self, client: &Client) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_none_or(|extension| extension != "json") {
                self.forget_log(&path).await;
                continue;
            }
            let kept = std::fs::read(&path)
                .map_err(anyhow::Error::from)
                .and_then(|bytes| Ok(serde_json::from_slice::<Kept>(&bytes)?));
            match kept {
                Ok(kept) => {
                    // first what its report speaks of
                    let folder = self.of(&kept.attempt);
                    match deliver_left(client, &kept.attempt, &kept.finish.fence, folder).await {
                        Ok(_) => {}
                        Err(error) => tracing::warn!(
                            attempt = kept.attempt,
                            error = format!("{error:#}"),
                            "failed to deliver the rest of a log"
                        ),
                    }
                    hand_in(client, &kept, &path).await;
                }
                Err(error) => {
                    tracing::warn!(file = %path.display(), error = format!("{error:#}"), "a report can't be read");
                    let _ = std::fs::remove_file(&path);
                }
            }
        }
    }
}

impl Spool {
    /// Of an attempt without a report nothing counts: its log was cut off with the life that it was written in.
    async fn forget_log(&self, folder: &Path) {
        if folder.is_dir() && !folder.with_extension("json").exists() {
            let _ = tokio::fs::remove_dir_all(folder).await;
        }
    }
}

async fn hand_in(client: &Client, kept: &Kept, path: &Path) {
    let attempt = &kept.attempt;
    match client.finish(attempt, &kept.finish).await {
        Ok(crate::queue::Taken::Counted) => {}
        Ok(crate::queue::Taken::Late) => {
            tracing::warn!(
                attempt,
                "the report came too late to count: another host had been given the job"
            );
        }
        Err(error) => {
            tracing::warn!(attempt, error = format!("{error:#}"), "the report was refused");
            if error.downcast_ref::<Lost>().is_some_and(|lost| !lost.is_final()) {
                // with another token, or another version of the program, it may be taken
                return;
            }
        }
    }
    let _ = std::fs::remove_file(path);
}

fn write(path: &Path, kept: &impl Serialize) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(kept)?)?;
    Ok(std::fs::rename(&new, path)?)
}
