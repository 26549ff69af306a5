//! Requests that a browser or a host would not make, to a coordinator as a process of its own.

use crate::support::Repository;
use crate::support::up::{Up, settings};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn repository(folder: &Path) -> Repository {
    let repository = Repository::new(&folder.join("cpython"));
    repository.write("Include/patchlevel.h", "#define PY_VERSION \"3.14.0\"\n");
    repository.commit("the first revision");
    repository
}

/// A coordinator without an engine.
fn serve(folder: &Path, more: &str, shell: &str) -> Up {
    let projects = folder.join("projects");
    std::fs::create_dir_all(&projects).unwrap();
    let more = format!("{more}\n[engine]\nsocket = \"/no/such.sock\"\n");
    settings(folder, &projects, &[("trunk", "main", 1)], &more);
    Up::start_after(folder, "serve", shell)
}

fn address(up: &Up) -> SocketAddr {
    up.url.trim_start_matches("http://").parse().unwrap()
}

fn connect(up: &Up) -> TcpStream {
    let stream = TcpStream::connect(address(up)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything that comes back after a request that asks for the end of the connection.
fn exchange(up: &Up, request: &str) -> String {
    let mut stream = connect(up);
    // the server may refuse and close before it has read all
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {answer:?}"))
}

/// A request for a path with the headers that it needs.
fn get(target: &str, host: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// Stands for status 431, or for the end of the connection without an answer.
const CLOSED: u16 = 0;

#[test]
fn odd_requests_are_refused_and_end_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let _repository = repository(folder.path());
    let up = serve(folder.path(), "", "");
    let close = "Connection: close\r\n\r\n";
    let host = format!("Host: localhost\r\n{close}");
    let parameters: String = (0..3000).map(|n| format!("p{n}=x&")).collect();
    let headers: String = (0..200).map(|n| format!("X-{n}: x\r\n")).collect();
    let of_path = [
        (
            "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n".to_owned(),
            405,
        ),
        (format!("CONNECT localhost:80 HTTP/1.1\r\n{host}"), 405),
        (format!("OPTIONS * HTTP/1.1\r\n{host}"), 400),
        (format!("GET * HTTP/1.1\r\n{host}"), 400),
        (format!("GET http://example.org/ HTTP/1.1\r\n{host}"), 400),
        (format!("GET http://localhost/ HTTP/1.1\r\n{host}"), 400),
        (format!("GET ftp://localhost/x HTTP/1.1\r\n{host}"), 400),
        (format!("GET localhost HTTP/1.1\r\n{host}"), 400),
        (format!("GET localhost:80 HTTP/1.1\r\n{host}"), 400),
        (format!("GET ? HTTP/1.1\r\n{host}"), 400),
        (format!("GET //localhost// HTTP/1.1\r\n{host}"), 404),
        (format!("GET /../../etc/passwd HTTP/1.1\r\n{host}"), 404),
        (format!("GET /run/%zz%ff HTTP/1.1\r\n{host}"), 404),
        (format!("TRACE / HTTP/1.1\r\n{host}"), 405),
        (format!("BREW / HTTP/1.1\r\n{host}"), 405),
        (format!("POST / HTTP/1.1\r\nContent-Length: 3\r\n{host}abc"), 405),
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), CLOSED),
        (format!("GET /style.css?{parameters} HTTP/1.1\r\n{host}"), 200),
        (
            format!("GET /api/results?{} HTTP/1.1\r\n{host}", &parameters[..20_000]),
            200,
        ),
        (format!("GET /?{} HTTP/1.1\r\n{host}", "x".repeat(40_000)), CLOSED),
        (format!("GET / HTTP/1.1\r\nX: {}\r\n{host}", "x".repeat(40_000)), CLOSED),
        (format!("GET / HTTP/1.1\r\n{headers}{host}"), 431),
        // many old monitors ask so
        ("GET /style.css HTTP/1.0\r\n\r\n".to_owned(), 200),
        (format!("GET /style.css HTTP/1.1\r\n{close}"), 400),
        (format!("GET /style.css HTTP/1.1\r\nHost: localhost\r\n{host}"), 400),
        (format!("GET /style.css HTTP/1.1\r\nHost: \r\n{close}"), 421),
    ];
    for (request, wanted) in &of_path {
        let answer = exchange(&up, request);
        // the end of a connection with unread bytes may take the answer along
        if *wanted == CLOSED && answer.is_empty() {
            continue;
        }
        let wanted = if *wanted == CLOSED { &431 } else { wanted };
        let shown: String = request.chars().take(60).collect();
        assert_eq!(status(&answer), *wanted, "{shown:?}: {answer}");
    }
    // a tunnel that was refused is none
    let answer = exchange(
        &up,
        &format!(
            "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n{}",
            get("/style.css", "localhost")
        ),
    );
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    let panics = up.log().matches("panicked").count();
    assert_eq!((up.get("/").0, panics), (200, 0), "{}", up.log());
}

#[test]
fn only_names_of_the_coordinator_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let _repository = repository(folder.path());
    let up = serve(folder.path(), "[http]\nnames = [\"pybots.example.org\"]", "");
    for own in [
        "localhost",
        "localhost:1234",
        "127.0.0.1",
        "[::1]:80",
        "192.0.2.7",
        "Pybots.Example.org:443",
    ] {
        assert_eq!(status(&exchange(&up, &get("/style.css", own))), 200, "{own}");
    }
    for foreign in [
        "evil.example",
        "localhost.evil.example:8042",
        "example.org",
        "192.0.2.7.evil.example",
    ] {
        for path in [
            "/",
            "/healthz",
            "/style.css",
            "/api/results",
            "/api/host/hello",
            "/no/such",
        ] {
            let answer = exchange(&up, &get(path, foreign));
            assert_eq!(status(&answer), 421, "{foreign} {path}");
            let name = foreign.split(':').next().unwrap();
            assert!(answer.contains(name) && answer.contains("`http.names`"), "{answer}");
            assert!(!answer.contains("<html"), "{answer}");
        }
    }
    // a maintainer learns it before the host's owner does
    let add = |url: &str, name: &str| {
        let arguments = ["host", "add", name, "--owner", "o@example.org", "--url", url];
        let output = crate::support::up::pybots(folder.path(), &arguments);
        String::from_utf8(output.stderr).unwrap()
    };
    let said = add("https://other.example.org/", "a");
    assert!(said.contains("add \"other.example.org\" to `http.names`"), "{said}");
    for (url, name) in [("https://pybots.example.org", "b"), ("http://192.0.2.7:8042", "c")] {
        let said = add(url, name);
        assert!(!said.contains("http.names"), "{said}");
    }
}

#[test]
fn requests_in_one_go_are_answered_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let _repository = repository(folder.path());
    let up = serve(folder.path(), "", "");
    let mut stream = connect(&up);
    let paths = ["/style.css", "/no/such", "/live.js", "/api/nothing"];
    let mut requests: String = (0..50)
        .map(|n| format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", paths[n % paths.len()]))
        .collect();
    requests.push_str(&get("/style.css", "localhost"));
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let statuses: Vec<u16> = answer
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|one| one[..3].parse().unwrap())
        .collect();
    let mut wanted: Vec<u16> = (0..50).map(|n| [200, 404, 200, 404][n % 4]).collect();
    wanted.push(200);
    assert_eq!(statuses, wanted);
}

#[test]
fn values_with_nul_are_bad_requests() {
    let folder = tempfile::tempdir().unwrap();
    let _repository = repository(folder.path());
    let up = serve(folder.path(), "", "");
    for target in [
        "/run/a%00b",
        "/api/results?branch=%00",
        "/?before=x%00",
        "/api/host/folders/%00",
    ] {
        let answer = exchange(&up, &get(target, "localhost"));
        assert_eq!(status(&answer), 400, "{target}");
        assert!(answer.contains("NUL"), "{answer}");
    }
}

/// 200 sockets that do nothing, or send a request letter by letter.
fn crowd(up: &Up) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for n in 0..200 {
        let mut stream = connect(up);
        if n % 2 == 0 {
            let _ = stream.write_all(b"GET /api/host/hello HTTP/1.1\r\nHost: local");
        }
        crowd.push(stream);
    }
    crowd
}

#[test]
fn idle_sockets_stop_neither_planning_nor_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    let up = serve(folder.path(), "", "ulimit -n 150");
    let line = up.enrol("h", &[]);
    let token = line.trim().rsplit(' ').next().unwrap().to_owned();
    let crowd = crowd(&up);
    let sha = repository.commit("while strangers wait");
    // a host's call on a connection of its own, as `pybots host` makes it
    let call = format!(
        "GET /api/host/hello HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\npybots-protocol: 3\r\nConnection: close\r\n\r\n"
    );
    let start = Instant::now();
    let mut answered = 0;
    while answered < 5 {
        assert!(start.elapsed() < PATIENCE, "{}", up.log());
        match exchange(&up, &call).starts_with("HTTP/1.1 200") {
            true => answered += 1,
            false => std::thread::sleep(Duration::from_millis(200)),
        }
    }
    loop {
        assert!(start.elapsed() < PATIENCE, "{}", up.log());
        if exchange(&up, &get("/api/results", "localhost")).starts_with("HTTP/1.1 200")
            && exchange(&up, &get("/", "localhost")).contains(&sha[..9])
        {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(!up.log().contains("Too many open files"), "{}", up.log());
    drop(crowd);
}

#[test]
fn a_mirror_that_vanishes_is_copied_again() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    let up = serve(folder.path(), "", "");
    let mirror = folder.path().join("data/mirror.git");
    let holds = |sha: &str| {
        let arguments = ["cat-file", "-e", &format!("{sha}^{{tree}}")];
        let mut git = std::process::Command::new("git");
        let git = git
            .arg("--git-dir")
            .arg(&mirror)
            .args(arguments)
            .stderr(std::process::Stdio::null());
        git.status().unwrap().success()
    };
    let head = repository.git(&["rev-parse", "HEAD"]);
    let wait = |what: &str, is_so: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < PATIENCE, "no {what}: {}", up.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait("first copy", &|| up.get("/").1.contains("the first revision"));
    let (code, text) = up.get("/healthz");
    let health: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &health["healthy"]), (200, &true.into()), "{text}");
    for check in ["database", "disk", "mirror"] {
        assert_eq!(health["checks"][check]["ok"], true, "{text}");
    }

    // moved in one step, so that no look meets half of it
    std::fs::rename(&mirror, folder.path().join("gone")).unwrap();
    let (code, text) = up.get("/healthz");
    let health: serde_json::Value = serde_json::from_str(&text).unwrap();
    if !up.log().contains("the mirror was missing") {
        assert_eq!((code, &health["healthy"]), (503, &false.into()), "{text}");
        let check = &health["checks"]["mirror"];
        assert!(
            check["problem"].as_str().unwrap().contains("the mirror is missing"),
            "{text}"
        );
    }
    // without a new revision
    wait("second copy", &|| holds(&head));
    wait("health", &|| up.get("/healthz").0 == 200);
    // and with one
    std::fs::remove_dir_all(&mirror).unwrap();
    let next = repository.commit("the next revision");
    wait("third copy", &|| holds(&next));
    wait("page", &|| up.get("/").1.contains("the next revision"));
}
