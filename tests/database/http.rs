//! The whole server on both databases: values that no database stores, a database that is away, a disk that is full.

use crate::support::{Repository, branch, databases, new_database};
use pybots::access;
use pybots::clock::now;
use pybots::config::{HttpSettings, Settings, SourceSettings};
use pybots::coordinator::Coordinator;
use pybots::enrolment;
use pybots::server::{Server, routes};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use warp::filters::BoxedFilter;
use warp::reply::Response;

struct Site {
    base: String,
    token: String,
    http: reqwest::Client,
    _folder: Arc<tempfile::TempDir>,
}

/// A coordinator that serves, with one registered host, and notices while no request needs it that the database is away.
async fn site(database: &str, data: &Path, folder: Arc<tempfile::TempDir>) -> Site {
    let (coordinator, http) = coordinator(database, data, &folder, true).await;
    let presence = coordinator.store.presence();
    serve(
        coordinator,
        |routes| Server::new(routes, &http).watching(presence),
        folder,
    )
    .await
}

async fn coordinator(
    database: &str,
    data: &Path,
    folder: &Arc<tempfile::TempDir>,
    public_read: bool,
) -> (Coordinator, HttpSettings) {
    let repository = Repository::new(&folder.path().join("cpython"));
    repository.commit("one");
    let settings = Settings {
        data: data.to_owned(),
        database: database.into(),
        source: SourceSettings {
            git: repository.path.display().to_string().into(),
            ..SourceSettings::default()
        },
        branch: vec![branch("trunk", "main", 1)],
        http: HttpSettings {
            public_read,
            ..HttpSettings::default()
        },
        ..Settings::default()
    };
    let http = settings.http.clone();
    (Coordinator::open(settings, "linux/amd64").await.unwrap(), http)
}

async fn serve(
    coordinator: Coordinator,
    server: impl FnOnce(BoxedFilter<(Response,)>) -> Server,
    folder: Arc<tempfile::TempDir>,
) -> Site {
    let store = coordinator.store.clone();
    let (_, token) = enrolment::add(&store, "h", "o@example.org", true, now()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(server(routes(coordinator)).run(listener));
    let http = reqwest::Client::builder().no_proxy();
    Site {
        base,
        token: token.secret().to_owned(),
        http: http.redirect(reqwest::redirect::Policy::none()).build().unwrap(),
        _folder: folder,
    }
}

impl Site {
    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// What somebody with the cookie of a session gets.
    async fn get_as(&self, cookie: &str, path: &str) -> (u16, String) {
        let request = self.http.get(format!("{}{path}", self.base)).header("cookie", cookie);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// A call of the host.
    async fn call(&self, path: &str, body: &Value) -> (u16, String) {
        let request = self.http.post(format!("{}/api/host/{path}", self.base));
        let request = request
            .bearer_auth(&self.token)
            .header("pybots-protocol", "3")
            .json(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_with_nul_are_refused_with_a_sentence() {
    for database in databases().await {
        let which = database.name;
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let site = site(&database.url, &folder.path().join("data"), folder.clone()).await;
        for path in [
            "/?before=%00",
            "/?variant=a%00",
            "/branch/tr%00nk",
            "/revision/%00",
            "/run/%00",
            "/run/x?attempt=%00",
            "/host/%00",
            "/project/a%00",
            "/compare/%00/b",
            "/compare/trunk:%00/trunk",
            "/attempt/%00/events",
            "/api/results?branch=%00",
            "/api/results?variant=%00&branch=trunk",
            "/api/logs/%00",
            "/api/compare/a/%00",
            "/api/host/folders/%00",
        ] {
            let (status, text) = site.get(path).await;
            assert_eq!(status, 400, "{which} {path}: {text}");
            assert!(text.contains("NUL"), "{which} {path}: {text}");
        }
        let good = json!({ "version": "1", "platform": "linux/amd64", "slots": 1 });
        assert_eq!(site.call("hello", &good).await.0, 200, "{which}");
        let calls = [
            (
                "hello",
                json!({ "version": "a\0", "platform": "linux/amd64", "slots": 1 }),
            ),
            (
                "capabilities",
                json!({ "version": "a", "platform": "linux/amd64", "slots": 1, "labels": ["\0"] }),
            ),
            (
                "claim",
                json!({ "version": "a", "platform": "linux/amd64\0", "slots": 1 }),
            ),
            ("attempts/x/renew", json!({ "fence": "\0" })),
            (
                "attempts/x/finish",
                json!({ "fence": "x", "report": { "outcome": "\0" } }),
            ),
            ("trees/0123", json!({ "ignore": ["\0"] })),
            ("images/key/pushed", json!({ "reference": "a\0b" })),
            // a key is text too
            (
                "hello",
                json!({ "version": "a", "platform": "linux/amd64", "slots": 1, "x\0": 1 }),
            ),
        ];
        for (path, body) in calls {
            let (status, text) = site.call(path, &body).await;
            assert_eq!(status, 400, "{which} {path}: {text}");
            assert!(text.contains("NUL"), "{which} {path}: {text}");
        }
        let log = "attempts/x/log?fence=%00".to_owned();
        assert_eq!(site.call(&log, &json!(0)).await.0, 400, "{which}");
        assert_eq!(site.get("/").await.0, 200, "{which}");
    }
}

/// What stands between the coordinator and its database.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Open,
    /// Connections are refused, and those that were open are gone.
    Cut,
    /// Nothing gets through, and nobody learns it.
    Silent,
}

/// Passes on what comes, as long as the way is open. Returns its port.
async fn gate(server: String, way: watch::Receiver<Way>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut inner, _) = listener.accept().await.unwrap();
            let (server, mut way) = (server.clone(), way.clone());
            tokio::spawn(async move {
                if *way.borrow_and_update() == Way::Cut {
                    return;
                }
                let mut outer = None;
                loop {
                    if *way.borrow() == Way::Silent {
                        way.wait_for(|way| *way != Way::Silent).await.unwrap();
                        // what was lost meanwhile does not come later
                        return;
                    }
                    let outer = match &mut outer {
                        Some(outer) => outer,
                        none => none.insert(TcpStream::connect(&server).await.unwrap()),
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inner, outer) => return,
                        changed = way.changed() => changed.unwrap(),
                    }
                    if *way.borrow() == Way::Cut {
                        return;
                    }
                }
            });
        }
    });
    port
}

impl Way {
    /// A page has to fail in less. A silent database is asked twice, since one slow second is no absence.
    fn most(self) -> Duration {
        Duration::from_secs(if self == Way::Silent { 4 } else { 2 })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_everything_fails_at_once() {
    let Ok(server) = std::env::var("PYBOTS_TEST_POSTGRES") else {
        println!("SKIPPED: PostgreSQL, for PYBOTS_TEST_POSTGRES names no server (scripts/with-postgres starts one)");
        return;
    };
    let direct = new_database(&server).await;
    let mut url = url::Url::parse(&direct).unwrap();
    let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
    let (sender, way) = watch::channel(Way::Open);
    url.set_port(Some(gate(address, way).await)).unwrap();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let site = site(url.as_str(), &folder.path().join("data"), folder.clone()).await;
    let capabilities = json!({ "version": "1", "platform": "linux/amd64", "slots": 1 });
    for how in [Way::Cut, Way::Silent] {
        assert_eq!(site.get("/").await.0, 200, "{how:?}");
        sender.send(how).unwrap();
        // the first ones meet connections that look as if they were good
        for round in 0..2 {
            let paths = [
                "/",
                "/incidents",
                "/no/such/page",
                "/api/results",
                "/api/incidents",
                "/healthz",
            ];
            let site = &site;
            let gets = futures_util::future::join_all(paths.map(|path| async move {
                let start = Instant::now();
                (path, site.get(path).await, start.elapsed())
            }));
            let call = async {
                let start = Instant::now();
                ("hello", site.call("hello", &capabilities).await, start.elapsed())
            };
            let (mut answers, call) = tokio::join!(gets, call);
            answers.push(call);
            for (path, (status, text), took) in answers {
                assert!(took < how.most(), "{how:?} {round} {path}: {took:?}");
                // a page that does not exist needs no database, if its loss is noticed in time
                if path == "/no/such/page" && status == 404 {
                    continue;
                }
                assert_eq!(status, 503, "{how:?} {round} {path}: {text}");
                assert!(
                    text.to_lowercase().contains("the database does not answer"),
                    "{path}: {text}"
                );
                match path {
                    "/healthz" => {
                        let health: Value = serde_json::from_str(&text).unwrap();
                        assert_eq!(health["checks"]["database"]["ok"], false, "{text}");
                        assert_eq!(health["checks"]["disk"]["ok"], true, "{text}");
                    }
                    "hello" => assert!(!text.contains('{') && !text.contains('<'), "{text}"),
                    path if path.starts_with("/api") => {
                        serde_json::from_str::<Value>(&text).unwrap()["error"].as_str().unwrap();
                    }
                    _ => assert!(text.contains("</html>"), "{text}"),
                }
            }
            assert_eq!(site.get("/style.css").await.0, 200);
        }
        sender.send(Way::Open).unwrap();
        let start = Instant::now();
        while site.get("/").await.0 != 200 || site.call("hello", &capabilities).await.0 != 200 {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{how:?}: it does not come back"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let health = site.get("/healthz").await;
        assert_eq!(health.0, 200, "{health:?}");
    }
}

/// Nothing watches the database here: each request itself finds that it is away.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_taken_for_a_guest_while_the_database_is_away() {
    let Ok(server) = std::env::var("PYBOTS_TEST_POSTGRES") else {
        println!("SKIPPED: PostgreSQL, for PYBOTS_TEST_POSTGRES names no server (scripts/with-postgres starts one)");
        return;
    };
    for public_read in [true, false] {
        let mut url = url::Url::parse(&new_database(&server).await).unwrap();
        let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let (sender, way) = watch::channel(Way::Open);
        url.set_port(Some(gate(address, way).await)).unwrap();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let (coordinator, http) = coordinator(url.as_str(), &folder.path().join("data"), &folder, public_read).await;
        let store = &coordinator.store;
        let token = access::first_operator(store, now()).await.unwrap().unwrap();
        let session = access::begin(store, token.secret(), now()).await.unwrap().unwrap();
        let site = serve(coordinator, |routes| Server::new(routes, &http), folder).await;
        let cookie = format!("pybots_session={}", session.secret());
        for path in ["/", "/account", "/submit", "/api/incidents"] {
            assert_eq!(site.get_as(&cookie, path).await.0, 200, "{path}");
        }
        sender.send(Way::Cut).unwrap();
        for path in [
            "/",
            "/account",
            "/submit",
            "/recipe/x",
            "/api/incidents",
            "/api/v1/projects",
        ] {
            let (status, text) = site.get_as(&cookie, path).await;
            assert_eq!(status, 503, "{public_read} {path}: {text}");
            let says = text.to_lowercase().contains("the database does not answer");
            assert!(says, "{public_read} {path}: {text}");
        }
        // who has no cookie is nobody, whatever the database says
        assert_eq!(site.get("/submit").await.0, 303);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_good_health() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=64m", "tmpfs"];
    if !Command::new("mount")
        .args(mount)
        .arg(&data)
        .status()
        .is_ok_and(|status| status.success())
    {
        println!("SKIPPED: a full disk, for no file system can be mounted");
        return;
    }
    struct Unmount(std::path::PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        }
    }
    let _unmount = Unmount(data.clone());
    let site = site("", &data, folder.clone()).await;
    let (status, text) = site.get("/healthz").await;
    assert_eq!(status, 200, "{text}");
    let filler = data.join("filler");
    std::fs::write(&filler, vec![0; 56 << 20]).unwrap();
    let (status, text) = site.get("/healthz").await;
    let health: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, &health["checks"]["disk"]["ok"]),
        (503, &false.into()),
        "{text}"
    );
    assert!(text.contains("the disk of the data folder is full"), "{text}");
    assert_eq!(health["checks"]["mirror"]["ok"], true, "{text}");
    std::fs::remove_file(&filler).unwrap();
    assert_eq!(site.get("/healthz").await.0, 200);
    let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(&data).status();
    if remount.is_ok_and(|status| status.success()) {
        let (status, text) = site.get("/healthz").await;
        assert!(status == 503 && text.contains("read-only"), "{text}");
    }
}
