//! The image factory on a real engine, with the toy CPython: keys, layers, build_trees, and what goes wrong.

use crate::support::factory::Factory;
use crate::support::toy::{Toy, toy};
use crate::support::up::{Up, engine_wanted, settings, toy_repository};
use crate::support::{copy_folder, here};
use pybots::domain::limits::Seconds;
use pybots::domain::outcome::Outcome;
use pybots::runtime::docker::DockerRuntime;
use pybots::runtime::{BUILD_TREE_LABEL, Runtime};
use std::process::Command;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_costs_what_it_changes() {
    if !engine_wanted() {
        return;
    }
    let toy_cpython = Toy::new(crate::support::settings()).await;
    let t = &toy_cpython;
    let first = t.commit("first", &[("Lib/toy.py", &toy("A = 1"))]);
    let frame = t.make(&first).await;
    assert_eq!(frame.image().layer.depth, 0, "{}", frame.log);

    let second = t.commit("second", &[("Lib/toy.py", &toy("A = 2"))]);
    let delta = t.make(&second).await;
    let layer = &delta.image().layer;
    assert_eq!(
        (layer.depth, layer.on.as_ref()),
        (1, Some(&frame.image().reference)),
        "{}",
        delta.log
    );
    assert!(
        layer.added < 200_000 && frame.image().layer.added > 10_000_000,
        "{layer:?}"
    );
    assert_eq!(t.python(&delta, "import toy; print(toy.A)"), "2");
    assert_eq!(t.python(&frame, "import toy; print(toy.A)"), "1");

    // what goes, goes; what becomes another kind of file does so
    t.repository.write("Lib/extra/one.txt", "1");
    t.repository.write("Lib/extra/two.txt", "2");
    let third = t.make(&t.repository.commit("third")).await;
    std::fs::remove_dir_all(t.repository.path.join("Lib/extra")).unwrap();
    t.repository.write("Lib/extra", "a file now");
    let fourth = t.make(&t.repository.commit("fourth")).await;
    let look = "import os, toy; p = os.path.dirname(toy.__file__) + '/extra'; print(os.path.isdir(p) and sorted(os.listdir(p)) or open(p).read())";
    assert_eq!(t.python(&third, look), "['one.txt', 'two.txt']");
    assert_eq!(t.python(&fourth, look), "a file now");
    assert_eq!(fourth.image().layer.depth, 3, "{}", fourth.log);

    // an engine that only builds images gets the same files
    let plain = DockerRuntime::connect(&crate::support::settings().engine.socket())
        .await
        .unwrap();
    let mut other = t.factory.host.clone();
    other.runtime = Arc::new(plain.without_loading_layers());
    std::fs::remove_file(t.repository.path.join("Lib/extra")).unwrap();
    let fifth = t.commit("fifth", &[("Lib/toy.py", &toy("A = 5"))]);
    let other = t.factory.with(other);
    let fifth = other.make(&fifth, "default").await;
    let look = "import os, toy; p = os.path.dirname(toy.__file__); print(sorted(n for n in os.listdir(p) if 'extra' in n or '.wh.' in n), toy.A)";
    assert_eq!(fifth.image().layer.depth, 4, "{}", fifth.log);
    assert_eq!(t.python(&fifth, look), "[] 5");
    toy_cpython.close().await;
}

/// An image has the runtime that its build key names, whatever the host built before in the same tree.
#[tokio::test(flavor = "multi_thread")]
async fn another_runtime_is_no_layer_on_the_old_one() {
    if !engine_wanted() {
        return;
    }
    let mut toy_cpython = Toy::new(crate::support::settings()).await;
    let first = toy_cpython.commit("first", &[("Lib/toy.py", &toy("A = 1"))]);
    let old = toy_cpython.make(&first).await;
    let marked = "import os; print(os.path.exists('/usr/share/another-runtime'))";
    assert_eq!(toy_cpython.python(&old, marked), "False");

    // packages take a minute to install; a mark in the runtime image shows as well where an image lies
    let old_runtime = old.spec.distribution.runtime_reference();
    let distribution = &mut toy_cpython.factory.profiles.distribution;
    distribution
        .runtime
        .push(format!("another-{}", pybots::store::new_id()));
    let runtime = distribution.runtime_reference();
    let script = "c=$(docker run --detach $1 touch /usr/share/another-runtime) && docker wait $c >/dev/null &&
        docker commit $c $2 >/dev/null && docker rm $c >/dev/null";
    let status = Command::new("sh")
        .args(["-c", script, "sh", &old_runtime, &runtime])
        .status();
    assert!(status.unwrap().success());

    let t = &toy_cpython;
    let second = t.make(&t.commit("second", &[("Lib/toy.py", &toy("A = 2"))])).await;
    assert_eq!(second.image().layer.depth, 0, "{}", second.log);
    assert_eq!(t.python(&second, marked), "True");
    // from here on there are layers again
    let third = t.make(&t.commit("third", &[("Lib/toy.py", &toy("A = 3"))])).await;
    assert_eq!(third.image().layer.depth, 1, "{}", third.log);
    assert_eq!(t.python(&third, marked), "True");
    for made in [&third, &second] {
        t.factory.runtime.remove_image(&made.image().reference).await.unwrap();
    }
    t.factory.runtime.remove_image(&runtime).await.unwrap();
    toy_cpython.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_build_reads_makes_no_image() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let repository = toy_repository(folder.path());
    let projects = folder.path().join("projects");
    copy_folder(&here().join("tests/fixtures/projects/passes"), &projects.join("passes"));
    settings(folder.path(), &projects, &[("trunk", "main", 1)], "");
    let mut up = Up::start(folder.path());
    let first = repository.git(&["rev-parse", "HEAD"]);
    up.decided(&first, "passes");
    repository.write("Doc/whatsnew.rst", "news");
    let second = repository.commit("Documentation");
    let cell = up.decided(&second, "passes");
    assert_eq!(cell["state"], "pass", "{cell}");
    assert!(up.log().contains("no build: it shares an image"), "{}", up.log());
    assert_eq!(
        up.log().matches("what=\"image of ").count(),
        2,
        "one build starts and ends: {}",
        up.log()
    );
    let (_, page) = up.get(&format!("/revision/{second}"));
    let says = format!(
        "image of <a href=\"/revision/{first}\"><code>{}</code></a>",
        &first[..10]
    );
    assert!(page.contains(&says), "{page}");
    assert_eq!(cell["image_of"], first.as_str(), "{cell}");
    up.stop();
    assert_eq!(up.left_behind(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fails_says_why_and_spoils_nothing() {
    if !engine_wanted() {
        return;
    }
    let settings = crate::support::settings();
    let toy_cpython = Toy::new(settings.clone()).await;
    let t = &toy_cpython;
    let good = t.make(&t.repository.git(&["rev-parse", "HEAD"])).await;
    let depth = good.image().layer.depth;

    // a compile error
    let broken = t.make(&t.commit("broken", &[("Lib/broken.c", "int x = ;\n")])).await;
    let Outcome::SetupFailed { reason, exit_code } = &broken.report.outcome else {
        panic!("{}\n{}", broken.report.outcome, broken.log);
    };
    assert!(reason.starts_with("make ended with exit code 2"), "{reason}");
    assert!(reason.contains("broken.c:1:9: error"), "{reason}");
    assert_eq!(*exit_code, Some(2));
    assert!(broken.log.contains("broken.c:1:9: error"), "{}", broken.log);
    assert_eq!(broken.report.phases.last().unwrap().name, "make");

    // a module that its profile names and that can't be imported degrades the image
    std::fs::remove_file(t.repository.path.join("Lib/broken.c")).unwrap();
    let missing = t
        .make(&t.commit("missing", &[("Lib/toy.py", "raise ImportError('half a toy')\n")]))
        .await;
    assert_eq!(missing.image().facts.missing_modules, ["toy: half a toy"]);

    // nothing that is called Python at all
    let makefile = std::fs::read_to_string(t.repository.path.join("Makefile")).unwrap();
    let last = "$(LIBDEST)/$(module).py)\n";
    assert!(makefile.contains(last));
    let without = makefile.replace(last, &format!("{last}\trm $(BINDIR)/python*\n"));
    let absent = t.make(&t.commit("absent", &[("Makefile", &without)])).await;
    let Outcome::SetupFailed { reason, exit_code } = &absent.report.outcome else {
        panic!("{}", absent.report.outcome);
    };
    assert_eq!(
        (reason.as_str(), *exit_code),
        ("the interpreter that was built does not start", Some(127))
    );
    t.repository.write("Makefile", &makefile);

    // and the next one is a layer on the last that was good
    let fixed = t.make(&t.commit("fixed", &[("Lib/toy.py", &toy("A = 3"))])).await;
    assert_eq!(fixed.image().layer.depth, depth + 2, "{}", fixed.log);
    assert_eq!(t.python(&fixed, "import toy; print(toy.A)"), "3");

    // too slow
    let mut hasty = t.factory.host.clone();
    hasty.build.timeout = Seconds(5);
    let hasty = t.factory.with(hasty);
    let slow = t.commit("slow", &[("configure.slow", "60")]);
    let late = hasty.make(&slow, "default").await;
    let Outcome::SetupFailed { reason, .. } = &late.report.outcome else {
        panic!("{}", late.report.outcome);
    };
    assert!(
        reason.starts_with("configure: the build took longer than 5s"),
        "{reason}"
    );

    // a disk that is full is nobody's fault but the machine's
    let mut full = t.factory.host.clone();
    full.engine.min_free_gib = u64::MAX;
    let full = t.factory.with(full);
    let broken = t.commit(
        "broken again",
        &[("Lib/broken.c", "int x = ;\n"), ("configure.slow", "0")],
    );
    let full = full.make(&broken, "default").await;
    let Outcome::Infra { reason } = &full.report.outcome else {
        panic!("{}", full.report.outcome);
    };
    assert!(reason.contains("GiB free, less than"), "{reason}");
    toy_cpython.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_killed_from_outside_is_tried_again() {
    if !engine_wanted() {
        return;
    }
    let toy_cpython = Toy::new(crate::support::settings()).await;
    let t = &toy_cpython;
    let slow = t.commit("slow", &[("configure.slow", "30")]);
    let host = t.factory.host.id.clone();
    let kill = tokio::task::spawn_blocking(move || {
        let script = format!(
            "for i in $(seq 300); do
                id=$(docker ps --quiet --filter label=org.pybots.host={host})
                if [ -n \"$id\" ]; then sleep 1; docker kill $id; exit; fi
                sleep 0.2
            done; exit 1"
        );
        Command::new("sh").args(["-c", &script]).status().unwrap()
    });
    let killed = t.make(&slow).await;
    assert!(kill.await.unwrap().success());
    let Outcome::Infra { reason } = &killed.report.outcome else {
        panic!("{}\n{}", killed.report.outcome, killed.log);
    };
    assert!(reason.contains("killed from outside during configure"), "{reason}");
    t.repository.write("configure.slow", "0");
    let again = t.make(&t.repository.commit("quick")).await;
    assert_eq!(again.report.outcome, Outcome::Passed, "{}", again.log);
    toy_cpython.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_built_once_at_a_time() {
    if !engine_wanted() {
        return;
    }
    let toy_cpython = Toy::new(crate::support::settings()).await;
    let t = &toy_cpython;
    let sha = t.repository.git(&["rev-parse", "HEAD"]);
    let (one, other) = tokio::join!(t.make(&sha), t.make(&sha));
    assert_eq!(one.image().digest, other.image().digest);
    let built = [&one, &other]
        .iter()
        .filter(|made| made.log.contains("== step make"))
        .count();
    assert_eq!(built, 1, "{}\n{}", one.log, other.log);

    // equal inputs give the very same image, on whatever host
    let neighbour = Factory::open(
        &t.repository.path,
        Some(&t.folder.path().join("images")),
        &crate::support::settings(),
    )
    .await;
    t.factory.runtime.remove_image(&one.image().reference).await.unwrap();
    let again = neighbour.make(&sha, "default").await;
    assert!(again.log.contains("== step make"), "{}", again.log);
    assert_eq!(again.image().digest, one.image().digest);
    assert_eq!(
        t.factory
            .runtime
            .reap(BUILD_TREE_LABEL, &neighbour.host.id)
            .await
            .unwrap(),
        1
    );
    neighbour.close().await;
    toy_cpython.close().await;
}

/// An engine prunes one thing at a time, and refuses another meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn many_clean_up_at_the_same_time() {
    if !engine_wanted() {
        return;
    }
    let socket = crate::support::settings().engine.socket();
    let runtime = Arc::new(DockerRuntime::connect(&socket).await.unwrap());
    let mut all = tokio::task::JoinSet::new();
    for at in 0..16 {
        let runtime = runtime.clone();
        all.spawn(async move { runtime.prune_images(&format!("org.pybots.stage=none-{at}")).await });
    }
    for pruned in all.join_all().await {
        pruned.unwrap();
    }
}
