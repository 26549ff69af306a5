//! Runs one phase of an attempt: a container from its start to its end, with time limits.

use super::log::Log;
use super::log::cap::HeadAndTail;
use crate::clock::now;
use crate::domain::address::{Secrets, StreamMask};
use crate::domain::job::Phase;
use crate::domain::limits::{Seconds, Size};
use crate::domain::outcome::Timeout;
use crate::domain::time::Timestamp;
use crate::logfile::Stream;
use crate::runtime::{Container, Exit, Output, PHASE_LABEL, Result, Runtime, RuntimeError, Usage};
use futures_util::stream::{BoxStream, StreamExt};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The limits of a phase, and its other settings.
pub struct PhaseLimits<'a> {
    pub name: &'a str,
    pub timeout: Seconds,
    pub silence: Seconds,
    /// The most bytes of its log that are kept.
    pub log: Size,
    /// A script that makes the processes show their activity. It runs before they are killed because of a time limit.
    pub before_kill: Option<&'a str>,
    /// The secrets that no log shows.
    pub secrets: &'a Secrets,
}

/// How a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseEnd {
    Exited(Exit),
    TimedOut(Timeout),
}

impl PhaseEnd {
    pub fn succeeded(self) -> bool {
        matches!(self, PhaseEnd::Exited(Exit { code: 0, .. }))
    }
}

/// The result of a phase.
pub struct PhaseResult {
    pub end: PhaseEnd,
    pub phase: Phase,
    /// The head and the tail of its output, for callers that parse it.
    pub output: Vec<u8>,
    /// The steps that the container announced, in order.
    pub marks: Vec<StepMark>,
}

/// The beginning of a line by which a container announces a step.
pub const STEP: &str = "== step ";

/// A step that a container announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepMark {
    pub name: String,
    pub at: Timestamp,
    /// The offset in the attempt's log.
    pub position: u64,
}

type OutputStream = BoxStream<'static, std::io::Result<Output>>;

/// The most bytes of output that are kept in memory for [`PhaseResult::output`]: half from the head, and half from the
/// tail.
const ANSWER: u64 = 64 << 10;

/// How long the engine may take to start the script before a kill, and how long the processes may write after it.
const BEFORE_KILL: Duration = Duration::from_secs(2);

/// How long the engine may take to report the usage of a container.
const USAGE_WITHIN: Duration = Duration::from_secs(10);

/// Creates a container, runs it to its end and removes it.
pub async fn run(
    runtime: &dyn Runtime,
    log: &Log,
    plan: &PhaseLimits<'_>,
    container: Container,
) -> Result<PhaseResult> {
    let mut container = container;
    container.labels.insert(PHASE_LABEL.to_owned(), plan.name.to_owned());
    let id = runtime.create(&container).await?;
    let ran = run_in(runtime, log, plan, &id).await;
    let removed = runtime.remove(&id).await;
    let ran = ran?;
    removed?;
    Ok(ran)
}

/// Runs an existing container to its end. Kills the whole container when a time limit is over.
pub async fn run_in(runtime: &dyn Runtime, log: &Log, plan: &PhaseLimits<'_>, id: &str) -> Result<PhaseResult> {
    log.say(&format!("phase {}", plan.name)).await;
    let (started_at, clock, log_from) = (now(), Instant::now(), log.position());
    let (end, output, marks) = watch(runtime, log, plan, id).await?;
    let exit_code = match end {
        PhaseEnd::Exited(exit) => Some(exit.code),
        PhaseEnd::TimedOut(_) => None,
    };
    let seconds = clock.elapsed().as_secs_f64();
    let how = match end {
        PhaseEnd::Exited(Exit {
            out_of_memory: true,
            code,
        }) => format!("out of memory, exit code {code}"),
        PhaseEnd::Exited(exit) => format!("exit code {}", exit.code),
        PhaseEnd::TimedOut(Timeout::Total) => format!("killed: longer than {}", plan.timeout),
        PhaseEnd::TimedOut(Timeout::Silence) => format!("killed: silent and idle for {}", plan.silence),
    };
    log.say(&format!("phase {} ended after {seconds:.1} s: {how}", plan.name))
        .await;
    let phase = Phase {
        name: plan.name.to_owned(),
        started_at,
        seconds,
        exit_code,
        log_from,
    };
    Ok(PhaseResult {
        end,
        phase,
        output,
        marks,
    })
}

async fn watch(
    runtime: &dyn Runtime,
    log: &Log,
    plan: &PhaseLimits<'_>,
    id: &str,
) -> Result<(PhaseEnd, Vec<u8>, Vec<StepMark>)> {
    let output = runtime.start(id).await?;
    let heard = Heard::default();
    let mut cap = HeadAndTail::new(plan.log.0);
    let mut answer = HeadAndTail::new(ANSWER);
    let mut answered = Vec::new();
    let mut marks = StepFinder::default();
    let output = masked(output, plan.secrets);
    let timed_out = {
        let pump = pump(output, log, &heard, &mut cap, &mut answer, &mut answered, &mut marks);
        tokio::pin!(pump);
        // the time limits also apply while the log is held up
        tokio::select! {
            ended = &mut pump => {
                ended?;
                None
            }
            which = Clocks::new(plan.timeout, plan.silence).run(runtime, id, &heard) => {
                let which = which?;
                let mut ended = None;
                if let Some(script) = plan.before_kill {
                    // this only adds to the log: an engine that is slow or refuses must not keep the container alive
                    let _ = tokio::time::timeout(BEFORE_KILL, runtime.exec(id, &["/bin/sh", "-c", script])).await;
                    ended = tokio::time::timeout(BEFORE_KILL, &mut pump).await.ok();
                }
                runtime.kill(id).await?;
                match ended {
                    Some(ended) => ended?,
                    None => pump.await?,
                }
                Some(which)
            }
        }
    };
    let exit = runtime.wait(id).await?;
    let (mark, tail) = cap.finish();
    if let Some(mark) = mark {
        log.write(Stream::Control, "\n".into()).await;
        log.say(&mark).await;
    }
    for (piece, text) in tail.parts() {
        log.write_of(piece.stream, piece.at, text).await;
    }
    answered.extend_from_slice(&answer.finish().1.text);
    Ok((
        timed_out.map_or(PhaseEnd::Exited(exit), PhaseEnd::TimedOut),
        answered,
        marks.found,
    ))
}

/// Whether the container wrote something since the last check. While the log accepts nothing, the container can't
/// write, and counts as active.
#[derive(Default)]
struct Heard {
    since: AtomicBool,
    held_up: AtomicBool,
}

impl Heard {
    fn take(&self) -> bool {
        self.since.swap(false, Ordering::SeqCst) || self.held_up.load(Ordering::SeqCst)
    }
}

/// Masks secrets in the output of a container.
fn masked(output: OutputStream, secrets: &Secrets) -> OutputStream {
    if secrets.is_empty() {
        return output;
    }
    let mut masks = BTreeMap::new();
    let secrets = secrets.clone();
    // `None` at the end returns the text that was held back
    let output = output.map(Some).chain(futures_util::stream::once(async { None }));
    let parts = output.flat_map(move |part| {
        let parts: Vec<std::io::Result<Output>> = match part {
            Some(Ok(Output { stream, bytes })) => {
                let mask = masks.entry(stream).or_insert_with(|| StreamMask::new(&secrets));
                let bytes = mask.take(&bytes).into();
                vec![Ok(Output { stream, bytes })]
            }
            Some(Err(error)) => vec![Err(error)],
            None => {
                let held = masks.iter_mut().map(|(stream, mask)| (*stream, mask.finish()));
                let held = held.filter(|(_, bytes)| !bytes.is_empty());
                held.map(|(stream, bytes)| {
                    Ok(Output {
                        stream,
                        bytes: bytes.into(),
                    })
                })
                .collect()
            }
        };
        futures_util::stream::iter(parts)
    });
    Box::pin(parts)
}

/// Passes output on until the container ends.
async fn pump(
    mut output: OutputStream,
    log: &Log,
    heard: &Heard,
    cap: &mut HeadAndTail,
    answer: &mut HeadAndTail,
    answered: &mut Vec<u8>,
    marks: &mut StepFinder,
) -> Result<()> {
    while let Some(output) = output.next().await {
        let broken = |error| RuntimeError::Refused(format!("the output of a container ended early: {error}"));
        let Output { stream, bytes: chunk } = output.map_err(broken)?;
        let at = now().as_millis();
        heard.since.store(true, Ordering::SeqCst);
        marks.look(&chunk, log.position());
        answered.extend_from_slice(&answer.take(stream, at, &chunk));
        let head = cap.take(stream, at, &chunk);
        if !head.is_empty() {
            heard.held_up.store(true, Ordering::SeqCst);
            log.write_of(stream, at, head).await;
            heard.held_up.store(false, Ordering::SeqCst);
        }
    }
    Ok(())
}

/// Finds announced steps in the output.
#[derive(Default)]
struct StepFinder {
    found: Vec<StepMark>,
    /// The beginning of the current line, up to [`MARK_MOST`] bytes.
    line: Vec<u8>,
}

/// The most bytes of a line that are kept. Longer lines announce no step.
const MARK_MOST: usize = 100;
/// The most steps that are kept, because project code may print such lines.
const MARKS_MOST: usize = 1000;

impl StepFinder {
    fn look(&mut self, chunk: &[u8], position: u64) {
        for (at, part) in chunk.split(|byte| *byte == b'\n').enumerate() {
            if at > 0 {
                let line = String::from_utf8_lossy(&self.line);
                // project code may print anything, and must not fill our memory
                if let Some(name) = line.strip_prefix(STEP).filter(|_| self.found.len() < MARKS_MOST) {
                    self.found.push(StepMark {
                        name: name.trim().to_owned(),
                        at: now(),
                        position,
                    });
                }
                self.line.clear();
            }
            let room = MARK_MOST.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
        }
    }
}

/// The total and the silence limit of a phase. Silence means no output, no CPU time and no I/O. So a suite that
/// computes without output may use all of its total time.
struct Clocks {
    started: Instant,
    timeout: Duration,
    silence: Duration,
    active: Instant,
    /// The usage when the container was last active. `None` if it was not read since the last output.
    base: Option<Usage>,
}

/// The most bytes of I/O that a container may do during the silence limit and still count as idle.
const IDLE_IO_BYTES: u64 = 1 << 20;

impl Clocks {
    fn new(timeout: Seconds, silence: Seconds) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            timeout: Duration::from_secs(timeout.0),
            silence: Duration::from_secs(silence.0),
            active: now,
            base: None,
        }
    }

    /// Returns the time between two checks: a quarter of the shorter limit, between 0.5 and 10 s.
    fn step(&self) -> Duration {
        (self.silence.min(self.timeout) / 4).clamp(Duration::from_millis(500), Duration::from_secs(10))
    }

    /// Waits until a limit is over, and returns which one.
    async fn run(mut self, runtime: &dyn Runtime, id: &str, heard: &Heard) -> Result<Timeout> {
        let mut look = tokio::time::interval(self.step());
        loop {
            look.tick().await;
            if self.started.elapsed() >= self.timeout {
                return Ok(Timeout::Total);
            }
            if heard.take() {
                self.active = Instant::now();
                self.base = None;
            }
            // a slow engine must not stop the clock
            if let Ok(usage) = tokio::time::timeout(USAGE_WITHIN, runtime.usage(id)).await {
                self.seen(usage?);
            }
            if self.active.elapsed() >= self.silence {
                return Ok(Timeout::Silence);
            }
        }
    }

    fn seen(&mut self, usage: Usage) {
        match self.base {
            None => self.base = Some(usage),
            Some(base) if self.worked(base, usage) => {
                self.active = Instant::now();
                self.base = Some(usage);
            }
            Some(_) => {}
        }
    }

    /// Returns whether the container did work. A process that only wakes up to read the clock does none. Up to a second
    /// of CPU time within the silence limit counts as idle, or a tenth of a limit that is shorter than 10 s.
    fn worked(&self, base: Usage, now: Usage) -> bool {
        let idle_ns = (self.silence / 10).min(Duration::from_secs(1)).as_nanos() as u64;
        now.cpu_ns.saturating_sub(base.cpu_ns) > idle_ns || now.io_bytes.saturating_sub(base.io_bytes) > IDLE_IO_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_found_however_the_output_is_cut() {
        let mut marks = StepFinder::default();
        for chunk in ["flakiness\n== st", "ep make\nno == step x\n", "== step install", "\n"] {
            marks.look(chunk.as_bytes(), 7);
        }
        let names: Vec<&str> = marks.found.iter().map(|mark| mark.name.as_str()).collect();
        assert_eq!(names, ["make", "install"]);
    }
}
