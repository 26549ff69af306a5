//! One phase of an attempt: a container from its start to its end, watched.

use super::log::{HeadAndTail, Log};
use crate::clock::now_ms;
use crate::domain::job::Phase;
use crate::domain::limits::{Seconds, Size};
use crate::domain::outcome::Timeout;
use crate::runtime::{Container, Exit, PHASE_LABEL, Result, Runtime, RuntimeError, Usage};
use bytes::Bytes;
use futures_util::StreamExt;
use std::time::{Duration, Instant};

/// A phase to run.
pub struct Plan<'a> {
    pub name: &'a str,
    pub container: Container,
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
    /// The first bytes of its output, for those who asked a question.
    pub output: Vec<u8>,
}

/// Output that is kept in memory for [`Ran::output`].
const ANSWER: usize = 64 << 10;

/// Runs a container to its end and removes it. The whole container is killed when a clock runs out.
pub async fn run(runtime: &dyn Runtime, log: &Log, plan: Plan<'_>) -> Result<Ran> {
    log.say(&format!("phase {}", plan.name)).await;
    let (started_at, clock, log_from) = (now_ms(), Instant::now(), log.position());
    let mut container = plan.container.clone();
    container.labels.insert(PHASE_LABEL.to_owned(), plan.name.to_owned());
    let id = runtime.create(&container).await?;
    let watched = watch(runtime, log, &plan, &id).await;
    let removed = runtime.remove(&id).await;
    let (end, output) = watched?;
    removed?;
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
    Ok(Ran { end, phase, output })
}

async fn watch(runtime: &dyn Runtime, log: &Log, plan: &Plan<'_>, id: &str) -> Result<(End, Vec<u8>)> {
    let mut output = runtime.start(id).await?;
    let mut cap = HeadAndTail::new(plan.log.0);
    let mut answer = Vec::new();
    let mut clocks = Clocks::new(plan.timeout, plan.silence);
    let mut look = tokio::time::interval(clocks.step());
    let mut timed_out = None;
    loop {
        tokio::select! {
            chunk = output.next() => match chunk {
                Some(Ok(chunk)) => {
                    clocks.heard();
                    let room = ANSWER - answer.len();
                    answer.extend_from_slice(&chunk[..room.min(chunk.len())]);
                    let head: Bytes = cap.take(&chunk);
                    if !head.is_empty() {
                        log.write(head).await;
                    }
                }
                Some(Err(error)) => return Err(RuntimeError::Refused(format!("the output of a container broke off: {error}"))),
                None => break,
            },
            _ = look.tick(), if timed_out.is_none() => {
                timed_out = clocks.ran_out(runtime, id).await?;
                if timed_out.is_some() {
                    runtime.kill(id).await?;
                }
            }
        }
    }
    let exit = runtime.wait(id).await?;
    let (mark, tail) = cap.finish();
    if let Some(mark) = mark {
        log.write("\n".into()).await;
        log.say(&mark).await;
    }
    if !tail.is_empty() {
        log.write(tail).await;
    }
    Ok((timed_out.map_or(End::Exited(exit), End::TimedOut), answer))
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

    fn heard(&mut self) {
        self.active = Instant::now();
        self.base = None;
    }

    async fn ran_out(&mut self, runtime: &dyn Runtime, id: &str) -> Result<Option<Timeout>> {
        if self.started.elapsed() >= self.timeout {
            return Ok(Some(Timeout::Total));
        }
        let usage = runtime.usage(id).await?;
        match self.base {
            None => self.base = Some(usage),
            Some(base) if self.worked(base, usage) => {
                self.active = Instant::now();
                self.base = Some(usage);
            }
            Some(_) => {}
        }
        Ok((self.active.elapsed() >= self.silence).then_some(Timeout::Silence))
    }

    /// A process that only wakes up to look at the clock does no work: up to a CPU-second in a
    /// silence, or a tenth of a short one, counts as idle.
    fn worked(&self, base: Usage, now: Usage) -> bool {
        let idle_ns = (self.silence / 10).min(Duration::from_secs(1)).as_nanos() as u64;
        now.cpu_ns.saturating_sub(base.cpu_ns) > idle_ns || now.io_bytes.saturating_sub(base.io_bytes) > IDLE_IO_BYTES
    }
}
