//! One job, from its spec to its report.

use super::Host;
use super::log::Log;
use super::{Course, image, run};
use crate::domain::job::{JobSpec, Report, RunSpec};
use crate::domain::outcome::Outcome;
use crate::runtime::Container;

impl Host {
    /// Does one job and returns its report. Whatever happens, nothing of the job is left on the engine, at the latest
    /// when the engine answers again.
    pub async fn perform(&self, attempt: &str, spec: &JobSpec, log: &Log) -> Report {
        self.perform_part(attempt, spec, log, Course::default()).await
    }

    /// Does a part of a job, or hands the job back if the host policy refuses it. If `course` says so, the work folder
    /// of a run stays, and the caller has to remove it.
    pub async fn perform_part(&self, attempt: &str, spec: &JobSpec, log: &Log, course: Course) -> Report {
        let say = self.policy.current();
        if let Some(reason) = say.refuses(spec) {
            log.say(&reason).await;
            // nothing failed: another host gets the job
            return Report {
                handed_back: true,
                ..Report::of(Outcome::Infra { reason })
            };
        }
        let at_work = self.leftovers.at_work(attempt);
        let _used = self.image_locks.share(spec.build_key()).await;
        let mut report = Report::of(Outcome::Passed);
        log.say(&spec.title()).await;
        let done = match spec {
            JobSpec::Image(build) => image::build(self, attempt, build, log, &mut report).await,
            JobSpec::Run(run) => {
                let here = say.cap(&run.limits);
                if here != run.limits {
                    log.say(&format!(
                        "the host policy gives a run {} processors instead of {}",
                        here.cpus, run.limits.cpus
                    ))
                    .await;
                }
                let run = RunSpec {
                    limits: here,
                    ..(**run).clone()
                };
                run::run(self, attempt, &run, log, course, &mut report).await
            }
        };
        if let Err(stop) = done {
            report.outcome = stop.outcome();
        }
        if !course.keeps {
            self.clear(attempt).await;
        }
        at_work.end();
        log.say(&format!("outcome: {}", report.outcome)).await;
        report
    }

    /// Returns a container with a shell in the work folder that the attempt kept. It sees the same as the first suite
    /// of the run.
    pub async fn shell(&self, attempt: &str, run: &RunSpec, log: &Log) -> anyhow::Result<Container> {
        let shell = run::shell(self, attempt, run, log).await;
        shell.map_err(|stop| anyhow::anyhow!("there is no shell: {}", stop.outcome()))
    }
}
