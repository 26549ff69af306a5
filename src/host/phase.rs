//! One phase of an attempt: a container from its start to its end, watched.

use super::log::Log;
use super::log::cap::HeadAndTail;
use crate::clock::now_ms;
use crate::domain::job::Phase;
use crate::domain::limits::{Seconds, Size};
use crate::domain::outcome::Timeout;
use crate::logfile::Stream;
use crate::runtime::{Container, Exit, Output, PHASE_LABEL, Result, Runtime, RuntimeError, Usage};
use futures_util::stream::{BoxStream, StreamExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a phase is watched.
pub struct Plan<'a> {
    pub name: &'a str,
    pub timeout: Seconds,
    pub silence: Seconds,
    /// Log bytes to keep.
    pub log: Size,
}

/// How a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(Exit),
    TimedOut(Timeout),
}

impl End {
    pub fn succeeded(self) -> bool {
        matches!(self, End::Exited(Exit { code: 0, .. }))
    }
}

/// A phase that ran.
pub struct Ran {
    pub end: End,
    pub phase: Phase,
    /// Head and tail of its output, for those who asked a question.
    pub output: Vec<u8>,
    /// The steps that it said it came to, in order.
    pub marks: Vec<Mark>,
}

/// What a line begins with by which a container says that it comes to a step.
pub const STEP: &str = "== step ";

/// A step that a container came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub name: String,
    /// Milliseconds since the epoch, UTC.
    pub at: i64,
    /// Place in the attempt's log.
    pub position: u64,
}

/// Output that is kept in memory for [`Ran::output`], half from its head and half from its tail.
const ANSWER: u64 = 64 << 10;

/// Time that the engine gets to say what a container has used.
const USAGE_WITHIN: Duration = Duration::from_secs(10);

/// Runs a container to its end and removes it.
pub async fn run(runtime: &dyn Runtime, log: &Log, plan: &Plan<'_>, container: Container) -> Result<Ran> {
    let mut container = container;
    container.labels.insert(PHASE_LABEL.to_owned(), plan.name.to_owned());
    let id = runtime.create(&container).await?;
    let ran = run_in(runtime, log, plan, &id).await;
    let removed = runtime.remove(&id).await;
    let ran = ran?;
    removed?;
    Ok(ran)
}

/// Runs a container that was made before to its end. The whole container is killed when a clock runs out.
pub async fn run_in(runtime: &dyn Runtime, log: &Log, plan: &Plan<'_>, id: &str) -> Result<Ran> {
    log.say(&format!("phase {}", plan.name)).await;
    let (started_at, clock, log_from) = (now_ms(), Instant::now(), log.position());
    let (end, output, marks) = watch(runtime, log, plan, id).await?;
    let exit_code = match end {
        End::Exited(exit) => Some(exit.code),
        End::TimedOut(_) => None,
    };
    let seconds = clock.elapsed().as_secs_f64();
    let how = match end {
        End::Exited(Exit {
            out_of_memory: true,
            code,
        }) => format!("out of memory, exit code {code}"),
        End::Exited(exit) => format!("exit code {}", exit.code),
        End::TimedOut(Timeout::Total) => format!("killed: longer than {}", plan.timeout),
        End::TimedOut(Timeout::Silence) => format!("killed: silent and idle for {}", plan.silence),
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
    Ok(Ran {
        end,
        phase,
        output,
        marks,
    })
}

async fn watch(runtime: &dyn Runtime, log: &Log, plan: &Plan<'_>, id: &str) -> Result<(End, Vec<u8>, Vec<Mark>)> {
    let output = runtime.start(id).await?;
    let heard = Heard::default();
    let mut cap = HeadAndTail::new(plan.log.0);
    let mut answer = HeadAndTail::new(ANSWER);
    let mut answered = Vec::new();
    let mut marks = Marks::default();
    let timed_out = {
        let pump = pump(output, log, &heard, &mut cap, &mut answer, &mut answered, &mut marks);
        tokio::pin!(pump);
        // the clocks go on while the log is held up
        tokio::select! {
            ended = &mut pump => {
                ended?;
                None
            }
            which = Clocks::new(plan.timeout, plan.silence).run(runtime, id, &heard) => {
                let which = which?;
                runtime.kill(id).await?;
                pump.await?;
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
        timed_out.map_or(End::Exited(exit), End::TimedOut),
        answered,
        marks.found,
    ))
}

/// Whether the container was heard since it was last asked. While we ourselves hold up its output it
/// counts as heard: that silence is not its own.
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

/// Passes output on until the container ends.
async fn pump(
    mut output: BoxStream<'static, std::io::Result<Output>>,
    log: &Log,
    heard: &Heard,
    cap: &mut HeadAndTail,
    answer: &mut HeadAndTail,
    answered: &mut Vec<u8>,
    marks: &mut Marks,
) -> Result<()> {
    while let Some(output) = output.next().await {
        let broken = |error| RuntimeError::Refused(format!("the output of a container broke off: {error}"));
        let Output { stream, bytes: chunk } = output.map_err(broken)?;
        let at = now_ms();
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

/// Finds the steps in the output.
#[derive(Default)]
struct Marks {
    found: Vec<Mark>,
    /// The line that is not ended yet, as far as it may be a mark.
    line: Vec<u8>,
}

/// Longest line that is taken for a mark.
const MARK_MOST: usize = 100;
/// Most steps that are told apart.
const MARKS_MOST: usize = 1000;

impl Marks {
    fn look(&mut self, chunk: &[u8], position: u64) {
        for (at, part) in chunk.split(|byte| *byte == b'\n').enumerate() {
            if at > 0 {
                let line = String::from_utf8_lossy(&self.line);
                // what strangers' code prints is not let fill our memory
                if let Some(name) = line.strip_prefix(STEP).filter(|_| self.found.len() < MARKS_MOST) {
                    self.found.push(Mark {
                        name: name.trim().to_owned(),
                        at: now_ms(),
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

/// The two clocks of a phase. Silence means no output and no work: a suite that computes without a
/// word is left alone until its total time is over.
struct Clocks {
    started: Instant,
    timeout: Duration,
    silence: Duration,
    active: Instant,
    /// Usage when it was last seen active; None: not asked since.
    base: Option<Usage>,
}

/// I/O below this in a whole silence is none.
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

    /// Time between two looks: often enough for short silences, seldom for long ones.
    fn step(&self) -> Duration {
        (self.silence.min(self.timeout) / 4).clamp(Duration::from_millis(500), Duration::from_secs(10))
    }

    /// Resolves when one of them has run out.
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
            // an engine that is slow to answer must not stop the clock
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

    /// A process that only wakes up to look at the clock does no work: up to a CPU-second in a
    /// silence, or a tenth of a short one, counts as idle.
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
        let mut marks = Marks::default();
        for chunk in ["noise\n== st", "ep make\nno == step x\n", "== step install", "\n"] {
            marks.look(chunk.as_bytes(), 7);
        }
        let names: Vec<&str> = marks.found.iter().map(|mark| mark.name.as_str()).collect();
        assert_eq!(names, ["make", "install"]);
    }
}
