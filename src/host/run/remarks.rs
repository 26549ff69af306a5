//! Remarks in the log of a run about the results of a suite.

use super::suite::SuiteResults;
use crate::host::log::Log;
use std::collections::BTreeSet;

/// The most tests under way that the log names.
const NAMED: usize = 10;

/// Writes to the log what is wrong with the results of a suite.
pub async fn write(results: &SuiteResults, log: &Log) {
    let incomplete = results.incomplete.iter();
    let remarks: BTreeSet<&String> = incomplete.chain(&results.unreadable).collect();
    for remark in remarks {
        log.say(remark).await;
    }
    if results.incomplete.is_some() && !results.under_way.is_empty() {
        let names: Vec<&str> = results.under_way.iter().take(NAMED).map(String::as_str).collect();
        let more = results.under_way.len() - names.len();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        log.say(&format!("under way at the end: {}{more}", names.join(", ")))
            .await;
    }
}
