//! Plots of a project's results on a branch, as shapes for inline SVG: how long the runs took, and how many tests failed.

use super::wording::{self, duration, state_badge};
use crate::domain::steps::steps;
use crate::store::views::ResultLine;
use crate::verdict::Cell;
use serde::Serialize;

/// The size of a plot, in units of its own, which the page scales.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 60.0;

/// The least height of a bar, so that each can be seen.
const BAR_LEAST: f64 = 1.5;

/// The fewest results that make a plot.
const RESULTS_LEAST: usize = 3;

/// The fewest bars that fill the width of a plot. The bars of fewer results are as narrow as these.
const FILLED_BY: usize = 40;

#[derive(Debug, Default, PartialEq, Serialize)]
pub struct PlotView {
    pub title: &'static str,
    /// What the plot shows, for those who can't see it.
    pub label: String,
    /// The value of the highest bar.
    pub top: String,
    pub bars: Vec<BarView>,
    pub steps: Vec<StepView>,
}

/// One result.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct BarView {
    pub class: &'static str,
    pub title: String,
    pub x: String,
    pub y: String,
    pub width: String,
    pub height: String,
}

/// A revision at which the level changed. It is what was seen, not a culprit: another host or another dependency may be
/// the reason.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct StepView {
    pub x: String,
    pub sha: String,
    pub name: String,
    /// `from 50 s to 80 s`
    pub words: String,
}

/// A value to draw, of a result.
struct Bar<'a> {
    result: &'a ResultLine,
    value: f64,
    words: String,
}

/// Returns the plots of results, oldest first. Leaves out a plot that would have nothing to show.
pub fn plots(results: &[&ResultLine]) -> Vec<PlotView> {
    let decided = || results.iter().filter(|result| is_decided(result));
    let durations = decided().filter_map(|result| {
        let seconds = result.cell_ms? as f64 / 1000.0;
        Some(Bar {
            result,
            value: seconds,
            words: duration(seconds),
        })
    });
    let failures = decided().map(|result| {
        let failed = result.cell_failed_tests.unwrap_or_default();
        Bar {
            result,
            value: failed as f64,
            words: match failed {
                1 => "1 failing test".to_owned(),
                failed => format!("{failed} failing tests"),
            },
        }
    });
    let durations: Vec<Bar> = durations.collect();
    // a suite that fails may have ended early
    let passes = durations.iter().enumerate();
    let (places, values): (Vec<usize>, Vec<f64>) = passes
        .filter(|(_, bar)| bar.result.cell_state == Some(Cell::Pass))
        .map(|(at, bar)| (at, bar.value))
        .unzip();
    let of_durations = steps(&values).into_iter().filter_map(|step| {
        let at = *places.get(step.at)?;
        let result = durations.get(at)?.result;
        Some(StepView {
            x: number(left(at, durations.len())),
            sha: result.sha.clone(),
            name: wording::short(result.name()).to_owned(),
            words: format!("from {} to {}", duration(step.before), duration(step.after)),
        })
    });
    let all = [
        plot("Duration", &durations, of_durations.collect()),
        plot("Failing tests", &failures.collect::<Vec<_>>(), Vec::new()),
    ];
    all.into_iter().flatten().collect()
}

fn is_decided(result: &ResultLine) -> bool {
    result.cell_state.is_some_and(|state| state.is_decided())
}

fn plot(title: &'static str, bars: &[Bar<'_>], steps: Vec<StepView>) -> Option<PlotView> {
    let highest = bars.iter().max_by(|a, b| a.value.total_cmp(&b.value))?;
    if bars.len() < RESULTS_LEAST || highest.value <= 0.0 {
        return None;
    }
    let newest = bars.last()?;
    let width = left(1, bars.len());
    let shapes = bars.iter().enumerate().map(|(at, bar)| {
        let height = (bar.value / highest.value * HEIGHT).max(BAR_LEAST);
        let state = state_badge(bar.result.cell_state);
        BarView {
            class: state.class,
            title: format!("{}: {}, {}", wording::short(bar.result.name()), bar.words, state.word),
            x: number(left(at, bars.len())),
            y: number(HEIGHT - height),
            width: number(width * 0.85),
            height: number(height),
        }
    });
    Some(PlotView {
        title,
        label: format!(
            "{title} of the {} newest results, oldest first: {} at most, {} at the newest.",
            bars.len(),
            highest.words,
            newest.words
        ),
        top: highest.words.clone(),
        bars: shapes.collect(),
        steps,
    })
}

fn left(at: usize, bars: usize) -> f64 {
    WIDTH / bars.max(FILLED_BY) as f64 * at as f64
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
#[path = "plot_tests.rs"]
mod tests;
