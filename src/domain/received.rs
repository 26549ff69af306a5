//! Checks the reports of hosts. The coordinator accepts nothing that the limits of the job rule out. A host is a
//! stranger's machine, and its texts appear on pages and in shells.

use super::address::starred;
use super::job::{JobSpec, Phase, Report, RunSpec};
use super::lock::Lock;
use super::outcome::Outcome;
use super::suite::source_key;
use super::text::is_odd;
use super::time::Timestamp;

/// The most characters of a reason, of the name of a phase, and of `sys.version`.
const REASON_MOST: usize = 2_000;
const NAME_MOST: usize = 100;
const INTERPRETER_MOST: usize = 300;
/// The most phases of a build.
const BUILD_PHASES_MOST: usize = 64;
/// The most images that a run uses.
const IMAGES_MOST: usize = 8;
/// The most tests of a run. The coordinator compares each test with the tests of other runs.
const TESTS_MOST: usize = 50_000;
/// The longest duration of a phase, in seconds.
const SECONDS_MOST: f64 = 30.0 * 24.0 * 3600.0;
/// How much later than its attempt a phase may begin, in milliseconds.
const AHEAD_MS: i64 = 31 * 24 * 3_600_000;

/// The bytes of log that an attempt may have beyond the limits of its run, for lines of Pybots itself and retries.
const LOG_MARGIN: u64 = 4 << 20;
/// The bytes of each phase's log that are kept whatever the run's limit says.
const LOG_OF_PHASE: u64 = 64 << 10;
/// The bytes of log that a build of an image may have. Its limit is a setting of the host, and only trusted hosts
/// build.
const LOG_OF_BUILD: u64 = 1 << 30;
/// The bytes of log that a build may have if it adds packages of the distribution.
const LOG_OF_PACKAGES: u64 = 32 << 20;

/// The attempt for which a host sent a report, which limits what the report may say. `cancelled` says that the
/// coordinator asked for the end of the attempt.
pub struct Expected<'a> {
    /// `None` if another version of Pybots planned the job.
    pub job: Option<&'a JobSpec>,
    /// Whether the host may build images.
    pub builds: bool,
    pub cancelled: bool,
    /// When the attempt began. The check does not depend on the present time, so that the same report always gives the
    /// same result.
    pub started_at: Timestamp,
}

/// A report whose implausible parts are dropped.
#[derive(Debug)]
pub struct Received {
    pub report: Report,
    /// Why the report's lock was dropped, or `None` if it was not.
    pub refused_lock: Option<String>,
}

impl Expected<'_> {
    /// Drops the implausible parts of a report, brings texts and numbers within bounds, and masks logins in reasons.
    /// The error says why the whole report is refused.
    pub fn receive(&self, mut report: Report) -> Result<Received, String> {
        match &report.outcome {
            Outcome::Skipped { .. } => return Err("only a recipe skips a run, no host".to_owned()),
            Outcome::Cancelled if !self.cancelled => return Err("nobody cancelled this attempt".to_owned()),
            _ => {}
        }
        report.outcome = sane_outcome(report.outcome);
        report.phases.truncate(self.phases_most());
        for phase in &mut report.phases {
            self.sane_phase(phase);
        }
        report.interpreter = report.interpreter.map(|text| line(&text, INTERPRETER_MOST));
        report.images.retain(|kind, id| is_word(kind) && is_content_id(id));
        while report.images.len() > IMAGES_MOST {
            report.images.pop_last();
        }
        let is_line = |text: &str| text.len() <= REASON_MOST && !text.contains(is_odd);
        report.unreachable.take_if(|address| !is_line(address));
        report.unreachable = report.unreachable.map(|address| source_key(&address));
        report.limit.take_if(|limit| !is_line(limit));
        let modes = std::mem::take(&mut report.modes);
        let modes = modes.into_iter().take(self.phases_most());
        report.modes = modes
            .map(|(phase, modes)| (line(&phase, NAME_MOST), line(&modes, NAME_MOST)))
            .collect();
        let refused_lock = self.receive_lock(&mut report).err();
        if let Some(tests) = &mut report.tests {
            let mut left = TESTS_MOST;
            for count in [tests.failed.len(), tests.passed.len(), tests.skipped.len()] {
                tests.cut |= count > left;
                left = left.saturating_sub(count);
            }
            tests.failed.truncate(TESTS_MOST);
            tests.passed.truncate(TESTS_MOST - tests.failed.len());
            tests
                .skipped
                .truncate(TESTS_MOST - tests.failed.len() - tests.passed.len());
        }
        // only a trusted host says what an image is, and only of the image that its job builds
        let is_its_image = |reference: &str| match self.job {
            Some(JobSpec::Image(build)) => reference == build.reference(),
            Some(JobSpec::Run(_)) | None => false,
        };
        let builds = self.builds;
        report
            .image
            .take_if(|image| !builds || !is_its_image(&image.reference) || !is_content_id(&image.digest));
        if matches!((self.job, &report.outcome), (Some(JobSpec::Image(_)), Outcome::Passed)) && report.image.is_none() {
            return Err("a build that passed needs its image".to_owned());
        }
        Ok(Received { report, refused_lock })
    }

    /// Keeps a reported lock only if other hosts may install what it names: a host that may build reported it, or the
    /// job has the same lock. Otherwise it becomes the unconfirmed lock. The error says why it can't be a lock of this
    /// job.
    fn receive_lock(&self, report: &mut Report) -> Result<(), String> {
        report.unconfirmed_lock = None;
        let Some(text) = report.lock.take() else {
            return Ok(());
        };
        let Some(JobSpec::Run(run)) = self.job else {
            return Err("its job is no run that can be read".to_owned());
        };
        let lock = Lock::parse(&text).ok_or("it is not of the shape that fetching writes")?;
        lock.fits(&run.fetch)?;
        let is_ordered = run.fetch.lock.as_deref().and_then(Lock::parse).as_ref() == Some(&lock);
        match self.builds || is_ordered {
            true => report.lock = Some(lock.to_text()),
            false => report.unconfirmed_lock = Some(lock.to_text()),
        }
        Ok(())
    }

    fn phases_most(&self) -> usize {
        match self.job {
            Some(JobSpec::Image(_)) | None => BUILD_PHASES_MOST,
            // a host that lacks the image may build it first
            Some(JobSpec::Run(run)) => run.suites.len() + 2 + if self.builds { BUILD_PHASES_MOST } else { 0 },
        }
    }

    fn sane_phase(&self, phase: &mut Phase) {
        phase.name = line(&phase.name, NAME_MOST);
        phase.seconds = if phase.seconds.is_finite() {
            phase.seconds.clamp(0.0, SECONDS_MOST)
        } else {
            0.0
        };
        phase.started_at = phase.started_at.clamp(Timestamp::default(), self.started_at + AHEAD_MS);
        phase.exit_code = phase.exit_code.map(sane_code);
        phase.log_from = phase.log_from.min(log_most(self.job, self.builds));
    }
}

/// Returns how many bytes of log an attempt at a job may have.
pub fn log_most(job: Option<&JobSpec>, builds: bool) -> u64 {
    match job {
        Some(JobSpec::Image(_)) | None => LOG_OF_BUILD,
        Some(JobSpec::Run(run)) => of_run(run).saturating_add(if builds { LOG_OF_BUILD } else { 0 }),
    }
}

fn of_run(run: &RunSpec) -> u64 {
    let phases = run.suites.len() as u64 + 2;
    let each = run.limits.log.0.max(LOG_OF_PHASE).saturating_mul(phases);
    let together = run.limits.run_log.0.saturating_add(LOG_OF_PHASE * phases);
    let packages = if run.system.is_empty() { 0 } else { LOG_OF_PACKAGES };
    each.min(together).saturating_add(packages + LOG_MARGIN)
}

fn sane_outcome(outcome: Outcome) -> Outcome {
    let short = |reason: String| line(&starred(&reason), REASON_MOST);
    match outcome {
        Outcome::Failed { exit_code } => Outcome::Failed {
            exit_code: sane_code(exit_code),
        },
        Outcome::Crashed { signal } => Outcome::Crashed {
            signal: signal.clamp(1, 127),
        },
        Outcome::SetupFailed { reason, exit_code } => Outcome::SetupFailed {
            reason: short(reason),
            exit_code: exit_code.map(sane_code),
        },
        Outcome::RecipeError { reason } => Outcome::RecipeError { reason: short(reason) },
        Outcome::Infra { reason } => Outcome::Infra { reason: short(reason) },
        Outcome::Passed
        | Outcome::TimedOut { .. }
        | Outcome::OutOfMemory
        | Outcome::Cancelled
        | Outcome::Skipped { .. } => outcome,
    }
}

/// Returns an exit code within the range that processes have.
fn sane_code(code: i64) -> i64 {
    code.clamp(-255, 255)
}

/// Returns the first `most` characters of a stranger's text, on one line.
fn line(text: &str, most: usize) -> String {
    let shown = text.chars().map(|c| if is_odd(c) { ' ' } else { c });
    shown.take(most).collect()
}

fn is_word(text: &str) -> bool {
    (1..=NAME_MOST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase())
}

/// Returns whether a text may be the content id of an image, such as `sha256:..`.
fn is_content_id(text: &str) -> bool {
    (1..=2 * NAME_MOST).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b":._/+-".contains(&b))
}

#[cfg(test)]
#[path = "received_tests.rs"]
mod tests;
