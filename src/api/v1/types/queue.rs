//! The queue, and the results of tests on each revision.

use crate::domain::failing::FailingTests;
use crate::domain::state::JobKind;
use crate::domain::time::Timestamp;
use crate::store::views::{GroupForecast, QueueForecast, RunningJob, TestedRevision};
use serde::Serialize;
use utoipa::ToSchema;

/// What runs, what waits, and when it will be done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct QueueView {
    /// The jobs in progress, oldest first.
    pub running: Vec<RunningJobView>,
    /// The jobs that wait. Those that no host takes at present come first.
    pub waiting: Vec<WaitingJobsView>,
    /// The hosts that call.
    pub hosts_online: usize,
    /// The registered hosts that do not call.
    pub hosts_silent: usize,
    /// How many jobs the hosts that take jobs at present do at the same time.
    pub slots: i64,
    /// When the last job ends of those whose end can be estimated.
    #[schema(value_type = Option<i64>, required = true)]
    pub ends_at: Option<Timestamp>,
    /// Whether `ends_at` is a lower bound.
    pub may_end_later: bool,
}

/// A job in progress.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunningJobView {
    /// The project. `null` for the build of an image.
    #[schema(required = true)]
    pub project: Option<String>,
    /// The hash of the revision.
    pub revision: String,
    pub branch: String,
    pub variant: String,
    /// The host's name, or its id if it is not registered.
    pub host: String,
    #[schema(value_type = i64)]
    pub started_at: Timestamp,
    /// When it ends, if it takes as long as such jobs did recently.
    #[schema(value_type = Option<i64>, required = true)]
    pub ends_at: Option<Timestamp>,
}

/// Jobs that wait, of one project or of builds, on one branch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WaitingJobsView {
    /// The project. `null` for builds of images.
    #[schema(required = true)]
    pub project: Option<String>,
    pub branch: String,
    pub variant: String,
    pub platform: String,
    /// Whether investigations or people asked for these jobs.
    pub reruns: bool,
    /// How many jobs wait, counted up to 1,001.
    pub jobs: i64,
    /// Why the next of them waits.
    pub reason: String,
    /// Whether a host takes them as soon as it has a free slot.
    pub has_taker: bool,
    #[schema(value_type = Option<i64>, required = true)]
    pub ends_at: Option<Timestamp>,
}

impl From<&QueueForecast> for QueueView {
    fn from(queue: &QueueForecast) -> Self {
        Self {
            running: queue.running.iter().map(RunningJobView::from).collect(),
            waiting: queue.groups.iter().map(WaitingJobsView::from).collect(),
            hosts_online: queue.fleet.online,
            hosts_silent: queue.fleet.silent,
            slots: queue.fleet.slots,
            ends_at: queue.ends_at(),
            may_end_later: queue.may_end_later(),
        }
    }
}

impl From<&RunningJob> for RunningJobView {
    fn from(job: &RunningJob) -> Self {
        let attempt = &job.attempt;
        Self {
            project: attempt.project.clone(),
            revision: attempt.sha.clone(),
            branch: attempt.branch.clone(),
            variant: attempt.variant.clone(),
            host: job.host_name.clone().unwrap_or_else(|| job.host.to_string()),
            started_at: attempt.started_at,
            ends_at: job.ends_at(),
        }
    }
}

impl From<&GroupForecast> for WaitingJobsView {
    fn from(forecast: &GroupForecast) -> Self {
        let group = &forecast.group;
        Self {
            project: (group.kind == JobKind::Run).then(|| group.project.clone()),
            branch: group.branch.clone(),
            variant: group.variant.clone(),
            platform: group.platform.clone(),
            reruns: group.reruns,
            jobs: forecast.jobs,
            reason: forecast.reason.to_string(),
            has_taker: forecast.has_taker,
            ends_at: forecast.ends_at,
        }
    }
}

/// The result of a project on a revision, with the tests that failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TestedRevisionView {
    /// The hash of the revision.
    pub revision: String,
    /// The name of a Subversion revision: `r45321`.
    #[schema(required = true)]
    pub label: Option<String>,
    /// The id of the run; its page is `/run/ID`.
    pub run: String,
    /// The state of the cell, as in `/api/v1/results`. `null` if no attempt has ended.
    #[schema(value_type = Option<String>, required = true)]
    pub state: Option<&'static str>,
    /// The duration in seconds of the attempt that explains the state.
    #[schema(required = true)]
    pub seconds: Option<f64>,
    /// The names of the tests that failed. `null` if the result does not say which.
    #[schema(required = true)]
    pub failing: Option<Vec<String>>,
    /// Whether no other tests failed than those that `failing` names.
    pub is_complete: bool,
}

impl From<&TestedRevision> for TestedRevisionView {
    fn from(tested: &TestedRevision) -> Self {
        let result = &tested.result;
        let (failing, is_complete) = match &tested.failing {
            FailingTests::Unknown => (None, false),
            FailingTests::Listed { names, is_complete } => (Some(names.iter().cloned().collect()), *is_complete),
        };
        Self {
            revision: result.sha.clone(),
            label: result.label.clone(),
            run: result.run_id.to_string(),
            state: result.cell_state.map(|state| state.name()),
            seconds: result.cell_ms.map(|ms| ms as f64 / 1000.0),
            failing,
            is_complete,
        }
    }
}
