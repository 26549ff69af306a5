//! The texts of pages: labels, sentences, and numbers with their units. Nothing here does I/O.

mod badge;
mod cells;
mod failures;
mod hosts;
mod incidents;
mod queue;
mod units;
mod verdicts;

pub use badge::{Badge, badge};
pub use cells::{
    cell_badge, image_badge, image_sentence, legend, meaning_badge, named_badge, outcome_badge, place, sentence,
    state_badge,
};
pub use failures::failure;
pub use hosts::{host_badge, policy};
pub use incidents::{assignee, incident_badge, question, unconfirmed_badge};
pub use queue::{backlog, fleet};
pub use units::{Time, brief_duration, duration, short, short_digest, size, time};
pub use verdicts::{Proof, run_verdict};

use crate::domain::DEFAULT_VARIANT;

/// Returns the name of a row in commands and addresses: `NAME`, or `NAME:VARIANT` if the variant is not the default.
pub fn row_name(revision: &str, variant: &str) -> String {
    match variant {
        DEFAULT_VARIANT => revision.to_owned(),
        _ => format!("{revision}:{variant}"),
    }
}

/// Returns the variant, or `None` for the default, which pages omit.
pub fn unusual_variant(variant: &str) -> Option<String> {
    (variant != DEFAULT_VARIANT).then(|| variant.to_owned())
}
