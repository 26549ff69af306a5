//! The commands where they need no engine.

use crate::support::up::{Up, pybots, settings};
use crate::support::{Repository, here};
use std::process::Command;

fn bare(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pybots"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_shipped_recipes_are_good() {
    let folder = here().join("projects");
    let files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    assert!(files.len() >= 12);
    let arguments: Vec<&str> = std::iter::once("check")
        .chain(files.iter().map(String::as_str))
        .collect();
    let (code, _, errors) = bare(&arguments);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
}

#[test]
fn a_registry_becomes_recipes_and_what_does_not_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let packages = folder.path().join("registry/packages");
    std::fs::create_dir_all(&packages).unwrap();
    let entry = |name: &str, rest: &str| {
        let text = format!("package: {name}\nrepo: https://example.org/{name}\n{rest}");
        std::fs::write(packages.join(format!("{name}.yaml")), text).unwrap();
    };
    entry(
        "Good",
        "test_command: python -m pytest\ninstall_command: git fetch --tags && pip install . pytest\n",
    );
    entry("skipped", "skip: true\nskip_reason: needs a display\n");
    entry("broken", "test_command: [\n");
    std::os::unix::fs::symlink("/etc/passwd", packages.join("link.yaml")).unwrap();
    let registry = folder.path().join("registry").display().to_string();
    let output = folder.path().join("recipes");
    let shown = output.display().to_string();
    let import = ["import", "laruche", &registry, "--output", &shown];
    let (code, text, errors) = bare(&import);
    assert_eq!(code, Some(0), "{errors}");
    assert!(text.contains("1 of 3 entries became recipes"), "{text}");
    for part in [
        "skipped: no recipe: it is to be skipped: needs a display",
        "broken: no recipe: it can't be read",
        "good: left out: `git fetch",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    let file = output.join("good.toml").display().to_string();
    assert_eq!(bare(&["check", &file]).0, Some(0));
    // what a person wrote since then stays
    std::fs::write(&file, "mine").unwrap();
    let (code, _, errors) = bare(&import);
    assert!(
        code == Some(1) && errors.contains("good.toml is there already"),
        "{errors}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(bare(&[&import[..], &["--force"]].concat()).0, Some(0));
    assert_ne!(std::fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_wrong_recipe_is_shown_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.toml");
    std::fs::write(
        &file,
        "name = \"demo\"\nsource = { pypi = \"demo\" }\n[[suite]]\nname = \"t\"\nrum = \"x\"\n",
    )
    .unwrap();
    let (code, _, errors) = bare(&["check", &file.display().to_string(), "/no/such.toml"]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("demo.toml:5:1") && errors.contains("did you mean `run`?"),
        "{errors}"
    );
    assert!(
        errors.contains("/no/such.toml can't be read") && errors.contains("2 of 2 recipes"),
        "{errors}"
    );
}

#[test]
fn the_settings_in_force_are_shown_with_their_origin() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.toml");
    std::fs::write(&file, "slots = 3\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pybots"))
        .args(["--config", &file.display().to_string(), "config"])
        .env("PYBOTS_POLL", "5m")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(
        line("slots").contains('3') && line("slots").contains("p.toml"),
        "{text}"
    );
    assert!(
        line("poll").contains("5m") && line("poll").contains("PYBOTS_POLL"),
        "{text}"
    );
    assert!(line("listen").ends_with("default"), "{text}");
    std::fs::write(&file, "[[branch]]\nname = \"a\"\nref = \"b\"\nvariants = [\"debgu\"]\n").unwrap();
    for command in ["config", "up"] {
        let (code, _, errors) = bare(&["--config", &file.display().to_string(), command]);
        assert_eq!(code, Some(2), "{command}: {errors}");
        assert!(
            errors.contains("branch \"a\": no build profile has a variant \"debgu\"; did you mean \"debug\"?"),
            "{command}: {errors}"
        );
    }
    std::fs::write(&file, "data = \"/no/such\"\n").unwrap();
    let (code, _, errors) = bare(&["--config", &file.display().to_string(), "results"]);
    assert_eq!(code, Some(2));
    assert!(
        errors.contains("nothing in /no/such yet; start `pybots up`"),
        "{errors}"
    );
    std::fs::write(&file, "slotz = 3\n").unwrap();
    let (code, _, errors) = bare(&["--config", &file.display().to_string(), "config"]);
    assert_eq!(code, Some(2));
    assert!(
        errors.contains("p.toml:1:1") && errors.contains("did you mean `slots`?"),
        "{errors}"
    );
}

#[test]
fn without_an_engine_the_pages_are_served_and_the_rest_waits() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new(&folder.path().join("cpython"));
    repository.write("Include/patchlevel.h", "#define PY_VERSION \"3.14.0\"\n");
    let built = repository.commit("a revision");
    repository.git(&["checkout", "--quiet", "-b", "ancient"]);
    repository.write("Include/patchlevel.h", "#define PY_VERSION \"1.5.2\"\n");
    let ancient = repository.commit("an old one");
    let projects = folder.path().join("projects");
    std::fs::create_dir_all(&projects).unwrap();
    let recipe = "name = \"x\"\nsource = { pypi = \"x\" }\n[[suite]]\nname = \"t\"\nrun = \"true\"\n";
    std::fs::write(projects.join("x.toml"), recipe).unwrap();
    let more = "[engine]\nsocket = \"/no/such.sock\"\n";
    settings(
        folder.path(),
        &projects,
        &[("trunk", "main", 1), ("old", "ancient", 1)],
        more,
    );
    let mut up = Up::start(folder.path());
    up.until("the rows", || up.get("/").1.contains("a revision").then_some(()));
    let cell = up.decided(&ancient, "x");
    assert_eq!(cell["state"], "no_image");
    let (_, page) = up.get(&format!("/revision/{ancient}"));
    assert!(page.contains("no build profile is for Python 1.5"), "{page}");
    assert!(
        up.cells()
            .iter()
            .any(|cell| cell["revision"] == built && cell["state"] == "pending")
    );
    up.until("the message", || {
        up.log().contains("does not answer at /no/such.sock").then_some(())
    });

    // who waits for the results is given the reason
    let output = pybots(folder.path(), &["results", "--wait=1s"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.contains("waited 1s, and there is still work") && error.contains("wait: no host"),
        "{error}"
    );

    // a second one on the same address says what to do
    let listen = up.url.trim_start_matches("http://").to_owned();
    let output = Command::new(env!("CARGO_BIN_EXE_pybots"))
        .current_dir(folder.path())
        .args(["--config", "pybots.toml", "up"])
        .env("PYBOTS_LISTEN", listen)
        .env("PYBOTS_DATA", folder.path().join("other-data"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors.contains("is `pybots up` or `pybots serve` running already?"),
        "{errors}"
    );

    let output = pybots(folder.path(), &["results", "--branch", "nosuch"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("there are: trunk, old"));
    let output = pybots(folder.path(), &["logs", "nosuch"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no log of"));
    up.stop();
}

#[test]
fn a_data_folder_has_one_coordinator() {
    let folder = tempfile::tempdir().unwrap();
    Repository::new(&folder.path().join("cpython")).commit("x");
    let more = "[engine]\nsocket = \"/no/such.sock\"\n";
    settings(folder.path(), folder.path(), &[("trunk", "main", 1)], more);
    let data = folder.path().join("data");
    let mut first = Up::start_as(folder.path(), "serve");
    for command in ["serve", "up"] {
        // to open this store would fail, so the refusal comes before
        let output = Command::new(env!("CARGO_BIN_EXE_pybots"))
            .current_dir(folder.path())
            .args(["--config", "pybots.toml", command])
            .env("PYBOTS_DATABASE", "sqlite:///no/such/folder/db.sqlite")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {errors}");
        let refused = format!(
            "another `pybots serve` or `pybots up` works with {}; stop it",
            data.display()
        );
        assert!(errors.contains(&refused), "{command}: {errors}");
    }
    // commands that read or add need no lock
    first.enrol("h", &[]);
    assert!(pybots(folder.path(), &["results"]).status.success());
    first.stop();
    // and the lock ends with its process
    Up::start(folder.path());
}

#[test]
fn a_repository_out_of_reach_is_said_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let more = "[engine]\nsocket = \"/no/such.sock\"\n";
    settings(folder.path(), folder.path(), &[("trunk", "main", 1)], more);
    let up = Up::start(folder.path());
    up.until("the problem", || {
        up.get("/").1.contains("can&#x27;t be reached").then_some(())
    });
}

#[test]
fn hosts_need_the_token() {
    let folder = tempfile::tempdir().unwrap();
    Repository::new(&folder.path().join("cpython")).commit("x");
    let more = "[engine]\nsocket = \"/no/such.sock\"\n";
    settings(folder.path(), folder.path(), &[("trunk", "main", 1)], more);
    let up = Up::start(folder.path());
    let post = |token: &'static str| {
        let url = format!("{}/api/host/claim", up.url);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let request = reqwest::Client::new()
                    .post(url)
                    .bearer_auth(token)
                    .body("not even json");
                request.send().await.unwrap().status().as_u16()
            })
        })
        .join()
        .unwrap()
    };
    assert_eq!(post("guess"), 401);
    assert_eq!(up.get("/api/host/trees/0123456789").0, 401);
}
