//! The texts of error pages.

use crate::web::error::Error;

/// Returns the title and the advice of the page for an error.
pub fn failure(error: &Error) -> (&'static str, String) {
    match error {
        Error::NotFound(_) => (
            "There is no such page",
            "The address may be mistyped, or Pybots has nothing of this name. A new revision appears here about a minute after it arrives in the repository.".to_owned(),
        ),
        Error::MethodNotAllowed => ("This page is read-only", "Use GET.".to_owned()),
        Error::Unavailable(message) => ("Pybots can't answer at the moment", sentence(message)),
        Error::Internal(_) => (
            "Pybots failed to make this page",
            "Nothing is lost. Try again in a moment. If the error persists, the log of the coordinator has the reason.".to_owned(),
        ),
        other => ("Pybots can't answer this request", sentence(&other.to_string())),
    }
}

/// Formats a message as a sentence.
fn sentence(message: &str) -> String {
    let mut characters = message.chars();
    let first = characters.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), characters.as_str())
}
