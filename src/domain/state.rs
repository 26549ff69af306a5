//! The states of jobs, attempts and images.

use super::names::names;

/// What a job does.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// Not built yet. A build may be queued or leased, or the infrastructure failed every attempt at it.
    Wanted,
    Ready,
    /// CPython does not build.
    Failed,
}

names!(ImageState, "state of an image": Wanted = "wanted", Ready = "ready", Failed = "failed");

/// What a maintainer requests of a job.
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
