use super::*;

const NOW: Timestamp = Timestamp::from_millis(10_000_000);

fn host(name: &str) -> WaitingHost {
    WaitingHost {
        id: format!("id-of-{name}").as_str().into(),
        name: name.into(),
        state: HostState::Active,
        has_token: true,
        builds: true,
        seen_at: Some(NOW - 1_000),
        backoff_until: None,
        consecutive_failures: 0,
        capabilities: Some(Capabilities {
            version: "1".into(),
            platform: "linux/amd64".into(),
            slots: 2,
            ..Capabilities::default()
        }),
        working: 0,
    }
}

fn with(name: &str, change: impl FnOnce(&mut Capabilities)) -> WaitingHost {
    let mut host = host(name);
    change(host.capabilities.as_mut().unwrap());
    host
}

/// Returns why a run waits that needs a label, if there is one.
fn reason(label: &str, hosts: &[WaitingHost]) -> String {
    let labels = label.parse().unwrap();
    reason_of(needs(JobKind::Run, &labels), hosts, |_| {}).to_string()
}

fn needs(kind: JobKind, labels: &Labels) -> JobNeeds<'_> {
    JobNeeds {
        kind,
        platform: "linux/amd64",
        project: "attrs",
        branch: "trunk",
        labels,
        memory_mib: 1024,
    }
}

fn reason_of(needs: JobNeeds<'_>, hosts: &[WaitingHost], change: impl FnOnce(&mut WaitingJob<'_>)) -> WaitReason {
    let nobody = BTreeSet::new();
    let mut job = WaitingJob {
        needs,
        from: NOW,
        source: None,
        holders: &nobody,
        is_pushed: false,
        queued: 7,
    };
    change(&mut job);
    wait_reason(&job, hosts, NOW)
}

#[test]
fn without_hosts_the_reason_says_so() {
    let gone = WaitingHost {
        state: HostState::Removed,
        ..host("gone")
    };
    assert_eq!(
        reason("", &[gone]),
        "no host is registered; `pybots host add` registers one"
    );
    let silent = |ago| WaitingHost {
        seen_at: Some(NOW - ago),
        ..host("lab")
    };
    assert_eq!(
        reason("", &[silent(ONLINE_MS)]),
        "no host is online; the last call was that of lab, at 1970-01-01 02:44 UTC"
    );
    assert_eq!(
        reason("", &[silent(ONLINE_MS - 1)]),
        "a host that fits takes it when it asks next"
    );
    let never = WaitingHost {
        seen_at: None,
        capabilities: None,
        ..host("new")
    };
    assert_eq!(reason("", &[never]), "no host has called yet");
}

#[test]
fn a_need_that_no_host_meets_is_named() {
    assert_eq!(
        reason("|arm64|", &[host("lab"), host("hut")]),
        "no host that is online has the label arm64"
    );
    let narrow = with("lab", |lab| {
        lab.memory_mib = Some(512);
        lab.platform = "linux/arm64".into();
        lab.projects = Some(["idna".to_owned()].into());
        lab.branches = Some(["3.14".to_owned()].into());
    });
    assert_eq!(
        reason("", &[narrow]),
        "no host that is online has the platform linux/amd64 and attrs among the projects that it accepts and trunk among \
         the branches that it accepts and 1024 MiB of memory for a run"
    );
    // each need is met somewhere, and all of them nowhere
    let labelled = with("hut", |hut| {
        hut.labels = ["arm64".to_owned()].into_iter().collect();
        hut.memory_mib = Some(512);
    });
    assert_eq!(
        reason("|arm64|", &[host("lab"), labelled]),
        "no host that is online has 1024 MiB of memory for a run and the label arm64"
    );
    let untrusted = WaitingHost {
        builds: false,
        ..host("lab")
    };
    let none = Labels::default();
    let image = reason_of(needs(JobKind::Image, &none), &[untrusted], |_| {});
    assert_eq!(
        image.to_string(),
        "no host that is online has leave to build images, which `pybots host trust NAME` gives"
    );
}

#[test]
fn a_job_for_one_host_names_that_host() {
    let mut lab = host("lab");
    let label = format!("|{}|", only(&lab.id));
    assert_eq!(
        reason(&label, &[host("hut"), lab.clone()]),
        "a host that fits takes it when it asks next"
    );
    lab.seen_at = Some(NOW - ONLINE_MS);
    assert_eq!(
        reason(&label, &[host("hut"), lab.clone()]),
        "lab fits, but is not online since 1970-01-01 02:44 UTC"
    );
    lab.state = HostState::Removed;
    assert_eq!(
        reason(&label, &[host("hut"), lab]),
        "no host that is online has the name lab, for which the job is meant"
    );
}

#[test]
fn hosts_that_fit_and_take_nothing_say_why() {
    let state = |state| WaitingHost { state, ..host("lab") };
    assert_eq!(
        reason("", &[state(HostState::Draining)]),
        "lab fits, but is draining; `pybots host resume lab` gives it jobs again"
    );
    assert_eq!(
        reason("", &[state(HostState::Quarantined)]),
        "lab fits, but is in quarantine; fix it, then `pybots host resume lab`"
    );
    let resting = |name: &str, ms| WaitingHost {
        backoff_until: Some(NOW + ms),
        ..host(name)
    };
    assert_eq!(
        reason("", &[resting("lab", 600_000), resting("hut", 60_000)]),
        "lab and hut fit, but are backing off until 1970-01-01 02:47 UTC"
    );
    // a back-off that is over holds nothing up
    assert_eq!(
        reason("", &[resting("lab", 0)]),
        "a host that fits takes it when it asks next"
    );
    let full = with("lab", |lab| {
        lab.pause = Some("the engine's disk has 3 GiB free, less than 20".into())
    });
    assert_eq!(
        reason("", &[full, resting("hut", 1)]),
        "lab fits, but takes no jobs: the engine's disk has 3 GiB free, less than 20"
    );
    let busy = |name: &str| WaitingHost {
        working: 2,
        ..host(name)
    };
    assert_eq!(
        reason("", &[busy("lab")]),
        "the host that fits is busy; 7 jobs are queued"
    );
    assert_eq!(
        reason("", &[busy("lab"), busy("hut")]),
        "all 2 hosts that fit are busy; 7 jobs are queued"
    );
    assert_eq!(
        reason("", &[busy("lab"), host("hut")]),
        "a host that fits takes it when it asks next"
    );
}

#[test]
fn a_host_that_may_not_build_needs_the_image() {
    let lab = WaitingHost {
        builds: false,
        ..host("lab")
    };
    let (none, holders) = (Labels::default(), BTreeSet::from([lab.id.clone()]));
    let hosts = [lab];
    let needs = needs(JobKind::Run, &none);
    assert_eq!(
        reason_of(needs, &hosts, |_| {}).to_string(),
        "lab fits, but is without its image, may not build it, and can't pull it from a registry"
    );
    assert_eq!(reason_of(needs, &hosts, |job| job.is_pushed = true), WaitReason::Soon);
    let nobody = WaitingJob {
        needs,
        from: NOW,
        source: None,
        holders: &holders,
        is_pushed: false,
        queued: 1,
    };
    assert_eq!(wait_reason(&nobody, &hosts, NOW), WaitReason::Soon);
}

#[test]
fn a_job_that_is_put_off_says_until_when() {
    let none = Labels::default();
    let needs = needs(JobKind::Run, &none);
    let source = reason_of(needs, &[], |job| {
        (job.from, job.source) = (NOW + 60_000, Some("https://example.org/x"))
    });
    assert_eq!(
        source.to_string(),
        "its source https://example.org/x did not answer; the next try is at 1970-01-01 02:47 UTC"
    );
    let retry = reason_of(needs, &[], |job| job.from = NOW + 60_000);
    assert_eq!(
        retry.to_string(),
        "the infrastructure failed it; the next try is at 1970-01-01 02:47 UTC"
    );
}

#[test]
fn what_somebody_has_to_act_on_comes_first() {
    let busy = WaitReason::Busy { hosts: 1, queued: 9 };
    let counted = by_reason([
        (busy.clone(), 5),
        (WaitReason::NoHost, 1),
        (busy.clone(), 4),
        (WaitReason::NoHost, 1),
    ]);
    assert_eq!(counted, [(WaitReason::NoHost, 2), (busy, 9)]);
}
