//! Attempts at a run or at an image: the list, the phases of the one that is looked at, its log.

use super::words::{Badge, Time, duration, outcome_badge, size, time};
use super::{Query, Web, ansi, window};
use crate::domain::job::Phase;
use crate::domain::results::Summary;
use crate::logfile::Stream;
use crate::store::attempts::{Attempt, newest};
use crate::store::logs::{Objects, Window};
use anyhow::Result;
use serde::Serialize;

/// What `attempts.hbs` reads.
#[derive(Debug, Serialize)]
pub struct AttemptsView {
    pub list: Vec<AttemptView>,
    pub phases: Vec<PhaseView>,
    pub log: Option<LogView>,
    /// Whether the newest attempt is in work.
    pub running: bool,
    /// What ran, as the host saw it (`sys.version`).
    pub interpreter: Option<String>,
    /// Exact versions that were installed, as JSON.
    pub lock: Option<String>,
    pub tests: Option<TestsView>,
}

/// What the suites said of their tests.
#[derive(Debug, Serialize)]
pub struct TestsView {
    pub summary: Summary,
    /// Failures that are not named.
    pub more: usize,
}

#[derive(Debug, Serialize)]
pub struct AttemptView {
    pub number: usize,
    /// Its name; of one that is not registered, its id.
    pub host: String,
    pub registered: bool,
    pub badge: Badge,
    pub started: Time,
    pub duration: String,
    /// What its host brought too late to count.
    pub late: Option<Badge>,
    /// Asked for to compare it with others.
    pub compares: bool,
    pub here: bool,
}

#[derive(Debug, Serialize)]
pub struct PhaseView {
    pub name: String,
    pub duration: String,
    pub exit: String,
    pub bad: bool,
    /// How each Python of the suite ran: `-X dev -W error`.
    pub modes: Option<String>,
    /// Its place in the log, bytes.
    pub from: u64,
    pub attempt: usize,
}

#[derive(Debug, Serialize)]
pub struct StreamLink {
    pub name: &'static str,
    pub href: String,
    pub here: bool,
}

#[derive(Debug, Serialize)]
pub struct LogView {
    pub html: String,
    /// The last line, as far as it has come.
    pub line: String,
    /// Where the rest comes from while it is written.
    pub events: Option<String>,
    pub streams: Vec<StreamLink>,
    /// The one that is shown alone.
    pub stream: Option<&'static str>,
    pub attempt: usize,
    pub raw: String,
    /// Whether the end is shown because no place was asked for: the page opens at its last line.
    pub tail: bool,
    pub empty: bool,
    /// `256 KiB of 12 MiB`, where not all is shown.
    pub part: Option<String>,
    pub size: String,
    pub earlier: Option<u64>,
    pub later: Option<u64>,
}

impl AttemptsView {
    /// Whether the log on the page is still being written.
    pub fn is_live(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.events.is_some())
    }
}

/// The attempts, with the one that the query asks for, else the newest of its own, laid open.
pub async fn view(web: &Web, attempts: &[Attempt], query: &Query, now: i64) -> Result<AttemptsView> {
    let hosts = web.store.host_names().await?;
    let number = chosen(attempts, query);
    let attempt = number.checked_sub(1).and_then(|at| attempts.get(at));
    let report = attempt.and_then(Attempt::report);
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
            summary,
        }),
    })
}

/// Counted from 1 over all attempts of a page; 0 where there is none.
pub fn chosen(attempts: &[Attempt], query: &Query) -> usize {
    let asked = query.get("attempt").and_then(|text| text.parse().ok());
    asked
        .filter(|number| (1..=attempts.len()).contains(number))
        .unwrap_or_else(|| newest(attempts).map_or(0, |place| place + 1))
}

fn one(attempt: &Attempt, host: Option<&String>, number: usize, here: bool, now: i64) -> AttemptView {
    let outcome = attempt.report().map(|report| report.outcome);
    let mut badge = outcome_badge(outcome.as_ref());
    if let (None, Some(name)) = (&outcome, &attempt.outcome) {
        // ended, but its report can't be read
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
            // cancelled before a host had it
            None if attempt.host.is_empty() => "none".to_owned(),
            None => attempt.host.clone(),
        },
        badge,
        late: attempt.late_report().map(|report| outcome_badge(Some(&report.outcome))),
        started: time(attempt.started_at, now),
        duration: duration(seconds),
        compares: attempt.compares == 1,
        here,
    }
}

fn phase_view(phase: &Phase, attempt: usize, modes: Option<&String>) -> PhaseView {
    PhaseView {
        name: phase.name.clone(),
        duration: duration(phase.seconds),
        exit: phase
            .exit_code
            .map_or_else(|| "ended from outside".to_owned(), |code| format!("exit code {code}")),
        bad: phase.exit_code != Some(0),
        modes: modes.cloned(),
        from: phase.log_from,
        attempt,
    }
}

async fn log(objects: &Objects, attempt: &Attempt, number: usize, query: &Query) -> Result<LogView> {
    let from: Option<u64> = query.get("from").and_then(|text| text.parse().ok());
    let stream: Option<Stream> = query.get("stream").and_then(|name| name.parse().ok());
    // nothing is read: only how long it is now
    let total = objects.read_log(&attempt.id, u64::MAX, 0).await?.total;
    let begin = window::begin(from, total);
    let (at, most) = window::to_read(begin);
    let (chunk, total) = objects.read_chunk(&attempt.id, at, most).await?;
    let read = Window {
        from: chunk.offset,
        bytes: chunk.text.to_vec(),
        total,
    };
    let shown = window::cut(&read, begin);
    let length = shown.until - shown.from;
    let text = match stream {
        Some(stream) => chunk.after(shown.from).before(shown.until).only(stream),
        None => shown.bytes.to_vec(),
    };
    let whole_lines = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let grows = attempt.finished_at.is_none() && from.is_none() && stream.is_none();
    let mut screen = ansi::Screen::default();
    screen.feed(&text[..whole_lines]);
    let html = screen.take();
    screen.feed(&text[whole_lines..]);
    Ok(LogView {
        html: html + &screen.take(),
        line: screen.line(),
        events: grows.then(|| {
            format!(
                "/attempt/{}/events?from={}",
                attempt.id,
                shown.from + whole_lines as u64
            )
        }),
        streams: streams(number, from, stream),
        stream: stream.map(Stream::name),
        attempt: number,
        raw: format!("/attempt/{}/log", attempt.id),
        tail: from.is_none(),
        empty: shown.total == 0,
        part: (length < shown.total).then(|| format!("{} of {}", size(length), size(shown.total))),
        size: size(shown.total),
        earlier: shown.earlier(),
        later: shown.later().filter(|_| from.is_some()),
    })
}

/// All streams together, and each alone.
fn streams(attempt: usize, from: Option<u64>, here: Option<Stream>) -> Vec<StreamLink> {
    let place = from.map(|from| format!("&from={from}")).unwrap_or_default();
    let all = Stream::ALL.map(Some);
    let link = |stream: Option<Stream>| StreamLink {
        name: stream.map_or("all", Stream::name),
        href: format!(
            "?attempt={attempt}{place}{}#log",
            stream
                .map(|stream| format!("&stream={}", stream.name()))
                .unwrap_or_default()
        ),
        here: stream == here,
    };
    std::iter::once(None).chain(all).map(link).collect()
}

/// Bytes of a text that a page shows, and how deep it may be nested to be set out.
const SHOWN: usize = 256 << 10;
const DEPTH: usize = 8;

/// JSON with a line a value; text that is none stays as it is, and so does what would grow beyond measure.
pub fn pretty(text: &str) -> String {
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
            state: "leased".into(),
            fence: String::new(),
            lease_until: 0,
            started_at: 0,
            finished_at: None,
            outcome: None,
            exit_code: None,
            report: None,
            lost: 0,
            late_at: None,
            late_report: None,
            compares: 0,
        };
        let probe = Attempt {
            compares: 1,
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
        // what is there to be compared with others says less of this run
        let [first, second] = two;
        let compared = [first, second, probe.clone()];
        assert_eq!(chosen(&compared, &Query::new()), 2);
        assert_eq!(chosen(&compared, &ask("3")), 3);
        assert_eq!(chosen(&[probe], &Query::new()), 1);
    }
}
