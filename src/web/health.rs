//! `/healthz`: reports to a monitor whether the coordinator can work.

use super::error::HandlerResult;
use super::response;
use super::route::Web;
use crate::watch::git::is_repository;
use crate::watch::sources::mirror_folder;
use anyhow::{Context, Result, ensure};
use rustix::fs::{StatVfsMountFlags, statvfs};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use warp::http::StatusCode;

/// The time after which a check fails.
const PATIENCE: Duration = Duration::from_secs(1);

/// Free bytes below which a disk counts as full, because logs and the database would soon fail.
const FREE_LEAST: u64 = 16 << 20;

#[derive(Serialize)]
struct Health {
    healthy: bool,
    checks: BTreeMap<&'static str, Check>,
}

#[derive(Serialize)]
struct Check {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Responds with the result of each check, and with status "unavailable" if one fails.
pub async fn healthz(web: Web) -> HandlerResult {
    let (disk, mirror) = (web.objects.data().to_owned(), mirror_folder(web.objects.data()));
    let database = async {
        web.store
            .open_jobs()
            .await
            .map(drop)
            .context("the database does not answer")
    };
    let (database, disk, mirror) = tokio::join!(
        check("the database does not answer", database),
        check(
            "the disk of the data folder does not answer",
            blocking(move || has_room(&disk))
        ),
        check(
            "the disk of the mirror does not answer",
            blocking(move || has_mirror(&mirror))
        ),
    );
    let checks = BTreeMap::from([("database", database), ("disk", disk), ("mirror", mirror)]);
    let healthy = checks.values().all(|check| check.ok);
    let mut response = response::json(&Health { healthy, checks });
    if !healthy {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

/// Makes a check. The result omits the cause of an error, because everybody can read it and a cause may name folders.
/// Logs the cause at debug level only, so that it does not fill the log.
async fn check(late: &str, check: impl Future<Output = Result<()>>) -> Check {
    let problem = match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            tracing::debug!(error = format!("{error:#}"), "a check of health failed");
            Some(error.to_string())
        }
        Err(_) => Some(late.to_owned()),
    };
    Check {
        ok: problem.is_none(),
        problem,
    }
}

async fn blocking(check: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    tokio::task::spawn_blocking(check).await?
}

/// Checks that the file system has room for a new file in a folder.
fn has_room(folder: &Path) -> Result<()> {
    let disk = statvfs(folder).context("the data folder can't be read")?;
    ensure!(
        !disk.f_flag.contains(StatVfsMountFlags::RDONLY),
        "the disk of the data folder is read-only"
    );
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    ensure!(
        free >= FREE_LEAST,
        "the disk of the data folder is full: {} MiB are free",
        free >> 20
    );
    // some file systems do not count files
    ensure!(
        disk.f_files == 0 || disk.f_favail > 0,
        "the disk of the data folder can't hold another file"
    );
    Ok(())
}

fn has_mirror(folder: &Path) -> Result<()> {
    ensure!(
        is_repository(folder),
        "the mirror is missing; it is copied again at the next poll"
    );
    Ok(())
}
