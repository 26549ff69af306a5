//! What a host makes in its build tree equals what `docker build` makes from nothing, file by file, for real
//! revisions of CPython. Neither the optimization of the compiler nor CPython's own tests make a difference, so the
//! builds go without.

use crate::support::cpython;
use crate::support::factory::Factory;
use crate::support::up::engine_wanted;
use crate::support::{copy_folder, here};
use futures_util::StreamExt;
use pybots::config::Settings;
use pybots::runtime::{Container, Network, Runtime};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::Command;

/// Path -> what it is. Times are left out: they say nothing about a file here.
type Files = BTreeMap<String, (u32, String, Vec<u8>)>;

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_is_built_on_gives_what_a_clean_one_gives() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let count = std::env::var("PYBOTS_CPYTHON_COUNT")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(12);
    let Some((repository, revisions)) = cpython::of(folder.path(), count, &["Lib/test"]) else {
        println!("SKIPPED: the real CPython, for PYBOTS_TEST_CPYTHON names no git repository of it");
        return;
    };
    let settings = Settings {
        slots: 1,
        ..crate::support::settings()
    };
    let images = folder.path().join("images");
    copy_folder(&here().join("images"), &images);
    cpython::make_quick(&images);
    let factory = Factory::open(&repository, Some(&images), &settings).await;
    // a run of this test that was interrupted may have left images, which would be taken instead of built
    remove_images(&factory, &revisions).await;
    let mut last = None;
    for revision in &revisions {
        let made = factory.make(revision, "default").await;
        let layer = &made.image().layer;
        println!(
            "{} {:.1} s, layer {} of {:.1} MB",
            &revision[..10],
            made.seconds,
            layer.depth,
            layer.added as f64 / 1e6
        );
        last = Some(made);
    }
    let made = last.unwrap();
    assert!(
        made.image().layer.depth > 0 && made.log.contains("continuing in the tree of"),
        "the last one was not built on another: {}",
        crate::support::factory::tail(&made.log)
    );
    let tag = format!("pybots/scratch:{}", pybots::store::new_id());
    let seconds = factory.scratch(&made.spec, &tag, 2).await.unwrap();
    println!("{} {seconds:.1} s from nothing", &made.spec.revision[..10]);
    let ours = files(&factory, &made.image().reference).await;
    let theirs = files(&factory, &tag).await;
    let compiled = compare(&ours, &theirs);
    println!(
        "{} files are equal; {compiled} compiled modules by what they hold",
        ours.len()
    );
    same_code(&made.image().reference, &tag, &ours, &theirs);
    factory.runtime.remove_image(&tag).await.unwrap();
    remove_images(&factory, &revisions).await;
    factory.close().await;
}

async fn remove_images(factory: &Factory, revisions: &[String]) {
    for revision in revisions {
        let spec = factory.spec(revision, "default").await.unwrap();
        let _ = factory.runtime.remove_image(&spec.reference()).await;
    }
}

/// All files below /usr/local of an image.
async fn files(factory: &Factory, image: &str) -> Files {
    let limits = pybots::domain::limits::Limits::default();
    let container = Container {
        image: image.to_owned(),
        command: vec!["true".into()],
        user: "1000:1000".into(),
        workdir: "/".into(),
        env: BTreeMap::new(),
        network: Network::Loopback,
        volumes: Vec::new(),
        memory: limits.memory,
        pids: limits.pids,
        cpus: limits.cpus,
        labels: pybots::runtime::labels(&factory.host.id, factory.host.instances.own(), "compare"),
    };
    let id = factory.runtime.create(&container).await.unwrap();
    let mut stream = factory.runtime.get(&id, "/usr/local").await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    factory.runtime.remove(&id).await.unwrap();
    let mut found = Files::new();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut linked = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let header = entry.header().clone();
        let target = entry.link_name().unwrap().map(|name| name.display().to_string());
        if header.entry_type().is_hard_link() {
            linked.push((path, target.unwrap()));
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        // a folder's or link's own mode says nothing
        let mode = if header.entry_type().is_file() {
            header.mode().unwrap() & 0o7777
        } else {
            0
        };
        let kind = format!("{:?} {}", header.entry_type(), target.unwrap_or_default());
        found.insert(path, (mode, kind, content));
    }
    for (path, target) in linked {
        let same = found[&target].clone();
        found.insert(path, same);
    }
    found
}

/// Compares all but the content of compiled modules; returns how many of those differ in their bytes.
fn compare(ours: &Files, theirs: &Files) -> usize {
    let only = |a: &Files, b: &Files| {
        a.keys()
            .filter(|path| !b.contains_key(*path))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(only(ours, theirs), Vec::<String>::new(), "only in the build tree's");
    assert_eq!(only(theirs, ours), Vec::<String>::new(), "only in the clean one");
    let mut compiled = 0;
    let mut different = Vec::new();
    for (path, (mode, kind, content)) in ours {
        let (their_mode, their_kind, their_content) = &theirs[path];
        let same = content == their_content;
        if (mode, kind) != (their_mode, their_kind) || (!same && !path.ends_with(".pyc")) {
            let digest = |bytes: &[u8]| hex::encode(&Sha256::digest(bytes)[..6]);
            different.push(format!(
                "{path}: {mode:o} {kind} {} against {their_mode:o} {their_kind} {}",
                digest(content),
                digest(their_content)
            ));
        }
        compiled += usize::from(!same && path.ends_with(".pyc"));
    }
    assert!(
        different.is_empty(),
        "{} files differ:\n{}",
        different.len(),
        different.join("\n")
    );
    compiled
}

/// Marshal marks what happens to be shared while it writes, so that equal code may have other bytes: the
/// Python itself says whether it is equal.
fn same_code(ours_image: &str, theirs_image: &str, ours: &Files, theirs: &Files) {
    let script = "import sys, marshal, hashlib
def told(x):
    if isinstance(x, type((lambda: 0).__code__)):
        return ('code',) + tuple(told(getattr(x, name)) for name in sorted(dir(x)) if name.startswith('co_') and not callable(getattr(x, name)))
    if isinstance(x, (tuple, list)):
        return tuple(told(y) for y in x)
    if isinstance(x, frozenset):
        return ('frozenset',) + tuple(sorted(map(repr, map(told, x))))
    return (type(x).__name__, repr(x))
for path in sys.stdin.read().splitlines():
    data = open('/usr/' + path, 'rb').read()
    print(path, data[:16].hex(), hashlib.sha256(repr(told(marshal.loads(data[16:]))).encode()).hexdigest())";
    let differing: Vec<&str> = ours
        .iter()
        .filter(|(path, (_, _, content))| path.ends_with(".pyc") && *content != theirs[*path].2)
        .map(|(path, _)| path.as_str())
        .collect();
    let ask = |image: &str| {
        let mut child = Command::new("docker")
            .args(["run", "--rm", "-i", "--network", "none", image, "python3", "-c", script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        use std::io::Write;
        let names = differing.join("\n");
        child.stdin.take().unwrap().write_all(names.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let (ours_says, theirs_says) = (ask(ours_image), ask(theirs_image));
    assert_eq!(ours_says.lines().count(), differing.len());
    for (one, other) in ours_says.lines().zip(theirs_says.lines()) {
        assert_eq!(one, other, "compiled modules hold other code");
    }
}
