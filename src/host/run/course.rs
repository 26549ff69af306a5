//! The part of a run that is made, and the part of it that stays. An owner who tries a recipe need not build everything
//! anew each time.

/// The first phase that is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Since {
    #[default]
    Fetch,
    Install,
    Test,
}

/// The part of a run that is made. The default is the whole run, and nothing stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// The first phase that is made. An attempt with the same id must have made the earlier phases and kept its work
    /// folder.
    pub since: Since,
    /// Whether the work folder stays on the engine.
    pub keeps: bool,
}

impl Since {
    /// Returns the file in the work folder that shows that the phase before was made, or `None` for the first phase.
    pub(super) fn mark(self) -> Option<&'static str> {
        match self {
            Since::Fetch => None,
            Since::Install => Some("fetched"),
            Since::Test => Some("installed"),
        }
    }
}
