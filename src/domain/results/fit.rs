//! Bounds the results of a run, so that a report with them can be delivered.

use super::{Failure, Tests};

/// The bytes of the keys of a failure as JSON.
const KEYS: usize = 24;

impl Tests {
    /// Returns the tests that fit into `most` bytes of JSON. If not all do, failures are kept first, with messages in
    /// an eighth of the space, then passed tests, then skipped ones. If a test is left out, `cut` is set.
    pub fn fit(mut self, most: usize) -> Self {
        let of_failures = self
            .failed
            .iter()
            .map(|failure| length(&failure.test) + length(&failure.message) + KEYS);
        let of_names = self.passed.iter().chain(&self.skipped).map(|test| length(test));
        if of_failures.chain(of_names).sum::<usize>() <= most {
            return self;
        }
        let all = self.total();
        let (mut left, mut messages) = (most, most / 8);
        self.failed.retain_mut(|Failure { test, message }| {
            match messages.checked_sub(length(message)) {
                Some(rest) => messages = rest,
                None => message.clear(),
            }
            takes(&mut left, length(test) + length(message) + KEYS)
        });
        self.passed.retain(|test| takes(&mut left, length(test)));
        self.skipped.retain(|test| takes(&mut left, length(test)));
        self.cut |= self.total() < all;
        self
    }
}

/// Takes `part` bytes of the space that is left, and returns whether they fit. Once a part does not fit, no later one
/// does, so that the result depends on the order alone.
fn takes(left: &mut usize, part: usize) -> bool {
    let fits = part <= *left;
    *left = if fits { *left - part } else { 0 };
    fits
}

/// Returns how many bytes a text takes as JSON, with its comma.
fn length(text: &str) -> usize {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => 2,
        c if c.is_control() => 6,
        c => c.len_utf8(),
    });
    escaped.sum::<usize>() + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(failed: usize, passed: usize, message: &str) -> Tests {
        let name = |number: usize| format!("suite: tests/test_\"mod\".py::test_{number:09}");
        Tests {
            failed: (0..failed).map(|number| Failure::of(&name(number), message)).collect(),
            passed: (failed..failed + passed).map(name).collect(),
            skipped: vec!["suite: zz".to_owned()],
            ..Tests::default()
        }
    }

    #[test]
    fn what_fits_is_kept_as_it_is() {
        // also if the messages take most of the space
        for tests in [
            many(3, 100, "AssertionError: \u{1b}[1m"),
            many(100, 3, &"x".repeat(900)),
        ] {
            assert_eq!(tests.clone().fit(100_000), tests);
        }
        assert_eq!(Tests::default().fit(0), Tests::default());
    }

    #[test]
    fn a_report_is_bounded_and_names_failures_first() {
        let most = 200_000;
        let long = "x\n\"".repeat(100);
        for (failed, passed) in [
            (14_500, 0),
            (10, 60_000),
            (1_000, 60_000),
            (0, 60_000),
            (60_000, 60_000),
        ] {
            let all = many(failed, passed, &long);
            let kept = all.clone().fit(most);
            assert!(
                serde_json::to_vec(&kept).unwrap().len() < most + 200,
                "{failed} {passed}"
            );
            assert!(kept.cut);
            assert!(
                kept.failed.len() >= failed.min(2_000),
                "{} of {failed}",
                kept.failed.len()
            );
            assert_eq!(kept.passed.is_empty(), failed > 5_000 || passed == 0);
            assert_eq!(
                kept.failed.first().map(|failure| &failure.message),
                all.failed.first().map(|failure| &failure.message)
            );
            assert!(kept.skipped.is_empty());
        }
    }
}
