//! Wait limits and wait reasons for commands that wait for hosts.

use crate::domain::time::Timestamp;
use crate::domain::waiting::{COUNTED_MOST, by_reason};
use crate::store::views::Waiting;

/// The default time that commands wait.
pub const WAIT: &str = "24h";

/// The advice if jobs do not progress.
pub const SEE_HOSTS: &str = "`pybots host list` shows which hosts are online";

/// Returns the reason why most jobs wait, if a person has to act on it: `; 3 wait: no host is online`. Returns an empty
/// string if the most common reason passes by itself.
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
