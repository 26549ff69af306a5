//! The attempts at a run or an image: a list of all, and the phases, tests and log of the chosen attempt.

use super::render::drawn;
use super::route::{Query, Web};
use super::test_history::FailureLine;
use super::window::{self, LogPosition};
use super::wording::{Badge, Time, duration, outcome_badge, size, time};
use crate::domain::job::Phase;
use crate::domain::results::Failure;
use crate::domain::skew::skew;
use crate::domain::time::Timestamp;
use crate::logfile::Stream;
use crate::store::attempts::{Attempt, newest};
use crate::store::logs::Objects;
use anyhow::Result;
use serde::Serialize;

/// Seconds after which a page with a running attempt reloads.
const REFRESH: u32 = 3;

/// The context of `attempts.hbs`.
#[derive(Debug, Default, Serialize)]
pub struct AttemptsView {
    pub list: Vec<AttemptView>,
    /// Whether the list has more than one attempt.
    pub several: bool,
    pub phases: Vec<PhaseView>,
    pub log: Option<LogView>,
    /// Whether the newest attempt is still running.
    pub running: bool,
    /// `sys.version` of the Python that ran the suites.
    pub interpreter: Option<String>,
    /// The exact versions that were installed, as JSON.
    pub lock: Option<String>,
    pub tests: Option<TestsView>,
}

/// The tests of the suites.
#[derive(Debug, Default, Serialize)]
pub struct TestsView {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    pub failures: Vec<FailureLine>,
    /// The number of failures that are not named.
    pub more: usize,
}

#[derive(Debug, Default, Serialize)]
pub struct AttemptView {
    pub number: usize,
    /// The host's name, or its id if it is not registered.
    pub host: String,
    pub registered: bool,
    pub badge: Badge,
    pub started: Time,
    pub duration: String,
    /// The outcome of a late report, which the host sent after the lease had ended. It does not count.
    pub late: Option<Badge>,
    /// Whether the attempt was made for a comparison.
    pub compares: bool,
    pub here: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct PhaseView {
    pub name: String,
    pub duration: String,
    pub exit: String,
    pub bad: bool,
    /// The mode of the suite: `-X dev -W error`.
    pub modes: Option<String>,
    /// The offset in the log at which the phase begins, in bytes.
    pub from: u64,
    pub attempt: usize,
}

#[derive(Debug, Default, Serialize)]
pub struct StreamLink {
    pub name: &'static str,
    pub href: String,
    pub here: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct LogView {
    pub html: String,
    /// The HTML of the last, unfinished line.
    pub line: String,
    /// The address of the events that show new text of the log.
    pub events: Option<String>,
    pub streams: Vec<StreamLink>,
    /// The only stream that the page shows; `None` for all.
    pub stream: Option<&'static str>,
    pub attempt: usize,
    pub raw: String,
    /// Whether the page shows the end of the log and opens at its last line.
    pub tail: bool,
    pub empty: bool,
    /// The clock offset of the host while it wrote the log, as text.
    pub clock: Option<String>,
    /// The shown part, such as `256 KiB of 12 MiB`. `None` if the page shows the whole log.
    pub part: Option<String>,
    pub size: String,
    pub earlier: Option<u64>,
    pub later: Option<u64>,
}

impl AttemptsView {
    /// Returns whether the page shows the end of a log that is still being written.
    pub fn is_live(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.events.is_some())
    }

    /// Returns the seconds until the page is read again. `waits` is true while the run or image has no attempt yet. Returns
    /// `None` if nothing new can come, or if the reader has chosen an attempt or a part of the log.
    pub fn refresh(&self, waits: bool, query: &Query) -> Option<u32> {
        let reading = ["from", "until", "attempt"].iter().any(|key| query.contains_key(*key));
        ((self.running || waits) && !reading).then_some(REFRESH)
    }
}

/// Builds the view of all attempts, with the details of the attempt that [`chosen`] returns.
pub async fn view(web: &Web, attempts: &[Attempt], query: &Query, now: Timestamp) -> Result<AttemptsView> {
    let hosts = web.store.host_names().await?;
    let number = chosen(attempts, query);
    let attempt = number.checked_sub(1).and_then(|at| attempts.get(at));
    let report = attempt.and_then(Attempt::report).cloned();
    let log = match attempt {
        Some(attempt) => Some(log(&web.objects, attempt, number, query).await?),
        None => None,
    };
    let (phases, interpreter, lock, modes, tests) = report
        .map(|report| {
            (
                report.phases,
                report.interpreter,
                report.lock,
                report.modes,
                report.summary,
            )
        })
        .unwrap_or_default();
    Ok(AttemptsView {
        list: attempts
            .iter()
            .zip(1..)
            .map(|(attempt, at)| one(attempt, hosts.get(&attempt.host), at, at == number, now))
            .collect(),
        several: attempts.len() > 1,
        phases: phases
            .iter()
            .map(|phase| phase_view(phase, number, modes.get(&phase.name)))
            .collect(),
        log,
        running: attempts.last().is_some_and(|attempt| attempt.finished_at.is_none()),
        interpreter,
        lock: lock.map(|text| pretty(&text)),
        tests: tests.map(|summary| TestsView {
            more: summary.failed.saturating_sub(summary.failures.len()),
            passed: summary.passed,
            failed: summary.failed,
            skipped: summary.skipped,
            failures: summary.failures.into_iter().map(failure_line).collect(),
        }),
    })
}

/// Returns the number of the attempt for `?attempt=N`. If the query has no valid number, this is the newest attempt
/// that was not made for a comparison, or the newest of all. Numbers count from 1; 0 means that there is no attempt.
pub fn chosen(attempts: &[Attempt], query: &Query) -> usize {
    let asked = query.get("attempt").and_then(|text| text.parse().ok());
    asked
        .filter(|number| (1..=attempts.len()).contains(number))
        .unwrap_or_else(|| newest(attempts).map_or(0, |index| index + 1))
}

fn one(attempt: &Attempt, host: Option<&String>, number: usize, here: bool, now: Timestamp) -> AttemptView {
    let outcome = attempt.report().map(|report| report.outcome.clone());
    let mut badge = outcome_badge(outcome.as_ref());
    if let (None, Some(name)) = (&outcome, &attempt.outcome) {
        // the attempt has ended, but its report can't be read
        badge = Badge {
            class: "unknown",
            sign: "?",
            word: name.replace('_', " "),
        };
    }
    let seconds = attempt.seconds().unwrap_or((now - attempt.started_at) as f64 / 1000.0);
    AttemptView {
        number,
        registered: host.is_some(),
        host: match host {
            Some(name) => name.clone(),
            // the job was cancelled before a host claimed it
            None if attempt.host.as_str().is_empty() => "none".to_owned(),
            None => attempt.host.to_string(),
        },
        badge,
        late: attempt.late_report().map(|report| outcome_badge(Some(&report.outcome))),
        started: time(attempt.started_at, now),
        duration: duration(seconds),
        compares: attempt.is_probe,
        here,
    }
}

fn failure_line(failure: Failure) -> FailureLine {
    FailureLine {
        test: failure.test,
        message: failure.message,
        ..FailureLine::default()
    }
}

fn phase_view(phase: &Phase, attempt: usize, modes: Option<&String>) -> PhaseView {
    PhaseView {
        name: phase.name.clone(),
        duration: duration(phase.seconds),
        exit: phase
            .exit_code
            .map_or_else(|| "killed".to_owned(), |code| format!("exit code {code}")),
        bad: phase.exit_code != Some(0),
        modes: modes.cloned(),
        from: phase.log_from,
        attempt,
    }
}

async fn log(objects: &Objects, attempt: &Attempt, number: usize, query: &Query) -> Result<LogView> {
    let offset = |name| query.get(name).and_then(|text| text.parse().ok());
    let place = match (offset("from"), offset("until")) {
        (Some(from), _) => LogPosition::From(from),
        (None, Some(until)) => LogPosition::Until(until),
        (None, None) => LogPosition::End,
    };
    let stream: Option<Stream> = query.get("stream").and_then(|name| name.parse().ok());
    let ended = attempt.finished_at.is_some();
    let shown = match objects.open_log(&attempt.id).await? {
        Some(mut reader) => drawn(move || window::draw(&mut reader, place, stream, ended)).await??,
        None => window::Drawn::default(),
    };
    let length = shown.until - shown.from;
    let grows = !ended && place == LogPosition::End && stream.is_none();
    Ok(LogView {
        events: grows.then(|| format!("/attempt/{}/events?from={}", attempt.id, shown.until)),
        streams: streams(number, place, stream),
        stream: stream.map(Stream::name),
        attempt: number,
        raw: format!("/attempt/{}/log", attempt.id),
        tail: place == LogPosition::End,
        empty: shown.html.is_empty() && shown.line.is_empty() && shown.total == 0,
        part: (length < shown.total).then(|| format!("{} of {}", size(length), size(shown.total))),
        clock: attempt.clock_offset_ms.and_then(skew),
        size: size(shown.total),
        earlier: shown.earlier(),
        later: shown.later(),
        html: shown.html,
        line: shown.line,
    })
}

/// Returns links to all streams together, and to each alone.
fn streams(attempt: usize, place: LogPosition, here: Option<Stream>) -> Vec<StreamLink> {
    let offset = match place {
        LogPosition::From(from) => format!("&from={from}"),
        LogPosition::Until(until) => format!("&until={until}"),
        LogPosition::End => String::new(),
    };
    let all = Stream::ALL.map(Some);
    let link = |stream: Option<Stream>| StreamLink {
        name: stream.map_or("all", Stream::name),
        href: format!(
            "?attempt={attempt}{offset}{}#log",
            stream
                .map(|stream| format!("&stream={}", stream.name()))
                .unwrap_or_default()
        ),
        here: stream == here,
    };
    std::iter::once(None).chain(all).map(link).collect()
}

/// The most bytes of a lock that a page shows.
const SHOWN: usize = 256 << 10;
const DEPTH: usize = 8;

/// Indents JSON with one value per line. Leaves other text as it is, and JSON that is nested so deeply that indentation
/// would multiply its size. Cuts a longer text after [`SHOWN`] characters.
fn pretty(text: &str) -> String {
    if text.len() > SHOWN {
        return text.chars().take(SHOWN).chain("\n…".chars()).collect();
    }
    let depth = text.bytes().scan(0_usize, |depth, byte| {
        match byte {
            b'[' | b'{' => *depth += 1,
            b']' | b'}' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    if depth.max() > Some(DEPTH) {
        return text.to_owned();
    }
    let value: Option<serde_json::Value> = serde_json::from_str(text).ok();
    value
        .and_then(|value| serde_json::to_string_pretty(&value).ok())
        .unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::state::AttemptState;

    #[test]
    fn a_lock_from_elsewhere_does_not_grow() {
        assert_eq!(pretty("{\"a\":[1]}"), "{\n  \"a\": [\n    1\n  ]\n}");
        let deep = format!("{}{}{}", "[".repeat(100), "0,".repeat(1000) + "0", "]".repeat(100));
        assert_eq!(pretty(&deep), deep);
        assert!(pretty(&"[".repeat(1 << 20)).len() < 300_000);
    }

    #[test]
    fn the_asked_attempt_is_shown_else_the_newest() {
        let attempt = Attempt {
            id: "a".into(),
            job_id: "j".into(),
            number: 1,
            host: "h".into(),
            state: AttemptState::Leased,
            fence: String::new(),
            lease_until: Timestamp::default(),
            started_at: Timestamp::default(),
            finished_at: None,
            outcome: None,
            exit_code: None,
            report: None,
            lost: false,
            late_at: None,
            late_report: None,
            repetition: None,
            repeat_job_id: None,
            is_probe: false,
            clock_offset_ms: None,
        };
        let probe = Attempt {
            is_probe: true,
            ..attempt.clone()
        };
        let ask = |text: &str| Query::from([("attempt".to_owned(), text.to_owned())]);
        let two = [attempt.clone(), attempt];
        assert_eq!(chosen(&two, &Query::new()), 2);
        assert_eq!(chosen(&two, &ask("1")), 1);
        for odd in ["0", "3", "-1", "x", ""] {
            assert_eq!(chosen(&two, &ask(odd)), 2);
        }
        assert_eq!(chosen(&[], &ask("1")), 0);
        // an attempt for a comparison does not count as the newest one of its run
        let [first, second] = two;
        let compared = [first, second, probe.clone()];
        assert_eq!(chosen(&compared, &Query::new()), 2);
        assert_eq!(chosen(&compared, &ask("3")), 3);
        assert_eq!(chosen(&[probe], &Query::new()), 1);
    }
}
