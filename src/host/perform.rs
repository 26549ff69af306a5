//! One job, from its spec to its report.

use super::Host;
use super::log::Log;
use super::{image, run};
use crate::domain::job::{JobSpec, Report, RunSpec};
use crate::domain::outcome::Outcome;

impl Host {
    /// Does one job and returns its report. Whatever happens, nothing of the job is left on the engine.
    pub async fn perform(&self, attempt: &str, spec: &JobSpec, log: &Log) -> Report {
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
                run::run(self, attempt, &run, log, &mut report).await
            }
        };
        if let Err(stop) = done {
            report.outcome = stop.outcome();
        }
        self.clear(attempt).await;
        at_work.end();
        log.say(&format!("outcome: {}", report.outcome)).await;
        report
    }
}
