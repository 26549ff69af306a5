//! What the recipe of a project says about the project itself.

use serde::{Deserialize, Serialize};

/// The words by which pages find projects. They come from the recipe in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectTags {
    /// Mail addresses or handles.
    #[serde(default)]
    pub owners: Vec<String>,
    #[serde(default)]
    pub labels: Vec<String>,
    /// From 1 (a regression should hold a release) to 3 (it is nice to know).
    #[serde(default)]
    pub tier: Option<u8>,
}

impl ProjectTags {
    /// Returns whether the project has this owner, in whatever case.
    pub fn has_owner(&self, name: &str) -> bool {
        has(&self.owners, name)
    }

    /// Returns whether the project has this label, in whatever case.
    pub fn has_label(&self, name: &str) -> bool {
        has(&self.labels, name)
    }
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|other| other.to_lowercase() == name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_in_whatever_case() {
        let tags = ProjectTags {
            owners: vec!["Ada@example.org".into()],
            labels: vec!["Web".into()],
            tier: Some(1),
        };
        assert!(tags.has_owner("ada@example.org") && tags.has_label("WEB"));
        assert!(!tags.has_owner("ada") && !tags.has_label("") && !ProjectTags::default().has_label("web"));
    }
}
