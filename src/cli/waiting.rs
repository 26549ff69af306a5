//! Why commands wait for hosts.

use crate::domain::time::Timestamp;
use crate::domain::waiting::{COUNTED_MOST, by_reason};
use crate::store::views::Waiting;

/// How long commands wait unless they are asked for another time.
pub const WAIT: &str = "24h";

/// What to do where nothing moves.
pub const SEE_HOSTS: &str = "`pybots host list` shows which hosts are online";

/// The reason that keeps most of the jobs waiting on which somebody has to act: `; 3 wait: no host is online`. Empty if all jobs go on
/// by themselves.
pub fn standstill(waiting: impl IntoIterator<Item = (Waiting, i64)>, now: Timestamp) -> String {
    let reasons = waiting.into_iter().map(|(waiting, jobs)| (waiting.reason(now), jobs));
    match by_reason(reasons).first() {
        Some((reason, jobs)) if !reason.passes() && *jobs > COUNTED_MOST => {
            format!("; more than {COUNTED_MOST} wait: {reason}")
        }
        Some((reason, jobs)) if !reason.passes() => format!("; {jobs} wait: {reason}"),
        _ => String::new(),
    }
}
