//! Finds steps in a series of measurements: places at which the level changed and stayed changed. This is a pure rule.

/// How many values on each side of a step are compared. With fewer, a few slow hosts in a row would look like a step.
const SIDE: usize = 7;

/// A step if the larger of the two medians is at least this many times the smaller one.
const RATIO_LEAST: f64 = 1.25;

/// A place at which the level of a series changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The index of the first value on the new level.
    pub at: usize,
    /// The median of the values before it.
    pub before: f64,
    /// The median of the values from it on.
    pub after: f64,
}

impl Step {
    /// Returns how many times as large the larger median is as the smaller one.
    fn ratio(&self) -> f64 {
        self.before.max(self.after) / self.before.min(self.after)
    }
}

/// Returns the steps of a series of positive values, in their order. At a step, the medians of the [`SIDE`] values on both
/// sides differ by [`RATIO_LEAST`], all but one of these values on one side are above all but one on the other side, and so
/// is each of the two values beside the step. Of overlapping candidates, the one with the largest ratio counts, and of
/// equal ones the first.
pub fn steps(values: &[f64]) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    for at in SIDE..values.len().saturating_sub(SIDE - 1) {
        let Some(step) = step(values, at) else { continue };
        match found.last_mut() {
            Some(last) if at < last.at + SIDE => {
                if step.ratio() > last.ratio() {
                    *last = step;
                }
            }
            _ => found.push(step),
        }
    }
    found
}

fn step(values: &[f64], at: usize) -> Option<Step> {
    let sorted = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let before = sorted(values.get(at.checked_sub(SIDE)?..at)?);
    let after = sorted(values.get(at..at + SIDE)?);
    let (last, first) = (values.get(at - 1)?, values.get(at)?);
    // the second of the values above, and the second last of those below
    let is_above = |above: &[f64], below: &[f64]| above.get(1) > below.get(SIDE - 2);
    // the values beside the step are on its sides, so that it is where the level changed
    let rises = is_above(&after, &before) && Some(first) > before.get(SIDE - 2) && Some(last) < after.get(1);
    let falls = is_above(&before, &after) && Some(first) < before.get(1) && Some(last) > after.get(SIDE - 2);
    let step = Step {
        at,
        before: *before.get(SIDE / 2)?,
        after: *after.get(SIDE / 2)?,
    };
    ((rises || falls) && step.before > 0.0 && step.after > 0.0 && step.ratio() >= RATIO_LEAST).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(values: &[(f64, usize)]) -> Vec<f64> {
        // values on one level differ a little
        let jitter = |at: usize| 1.0 + (at * 7 % 5) as f64 / 50.0;
        let all = values.iter().flat_map(|(value, times)| vec![*value; *times]);
        all.enumerate().map(|(at, value)| value * jitter(at)).collect()
    }

    fn places(values: &[f64]) -> Vec<usize> {
        steps(values).iter().map(|step| step.at).collect()
    }

    #[test]
    fn a_level_that_changes_is_a_step_where_it_changes() {
        let values = level(&[(50.0, 20), (80.0, 20), (30.0, 20)]);
        assert_eq!(places(&values), [20, 40]);
        let found = steps(&values)[0];
        assert!(
            (50.0..56.0).contains(&found.before) && (80.0..88.0).contains(&found.after),
            "{found:?}"
        );
    }

    #[test]
    fn differences_by_chance_a_drift_and_a_few_slow_runs_are_no_steps() {
        assert_eq!(places(&level(&[(50.0, 60)])), [0; 0]);
        // a tenth more
        assert_eq!(places(&level(&[(50.0, 30), (55.0, 30)])), [0; 0]);
        let mut spikes = level(&[(50.0, 60)]);
        spikes[20] = 500.0;
        spikes[21] = 500.0;
        spikes[50] = 5.0;
        assert_eq!(places(&spikes), [0; 0]);
        // two hosts in turn, one of which takes twice as long
        let turns: Vec<f64> = (0..60).map(|at| if at % 2 == 0 { 40.0 } else { 80.0 }).collect();
        assert_eq!(places(&turns), [0; 0]);
        // half of the runs on a slow host, in no order
        let some: Vec<f64> = (0..60_usize)
            .map(|at| if at * at % 7 < 3 { 40.0 } else { 80.0 })
            .collect();
        assert_eq!(places(&some), [0; 0]);
    }

    #[test]
    fn what_is_too_short_has_no_steps() {
        assert_eq!(places(&[]), [0; 0]);
        assert_eq!(places(&level(&[(50.0, 6), (100.0, 20)])), [0; 0]);
        assert_eq!(places(&level(&[(50.0, 7), (100.0, 7)])), [7]);
        assert_eq!(places(&[0.0; 30]), [0; 0]);
    }
}
