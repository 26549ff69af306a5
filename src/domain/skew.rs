//! The clock offset of a host: how far its clock is ahead of the coordinator's.

/// The largest clock offset that counts as none, in milliseconds. With a larger one, leases run out early, and times in
/// logs mislead.
pub const SKEW_MS: i64 = 5_000;

/// Returns a clock offset in words: `3 h 0 min ahead of the coordinator's`. Returns `None` if the clocks agree.
pub fn skew(offset_ms: i64) -> Option<String> {
    let seconds = offset_ms.unsigned_abs() / 1000;
    let length = match seconds {
        0..120 => format!("{seconds} s"),
        120..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    };
    let way = if offset_ms > 0 { "ahead of" } else { "behind" };
    (offset_ms.unsigned_abs() > SKEW_MS.unsigned_abs()).then(|| format!("{length} {way} the coordinator's"))
}

/// Converts a time by a host's clock to the coordinator's clock, both in milliseconds. If the clocks agree, the time
/// stays as it is.
pub fn corrected(at_ms: i64, offset_ms: Option<i64>) -> i64 {
    let off = offset_ms.filter(|offset| skew(*offset).is_some());
    at_ms.saturating_sub(off.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        assert_eq!([0, 5_000, -5_000].map(skew), [None, None, None]);
        for (ms, shown) in [
            (5_001, "5 s ahead of the coordinator's"),
            (-61_000, "61 s behind the coordinator's"),
            (150_000, "2 min 30 s ahead of the coordinator's"),
            (3 * 3_600_000, "3 h 0 min ahead of the coordinator's"),
            (-40 * 86_400_000, "40 days behind the coordinator's"),
        ] {
            assert_eq!(skew(ms).as_deref(), Some(shown));
        }
        assert!(skew(i64::MIN).is_some());
    }

    #[test]
    fn only_times_of_a_clock_that_is_off_are_corrected() {
        assert_eq!(corrected(100_000, None), 100_000);
        assert_eq!(corrected(100_000, Some(4_000)), 100_000);
        assert_eq!(corrected(100_000, Some(60_000)), 40_000);
        assert_eq!(corrected(100_000, Some(-60_000)), 160_000);
    }
}
