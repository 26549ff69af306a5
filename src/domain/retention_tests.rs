use super::RetentionReason::*;
use super::*;

const NOW: Timestamp = Timestamp::from_millis(1000 * DAY_MS);
const GIB: u64 = 1 << 30;

fn policy() -> Policy {
    Policy {
        days: 14,
        branch_days: BTreeMap::from([("long".to_owned(), 60)]),
        key_frames: true,
        key_frame_days: 365,
        min_free: 10 * GIB,
    }
}

/// An image, and its history if it is one of this installation.
type Case = (HeldImage, Option<ImageHistory>);

/// Returns an image whose build key is its id, on another one.
fn image(id: &str, depth: u32, below: Option<&str>) -> HeldImage {
    HeldImage {
        id: id.into(),
        names: vec![format!("pybots/cpython:{id}")],
        kind: ImageKind::Cpython,
        build_key: id.into(),
        variant: "default".into(),
        version: "3.14.0".into(),
        depth,
        bytes: GIB,
        below: below.map(str::to_owned),
        tagged_at: Some(Timestamp::from_millis(1)),
        ..HeldImage::default()
    }
}

/// Returns the history of an image of a revision on a branch `days` ago, used then and never since.
fn history(branch: &str, days: i64) -> ImageHistory {
    let at = NOW - days * DAY_MS;
    ImageHistory {
        ready_at: Some(at),
        last_used: Some(at),
        branches: vec![BranchUse {
            branch: branch.into(),
            since: at,
            watched: true,
            tip: false,
        }],
        ..ImageHistory::default()
    }
}

/// Returns a newer image than all others, so that no other is the last one.
fn latest() -> (HeldImage, ImageHistory) {
    let image = HeldImage {
        tagged_at: Some(Timestamp::from_millis(9)),
        ..image("latest", 0, None)
    };
    (image, history("main", 0))
}

fn decide(held: Vec<Case>, free: Option<u64>) -> Vec<RetentionDecision> {
    let (newest, fresh) = latest();
    let held: Vec<_> = held.into_iter().chain([(newest, Some(fresh))]).collect();
    let history = held
        .iter()
        .filter_map(|(image, history)| Some((image.build_key.clone(), history.clone()?)))
        .collect();
    let inventory = Inventory {
        free,
        images: held.into_iter().map(|(image, _)| image).collect(),
        ..Inventory::default()
    };
    let mut decisions = images(&inventory, &history, &policy(), NOW);
    assert_eq!(decisions.pop().unwrap().reason, Last);
    decisions
}

#[test]
fn each_image_has_its_reason() {
    let delta = || image("i", 3, None);
    let old = || history("main", 20);
    let with = |change: &dyn Fn(&mut HeldImage, &mut ImageHistory)| {
        let (mut image, mut history) = (delta(), old());
        change(&mut image, &mut history);
        (image, Some(history))
    };
    let branch = |history: &mut ImageHistory, change: &dyn Fn(&mut BranchUse)| change(&mut history.branches[0]);
    let cases: Vec<(&str, Case, RetentionReason)> = vec![
        ("of another installation", (delta(), None), Foreign),
        ("old", with(&|_, _| {}), Old { days: 14 }),
        ("young", (delta(), Some(history("main", 13))), Recent { days: 14 }),
        ("on the edge", (delta(), Some(history("main", 14))), Old { days: 14 }),
        (
            "branch that keeps images longer",
            (delta(), Some(history("long", 20))),
            Recent { days: 60 },
        ),
        (
            "such a branch, later",
            (delta(), Some(history("long", 60))),
            Old { days: 60 },
        ),
        (
            "used again",
            with(&|_, history| history.last_used = Some(NOW - DAY_MS)),
            Recent { days: 14 },
        ),
        (
            "built again",
            with(&|_, history| history.ready_at = Some(NOW)),
            Recent { days: 14 },
        ),
        ("key frame", with(&|image, _| image.depth = 0), KeyFrame { days: 365 }),
        (
            "old key frame",
            (image("i", 0, None), Some(history("main", 365))),
            Old { days: 14 },
        ),
        ("in use", with(&|image, _| image.users = 2), InUse { containers: 2 }),
        (
            "open job",
            with(&|_, history| history.open_jobs = 1),
            OpenJob { jobs: 1 },
        ),
        (
            "pinned",
            with(&|_, history| history.pins = vec!["incident 7".into()]),
            Pinned {
                reason: "incident 7".into(),
            },
        ),
        (
            "tip",
            with(&|_, history| branch(history, &|branch| branch.tip = true)),
            Tip { branch: "main".into() },
        ),
        (
            "last of another minor version",
            with(&|image, _| image.version = "3.9.1".into()),
            Last,
        ),
        (
            "last of another variant",
            with(&|image, _| image.variant = "debug".into()),
            Last,
        ),
        (
            "last of a branch that is not watched",
            with(&|image, history| {
                image.variant = "debug".into();
                branch(history, &|branch| branch.watched = false);
            }),
            Old { days: 14 },
        ),
        (
            "replaced by another of its name",
            with(&|image, history| {
                image.names.clear();
                branch(history, &|branch| branch.tip = true);
            }),
            Leftover,
        ),
        (
            "a build's candidate",
            with(&|image, _| image.names = vec!["pybots/cpython:i-0190-ab".into()]),
            Leftover,
        ),
        (
            "a candidate whose build runs",
            with(&|image, history| {
                image.names.clear();
                history.open_jobs = 1;
            }),
            OpenJob { jobs: 1 },
        ),
        (
            "superseded key frame",
            with(&|image, history| {
                image.depth = 0;
                history.branches.clear();
            }),
            Superseded { days: 14 },
        ),
        ("toolchain", with(&|image, _| image.kind = ImageKind::Toolchain), Base),
        (
            "project",
            with(&|image, _| image.kind = ImageKind::Project),
            Unused { days: 1 },
        ),
        (
            "project of the tip",
            with(&|image, history| {
                image.kind = ImageKind::Project;
                branch(history, &|branch| branch.tip = true);
            }),
            Tip { branch: "main".into() },
        ),
        (
            "kind of a later version",
            with(&|image, _| image.kind = ImageKind::Other),
            Foreign,
        ),
    ];
    for (what, held, reason) in cases {
        let decision = decide(vec![held], Some(10 * GIB)).remove(0);
        assert_eq!(decision.reason, reason, "{what}");
        assert_eq!(decision.frees > 0, !reason.stays(), "{what}");
    }
}

fn reasons(held: Vec<Case>, free: u64) -> Vec<&'static str> {
    let word = |decision: &RetentionDecision| match decision.reason {
        Old { .. } => "old",
        Beneath => "beneath",
        Recent { .. } => "recent",
        KeyFrame { .. } => "key",
        Tip { .. } => "tip",
        Pressure => "pressure",
        _ => "other",
    };
    decide(held, Some(free)).iter().map(word).collect()
}

fn chain(ages: &[i64]) -> Vec<Case> {
    let held = ages.iter().enumerate().map(|(depth, days)| {
        let below = depth.checked_sub(1).map(|lower| format!("i{lower}"));
        let image = image(&format!("i{depth}"), depth as u32, below.as_deref());
        (image, Some(history("main", *days)))
    });
    held.collect()
}

#[test]
fn images_below_others_stay_and_a_whole_tail_goes() {
    assert_eq!(
        reasons(chain(&[30, 25, 20, 5]), 10 * GIB),
        ["key", "beneath", "beneath", "recent"]
    );
    assert_eq!(
        reasons(chain(&[30, 25, 20, 15]), 10 * GIB),
        ["key", "old", "old", "old"]
    );
    assert_eq!(reasons(chain(&[400, 390]), 10 * GIB), ["old", "old"]);
    // an image of another installation keeps the ones below it as well
    let mut held = chain(&[30, 25, 20]);
    held[2].1 = None;
    assert_eq!(reasons(held, 10 * GIB), ["key", "beneath", "other"]);
}

#[test]
fn a_full_disk_loses_the_least_recently_used_images() {
    // one image has to go: it is the tail, because removing the images below it would free nothing
    assert_eq!(reasons(chain(&[9, 8, 7]), 9 * GIB), ["recent", "recent", "pressure"]);
    assert_eq!(reasons(chain(&[9, 8, 7]), 0), ["pressure", "pressure", "pressure"]);
    // images that go anyway count
    assert_eq!(reasons(chain(&[30, 20]), 9 * GIB), ["key", "old"]);
    assert_eq!(reasons(chain(&[30, 20]), 8 * GIB), ["pressure", "old"]);
    // protected images stay, and so do the images below them
    let mut held = chain(&[30, 20, 3]);
    held[1].1.as_mut().unwrap().branches[0].tip = true;
    assert_eq!(reasons(held, 0), ["key", "tip", "pressure"]);
    // of two chains, the less recently used one goes
    let mut held = chain(&[9]);
    held.push((image("other", 0, None), Some(history("main", 12))));
    assert_eq!(reasons(held, 9 * GIB), ["recent", "pressure"]);
    // a disk of unknown size is not relieved
    let decisions = decide(chain(&[9]), None);
    assert!(decisions[0].reason.stays());
}

#[test]
fn what_goes_frees_the_images_below_it_that_go_anyway() {
    // the lowest lost its name, and stays until nothing is on it
    let mut held = chain(&[9, 8, 7]);
    held[0].0.names.clear();
    held.push((image("other", 0, None), Some(history("main", 1))));
    assert_eq!(reasons(held, 7 * GIB), ["other", "pressure", "pressure", "recent"]);
}

#[test]
fn a_host_says_what_it_holds_and_keeps_nobody_waiting() {
    // all on one key, so that one history serves all; some are built on each other in a circle
    let many = 30_000;
    let mut held: Vec<Case> = (0..many)
        .map(|number| {
            let at = HeldImage {
                build_key: "key".into(),
                bytes: 1,
                ..image(&format!("i{number}"), 0, None)
            };
            (at, Some(history("main", 9)))
        })
        .collect();
    held[0].0.below = Some("i1".into());
    held[1].0.below = Some("i0".into());
    held[2].0.below = Some("i2".into());
    let start = std::time::Instant::now();
    let decisions = decide(held.clone(), Some(0));
    let gone = decisions.iter().filter(|decision| decision.reason == Pressure);
    assert_eq!(gone.count(), many - 3);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    // no engine has so many bytes
    for (image, _) in &mut held {
        image.bytes = u64::MAX;
        image.names.clear();
    }
    assert_eq!(decide(held, Some(0))[9].reason, Leftover);
}

#[test]
fn layers_show_which_image_is_built_on_which() {
    let layers = |text: &str| text.chars().map(String::from).collect::<Vec<String>>();
    let all = ["r", "rk", "rka", "rkabc", "rx", "rka"].map(layers);
    // the last has the same layers as the third
    assert_eq!(below(&all), [None, Some(0), Some(1), Some(5), Some(0), Some(2)]);
    for (chain, depth, chain_below, bytes) in [
        (0, 0, None, 5),
        (30, 2, Some(10), 20),
        // the second of two images with equal layers has no layers of its own
        (30, 2, Some(30), 0),
        (30, 2, None, 130),
    ] {
        assert_eq!(own_bytes(chain, 100, 5, depth, chain_below), bytes);
    }
}

#[test]
fn volumes_go_when_nobody_needs_them() {
    let needs = NeededVolumes {
        build_trees: BTreeSet::from(["needed".to_owned()]),
        caches: BTreeSet::new(),
        own_caches: BTreeSet::from(["c".to_owned()]),
        wheels: BTreeSet::from([("p".to_owned(), "abi".to_owned())]),
    };
    let volume = |kind: VolumeKind, name: &str, owner: &str| HeldVolume {
        name: name.into(),
        kind,
        owner: owner.into(),
        project: "p".into(),
        abi: name.into(),
        created_at: Some(NOW - 100 * DAY_MS),
        ..HeldVolume::default()
    };
    // the branch that keeps its images longest counts
    let (unused, recent) = (Unused { days: 60 }, Recent { days: 60 });
    let young = HeldVolume {
        created_at: Some(NOW - 59 * DAY_MS),
        ..volume(VolumeKind::BuildTree, "l", "me")
    };
    let used = HeldVolume {
        users: 1,
        ..volume(VolumeKind::BuildTree, "l", "me")
    };
    let cases = [
        (volume(VolumeKind::BuildTree, "needed", "me"), recent.clone()),
        (volume(VolumeKind::BuildTree, "l", "me"), unused.clone()),
        (volume(VolumeKind::BuildTree, "l", "other"), Foreign),
        (young, recent.clone()),
        (used, InUse { containers: 1 }),
        (volume(VolumeKind::Wheels, "abi", "me"), recent),
        (volume(VolumeKind::Wheels, "old", "me"), unused.clone()),
        (volume(VolumeKind::Wheels, "old", ""), Foreign),
        (volume(VolumeKind::Cache, "c", ""), unused),
        (volume(VolumeKind::Cache, "theirs", ""), Foreign),
        (volume(VolumeKind::Downloads, "d", ""), Base),
        (volume(VolumeKind::Other, "n", "me"), Foreign),
    ];
    for (volume, reason) in cases {
        let inventory = Inventory {
            host: "me".into(),
            volumes: vec![volume.clone()],
            ..Inventory::default()
        };
        assert_eq!(
            volumes(&inventory, &needs, &policy(), NOW)[0].reason,
            reason,
            "{volume:?}"
        );
    }
}
