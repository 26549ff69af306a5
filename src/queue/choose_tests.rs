use super::*;
use crate::domain::host::Offer;

const NOW: i64 = 1_000_000;

fn head(id: &str, uses: &str, priority: i64) -> Head {
    Head {
        id: id.into(),
        priority,
        uses: Some(uses.into()),
        avoid: None,
        not_before: 0,
    }
}

/// A group of runs of a project on `trunk`, all of whose first jobs are one.
fn group(project: &str, job: &str) -> Group {
    Group {
        id: project.into(),
        kind: "run".into(),
        platform: "linux/amd64".into(),
        project: project.into(),
        branch: "trunk".into(),
        newest: 10,
        first: Some(job.into()),
        ripe: Some(job.into()),
        ..Group::default()
    }
}

/// What a host is offered, in order; `?` with the group where the database has to be asked.
fn order(stand: &Stand, host: &str, builds: bool, pulls: bool, offer: &Offer) -> Vec<String> {
    let taker = Taker {
        host,
        builds,
        pulls,
        most: None,
        offer,
    };
    let mut order = stand.order(&taker);
    let mut names = Vec::new();
    while let Some(Reverse(next)) = order.pop() {
        names.push(next.job.unwrap_or_else(|| format!("?{}", stand.group(next.group).id)));
    }
    names
}

fn offer() -> Offer {
    Offer {
        platform: "linux/amd64".into(),
        ..Offer::default()
    }
}

fn stand(groups: Vec<Group>, heads: Vec<Head>, held: &[(&str, &str)]) -> Stand {
    let held = held
        .iter()
        .map(|(host, image)| ((*host).to_owned(), (*image).to_owned()));
    Stand::new(groups, heads, held.collect(), NOW)
}

#[test]
fn the_newest_then_runs_then_turns_then_held_then_the_longest() {
    let builds = Group {
        kind: "image".into(),
        project: String::new(),
        ..group("builds", "b")
    };
    let turn = |group: Group, round| Group { round, ..group };
    let long = |group: Group, expected_ms| Group { expected_ms, ..group };
    let groups = vec![
        group("old", "o"),
        builds,
        turn(group("had-its-turn", "t"), 1),
        long(group("short", "s"), 5),
        long(group("long", "l"), 50),
        group("held", "h"),
    ];
    let heads = vec![
        head("o", "i", 9),
        head("b", "i2", 10),
        head("t", "i", 10),
        head("s", "i", 10),
        head("l", "i", 10),
        head("h", "mine", 10),
    ];
    let mut stand = stand(groups, heads, &[("h", "mine")]);
    assert_eq!(
        order(&stand, "h", true, false, &offer()),
        ["h", "l", "s", "t", "b", "o"]
    );
    // a group of which a job was taken waits for its next turn, and is asked what it has
    stand.took(5);
    assert_eq!(
        order(&stand, "h", true, false, &offer()),
        ["l", "s", "?held", "t", "b", "o"]
    );
}

#[test]
fn who_holds_no_image_waits_pulls_or_is_asked_about() {
    let fresh = Group {
        ripe: None,
        ..group("fresh", "f")
    };
    let pullable = Group {
        pullable: Some("p".into()),
        ..group("pullable", "p")
    };
    let groups = vec![fresh, group("local", "l"), pullable];
    let heads = vec![head("f", "i", 10), head("l", "i", 10), head("p", "i", 10)];
    let stand = stand(groups, heads, &[("holder", "i")]);
    assert_eq!(order(&stand, "holder", true, false, &offer()), ["f", "l", "p"]);
    assert_eq!(order(&stand, "builder", true, false, &offer()), ["l", "p"]);
    assert_eq!(
        order(&stand, "puller", false, true, &offer()),
        ["?fresh", "?local", "p"]
    );
    assert_eq!(
        order(&stand, "nobody", false, false, &offer()),
        ["?fresh", "?local", "?pullable"]
    );
}

#[test]
fn what_a_host_failed_is_asked_about_until_others_had_their_time() {
    let failed = |ago| Head {
        avoid: Some("bad".into()),
        not_before: NOW - ago,
        ..head("j", "i", 10)
    };
    for (ago, seen) in [(0, "?p"), (ELSEWHERE_FIRST_MS, "j")] {
        let stand = stand(vec![group("p", "j")], vec![failed(ago)], &[]);
        assert_eq!(order(&stand, "bad", true, false, &offer()), [seen]);
        assert_eq!(order(&stand, "good", true, false, &offer()), ["j"]);
    }
}

#[test]
fn only_what_the_owner_lets_in() {
    let groups = vec![
        group("a", "a"),
        Group {
            labels: "|gpu||big|".into(),
            ..group("b", "b")
        },
        Group {
            memory_mib: 4096,
            ..group("c", "c")
        },
        Group {
            platform: "linux/arm64".into(),
            ..group("d", "d")
        },
        Group {
            kind: "image".into(),
            ..group("", "e")
        },
    ];
    let heads = ["a", "b", "c", "d", "e"].map(|id| head(id, "i", 10)).to_vec();
    let stand = stand(groups, heads, &[("h", "i")]);
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let taken = |offer: Offer| order(&stand, "h", true, false, &offer);
    assert_eq!(taken(offer()), ["a", "c", "e"]);
    let labels = set(&["gpu", "big", "more"]);
    assert_eq!(taken(Offer { labels, ..offer() }), ["a", "b", "c", "e"]);
    let memory_mib = Some(2048);
    assert_eq!(taken(Offer { memory_mib, ..offer() }), ["a", "e"]);
    let projects = Some(set(&["c"]));
    assert_eq!(taken(Offer { projects, ..offer() }), ["c", "e"]);
    let branches = Some(set(&["2.5"]));
    assert_eq!(taken(Offer { branches, ..offer() }), Vec::<String>::new());
    assert_eq!(order(&stand, "h", false, false, &offer()), ["a", "c"]);
}
