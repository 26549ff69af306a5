//! The host policy: the table `[host]` of the settings file. The file is read again whenever it has changed.

use crate::config::{HostSettings, Loaded, Settings, environment};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The modification time and the length of a file. A file with another stamp is read again.
type Stamp = (SystemTime, u64);

pub struct HostPolicy {
    file: Option<PathBuf>,
    state: Mutex<PolicyState>,
}

struct PolicyState {
    say: HostSettings,
    stamp: Option<Stamp>,
}

impl HostPolicy {
    /// Creates a policy that never changes.
    pub fn fixed(say: HostSettings) -> Self {
        let state = PolicyState { say, stamp: None };
        Self {
            file: None,
            state: Mutex::new(state),
        }
    }

    /// Creates the policy of a settings file, which follows the changes of the file.
    pub fn follow(loaded: &Loaded) -> Self {
        let owner = Self {
            file: loaded.file.clone(),
            ..Self::fixed(loaded.settings.host.clone())
        };
        // later changes of the file give another stamp
        owner.state().stamp = owner.stamp();
        owner
    }

    /// Returns the policy that applies now. A file that can't be read is logged once, and the policy before it stays.
    pub fn current(&self) -> HostSettings {
        let stamp = self.stamp();
        let mut state = self.state();
        if stamp != state.stamp {
            state.stamp = stamp;
            match Settings::load(self.file.as_deref(), &environment()) {
                Ok(loaded) if loaded.settings.host != state.say => {
                    tracing::info!(
                        "read the table [host] of the settings file again; its other tables apply from the next start"
                    );
                    state.say = loaded.settings.host;
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "the settings file can't be used; the policy stays as it was"),
            }
        }
        state.say.clone()
    }

    fn stamp(&self) -> Option<Stamp> {
        let file = std::fs::metadata(self.file.as_ref()?).ok()?;
        Some((file.modified().ok()?, file.len()))
    }

    fn state(&self) -> MutexGuard<'_, PolicyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_file_is_read_again_and_a_wrong_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("[host]\nlabels = [\"one\"]\n");
        let loaded = Settings::load(Some(&file), &BTreeMap::new()).unwrap();
        let policy = HostPolicy::follow(&loaded);
        let labels = || policy.current().labels.into_iter().collect::<Vec<_>>();
        assert_eq!(labels(), ["one"]);
        write("[host]\nlabels = [\"one\", \"two\"]\n");
        assert_eq!(labels(), ["one", "two"]);
        write("[host]\nlabels = nonsense\n");
        assert_eq!(labels(), ["one", "two"]);
        write("[host]\nlabels = []\n");
        assert_eq!(labels(), Vec::<String>::new());
        std::fs::remove_file(&file).unwrap();
        assert_eq!(labels(), Vec::<String>::new());
    }
}
