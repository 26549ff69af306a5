//! The words of the pages: times, sizes, and what a cell says. Pure.

use crate::clock;
use crate::domain::outcome::{Outcome, Timeout, signal_name};
use crate::store::views::{ImageState, Row, RunCell};
use crate::verdict::{Cell, Meaning};
use serde::Serialize;

/// A point in time for people and for machines.
#[derive(Clone, Debug, Serialize)]
pub struct Time {
    /// `2026-08-21T17:02Z`.
    pub machine: String,
    /// `2026-08-21 17:02 UTC`.
    pub at: String,
    /// `5 min ago`.
    pub ago: String,
}

/// A point in time, milliseconds UTC, as seen at `now`.
pub fn time(ms: i64, now: i64) -> Time {
    let at = clock::show(ms);
    Time {
        machine: format!("{}Z", at.replace(' ', "T")),
        ago: ago(ms, now),
        at: format!("{at} UTC"),
    }
}

fn ago(ms: i64, now: i64) -> String {
    let plural = |n: i64, word: &str| format!("{n} {word}{} ago", if n == 1 { "" } else { "s" });
    match (now - ms) / 1000 {
        ..45 => "just now".to_owned(),
        seconds @ 45..5400 => format!("{} min ago", (seconds + 30) / 60),
        seconds @ 5400..129_600 => format!("{} h ago", (seconds + 1800) / 3600),
        seconds @ 129_600..5_184_000 => plural((seconds + 43_200) / 86_400, "day"),
        seconds @ 5_184_000..63_072_000 => plural(seconds / 2_592_000, "month"),
        seconds => plural(seconds / 31_536_000, "year"),
    }
}

/// A length of time in seconds: `0.4 s`, `34 s`, `2 min 5 s`, `1 h 20 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        _ if seconds < 9.95 => format!("{:.1} s", seconds.max(0.0)),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// The same in the width of a cell.
fn brief(seconds: f64) -> String {
    match seconds.max(0.0).round() as u64 {
        0 => "<1 s".to_owned(),
        n @ 1..100 => format!("{n} s"),
        n @ 100..3600 => format!("{} min", (n + 30) / 60),
        n => format!("{:.1} h", n as f64 / 3600.0),
    }
}

/// Bytes: `17 B`, `3.2 KiB`, `470 MiB`.
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 10.0 {
        format!("{value:.1} {}", units[unit])
    } else {
        format!("{value:.0} {}", units[unit])
    }
}

/// A check-in as people write it: of an id the beginning, a label whole.
pub fn short(name: &str) -> &str {
    match name.get(..10) {
        Some(beginning) if !name.starts_with('r') => beginning,
        _ => name,
    }
}

/// A digest, `sha256:..` or bare, in a width that fits a line.
pub fn short_digest(digest: &str) -> String {
    let bare = digest.strip_prefix("sha256:").unwrap_or(digest);
    bare.get(..16).unwrap_or(bare).to_owned()
}

/// Class, sign and word of a state: never the colour alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Badge {
    pub class: &'static str,
    pub sign: &'static str,
    pub word: String,
}

/// What a whole row says, where it says something.
pub fn meaning_badge(meaning: Meaning) -> Option<Badge> {
    match meaning {
        Meaning::Plain => None,
        Meaning::UpstreamRed { newly, of } => {
            Some(badge("fail", "✗", format!("upstream red: {newly} of {of} newly fail")))
        }
        Meaning::NotMeaningful { unknown, of } => Some(badge(
            "unknown",
            "?",
            format!("not meaningful: {unknown} of {of} unknown"),
        )),
    }
}

/// A cell in the matrix.
#[derive(Clone, Debug, Serialize)]
pub struct CellView {
    pub badge: Badge,
    /// The whole sentence, for tooltips and screen readers.
    pub label: String,
    pub href: Option<String>,
}

fn badge(class: &'static str, sign: &'static str, word: impl Into<String>) -> Badge {
    Badge {
        class,
        sign,
        word: word.into(),
    }
}

/// What the pages call the states, in the order of the legend.
pub fn legend() -> Vec<Badge> {
    vec![
        badge("pass", "✓", "passed"),
        badge("fail", "✗", "failed: its exit code or what ended it"),
        badge("flaky", "≈", "attempts disagree"),
        badge("pending", "⋯", "waits"),
        badge("running", "▸", "runs now"),
        badge("unknown", "?", "no valid attempt"),
        badge("no_image", "–", "no image to run on"),
        badge("skipped", "↷", "skipped"),
        badge("empty", "·", "registered later"),
    ]
}

pub fn cell_badge(cell: &RunCell) -> Badge {
    match cell.state {
        Cell::Pass => badge("pass", "✓", cell.seconds.map_or_else(|| "passed".to_owned(), brief)),
        Cell::Fail => badge(
            "fail",
            "✗",
            cell.outcome.as_ref().map_or_else(|| "failed".to_owned(), in_brief),
        ),
        Cell::Flaky => badge("flaky", "≈", "flaky"),
        Cell::Unknown => badge(
            "unknown",
            "?",
            cell.outcome.as_ref().map_or_else(|| "unknown".to_owned(), in_brief),
        ),
        Cell::NoImage => badge("no_image", "–", "no image"),
        Cell::Skipped => badge("skipped", "↷", "skipped"),
        Cell::Pending if cell.running => badge("running", "▸", "running"),
        Cell::Pending => badge("pending", "⋯", "waits"),
    }
}

/// The same where nothing but the state is at hand.
pub fn state_badge(state: Option<Cell>) -> Badge {
    match state {
        Some(Cell::Pass) => badge("pass", "✓", "pass"),
        Some(Cell::Fail) => badge("fail", "✗", "fail"),
        Some(Cell::Flaky) => badge("flaky", "≈", "flaky"),
        Some(Cell::Unknown) => badge("unknown", "?", "unknown"),
        Some(Cell::NoImage) => badge("no_image", "–", "no image"),
        Some(Cell::Skipped) => badge("skipped", "↷", "skipped"),
        Some(Cell::Pending) => badge("pending", "⋯", "waits"),
        None => badge("empty", "·", "nothing"),
    }
}

/// An outcome in a word or two.
fn in_brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed => "passed".to_owned(),
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

/// The badge of one attempt.
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

/// The same where only the outcome's name is at hand, as it is stored.
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

/// What became of a cell, in words.
pub fn sentence(cell: &RunCell, image: &ImageState) -> String {
    let time = cell
        .seconds
        .map(|seconds| format!(", {}", duration(seconds)))
        .unwrap_or_default();
    let place = cell
        .failed_in
        .as_ref()
        .map(|phase| format!(" in {phase}"))
        .unwrap_or_default();
    let ended = cell.outcome.as_ref().map(Outcome::to_string);
    match (cell.state, ended) {
        (Cell::Pending, _) if cell.running => "running".to_owned(),
        (Cell::Pending, _) if matches!(image, ImageState::Ready) => "waiting for a host".to_owned(),
        (Cell::Pending, _) => "waiting for the image".to_owned(),
        (Cell::NoImage | Cell::Unknown, None) if !matches!(image, ImageState::Ready) => {
            format!("no image to run on: {}", image_sentence(image))
        }
        (Cell::Flaky, Some(ended)) => format!(
            "flaky: {} attempts disagree, the last failure {ended}{place}",
            cell.attempts
        ),
        (_, Some(ended)) => format!("{ended}{place}{time}"),
        (state, None) => state.name().replace('_', " "),
    }
}

/// How far an image is, in words.
pub fn image_sentence(image: &ImageState) -> String {
    match image {
        ImageState::Unplanned => "not planned yet".to_owned(),
        ImageState::Queued => "waits for a host".to_owned(),
        ImageState::Building => "is being built".to_owned(),
        ImageState::GaveUp => "the machinery failed each time it was tried".to_owned(),
        ImageState::Ready => "ready".to_owned(),
        ImageState::Failed => "its build failed".to_owned(),
        ImageState::Impossible(reason) => reason.clone(),
    }
}

/// How far an image is.
pub fn image_badge(image: &ImageState) -> Badge {
    match image {
        ImageState::Unplanned => badge("pending", "⋯", "waits"),
        ImageState::Queued => badge("pending", "⋯", "waits"),
        ImageState::Building => badge("running", "▸", "building"),
        ImageState::GaveUp => badge("unknown", "?", "gave up"),
        ImageState::Ready => badge("pass", "✓", "ready"),
        ImageState::Failed => badge("fail", "✗", "failed"),
        ImageState::Impossible(_) => badge("no_image", "–", "none"),
    }
}

/// A project on a check-in: `attrs on trunk @ 0ec9fdba30, debug`.
pub fn place(project: &str, row: &Row) -> String {
    let variant = row
        .told_variant()
        .map(|variant| format!(", {variant}"))
        .unwrap_or_default();
    format!("{project} on {} @ {}{variant}", row.branch, short(row.name()))
}

/// A cell of the matrix, which may be empty.
pub fn cell_view(project: &str, row: &Row, cell: Option<&RunCell>) -> CellView {
    let place = place(project, row);
    let Some(cell) = cell else {
        let label = format!("{place}: not run; the project was registered later");
        return CellView {
            badge: badge("empty", "·", ""),
            label,
            href: None,
        };
    };
    let href = match (&cell.run, &row.image_id) {
        (Some(run), _) => Some(format!("/run/{run}")),
        (None, Some(image)) => Some(format!("/image/{image}")),
        (None, None) => Some(format!("/revision/{}", row.sha)),
    };
    CellView {
        badge: cell_badge(cell),
        label: format!("{place}: {}", sentence(cell, &row.image)),
        href,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_and_labels_are_not() {
        assert_eq!(short("0123456789abcdef"), "0123456789");
        assert_eq!(short("r123456789"), "r123456789");
        assert_eq!(short("r5"), "r5");
    }

    #[test]
    fn numbers_have_units_that_people_use() {
        for (seconds, shown) in [
            (0.42, "0.4 s"),
            (34.2, "34 s"),
            (59.9, "1 min 0 s"),
            (125.0, "2 min 5 s"),
            (4800.0, "1 h 20 min"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
        for (bytes, shown) in [
            (17, "17 B"),
            (3277, "3.2 KiB"),
            (470 << 20, "470 MiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        let day = 86_400_000;
        for (past, shown) in [
            (-5, "just now"),
            (60_000, "1 min ago"),
            (7_200_000, "2 h ago"),
            (2 * day, "2 days ago"),
            (90 * day, "3 months ago"),
            (800 * day, "2 years ago"),
        ] {
            assert_eq!(time(0, past).ago, shown);
        }
        assert_eq!(time(0, 0).machine, "1970-01-01T00:00Z");
    }

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
        };
        assert_eq!(
            sentence(&cell, &ImageState::Ready),
            "failed (exit code 1) in test: trial, 34 s"
        );
        assert_eq!(cell_badge(&cell).word, "exit 1");
    }
}
