use super::super::case::{Sample, next};
use super::super::subject::Seen;
use super::*;
use crate::verdict::{Differ, NotCpython, Subject};

/// Runs a case to its answer: what a run at a place with a lock on a host, the nth of its kind, says.
fn solve(case: &Case, truth: impl Fn(usize, Lock, &str, usize) -> Seen) -> (Answer, usize) {
    let mut samples = Samples::new();
    let mut rounds = 0;
    for step in 0..200 {
        let probes = match next(case, &samples) {
            Next::Answer(answer) => return (answer, rounds),
            Next::Confirm(probes) => probes,
            Next::Search(probes) => {
                rounds += 1;
                probes
            }
        };
        assert!(!probes.is_empty());
        for probe in probes {
            for run in 0..probe.runs {
                let host = probe
                    .host
                    .clone()
                    .unwrap_or(case.hosts[(step + run) % case.hosts.len()].clone());
                let there = samples.entry((probe.place, probe.lock)).or_default();
                let seen = truth(probe.place, probe.lock, &host, there.len());
                there.push(Sample { host, seen });
            }
        }
    }
    panic!("no answer after 200 steps: {samples:?}");
}

fn case(last: usize, hosts: usize) -> Case {
    Case {
        last,
        differ: None,
        hosts: (0..hosts).map(|host| format!("h{host}")).collect(),
        is_noisy: false,
        hint: None,
        rate: None,
    }
}

fn fails(bad: bool) -> Seen {
    if bad { Seen::Fail } else { Seen::Pass }
}

fn culprit(place: usize) -> Answer {
    Answer::Culprit { place, rate: None }
}

#[test]
fn each_culprit_is_found_in_as_many_rounds_as_it_takes() {
    for hosts in 1..=5 {
        for last in [1, 2, 3, 7, 8, 50, 333] {
            for at in (1..=last).step_by(1 + last / 40) {
                let (answer, rounds) = solve(&case(last, hosts), |place, _, _, _| fails(place >= at));
                assert_eq!(answer, culprit(at), "{at} of {last}, {hosts} hosts");
                assert!(
                    rounds <= rounds_bound(last, hosts, 1, false),
                    "{rounds} rounds for {last} and {hosts} hosts"
                );
            }
        }
    }
    assert_eq!(rounds_bound(1000, 4, 1, false), 6);
}

#[test]
fn of_two_breaks_the_one_that_is_there_now() {
    let truth = |place, _: Lock, _: &str, _: usize| fails((20..30).contains(&place) || place >= 70);
    assert_eq!(solve(&case(100, 1), truth).0, culprit(70));
    // more places at a time see both
    assert_eq!(solve(&case(100, 9), truth).0, culprit(70));
}

#[test]
fn where_nothing_can_be_seen_the_answer_is_a_range() {
    for why in [Missing::NoImage, Missing::NotInstalled, Missing::NotRun] {
        for hosts in [1, 3] {
            let truth = |place: usize, _: Lock, _: &str, _: usize| match place {
                40..=60 => Seen::Missing(why),
                place => fails(place >= 50),
            };
            let (answer, _) = solve(&case(100, hosts), truth);
            let range = Answer::Range {
                good: 39,
                bad: 61,
                why: Why::Missing(why),
                rate: None,
            };
            assert_eq!(answer, range, "{hosts} hosts");
            // beside such a stretch it is found all the same
            let truth = |place: usize, _: Lock, _: &str, _: usize| match place {
                40..=60 => Seen::Missing(why),
                place => fails(place >= 70),
            };
            assert_eq!(solve(&case(100, hosts), truth).0, culprit(70));
            let truth = |place: usize, _: Lock, _: &str, _: usize| match place {
                40..=60 => Seen::Missing(why),
                place => fails(place >= 12),
            };
            assert_eq!(solve(&case(100, hosts), truth).0, culprit(12));
        }
    }
}

#[test]
fn what_fails_on_both_sides_today_is_nobodys() {
    let (answer, rounds) = solve(&case(100, 2), |_, _, _, _| Seen::Fail);
    assert_eq!((answer, rounds), (Answer::NotCpython(NotCpython::FailsOnBoth), 0));
    let (answer, _) = solve(&case(100, 2), |_, _, _, _| Seen::Pass);
    assert_eq!(answer, Answer::NotCpython(NotCpython::NotSeenAgain));
}

#[test]
fn dependencies_are_told_from_cpython() {
    let case = Case {
        differ: Some(Differ::Dependencies),
        ..case(100, 2)
    };
    let (answer, _) = solve(&case, |_, lock, _, _| fails(lock == Lock::Now));
    assert_eq!(answer, Answer::NotCpython(NotCpython::DependencyChanged));
    let project = Case {
        differ: Some(Differ::Project),
        ..case.clone()
    };
    let (answer, _) = solve(&project, |_, lock, _, _| fails(lock == Lock::Now));
    assert_eq!(answer, Answer::NotCpython(NotCpython::ProjectChanged));
    // CPython broke it, and the dependencies changed too
    let (answer, _) = solve(&case, |place, lock, _, _| fails(lock == Lock::Now || place >= 7));
    assert_eq!(answer, culprit(7));
    let (answer, _) = solve(&case, |_, _, _, _| Seen::Pass);
    assert_eq!(answer, Answer::NotCpython(NotCpython::NotSeenAgain));
}

#[test]
fn one_host_alone_is_told_from_cpython() {
    let (answer, rounds) = solve(&case(50, 3), |place, _, host, _| fails(host == "h1" && place == 50));
    let hosts = vec!["h1".to_owned()];
    assert_eq!(
        (answer, rounds),
        (Answer::NotCpython(NotCpython::HostSpecific(hosts)), 0)
    );
}

#[test]
fn what_fails_now_and_then_is_found_if_it_began() {
    // every third run
    let (answer, _) = solve(&case(60, 2), |place, _, _, run| fails(place >= 33 && run % 3 == 1));
    let Answer::Culprit {
        place,
        rate: Some(rate),
    } = answer
    else {
        panic!("{answer:?}")
    };
    assert_eq!(place, 33);
    assert!((0.25..0.4).contains(&rate), "{rate}");
    // and is nobody's if it always did
    let (answer, _) = solve(&case(60, 2), |_, _, _, run| fails(run % 3 == 1));
    assert!(
        matches!(answer, Answer::NotCpython(NotCpython::Flaky { .. })),
        "{answer:?}"
    );
}

#[test]
fn what_hardly_ever_tells_anything_has_an_end() {
    // a suite that mostly crashes before it comes to the test
    let rare = |place: usize, _: Lock, _: &str, run: usize| match run % 9 {
        4 => fails(place >= 5),
        _ => Seen::Missing(Missing::NotRun),
    };
    let (answer, _) = solve(&case(10, 2), rare);
    assert!(matches!(answer, Answer::Inconclusive(_)), "{answer:?}");
    // once, and never again
    for place in [0, 10, 4, 5] {
        let once = |there: usize, _: Lock, _: &str, run: usize| match (there == place, run) {
            (true, 1..) => Seen::Missing(Missing::NotRun),
            _ => fails(there >= 5),
        };
        let (answer, _) = solve(&case(10, 2), once);
        let ends = place == 0 || place == 10;
        assert_eq!(
            matches!(answer, Answer::Inconclusive(_)),
            ends || place == 5 || place == 4,
            "{place}: {answer:?}"
        );
    }
}

#[test]
fn neither_order_nor_repetition_of_what_is_known_changes_what_is_next() {
    let mut samples = Samples::new();
    for (place, seen) in [(0, Seen::Pass), (20, Seen::Fail), (10, Seen::Fail), (3, Seen::Pass)] {
        let all = (0..5).map(|run| Sample {
            host: format!("h{}", run % 2),
            seen,
        });
        samples.insert((place, Lock::Base), all.collect());
    }
    let case = case(20, 2);
    let first = next(&case, &samples);
    for there in samples.values_mut() {
        there.reverse();
    }
    assert_eq!(next(&case, &samples), first);
    assert!(matches!(&first, Next::Search(probes) if probes.iter().all(|probe| (4..10).contains(&probe.place))));
}

#[test]
fn a_side_that_says_nothing_ends_it() {
    let (answer, _) = solve(&case(5, 1), |place, _, _, _| match place {
        0 => Seen::Missing(Missing::NotInstalled),
        _ => Seen::Fail,
    });
    assert!(matches!(answer, Answer::Inconclusive(_)), "{answer:?}");
    assert_eq!(Subject::Setup.to_string(), "the installation");
}

#[test]
fn what_failed_seldom_is_not_over_because_the_one_before_passes_a_few_times() {
    // turned round: it "passes" where the test fails, in three runs of ten before the repair, and never after it
    let case = Case {
        rate: Some(0.3),
        ..case(1, 2)
    };
    let (answer, _) = solve(&case, |place, _, _, run| fails(place == 1 || !matches!(run % 10, 7..)));
    assert!(matches!(answer, Answer::Range { .. }), "{answer:?}");
    // nothing is repaired
    let (answer, _) = solve(&case, |_, _, _, run| fails(!matches!(run % 10, 7..)));
    assert!(
        matches!(answer, Answer::NotCpython(NotCpython::Flaky { .. })),
        "{answer:?}"
    );
}

#[test]
fn a_host_that_seems_to_blame_and_is_gone_is_asked_no_more() {
    let gone = Case {
        hosts: vec!["h1".into()],
        ..case(10, 1)
    };
    let sample = |host: &str, seen| Sample {
        host: host.into(),
        seen,
    };
    let both = |bad| vec![sample("h0", bad), sample("h1", Seen::Pass), sample("h0", bad)];
    let samples = Samples::from([
        ((0, Lock::Base), both(Seen::Pass)),
        ((10, Lock::Base), both(Seen::Fail)),
    ]);
    let Next::Confirm(probes) = next(&gone, &samples) else {
        panic!()
    };
    assert!(
        probes.iter().all(|probe| probe.host.as_deref() == Some("h1")),
        "{probes:?}"
    );
}
