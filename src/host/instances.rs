//! The starts of a host's daemon, called instances. Two daemons may run with one token on one engine, by mistake. So
//! each labels its containers by its instance. It removes only its own containers and the containers of instances that
//! have surely ended, because they worked with the data folder which this process has locked.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The file with the instances that have worked with a data folder, one a line.
const FILE: &str = "host-instances";

/// This instance of a daemon, and earlier ones that have ended.
#[derive(Clone, Debug)]
pub struct Instances {
    own: String,
    gone: BTreeSet<String>,
    file: Option<PathBuf>,
}

impl Default for Instances {
    /// Creates an instance that no file records.
    fn default() -> Self {
        Self {
            own: uuid::Uuid::new_v4().to_string(),
            gone: BTreeSet::new(),
            file: None,
        }
    }
}

impl Instances {
    /// Begins an instance on a data folder that the caller has locked.
    pub fn begin(data: &Path) -> Result<Self> {
        let file = data.join(FILE);
        let earlier = std::fs::read_to_string(&file).unwrap_or_default();
        let instances = Self {
            gone: earlier
                .lines()
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect(),
            file: Some(file),
            ..Self::default()
        };
        instances.write(instances.gone.iter().chain([&instances.own]))?;
        Ok(instances)
    }

    pub fn own(&self) -> &str {
        &self.own
    }

    /// Returns the earlier instances, which have ended.
    pub fn gone(&self) -> impl Iterator<Item = &str> {
        self.gone.iter().map(String::as_str)
    }

    /// Forgets earlier instances of which nothing is left on the engine.
    pub fn forget_gone(&self) -> Result<()> {
        self.write(std::iter::once(&self.own))
    }

    /// Returns whether the remains of an instance may be removed. `None` stands for an instance of a version that had
    /// no such label.
    pub fn may_remove(&self, instance: Option<&str>) -> bool {
        instance.is_none_or(|instance| instance == self.own || self.gone.contains(instance))
    }

    fn write<'a>(&self, instances: impl Iterator<Item = &'a String>) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let text: String = instances.map(|instance| format!("{instance}\n")).collect();
        std::fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_instances_of_the_same_data_folder_are_gone() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = Instances::begin(one.path()).unwrap();
        let elsewhere = Instances::begin(other.path()).unwrap();
        let second = Instances::begin(one.path()).unwrap();
        assert!(second.may_remove(Some(first.own())) && second.may_remove(Some(second.own())));
        assert!(!second.may_remove(Some(elsewhere.own())) && !elsewhere.may_remove(Some(first.own())));
        assert!(!first.may_remove(Some(second.own())));
        assert!(second.may_remove(None));
        // a start that was killed before it removed anything is not forgotten
        let third = Instances::begin(one.path()).unwrap();
        assert_eq!(third.gone().count(), 2);
        third.forget_gone().unwrap();
        assert_eq!(
            Instances::begin(one.path()).unwrap().gone().collect::<Vec<_>>(),
            [third.own()]
        );
    }
}
