//! Any JSON as a message between host and coordinator. The first byte chooses which.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pybots_fuzz::domain::host::Capabilities;
use pybots_fuzz::domain::id::HostId;
use pybots_fuzz::domain::job::{Facts, JobSpec, Report, attempt_most_ms};
use pybots_fuzz::domain::limits::Limits;
use pybots_fuzz::domain::received::{Expected, log_most};
use pybots_fuzz::domain::time::Timestamp;
use pybots_fuzz::profile::Profiles;
use pybots_fuzz::protocol::{Claim, FinishRequest, LogGap, PushedRequest, RenewRequest, has_nul, without_nul};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::sync::LazyLock;

/// Jobs as a coordinator plans them: a build and a run.
static JOBS: LazyLock<Vec<JobSpec>> = LazyLock::new(|| {
    let profiles = Profiles::load(None).expect("profiles are built in");
    let distribution = serde_json::to_value(&profiles.distribution).expect("it is JSON");
    let version = "3.14.0".parse().expect("a version");
    let build = json!({
        "build_key": "0123456789abcdef".repeat(4), "revision": "0123456789", "branch": "trunk", "version": "3.14.0",
        "variant": "default", "profile": profiles.for_version(&version), "distribution": distribution,
    });
    let fetch = json!({"project": "p", "sources": [], "requires": [], "python": "3.14", "free_threaded": false});
    let facts = Facts::default();
    let suite = json!({"name": "tests", "run": "true"});
    let run = json!({
        "kind": "run", "project": "p", "image": {"reference": "i", "build": build, "facts": facts},
        "distribution": distribution, "fetch": fetch, "system": [], "install": null, "install_network": false,
        "env": {}, "suites": [suite], "limits": Limits::default(),
    });
    let mut image = build;
    image["kind"] = "image".into();
    let jobs = [image, run].map(|job| serde_json::from_value(job).expect("a job"));
    jobs.into()
});

fn read<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, json)) = data.split_first() else { return };
    let clean = without_nul(json.to_vec());
    assert!(!has_nul(&clean));
    match kind % 5 {
        0 => {
            if let Some(FinishRequest { report, .. }) = read(json) {
                finish(report);
            }
        }
        1 => {
            if let Some(claim) = read::<Claim>(json) {
                claimed(&claim.spec);
            }
        }
        2 => drop(read::<RenewRequest>(json)),
        3 => {
            if let Some(capabilities) = read::<Capabilities>(json) {
                drop(capabilities.sane());
            }
        }
        _ => {
            drop(read::<PushedRequest>(json));
            drop(read::<LogGap>(json));
        }
    }
});

/// A coordinator reads a report. What it received once it receives again without a change.
fn finish(report: Report) {
    let jobs = JOBS.iter().map(Some).chain([None]);
    for job in jobs {
        for (builds, cancelled) in [(false, false), (true, true)] {
            let expected = Expected {
                job,
                builds,
                cancelled,
                started_at: Timestamp::from_millis(1_790_000_000_000),
            };
            let Ok(received) = expected.receive(report.clone()) else {
                continue;
            };
            let text = serde_json::to_vec(&received.report).expect("a report is JSON");
            let stored: Report = read(&text).expect("what was written can be read");
            assert_eq!(stored, received.report);
            let mut once = received.report;
            // a lock that was moved is not looked at again
            once.lock = None;
            once.unconfirmed_lock = None;
            let again = expected.receive(once.clone()).expect("it was received before");
            assert_eq!(again.report, once);
        }
    }
}

/// A host looks at a job.
fn claimed(spec: &JobSpec) {
    drop((spec.title(), spec.labels(), spec.build_key().len()));
    let build = spec.build();
    drop((build.reference(), build.build_tree(&HostId::from("h")), build.cache()));
    let _ = (log_most(Some(spec), true), attempt_most_ms(Some(spec)));
    if let JobSpec::Run(run) = spec {
        drop((run.is_legacy(), run.fetch.project_folder(), run.fetch.source_keys()));
    }
}
