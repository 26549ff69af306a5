use super::*;

fn result(at: usize, state: Cell, seconds: i64, failed: i64) -> ResultLine {
    let mut result = ResultLine::default();
    result.sha = format!("{at:040}");
    result.cell_state = Some(state);
    result.cell_ms = Some(seconds * 1000);
    result.cell_failed_tests = (state == Cell::Fail).then_some(failed);
    result
}

fn plots_of(results: &[ResultLine]) -> Vec<PlotView> {
    plots(&results.iter().collect::<Vec<_>>())
}

#[test]
fn a_bar_is_as_high_as_its_value() {
    let results = [
        result(1, Cell::Pass, 30, 0),
        result(2, Cell::Unknown, 900, 0),
        result(3, Cell::Fail, 60, 4),
        result(4, Cell::Pass, 15, 0),
    ];
    let [durations, failures] = <[PlotView; 2]>::try_from(plots_of(&results)).unwrap();
    let heights = |plot: &PlotView| plot.bars.iter().map(|bar| bar.height.clone()).collect::<Vec<_>>();
    assert_eq!(heights(&durations), ["30.0", "60.0", "15.0"]);
    assert_eq!(heights(&failures), ["1.5", "60.0", "1.5"]);
    assert_eq!(
        durations.label,
        "Duration of the 3 newest results, oldest first: 1 min 0 s at most, 15 s at the newest."
    );
    assert_eq!(failures.bars[1].title, "0000000000: 4 failing tests, fail");
    assert_eq!(
        (failures.bars[1].x.as_str(), failures.bars[1].y.as_str()),
        ("15.0", "0.0")
    );
    assert_eq!(
        (failures.top.as_str(), failures.bars[1].class),
        ("4 failing tests", "fail")
    );
}

#[test]
fn a_plot_without_anything_to_show_is_left_out() {
    let passes: Vec<ResultLine> = (0..3).map(|at| result(at, Cell::Pass, 30, 0)).collect();
    let titles = |results: &[ResultLine]| plots_of(results).iter().map(|plot| plot.title).collect::<Vec<_>>();
    assert_eq!(titles(&passes), ["Duration"]);
    assert_eq!(titles(&passes[..2]), [""; 0]);
}

#[test]
fn a_step_of_the_duration_counts_passing_results_only() {
    let slower = |at: usize| if at < 20 { 50 } else { 100 };
    let mut results: Vec<ResultLine> = (0..40).map(|at| result(at, Cell::Pass, slower(at), 0)).collect();
    let found = plots_of(&results)[0]
        .steps
        .iter()
        .map(|step| step.words.clone())
        .collect::<Vec<_>>();
    assert_eq!(found, ["from 50 s to 1 min 40 s"]);
    assert_eq!(plots_of(&results)[0].steps[0].x, "300.0");
    // since a break, the suite ends at once
    results.truncate(20);
    results.extend((20..40).map(|at| result(at, Cell::Fail, 2, 1)));
    assert!(plots_of(&results)[0].steps.is_empty());
}
