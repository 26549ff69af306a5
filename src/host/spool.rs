//! Reports that the coordinator has not taken yet, as files: a host that is started again delivers them.

use super::client::Client;
use crate::api::FinishRequest;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The folder of them, in the data folder.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
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

    /// Delivers a report, and keeps it in a file as long as that takes.
    pub async fn deliver(&self, client: &Client, attempt: &str, finish: FinishRequest) {
        let kept = Kept {
            attempt: attempt.to_owned(),
            finish,
        };
        let path = self.folder.join(format!("{attempt}.json"));
        if let Err(error) = keep(&path, &kept) {
            // a full disk must not cost the result as long as this process lives
            tracing::warn!(attempt, error = format!("{error:#}"), "failed to keep a report");
        }
        hand_in(client, &kept, &path).await;
    }

    /// Delivers what an earlier life has left.
    pub async fn deliver_left(&self, client: &Client) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let kept = std::fs::read(&path)
                .map_err(anyhow::Error::from)
                .and_then(|bytes| Ok(serde_json::from_slice::<Kept>(&bytes)?));
            match kept {
                Ok(kept) => hand_in(client, &kept, &path).await,
                Err(error) => {
                    tracing::warn!(file = %path.display(), error = format!("{error:#}"), "a report can't be read");
                    let _ = std::fs::remove_file(&path);
                }
            }
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
        Err(error) => tracing::warn!(attempt, error = format!("{error:#}"), "the report was refused"),
    }
    let _ = std::fs::remove_file(path);
}

fn keep(path: &Path, kept: &Kept) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(kept)?)?;
    Ok(std::fs::rename(&new, path)?)
}
