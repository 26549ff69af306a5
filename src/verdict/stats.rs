//! The probability that chance causes a difference.

/// Computes Fisher's exact test, one-sided. Returns the probability that the second side has at least as many failures
/// by chance, if both sides fail equally often. Each side is (failed runs, all runs).
///
/// R. A. Fisher, Statistical Methods for Research Workers, section 21.02: with both margins fixed, the number of
/// failures on one side is hypergeometric.
pub fn fisher(base: (u64, u64), now: (u64, u64)) -> f64 {
    let (failed, all) = (base.0 + now.0, base.1 + now.1);
    let most = failed.min(now.1);
    let ways = ln_choose(all, failed);
    let chance = |on_now: u64| {
        let on_base = failed - on_now;
        if on_base > base.1 {
            return 0.0;
        }
        (ln_choose(now.1, on_now) + ln_choose(base.1, on_base) - ways).exp()
    };
    (now.0..=most).map(chance).sum::<f64>().min(1.0)
}

/// Returns how many passes in a row it takes to conclude that a subject does not fail at `rate`. If it does, it still
/// passes that often with probability `error`.
pub fn passes_needed(rate: f64, error: f64) -> usize {
    if rate >= 1.0 {
        return 1;
    }
    let needed = error.ln() / (1.0 - rate.max(1e-6)).ln();
    needed.ceil().clamp(1.0, 1e6) as usize
}

/// Returns the natural logarithm of the binomial coefficient "n over k".
fn ln_choose(n: u64, k: u64) -> f64 {
    let k = k.min(n.saturating_sub(k));
    (0..k).map(|i| ((n - i) as f64 / (i + 1) as f64).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-4, "{found} is not close to {expected}");
    }

    #[test]
    fn fisher_agrees_with_published_tables() {
        // Fisher's tea: 3 of 4 and 1 of 4, one-sided 0.2429
        near(fisher((1, 4), (3, 4)), 0.2429);
        // 0 of 8 against 8 of 8: 1 / choose(16, 8)
        near(fisher((0, 8), (8, 8)), 1.0 / 12870.0);
        near(fisher((0, 8), (5, 8)), 0.0128);
        near(fisher((3, 8), (3, 8)), 0.6958);
        near(fisher((8, 8), (0, 8)), 1.0);
        near(fisher((0, 0), (0, 0)), 1.0);
    }

    #[test]
    fn rarer_failures_need_more_passes() {
        assert_eq!(passes_needed(1.0, 1e-4), 1);
        // 0.7^26 = 0.000094
        assert_eq!(passes_needed(0.3, 1e-4), 26);
        assert_eq!(passes_needed(0.0, 1e-4), 1_000_000);
    }
}
