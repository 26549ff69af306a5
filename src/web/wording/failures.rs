//! Error pages.

use crate::web::error::Error;

/// Title and advice of the page for an error.
pub fn failure(error: &Error) -> (&'static str, &'static str) {
    match error {
        Error::NotFound(_) => (
            "There is no such page",
            "The address may be mistyped, or Pybots has nothing of this name. A new revision appears here about a minute after it arrives in the repository.",
        ),
        Error::MethodNotAllowed => ("This page is read-only", "Use GET."),
        Error::Unavailable(_) => (
            "Too many logs are being followed",
            "Try again in a moment. The raw log has everything that was written.",
        ),
        _ => (
            "Pybots failed to make this page",
            "Nothing is lost. Try again in a moment. If the error persists, the log of the coordinator has the reason.",
        ),
    }
}
