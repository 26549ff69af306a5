//! The states of jobs, attempts and images.

use super::names::names;

/// The kind of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobKind {
    /// Builds an image.
    Image,
    /// Runs the suites of one project on an image.
    #[default]
    Run,
}

names!(JobKind, "kind of job": Image = "image", Run = "run");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Waits for a host.
    Queued,
    /// A host works on it.
    Leased,
    Finished,
}

names!(JobState, "state of a job": Queued = "queued", Leased = "leased", Finished = "finished");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptState {
    Leased,
    Finished,
}

names!(AttemptState, "state of an attempt": Leased = "leased", Finished = "finished");

/// The state of the repetition of a new host's result on another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// The result does not count yet.
    Awaited,
    /// The other host had the same result.
    Agreed,
    /// The other host had another result, which counts instead.
    Disagreed,
    /// No other host can do the run, so the result counts.
    NoHost,
    /// The repetition failed, or the host had too many. The result does not count.
    Unrepeated,
}

names!(
    Repetition,
    "state of a repetition": Awaited = "awaited",
    Agreed = "agreed",
    Disagreed = "disagreed",
    NoHost = "no_host",
    Unrepeated = "unrepeated",
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// The image is not built yet. A build may be queued or leased, or the infrastructure failed every attempt at it.
    Wanted,
    Ready,
    /// CPython does not build.
    Failed,
}

names!(ImageState, "state of an image": Wanted = "wanted", Ready = "ready", Failed = "failed");

/// A maintainer's request about a leased job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The attempt ends, and the job with it.
    Cancel,
    /// The attempt ends, and the job is queued again.
    Rerun,
}

names!(Request, "request": Cancel = "cancel", Rerun = "rerun");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for state in JobState::ALL {
            assert_eq!(state.to_string().parse(), Ok(*state));
        }
        let error = "lost".parse::<JobState>().unwrap_err();
        assert_eq!(error, "there is no state of a job \"lost\"");
    }
}
