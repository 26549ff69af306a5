//! The two directions in which a subject can change.

use super::subject::Observation;

/// The change that an investigation looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// From passing to failing.
    Broke,
    /// From failing to passing.
    Fixed,
}

impl Change {
    /// Returns the name under which the database stores it.
    pub fn name(self) -> &'static str {
        match self {
            Change::Broke => "broke",
            Change::Fixed => "fixed",
        }
    }

    /// Swaps pass and fail in a search for a fix. The rules then see the same picture in both directions: the first end
    /// passes and the last one fails.
    pub(super) fn as_break(self, observation: Observation) -> Observation {
        match (self, observation) {
            (Change::Fixed, Observation::Pass) => Observation::Fail,
            (Change::Fixed, Observation::Fail) => Observation::Pass,
            (_, observation) => observation,
        }
    }
}
