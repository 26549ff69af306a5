//! What goes from a real engine, what stays, and that what went comes again where it is needed.

use crate::support::Repository;
use crate::support::up::{Up, engine_wanted, pybots, settings, toy_repository};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const RETENTION: &str = "[retention]\nevery = \"1s\"\ndays = 0\nkey_frames = false\nmin_free_gib = 0\n";

const RECIPE: &str = "name = \"asks\"\nsource = { path = \"src\" }\ninstall = []\n\
                      [[suite]]\nname = \"suite\"\nrun = \"python suite.py\"\n";

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The name of the image that was built from a revision, as long as the engine holds it.
fn image_of(revision: &str) -> Option<String> {
    let filter = format!("label=org.pybots.revision={revision}");
    let names = docker(&[
        "image",
        "ls",
        "--filter",
        &filter,
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ]);
    names.lines().next().map(str::to_owned)
}

fn rows(folder: &Path, arguments: &[&str]) -> Value {
    let output = pybots(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn said(folder: &Path, arguments: &[&str]) -> String {
    let output = pybots(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A revision whose image will lie on none before it, since its build_tree is gone.
fn in_a_new_lane(folder: &Path, repository: &Repository, text: &str) -> String {
    let host = std::fs::read_to_string(folder.join("data/host-id")).unwrap();
    let filter = format!("label=org.pybots.lane-of={}", host.trim());
    for build_tree in docker(&["volume", "ls", "--quiet", "--filter", &filter]).lines() {
        docker(&["volume", "rm", build_tree]);
    }
    repository.write("Lib/unique.txt", &format!("{text} {}", pybots::store::new_id()));
    let toy = std::fs::read_to_string(repository.path.join("Lib/toy.py")).unwrap();
    repository.write("Lib/toy.py", &format!("{toy}# {text}\n"));
    repository.commit(text)
}

/// Another installation's image and build_tree: nobody may touch them.
struct Stranger {
    image: String,
    volume: String,
}

impl Stranger {
    fn new(folder: &Path) -> Self {
        let id = pybots::store::new_id();
        let image = format!("pybots/cpython:{}", &id.replace('-', "")[..24]);
        let volume = format!("pybots-lane-{id}");
        std::fs::write(
            folder.join("Dockerfile"),
            format!("FROM scratch\nLABEL org.pybots.kind=cpython org.pybots.build-key={id}\nCMD [\"/x\"]\n"),
        )
        .unwrap();
        docker(&["build", "--quiet", "--tag", &image, &folder.display().to_string()]);
        let owner = format!("org.pybots.lane-of={id}");
        docker(&[
            "volume",
            "create",
            "--label",
            "org.pybots.kind=lane",
            "--label",
            &owner,
            &volume,
        ]);
        assert!(!docker(&["image", "ls", "--quiet", &image]).is_empty());
        Self { image, volume }
    }

    fn is_there(&self) -> bool {
        let image = docker(&["image", "ls", "--quiet", &self.image]);
        let filter = format!("name={}", self.volume);
        !image.is_empty() && !docker(&["volume", "ls", "--quiet", "--filter", &filter]).is_empty()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        docker(&["image", "rm", &self.image]);
        docker(&["volume", "rm", &self.volume]);
    }
}

fn start(folder: &Path, retention: &str) -> Up {
    settings(folder, &folder.join("projects"), &[("trunk", "main", 1)], "");
    let file = folder.join("pybots.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text + retention).unwrap();
    Up::start(folder)
}

#[test]
fn what_is_old_goes_and_comes_again_where_a_run_needs_it() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let repository = toy_repository(folder);
    let stranger_folder = folder.join("stranger");
    std::fs::create_dir_all(&stranger_folder).unwrap();
    let stranger = Stranger::new(&stranger_folder);
    let recipe = folder.join("projects/asks");
    std::fs::create_dir_all(recipe.join("src")).unwrap();
    std::fs::write(recipe.join("asks.toml"), RECIPE).unwrap();
    std::fs::write(recipe.join("src/suite.py"), "import toy\n").unwrap();
    let calm = RETENTION.replace("days = 0", "days = 14");
    let mut up = start(folder, &calm);
    let first = repository.git(&["rev-parse", "HEAD"]);
    assert_eq!(up.decided(&first, "asks")["state"], "pass", "{}", up.log());
    up.stop();
    let second = in_a_new_lane(folder, &repository, "second");
    let mut up = start(folder, &calm);
    assert_eq!(up.decided(&second, "asks")["state"], "pass");
    up.stop();
    let third = in_a_new_lane(folder, &repository, "third");
    let mut up = start(folder, &calm);
    assert_eq!(up.decided(&third, "asks")["state"], "pass");
    assert!(image_of(&first).is_some() && image_of(&second).is_some() && image_of(&third).is_some());
    up.stop();

    // now nothing is young any more; one is pinned by hand
    let mut up = {
        let said = said(folder, &["images", "pin", &second, "--reason", "bug 12"]);
        assert!(said.contains(": bug 12"), "{said}");
        start(folder, RETENTION)
    };
    up.until("the first image to go", || image_of(&first).is_none().then_some(()));
    up.stop();
    assert!(up.log().contains("older than 0 days"), "{}", up.log());
    let second_image = image_of(&second).unwrap();
    assert!(image_of(&third).is_some() && stranger.is_there());
    let all = rows(folder, &["images", "--json"]);
    let row = |revision: &str| {
        let images = all["images"].as_array().unwrap();
        images.iter().find(|row| row["revision"] == revision).cloned()
    };
    assert!(row(&first).is_none());
    let kept = row(&second).unwrap();
    assert_eq!((&kept["why"], &kept["stays"]), (&"pinned: bug 12".into(), &true.into()));
    assert!(
        kept["added"].as_u64().unwrap() > 0 && kept["shared"].as_u64().is_some(),
        "{kept}"
    );
    assert_eq!(row(&third).unwrap()["why"], "newest of trunk");
    let build_tree = all["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == stranger.volume.as_str());
    assert_eq!(build_tree.unwrap()["why"], "not of this installation");
    let table = said(folder, &["images"]);
    assert!(table.contains("1 pin ") && table.contains("disk: "), "{table}");
    assert!(said(folder, &["images", "--volumes"]).contains(&stranger.volume));

    // by hand: said first, then done
    said(folder, &["images", "unpin", &second[..10]]);
    let dry = said(folder, &["images", "prune", "--dry-run"]);
    assert!(dry.contains(&second_image) && dry.contains("would be removed"), "{dry}");
    assert!(image_of(&second).is_some());
    let pruned = said(folder, &["images", "prune"]);
    assert!(
        pruned.contains(&second_image) && pruned.contains("older than 0 days"),
        "{pruned}"
    );
    assert!(image_of(&second).is_none() && image_of(&third).is_some() && stranger.is_there());

    // a new revision whose tree was built before: no build is planned, the run has the image made again
    repository.git(&["revert", "--no-edit", &third]);
    let again = repository.git(&["rev-parse", "HEAD"]);
    let mut up = start(folder, &calm);
    let cell = up.decided(&again, "asks");
    assert_eq!(cell["state"], "pass", "{}", up.log());
    let log = pybots(folder, &["logs", cell["run"].as_str().unwrap()]).stdout;
    let log = String::from_utf8_lossy(&log).into_owned();
    assert!(log.contains("is not on this engine"), "{log}");
    assert_eq!(image_of(&again).unwrap(), second_image);
    up.stop();

    // a disk that is full: what was used longest ago goes, and never the newest
    let mut up = start(folder, &calm.replace("min_free_gib = 0", "min_free_gib = 1000000"));
    up.until("the image that is not the newest to go", || {
        image_of(&third).is_none().then_some(())
    });
    up.stop();
    assert!(up.log().contains("the disk is full"), "{}", up.log());
    assert!(image_of(&again).is_some() && stranger.is_there());
    assert_eq!(up.left_behind(), Vec::<String>::new());
}
