//! Which part of a run is made, and what stays of it: an owner who tries a recipe need not build everything anew each time.

/// The first phase that is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Since {
    #[default]
    Fetch,
    Install,
    Test,
}

/// Which part of a run is made. The default is all of it, and nothing stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Earlier phases were made by an attempt with the same id that kept its work folder.
    pub since: Since,
    /// Whether the work folder stays on the engine.
    pub keeps: bool,
}

impl Since {
    /// The file in the work folder that says that the phase before was made.
    pub(super) fn mark(self) -> Option<&'static str> {
        match self {
            Since::Fetch => None,
            Since::Install => Some("fetched"),
            Since::Test => Some("installed"),
        }
    }
}
