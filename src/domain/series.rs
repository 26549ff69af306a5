//! The key of a series of results.

use crate::domain::id::BranchId;

/// The results of one project on one branch, as one variant on one platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    pub branch_id: BranchId,
    /// The name of the project.
    pub project: String,
    /// How CPython is built: `default` or `debug`, for example.
    pub variant: String,
    /// Operating system and architecture: `linux/amd64`, for example.
    pub platform: String,
}
