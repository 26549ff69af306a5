//! The logins in addresses of repositories, which nobody sees.

use crate::support::up::{Up, pybots, settings};
use pybots::store::Store;
use pybots::store::branches::Watched;
use std::path::Path;

/// All files below a folder, as one text.
fn everything_below(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &everything_below(&path);
        } else if let Ok(bytes) = std::fs::read(&path) {
            // files of SQLite come and go
            text += &String::from_utf8_lossy(&bytes);
        }
    }
    text
}

#[test]
fn the_login_of_a_repository_out_of_reach_is_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let more = "[engine]\nsocket = \"/no/such.sock\"\n";
    let projects = folder.path().join("projects");
    std::fs::create_dir_all(&projects).unwrap();
    settings(folder.path(), &projects, &[("trunk", "main", 1)], more);
    let file = folder.path().join("pybots.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let local = format!("git = {:?}", folder.path().join("cpython"));
    assert!(text.contains(&local), "{text}");
    let away = "git = \"http://hal9000:s3cr%40et@127.0.0.1:9/x\"\nsvn = \"http://hal9000:s3cr%40et@127.0.0.1:9/y\"";
    let old = "[[branch]]\nname = \"old\"\nref = \"trunk\"\nsource = \"svn\"\n";
    std::fs::write(&file, text.replace(&local, away) + old).unwrap();

    let mut up = Up::start(folder.path());
    let page = up.until("both problems", || {
        let page = up.get("/").1;
        let both = ["http://***@127.0.0.1:9/x", "http://***@127.0.0.1:9/y"];
        both.iter().all(|address| page.contains(address)).then_some(page)
    });
    let results = up.get("/api/results").1;
    let config = String::from_utf8(pybots(folder.path(), &["config"]).stdout).unwrap();
    assert!(config.contains("http://***@127.0.0.1:9/x"), "{config}");
    let data = everything_below(&folder.path().join("data"));
    assert!(data.contains("http://127.0.0.1:9/x"), "the database has the address");
    up.stop();
    let log = up.log();
    assert!(log.contains("failed to watch the branch"), "{log}");
    for text in [page, results, config, data, log] {
        for secret in ["hal9000", "s3cr%40et", "s3cr@et"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

#[tokio::test]
async fn another_login_is_no_other_source_and_stored_logins_go() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("db.sqlite").display());
    let store = Store::open(&url).await.unwrap();
    let watched = |source: &str| {
        [Watched {
            name: "trunk".to_owned(),
            reference: "main".to_owned(),
            source: source.into(),
        }]
    };
    store.set_branches(&watched("https://host/x")).await.unwrap();
    // as an earlier version stored it
    let earlier =
        "UPDATE branch SET source = 'https://me:secret@host/x', head = 'abc', problem = 'no https://me:secret@host/x'";
    sqlx::query(earlier).execute(store.pool()).await.unwrap();
    let row = async || -> (String, Option<String>, Option<String>) {
        let sql = "SELECT source, head, problem FROM branch";
        sqlx::query_as(sql).fetch_one(store.pool()).await.unwrap()
    };
    let same = ("https://host/x".to_owned(), Some("abc".to_owned()), None);
    store.set_branches(&watched("https://me:another@host/x")).await.unwrap();
    assert_eq!(row().await, same);
    // a branch that is no longer watched too
    sqlx::query(earlier).execute(store.pool()).await.unwrap();
    store.set_branches(&[]).await.unwrap();
    assert_eq!(row().await, same);
    store.set_branches(&watched("https://me:secret@host/y")).await.unwrap();
    assert_eq!(row().await, ("https://host/y".to_owned(), None, None));
}

#[tokio::test]
async fn what_was_tried_is_named_without_a_login() {
    let closed = "127.0.0.1:9";
    let shown = |error: anyhow::Error| format!("{error:#}");
    let server = format!("http://hal9000:s3cret@{closed}");
    let client = pybots::host::client::Client::new(&server, "token").unwrap();
    let coordinator = shown(client.ask().await.err().unwrap());
    assert!(
        coordinator.starts_with("the coordinator does not answer at http://***@127.0.0.1:9: Connection refused"),
        "{coordinator}"
    );
    let text = Store::open("sqlite:///no/such/folder/x.sqlite")
        .await
        .err()
        .map(shown)
        .unwrap();
    assert!(
        text.starts_with("the database sqlite:///no/such/folder/x.sqlite: it can't be opened"),
        "{text}"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pybots.toml"), "").unwrap();
    let log = pybots(folder.path(), &["logs", "x", "--server", &server]);
    let log = String::from_utf8(log.stderr).unwrap();
    assert!(
        log.contains("does not answer at http://***@127.0.0.1:9: Connection refused"),
        "{log}"
    );
    for text in [coordinator, text, log] {
        for bad in ["hal9000", "s3cret", "client error", "hyper"] {
            assert!(!text.contains(bad), "{bad} is in {text}");
        }
    }
}
