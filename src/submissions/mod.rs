//! Submitted recipes: owners submit versions, each is tried on the newest image, and a maintainer or the policy
//! decides. [`crate::coordinator`] plans the trials.

mod decide;
mod difference;
mod find;
mod manage;
mod policy;
mod submit;

pub use decide::{VersionMove, decide, trial_ended};
pub use difference::difference;
pub use find::{owners, registration, version};
pub use manage::{answer_hand_over, hand_over, move_project};
pub use policy::objections;
pub use submit::{Submission, submit};
