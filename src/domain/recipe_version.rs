//! The states of submitted recipes: of each version, and of the project that they are for. Pure rules.

use super::names::names;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The state of one version of a submitted recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VersionState {
    /// The trial of the version has not ended.
    Trial,
    /// The version waits for a maintainer.
    Waiting,
    Approved,
    Refused,
    /// Another version was submitted before anybody decided about this one.
    Superseded,
}

names!(
    VersionState,
    "state of a recipe's version": Trial = "trial",
    Waiting = "waiting",
    Approved = "approved",
    Refused = "refused",
    Superseded = "superseded",
);

impl VersionState {
    /// Returns whether nobody has decided yet.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Trial | Self::Waiting)
    }
}

/// The state of a project whose recipe was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProjectState {
    /// No version was approved yet.
    Proposed,
    Active,
    /// Nothing runs until somebody resumes it.
    Paused,
    /// Nothing runs any more. The results and the name stay.
    Retired,
}

names!(
    ProjectState,
    "state of a project": Proposed = "proposed",
    Active = "active",
    Paused = "paused",
    Retired = "retired",
);

/// An action of an owner or a maintainer on a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum ProjectMove {
    Pause,
    Resume,
    Retire,
}

names!(ProjectMove, "action": Pause = "pause", Resume = "resume", Retire = "retire");

/// The answer to the hand-over of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum HandOverAnswer {
    /// The receiver takes the project.
    Accept,
    /// The owner keeps the project.
    Withdraw,
}

names!(HandOverAnswer, "action": Accept = "accept", Withdraw = "withdraw");

impl ProjectState {
    /// Returns the state after an action. `has_version` says whether a version is in force. The error says why the
    /// action is not possible.
    pub fn after(self, action: ProjectMove, has_version: bool) -> Result<Self, &'static str> {
        use ProjectMove::*;
        match (self, action) {
            (Self::Retired, Resume) if has_version => Ok(Self::Active),
            (Self::Retired, Resume) => Ok(Self::Proposed),
            (Self::Retired, Pause) => Err("the project is retired"),
            (Self::Retired, Retire) => Err("the project is retired already"),
            (_, Retire) => Ok(Self::Retired),
            (Self::Active, Pause) => Ok(Self::Paused),
            (Self::Paused, Resume) => Ok(Self::Active),
            (Self::Paused, Pause) => Err("the project is paused already"),
            (Self::Active, Resume) => Err("the project is active already"),
            (Self::Proposed, _) => Err("no version of its recipe was approved yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_goes_from_state_to_state_as_the_table_says() {
        use ProjectMove::*;
        use ProjectState::*;
        let table = [
            (Proposed, [None, None, Some(Retired)]),
            (Active, [Some(Paused), None, Some(Retired)]),
            (Paused, [None, Some(Active), Some(Retired)]),
            (Retired, [None, Some(Active), None]),
        ];
        for (state, row) in table {
            let found = [Pause, Resume, Retire].map(|action| state.after(action, true).ok());
            assert_eq!(found, row, "{state}");
        }
        assert_eq!(Retired.after(Resume, false), Ok(Proposed));
    }
}
