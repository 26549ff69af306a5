//! Keeps reports that are not delivered yet as files, each beside a folder with the rest of its log. A host delivers
//! them when it starts again.

use super::client::{CallRefused, Client};
use super::deliver::deliver_left;
use crate::protocol::{FinishRequest, Receipt};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The spool folder, in the data folder.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
}

#[derive(Deserialize)]
struct SpooledReport {
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

    /// Returns the folder for the undelivered log of an attempt.
    pub fn of(&self, attempt: &str) -> PathBuf {
        self.folder.join(attempt)
    }

    /// Delivers a report, and waits until the coordinator answers. A file keeps the report until it is accepted, or
    /// refused for good.
    pub async fn deliver(&self, client: &Client, attempt: &str, finish: FinishRequest) {
        self.keep(attempt, &finish);
        let kept = SpooledReport {
            attempt: attempt.to_owned(),
            finish,
        };
        hand_in(client, &kept, &self.path(attempt)).await;
    }

    /// Keeps a report in a file. A failure is logged.
    pub fn keep(&self, attempt: &str, finish: &FinishRequest) {
        let kept = serde_json::json!({ "attempt": attempt, "fence": finish.fence, "report": finish.report });
        if let Err(error) = write(&self.path(attempt), &kept) {
            // the result must survive a full disk as long as this process runs
            tracing::warn!(attempt, error = format!("{error:#}"), "failed to keep a report");
        }
    }

    fn path(&self, attempt: &str) -> PathBuf {
        self.folder.join(format!("{attempt}.json"))
    }

    /// Delivers the reports and logs that an earlier process of this host left. Removes reports that can't be read, and
    /// logs without a report.
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
                .and_then(|bytes| Ok(serde_json::from_slice::<SpooledReport>(&bytes)?));
            match kept {
                Ok(kept) => {
                    // the log before its report
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
    /// Removes the log of an attempt without a report. The attempt did not end, so its log is of no use.
    async fn forget_log(&self, folder: &Path) {
        if folder.is_dir() && !folder.with_extension("json").exists() {
            let _ = tokio::fs::remove_dir_all(folder).await;
        }
    }
}

async fn hand_in(client: &Client, kept: &SpooledReport, path: &Path) {
    let attempt = &kept.attempt;
    match finish(client, kept).await {
        Ok(Receipt::Counted) => {}
        Ok(Receipt::Late) => {
            tracing::warn!(
                attempt,
                "the report is too late to count: another host was given the job"
            );
        }
        Err(error) => {
            tracing::warn!(attempt, error = format!("{error:#}"), "the report was refused");
            if error.downcast_ref::<CallRefused>().is_some_and(|lost| !lost.is_final()) {
                // the coordinator may accept it with another token, or from another version of the program
                return;
            }
        }
    }
    let _ = std::fs::remove_file(path);
}

/// Delivers a report. If it is too large for the coordinator, delivers it without the results of its tests, because the
/// outcome counts more.
async fn finish(client: &Client, kept: &SpooledReport) -> Result<Receipt> {
    let whole = client.finish(&kept.attempt, &kept.finish).await;
    let is_too_large = |error: &anyhow::Error| {
        error
            .downcast_ref::<CallRefused>()
            .is_some_and(CallRefused::is_too_large)
    };
    match whole {
        Err(error) if is_too_large(&error) && kept.finish.report.tests.is_some() => {
            tracing::warn!(
                attempt = kept.attempt,
                "the report is too large; delivering it without its tests"
            );
            let mut short = kept.finish.clone();
            short.report.tests = None;
            client.finish(&kept.attempt, &short).await
        }
        whole => whole,
    }
}

fn write(path: &Path, kept: &impl Serialize) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(kept)?)?;
    Ok(std::fs::rename(&new, path)?)
}
