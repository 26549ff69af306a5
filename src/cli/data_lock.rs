//! Locks on the data folder, so that two processes never do the same work in it.

use anyhow::{Context, Result, bail};
use std::fs::{File, TryLockError};
use std::path::Path;

/// A lock on the data folder. It ends when it is dropped, and when the process ends.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

/// The coordinator's lock on a data folder. Commands that only read the store, or add to it, do not need it.
#[derive(Debug)]
pub struct CoordinatorLock {
    _lock: DataLock,
}

/// Locks the data folder for a coordinator. A second coordinator would migrate the database of the first, and plan,
/// investigate and notify everything twice.
pub fn coordinator(data: &Path) -> Result<CoordinatorLock> {
    let lock = lock(data, "coordinator.lock", "`pybots serve` or `pybots up`")?;
    Ok(CoordinatorLock { _lock: lock })
}

/// Locks the data folder for a host. A second host would remove the containers of the first as leftovers of a crash.
pub fn host(data: &Path) -> Result<DataLock> {
    lock(data, "host.lock", "`pybots host` or `pybots up`")
}

/// Creates the data folder if it is missing, and locks a file in it. `owners` names the commands that take this lock.
fn lock(data: &Path, name: &str, owners: &str) -> Result<DataLock> {
    let shown = data.display();
    std::fs::create_dir_all(data).with_context(|| format!("failed to make the data folder {shown}; set `data`"))?;
    let path = data.join(name);
    let file = File::create(&path).with_context(|| format!("failed to write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(DataLock { _file: file }),
        Err(TryLockError::WouldBlock) => {
            bail!("another {owners} works with {shown}; stop it, or set `data` to another folder")
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("failed to lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_holds_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let first = coordinator(&data).unwrap();
        let refused = coordinator(&data).unwrap_err().to_string();
        assert!(refused.contains(&data.display().to_string()), "{refused}");
        assert!(refused.contains("another `pybots serve` or `pybots up`"), "{refused}");
        // a coordinator and one host share a data folder
        let _host = host(&data).unwrap();
        drop(first);
        coordinator(&data).unwrap();
    }
}
