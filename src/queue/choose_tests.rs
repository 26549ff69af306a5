use super::*;
use crate::domain::host::Capabilities;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn head(id: &str, target_image_id: &str, priority: i64) -> FirstJob {
    FirstJob {
        id: id.into(),
        priority,
        target_image_id: Some(target_image_id.into()),
        avoid_host: None,
        not_before: Timestamp::default(),
    }
}

/// Builds a group of runs of a project on `trunk` with one job.
fn group(project: &str, job: &str) -> JobGroup {
    JobGroup {
        id: project.into(),
        kind: JobKind::Run,
        platform: "linux/amd64".into(),
        project: project.into(),
        branch: "trunk".into(),
        newest: 10,
        first: Some(job.into()),
        ripe: Some(job.into()),
        ..JobGroup::default()
    }
}

/// Returns the jobs that a host may get, best first; `?` and the group if only the database can name the job.
fn order(queued: &QueuedGroups, host: &str, builds: bool, pulls: bool, capabilities: &Capabilities) -> Vec<String> {
    let taker = Taker {
        host: &host.into(),
        builds,
        pulls,
        most: None,
        capabilities,
    };
    let mut choices = queued.choices(&taker);
    let mut names = Vec::new();
    while let Some(Reverse(choice)) = choices.pop() {
        let asked = || format!("?{}", queued.group(choice.group).id);
        names.push(choice.job.as_ref().map_or_else(asked, JobId::to_string));
    }
    names
}

fn capabilities() -> Capabilities {
    Capabilities {
        platform: "linux/amd64".into(),
        ..Capabilities::default()
    }
}

fn queued(groups: Vec<JobGroup>, heads: Vec<FirstJob>, held: &[(&str, &str)]) -> QueuedGroups {
    let held = held
        .iter()
        .map(|(host, image)| (HostId::from(*host), ImageId::from(*image)));
    QueuedGroups::new(groups, heads, held.collect(), NOW)
}

#[test]
fn the_newest_then_reruns_then_the_rest_in_turns_then_held_then_the_longest() {
    let builds = JobGroup {
        kind: JobKind::Image,
        project: String::new(),
        ..group("builds", "b")
    };
    let turn = |group: JobGroup, round| JobGroup { round, ..group };
    let long = |group: JobGroup, expected_ms| JobGroup { expected_ms, ..group };
    let groups = vec![
        group("old", "o"),
        builds,
        turn(group("had-its-turn", "t"), 1),
        long(group("short", "s"), 5),
        long(group("long", "l"), 50),
        group("held", "h"),
        JobGroup {
            newest: 0,
            reruns: true,
            ..group("investigated", "r")
        },
    ];
    let heads = vec![
        head("o", "i", 9),
        head("b", "i2", 10),
        head("t", "i", 10),
        head("s", "i", 10),
        head("l", "i", 10),
        head("h", "mine", 10),
        head("r", "mine", 99),
    ];
    let mut queued = queued(groups, heads, &[("h", "mine")]);
    assert_eq!(
        order(&queued, "h", true, false, &capabilities()),
        ["h", "l", "s", "t", "b", "r", "o"]
    );
    // after a job was taken, the group waits for its next turn, and only the database can name its next job
    queued.took(5);
    assert_eq!(
        order(&queued, "h", true, false, &capabilities()),
        ["l", "s", "?held", "t", "b", "r", "o"]
    );
}

#[test]
fn a_host_without_the_image_waits_or_pulls() {
    let fresh = JobGroup {
        ripe: None,
        ..group("fresh", "f")
    };
    let pullable = JobGroup {
        pullable: Some("p".into()),
        ..group("pullable", "p")
    };
    let groups = vec![fresh, group("local", "l"), pullable];
    let heads = vec![head("f", "i", 10), head("l", "i", 10), head("p", "i", 10)];
    let queued = queued(groups, heads, &[("holder", "i")]);
    assert_eq!(order(&queued, "holder", true, false, &capabilities()), ["f", "l", "p"]);
    assert_eq!(order(&queued, "builder", true, false, &capabilities()), ["l", "p"]);
    assert_eq!(
        order(&queued, "puller", false, true, &capabilities()),
        ["?fresh", "?local", "p"]
    );
    assert_eq!(
        order(&queued, "nobody", false, false, &capabilities()),
        ["?fresh", "?local", "?pullable"]
    );
}

#[test]
fn a_job_that_a_host_failed_waits_for_other_hosts() {
    let failed = |ago| FirstJob {
        avoid_host: Some("bad".into()),
        not_before: NOW - ago,
        ..head("j", "i", 10)
    };
    for (ago, seen) in [(0, "?p"), (ELSEWHERE_FIRST_MS, "j")] {
        let queued = queued(vec![group("p", "j")], vec![failed(ago)], &[]);
        assert_eq!(order(&queued, "bad", true, false, &capabilities()), [seen]);
        assert_eq!(order(&queued, "good", true, false, &capabilities()), ["j"]);
    }
}

#[test]
fn a_host_gets_only_what_it_accepts() {
    let groups = vec![
        group("a", "a"),
        JobGroup {
            labels: "|gpu||big|".parse().unwrap(),
            ..group("b", "b")
        },
        JobGroup {
            memory_mib: 4096,
            ..group("c", "c")
        },
        JobGroup {
            platform: "linux/arm64".into(),
            ..group("d", "d")
        },
        JobGroup {
            kind: JobKind::Image,
            ..group("", "e")
        },
    ];
    let heads = ["a", "b", "c", "d", "e"].map(|id| head(id, "i", 10)).to_vec();
    let queued = queued(groups, heads, &[("h", "i")]);
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let taken = |capabilities: Capabilities| order(&queued, "h", true, false, &capabilities);
    assert_eq!(taken(capabilities()), ["a", "c", "e"]);
    let labels = set(&["gpu", "big", "more"]).into();
    assert_eq!(
        taken(Capabilities {
            labels,
            ..capabilities()
        }),
        ["a", "b", "c", "e"]
    );
    let memory_mib = Some(2048);
    assert_eq!(
        taken(Capabilities {
            memory_mib,
            ..capabilities()
        }),
        ["a", "e"]
    );
    let projects = Some(set(&["c"]));
    assert_eq!(
        taken(Capabilities {
            projects,
            ..capabilities()
        }),
        ["c", "e"]
    );
    let branches = Some(set(&["2.5"]));
    assert_eq!(
        taken(Capabilities {
            branches,
            ..capabilities()
        }),
        Vec::<String>::new()
    );
    assert_eq!(order(&queued, "h", false, false, &capabilities()), ["a", "c"]);
}
