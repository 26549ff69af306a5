//! Badges and sentences for the states of cells, attempts and images.

use super::badge::{Badge, badge};
use super::units::{brief_duration, duration, short};
use crate::domain::outcome::{Outcome, Timeout, signal_name};
use crate::domain::time::Timestamp;
use crate::store::views::{ImageProgress, Row, RunCell};
use crate::verdict::{Cell, RowHealth};

/// Returns the badge for the common state of a row, or `None` if its cells have nothing in common.
pub fn meaning_badge(meaning: RowHealth) -> Option<Badge> {
    match meaning {
        RowHealth::Plain => None,
        RowHealth::UpstreamRed { newly, of } => {
            Some(badge("fail", "✗", format!("upstream red: {newly} of {of} newly fail")))
        }
        RowHealth::NotMeaningful { unknown, of } => Some(badge(
            "unknown",
            "?",
            format!("not meaningful: {unknown} of {of} unknown"),
        )),
    }
}

/// Returns the states of cells, in the order of the legend.
pub fn legend() -> Vec<Badge> {
    vec![
        badge("pass", "✓", "passed"),
        badge("fail", "✗", "failed, with the number of tests or the cause"),
        badge("flaky", "≈", "attempts disagree"),
        badge("pending", "⋯", "waiting"),
        badge("running", "▸", "running"),
        badge("unknown", "?", "no valid attempt"),
        badge("no_image", "–", "no image to run on"),
        badge("skipped", "↷", "skipped"),
        badge("empty", "·", "project registered later"),
    ]
}

pub fn cell_badge(cell: &RunCell) -> Badge {
    match cell.state {
        Cell::Pass => badge(
            "pass",
            "✓",
            cell.seconds.map_or_else(|| "passed".to_owned(), brief_duration),
        ),
        Cell::Fail => badge("fail", "✗", failure_in_brief(cell)),
        Cell::Flaky => badge("flaky", "≈", "flaky"),
        Cell::Unknown => badge(
            "unknown",
            "?",
            cell.outcome.as_ref().map_or_else(|| "unknown".to_owned(), in_brief),
        ),
        Cell::NoImage => badge("no_image", "–", "no image"),
        Cell::Skipped => badge("skipped", "↷", "skipped"),
        Cell::Pending if cell.running => badge("running", "▸", "running"),
        Cell::Pending => badge("pending", "⋯", "waiting"),
    }
}

/// Describes a failure in one or two words: by how many tests failed, or else by its outcome.
fn failure_in_brief(cell: &RunCell) -> String {
    match (&cell.outcome, cell.failed_tests) {
        (Some(Outcome::Failed { .. }), Some(1)) => "1 test".to_owned(),
        (Some(Outcome::Failed { .. }), Some(many @ 2..)) => format!("{many} tests"),
        (Some(outcome), _) => in_brief(outcome),
        (None, _) => "failed".to_owned(),
    }
}

/// Returns the badge of a cell whose attempts were not read. `None` stands for a project without a run.
pub fn state_badge(state: Option<Cell>) -> Badge {
    match state {
        Some(Cell::Pass) => badge("pass", "✓", "pass"),
        Some(Cell::Fail) => badge("fail", "✗", "fail"),
        Some(Cell::Flaky) => badge("flaky", "≈", "flaky"),
        Some(Cell::Unknown) => badge("unknown", "?", "unknown"),
        Some(Cell::NoImage) => badge("no_image", "–", "no image"),
        Some(Cell::Skipped) => badge("skipped", "↷", "skipped"),
        Some(Cell::Pending) => badge("pending", "⋯", "waiting"),
        None => badge("empty", "·", "no run"),
    }
}

/// Describes an outcome in one or two words.
fn in_brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed => "passed".to_owned(),
        Outcome::Failed { exit_code: 0 } => "ended early".to_owned(),
        Outcome::Failed { exit_code } => format!("exit {exit_code}"),
        Outcome::Crashed { signal } => signal_name(*signal),
        Outcome::TimedOut { which: Timeout::Total } => "too long".to_owned(),
        Outcome::TimedOut {
            which: Timeout::Silence,
        } => "silent".to_owned(),
        Outcome::OutOfMemory => "memory".to_owned(),
        Outcome::SetupFailed { .. } => "setup".to_owned(),
        Outcome::RecipeError { .. } => "recipe".to_owned(),
        Outcome::Infra { .. } => "infra".to_owned(),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::Skipped { .. } => "skipped".to_owned(),
    }
}

/// Returns the badge of one attempt. `None` stands for a running attempt.
pub fn outcome_badge(outcome: Option<&Outcome>) -> Badge {
    let Some(outcome) = outcome else {
        return badge("running", "▸", "running");
    };
    let word = outcome.to_string();
    match outcome {
        Outcome::Passed => badge("pass", "✓", word),
        Outcome::Failed { .. }
        | Outcome::Crashed { .. }
        | Outcome::TimedOut { .. }
        | Outcome::OutOfMemory
        | Outcome::SetupFailed { .. } => badge("fail", "✗", word),
        Outcome::RecipeError { .. } | Outcome::Infra { .. } | Outcome::Cancelled => badge("unknown", "?", word),
        Outcome::Skipped { .. } => badge("skipped", "↷", word),
    }
}

/// Returns the badge of an attempt, given only the stored name of its outcome. `None` stands for a running attempt.
pub fn named_badge(outcome: Option<&str>) -> Badge {
    let Some(name) = outcome else {
        return outcome_badge(None);
    };
    let word = name.replace('_', " ");
    match name {
        "passed" => badge("pass", "✓", word),
        "failed" | "crashed" | "timed_out" | "out_of_memory" | "setup_failed" => badge("fail", "✗", word),
        "skipped" => badge("skipped", "↷", word),
        _ => badge("unknown", "?", word),
    }
}

/// Describes the state of a cell as a sentence.
pub fn sentence(cell: &RunCell, row: &Row, now: Timestamp) -> String {
    let image = &row.image;
    let time = cell
        .seconds
        .map(|seconds| format!(", {}", duration(seconds)))
        .unwrap_or_default();
    let phase = cell
        .failed_in
        .as_ref()
        .map(|phase| format!(" in {phase}"))
        .unwrap_or_default();
    // the reason of a failed setup already includes it
    let is_named = matches!(&cell.outcome, Some(Outcome::SetupFailed { .. }));
    let limit = cell.limit.as_ref().filter(|_| !is_named);
    let limit = limit.map(|limit| format!("; {limit}")).unwrap_or_default();
    let ended = cell.outcome.as_ref().map(Outcome::to_string);
    match (cell.state, ended) {
        (Cell::Pending, _) if cell.running => "running".to_owned(),
        (Cell::Pending, ended) => {
            let why = cell
                .reason(row, now)
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            let before = ended
                .map(|ended| format!(". The attempt before: {ended}{phase}"))
                .unwrap_or_default();
            format!("waiting{why}{before}")
        }
        (Cell::NoImage | Cell::Unknown, None) if !image.is_usable() => {
            format!("no image to run on: {}", image_sentence(row, now))
        }
        (Cell::Flaky, Some(ended)) => format!(
            "flaky: {} attempts disagree; the last failure: {ended}{phase}{limit}",
            cell.attempts
        ),
        (Cell::Unknown, Some(_)) if let Some(Outcome::Infra { reason }) = &cell.outcome => match cell.attempts {
            1 => format!("no result, since the infrastructure failed the attempt{phase}: {reason}"),
            attempts => format!(
                "no result after {attempts} attempts, of which the infrastructure failed the last{phase}: {reason}"
            ),
        },
        (_, Some(ended)) => {
            let first = cell.first_error.as_ref().map(|error| format!("; first error: {error}"));
            format!("{ended}{phase}{time}{limit}{}", first.unwrap_or_default())
        }
        (state, None) => state.name().replace('_', " "),
    }
}

/// Describes the state of an image as the end of a sentence that begins with "image:".
pub fn image_sentence(row: &Row, now: Timestamp) -> String {
    match &row.image {
        ImageProgress::Unplanned => "not planned yet".to_owned(),
        ImageProgress::Queued => match &row.build {
            Some(build) => format!("waiting: {}", build.reason(now)),
            None => "waiting".to_owned(),
        },
        ImageProgress::Building => "being built".to_owned(),
        ImageProgress::GaveUp => "the infrastructure failed at each attempt".to_owned(),
        ImageProgress::Ready => "ready".to_owned(),
        ImageProgress::Degraded(modules) => format!("degraded: {} can't be imported", modules.join(", ")),
        ImageProgress::Failed => "the build failed".to_owned(),
        ImageProgress::Impossible(reason) => reason.clone(),
    }
}

/// Returns the badge of an image.
pub fn image_badge(image: &ImageProgress) -> Badge {
    match image {
        ImageProgress::Unplanned => badge("pending", "⋯", "waiting"),
        ImageProgress::Queued => badge("pending", "⋯", "waiting"),
        ImageProgress::Building => badge("running", "▸", "building"),
        ImageProgress::GaveUp => badge("unknown", "?", "gave up"),
        ImageProgress::Ready => badge("pass", "✓", "ready"),
        ImageProgress::Degraded(_) => badge("flaky", "!", "degraded"),
        ImageProgress::Failed => badge("fail", "✗", "failed"),
        ImageProgress::Impossible(_) => badge("no_image", "–", "none"),
    }
}

/// Describes a project on a revision: `attrs on trunk @ 0ec9fdba30, debug`.
pub fn place(project: &str, row: &Row) -> String {
    let variant = row
        .shown_variant()
        .map(|variant| format!(", {variant}"))
        .unwrap_or_default();
    format!("{project} on {} @ {}{variant}", row.branch, short(row.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_where_it_failed() {
        let cell = RunCell {
            state: Cell::Fail,
            running: false,
            run: None,
            attempt: None,
            outcome: Some(Outcome::Failed { exit_code: 1 }),
            seconds: Some(34.0),
            failed_in: Some("test: trial".to_owned()),
            attempts: 1,
            limit: None,
            tests: None,
            failed_tests: None,
            first_error: None,
            failing: None,
            waits: None,
        };
        assert_eq!(
            sentence(&cell, &Row::default(), Timestamp::default()),
            "failed (exit code 1) in test: trial, 34 s"
        );
        assert_eq!(cell_badge(&cell).word, "exit 1");
        let cell = RunCell {
            failed_tests: Some(4),
            first_error: Some("T.one: 1 != 2".to_owned()),
            ..cell
        };
        assert_eq!(
            sentence(&cell, &Row::default(), Timestamp::default()),
            "failed (exit code 1) in test: trial, 34 s; first error: T.one: 1 != 2"
        );
        assert_eq!(cell_badge(&cell).word, "4 tests");
    }

    #[test]
    fn what_the_infrastructure_failed_comes_first() {
        let cell = |attempts, state| RunCell {
            state,
            running: false,
            run: None,
            attempt: None,
            outcome: Some(Outcome::Infra {
                reason: "host lab fell silent".to_owned(),
            }),
            seconds: Some(34.0),
            failed_in: None,
            attempts,
            limit: None,
            tests: None,
            failed_tests: None,
            first_error: None,
            failing: None,
            waits: None,
        };
        let shown = |cell: RunCell| {
            let image = ImageProgress::Ready;
            let row = Row {
                image,
                ..Row::default()
            };
            sentence(&cell, &row, Timestamp::default())
        };
        assert_eq!(
            shown(cell(1, Cell::Unknown)),
            "no result, since the infrastructure failed the attempt: host lab fell silent"
        );
        assert_eq!(
            shown(cell(3, Cell::Unknown)),
            "no result after 3 attempts, of which the infrastructure failed the last: host lab fell silent"
        );
        assert_eq!(
            shown(cell(1, Cell::Pending)),
            "waiting. The attempt before: infrastructure: host lab fell silent"
        );
    }

    #[test]
    fn a_cell_without_an_image_says_what_the_image_waits_for() {
        let cell = RunCell::without_attempt(Cell::Pending);
        let shown = |image| {
            let row = Row {
                image,
                ..Row::default()
            };
            sentence(&cell, &row, Timestamp::default())
        };
        assert_eq!(shown(ImageProgress::Unplanned), "waiting: its image is not planned yet");
        assert_eq!(shown(ImageProgress::Building), "waiting: its image is being built");
        assert_eq!(shown(ImageProgress::Ready), "waiting");
    }
}
