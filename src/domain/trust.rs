//! Decides whose word about a revision counts: which projects are maintained, which are in probation, and when one word
//! is enough. A suite can fail on purpose on the revision of somebody whom its author dislikes. So one unknown project
//! is not enough to name an author.

use std::collections::{BTreeMap, BTreeSet};

/// The maintained projects, for whose recipes the maintainers of this Pybots answer. The operator names them, and no
/// recipe can. All others are community projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maintained {
    All,
    These(BTreeSet<String>),
}

/// The operator's settings about projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    pub maintained: Maintained,
    /// A community project is in probation until maintainers have agreed with this many of its incidents.
    pub probation: u32,
    /// The owners of community projects, by project. Owners that a recipe names do not count, because a person who
    /// registers two recipes can write two names.
    pub owners: BTreeMap<String, String>,
}

/// A project that says that a revision broke it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Accuser {
    /// The coordinator itself, which sees that CPython does not build.
    Coordinator,
    Project {
        name: String,
        /// The number of its incidents with which maintainers agreed.
        agreed: i64,
    },
}

/// The voice with which a result counts. All recipes of one owner share a voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Voice<'a> {
    /// A maintained project, by its name.
    Project(&'a str),
    /// All community projects of one owner. `None` stands for the projects whose owner the settings do not name. They
    /// share one voice, because one person may own them all.
    Owner(Option<&'a str>),
}

impl Trust {
    /// Returns the voice of a project's results.
    pub fn voice<'a>(&'a self, project: &'a str) -> Voice<'a> {
        match self.is_maintained(project) {
            true => Voice::Project(project),
            false => Voice::Owner(self.owners.get(project).map(String::as_str)),
        }
    }

    /// Trusts every project, as if maintainers answered for all recipes.
    pub fn all() -> Self {
        Self {
            maintained: Maintained::All,
            probation: 0,
            owners: BTreeMap::new(),
        }
    }

    pub fn is_maintained(&self, project: &str) -> bool {
        match &self.maintained {
            Maintained::All => true,
            Maintained::These(names) => names.contains(project),
        }
    }

    /// Returns whether a project is in probation. `agreed` is the number of its incidents with which maintainers
    /// agreed.
    pub fn is_in_probation(&self, project: &str, agreed: i64) -> bool {
        !self.is_maintained(project) && agreed < i64::from(self.probation)
    }

    /// Returns whether these accusers of one revision are enough to name its author. They are if one of them is the
    /// coordinator or is not in probation, or if two of them have different owners. Projects whose owner the settings
    /// do not name may all have the same one.
    pub fn believes<'a>(&self, accusers: impl IntoIterator<Item = &'a Accuser>) -> bool {
        let mut owners = BTreeSet::new();
        accusers.into_iter().any(|accuser| match accuser {
            Accuser::Coordinator => true,
            Accuser::Project { name, agreed } => {
                owners.extend(self.owners.get(name));
                !self.is_in_probation(name, *agreed) || owners.len() > 1
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust() -> Trust {
        let owners = [("a", "alice"), ("b", "bob"), ("b2", "bob")];
        Trust {
            maintained: Maintained::These(["kept".to_owned()].into()),
            probation: 1,
            owners: owners.map(|(project, owner)| (project.into(), owner.into())).into(),
        }
    }

    fn project(name: &str, agreed: i64) -> Accuser {
        Accuser::Project {
            name: name.into(),
            agreed,
        }
    }

    #[test]
    fn an_author_is_named_on_the_word_of_two_owners_or_of_one_trusted_project() {
        let table = [
            (vec![project("a", 0)], false, "one project"),
            (vec![project("a", 1)], true, "its probation is over"),
            (vec![project("kept", 0)], true, "a maintained one"),
            (vec![Accuser::Coordinator], true, "CPython does not build"),
            (
                vec![project("b", 0), project("b2", 0)],
                false,
                "two recipes of one owner",
            ),
            (vec![project("a", 0), project("b", 0)], true, "two owners"),
            (
                vec![project("b", 0), project("b2", 0), project("a", 0)],
                true,
                "two owners",
            ),
            (
                vec![project("x", 0), project("y", 0)],
                false,
                "owners that nobody knows",
            ),
            (
                vec![project("a", 0), project("x", 0)],
                false,
                "x may be alice's as well",
            ),
            (
                vec![project("x", 0), project("kept", 0)],
                true,
                "a maintained one agrees",
            ),
            (vec![], false, "nobody"),
        ];
        for (accusers, expected, why) in table {
            assert_eq!(trust().believes(&accusers), expected, "{why}");
        }
        assert!(Trust::all().believes(&[project("a", 0)]));
    }

    #[test]
    fn probation_ends_with_the_incidents_with_which_maintainers_agreed() {
        let strict = Trust {
            probation: 2,
            ..trust()
        };
        assert!(strict.is_in_probation("a", 1));
        assert!(!strict.is_in_probation("a", 2));
        assert!(!strict.is_in_probation("kept", 0));
        let none = Trust {
            probation: 0,
            ..trust()
        };
        assert!(!none.is_in_probation("a", 0));
    }
}
