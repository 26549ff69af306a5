//! The owner's say: the table `[host]` of the settings file, read again whenever the file has changed.

use crate::config::{HostSettings, Loaded, Settings, environment};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// By which a file that was written anew is known.
type Stamp = (SystemTime, u64);

pub struct Owner {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    say: HostSettings,
    stamp: Option<Stamp>,
}

impl Owner {
    /// A say that stays as it is.
    pub fn fixed(say: HostSettings) -> Self {
        let state = State { say, stamp: None };
        Self {
            file: None,
            state: Mutex::new(state),
        }
    }

    /// What the settings say now and later.
    pub fn of(loaded: &Loaded) -> Self {
        let owner = Self {
            file: loaded.file.clone(),
            ..Self::fixed(loaded.settings.host.clone())
        };
        // what is written from now on is new
        owner.state().stamp = owner.stamp();
        owner
    }

    /// What holds now. A file that can't be used is said once, and changes nothing.
    pub fn say(&self) -> HostSettings {
        let stamp = self.stamp();
        let mut state = self.state();
        if stamp != state.stamp {
            state.stamp = stamp;
            match Settings::load(self.file.as_deref(), &environment()) {
                Ok(loaded) if loaded.settings.host != state.say => {
                    tracing::info!(
                        "took over the table [host] of the settings file; the rest of it holds from the next start on"
                    );
                    state.say = loaded.settings.host;
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "the settings file can't be used; what it said before holds"),
            }
        }
        state.say.clone()
    }

    fn stamp(&self) -> Option<Stamp> {
        let file = std::fs::metadata(self.file.as_ref()?).ok()?;
        Some((file.modified().ok()?, file.len()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
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
        let owner = Owner::of(&loaded);
        let labels = || owner.say().labels.into_iter().collect::<Vec<_>>();
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
