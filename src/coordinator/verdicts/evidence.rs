//! What an incident shows: a run on either side, and how their logs differ.

use super::super::Coordinator;
use super::judge;
use super::settle::Found;
use crate::store::inquiries::ProbeRow;
use crate::verdict::{End, LogDifference, Seen, first_error, log_difference};
use anyhow::Result;

/// Bytes from the end of a log that are compared.
const LOG_MOST: u64 = 1 << 20;

/// What proves a change: a run on either side, and what the one's log says that the other's does not.
#[derive(Default)]
pub struct Evidence {
    pub good: Option<String>,
    pub bad: Option<String>,
    pub difference: LogDifference,
    pub error: Option<String>,
}

pub async fn evidence(coordinator: &Coordinator, probes: &[ProbeRow], found: &Found) -> Result<Evidence> {
    let mut evidence = Evidence::default();
    let mut told = None;
    for (revision, wanted) in [(&found.good.id, Seen::Pass), (&found.bad.id, Seen::Fail)] {
        for probe in probes
            .iter()
            .rev()
            .filter(|probe| probe.revision_id == *revision && probe.lock_of == "base")
        {
            let (Some(report), Some(attempt)) = (probe.report(), &probe.attempt_id) else {
                continue;
            };
            let end = End::Run(report.outcome, coordinator.results().tests_of(attempt).await);
            if found.subjects.iter().any(|subject| end.seen(subject) == Some(wanted)) {
                if wanted == Seen::Fail {
                    evidence.bad = Some(attempt.clone());
                    told = judge::error(&end, &found.subjects);
                } else {
                    evidence.good = Some(attempt.clone());
                }
                break;
            }
        }
    }
    if let (Some(good), Some(bad)) = (&evidence.good, &evidence.bad) {
        let (good, bad) = (coordinator.end_of_log(good).await?, coordinator.end_of_log(bad).await?);
        evidence.difference = log_difference(&good, &bad);
    }
    evidence.error = told.or_else(|| first_error(&evidence.difference.lines).map(str::to_owned));
    Ok(evidence)
}

impl Coordinator {
    async fn end_of_log(&self, attempt: &str) -> Result<String> {
        let window = self.objects.end_of_log(attempt, LOG_MOST).await?;
        Ok(String::from_utf8_lossy(&window).into_owned())
    }
}
