//! `pybots host doctor`, as a process: each thing that can be wrong with a machine is said, with what to do.

use crate::support::up::{Up, pybots, settings, toy_repository};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// What the doctor says of a host with these settings: exit code, and its findings.
fn doctor(folder: &Path, settings: &str, more: &[&str]) -> (i32, Vec<Value>) {
    std::fs::write(folder.join("pybots.toml"), settings).unwrap();
    let mut arguments = vec!["host", "doctor", "--json"];
    arguments.extend(more);
    let output = pybots(folder, &arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let findings = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().unwrap(), findings)
}

/// State and words of a check; where there are several lines of it, those that are in this state.
fn finding<'a>(findings: &'a [Value], check: &str, state: &str) -> &'a str {
    let found = findings
        .iter()
        .find(|finding| finding["check"] == check && finding["state"] == state);
    let found = found.unwrap_or_else(|| panic!("no {check} is {state}: {findings:#?}"));
    assert_eq!(found["remedy"].is_null(), state == "ok", "{found}");
    found["says"].as_str().unwrap()
}

/// Serves the same answer to each question, told by a part of its first line.
fn serve<S: Read + Write>(streams: impl Iterator<Item = std::io::Result<S>>, answers: Vec<(&'static str, String)>) {
    for mut stream in streams.flatten() {
        let mut question = [0; 8192];
        let read = stream.read(&mut question).unwrap_or(0);
        let question = String::from_utf8_lossy(&question[..read]).into_owned();
        let line = question.lines().next().unwrap_or_default();
        let answer = answers.iter().find(|(part, _)| line.contains(part));
        let answer = answer.map_or("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", |(_, answer)| {
            answer
        });
        let _ = stream.write_all(answer.as_bytes());
    }
}

fn answer(status: &str, date: Option<&str>, body: &str) -> String {
    let date = date.map(|date| format!("Date: {date}\r\n")).unwrap_or_default();
    format!(
        "HTTP/1.1 {status}\r\n{date}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Something at the place of a coordinator that answers everything so.
fn stranger(answered: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || serve(listener.incoming(), vec![("", answered)]));
    url
}

/// An engine that says this of itself, and holds no image.
fn engine(folder: &Path, info: &str) -> PathBuf {
    let socket = folder.join(format!("{}.sock", pybots::store::new_id()));
    let listener = UnixListener::bind(&socket).unwrap();
    let version =
        r#"{"Version": "24.0", "ApiVersion": "1.43", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"}"#;
    let answers = vec![
        ("/version", answer("200 OK", None, version)),
        ("/info", answer("200 OK", None, info)),
    ];
    std::thread::spawn(move || serve(listener.incoming(), answers));
    socket
}

const GOOD: &str = r#"{"DockerRootDir": "/", "NCPU": 4, "MemTotal": 17179869184, "MemoryLimit": true, "SwapLimit": true,
    "CpuCfsQuota": true, "PidsLimit": true, "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}"#;

#[test]
fn a_machine_before_its_enrolment_is_looked_at_too() {
    let folder = tempfile::tempdir().unwrap();
    let socket = engine(folder.path(), GOOD);
    let text = format!(
        "slots = 1\n[engine]\nsocket = {socket:?}\nmin_free_gib = 0\n[retention]\nmin_free_gib = 0\n[host]\ncpus = 1.0\n"
    );
    let (code, findings) = doctor(folder.path(), &text, &[]);
    assert_eq!(code, 0, "{findings:#?}");
    assert!(finding(&findings, "engine", "ok").contains("24.0, API 1.43, linux/amd64, runs without root"));
    finding(&findings, "sandbox", "ok");
    finding(&findings, "disk", "ok");
    finding(&findings, "data", "ok");
    assert_eq!(
        finding(&findings, "host", "ok"),
        "takes all projects, all branches; works at any hour"
    );
    assert!(finding(&findings, "coordinator", "warn").contains("was not enrolled yet"));
    assert!(finding(&findings, "index", "ok").contains("not checked"));

    // for people
    let output = pybots(folder.path(), &["host", "doctor"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("ok    sandbox      limits of memory"), "{text}");
    assert!(
        text.contains("\n                   -> start it with the line"),
        "{text}"
    );
}

#[test]
fn what_an_engine_lacks_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (code, findings) = doctor(folder.path(), "[engine]\nsocket = \"/no/such.sock\"\n", &[]);
    assert_eq!(code, 1);
    assert!(finding(&findings, "engine", "fail").contains("does not answer at /no/such.sock"));

    let weak = r#"{"DockerRootDir": "/no/such/root", "NCPU": 1, "MemTotal": 1073741824, "MemoryLimit": false,
        "SwapLimit": false, "CpuCfsQuota": true, "PidsLimit": false, "SecurityOptions": []}"#;
    let socket = engine(folder.path(), weak);
    let text = format!("slots = 2\n[engine]\nsocket = {socket:?}\n[host]\ncpus = 2.0\nmemory = \"100MiB\"\n");
    let (code, findings) = doctor(folder.path(), &text, &[]);
    assert_eq!(code, 1);
    let says: Vec<&str> = findings.iter().filter_map(|finding| finding["says"].as_str()).collect();
    let says = says.join("\n");
    for part in [
        "can't limit memory, processes",
        "can't keep containers from swapping",
        "does not restrict system calls",
        "/no/such/root, which this process can't see",
        "`host.cpus` is 2, and the engine has 1",
        "a run may have 100MiB of memory",
    ] {
        assert!(says.contains(part), "{part}: {says}");
    }

    let socket = engine(folder.path(), GOOD);
    let text = |more: &str| format!("slots = 9\n[engine]\nsocket = {socket:?}\n{more}");
    let (code, findings) = doctor(folder.path(), &text("min_free_gib = 1000000\n"), &[]);
    assert_eq!(code, 1);
    assert!(finding(&findings, "disk", "fail").contains("jobs need 1000000"));
    assert!(finding(&findings, "host", "warn").contains("9 runs of 2GiB at a time"));
    let tight = text("min_free_gib = 0\n[retention]\nmin_free_gib = 1000000\n");
    let (_, findings) = doctor(folder.path(), &tight, &[]);
    assert!(finding(&findings, "disk", "warn").contains("old images are removed early"));
    let given = text("min_free_gib = 3\n[retention]\nmin_free_gib = 0\n[host]\ndisk = \"2GiB\"\n");
    let (code, findings) = doctor(folder.path(), &given, &[]);
    assert_eq!(code, 1);
    assert!(finding(&findings, "disk", "fail").contains("no job has room"));
}

#[test]
fn settings_and_folders_that_are_of_no_use_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let (code, findings) = doctor(folder.path(), "[host]\nhours = [\"at night\"]\n", &[]);
    assert_eq!(code, 1);
    let says = finding(&findings, "settings", "fail");
    assert!(says.contains("write e.g. `22:00-07:00`"), "{says}");
    let (code, findings) = doctor(folder.path(), "[host]\ntime_zone = \"Nowhere\"\n", &[]);
    assert_eq!(code, 1);
    assert!(finding(&findings, "settings", "fail").contains("no zone \"Nowhere\""));

    std::fs::write(folder.path().join("file"), "").unwrap();
    let socket = "[engine]\nsocket = \"/no/such.sock\"\n";
    let (code, findings) = doctor(folder.path(), &format!("data = \"file/data\"\n{socket}"), &[]);
    assert_eq!(code, 1);
    assert!(finding(&findings, "data", "fail").contains("nothing can be written to file/data"));

    // one minute a week, and not this one
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let elsewhen = if now.hour() < 12 { "22:00-22:01" } else { "02:00-02:01" };
    let text = format!("{socket}[host]\nhours = [\"{elsewhen}\"]\ntime_zone = \"UTC\"\nprojects = [\"a\", \"b\"]\n");
    let (_, findings) = doctor(folder.path(), &text, &[]);
    let says = finding(&findings, "host", "ok");
    assert!(says.starts_with("takes projects a, b, all branches; it is "), "{says}");
    assert!(says.contains(&format!("this host works {elsewhen} (UTC)")), "{says}");
}

#[test]
fn the_way_to_the_coordinator_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let _repository = toy_repository(folder.path());
    settings(folder.path(), folder.path(), &[("trunk", "main", 1)], "");
    let up = Up::start_as(folder.path(), "serve");
    let output = pybots(folder.path(), &["host", "add", "one", "--owner", "o@example.org"]);
    let line = String::from_utf8(output.stdout).unwrap();
    let token = line.split_whitespace().last().unwrap();

    let own = tempfile::tempdir().unwrap();
    let ask = |server: &str, token: &str| {
        let text = "[engine]\nsocket = \"/no/such.sock\"\n";
        let mut more = vec!["--server", server];
        if !token.is_empty() {
            more.extend(["--token", token]);
        }
        doctor(own.path(), text, &more).1
    };
    let findings = ask(&up.url, token);
    assert!(finding(&findings, "coordinator", "ok").contains("knows this host as one, which builds no images"));
    finding(&findings, "clock", "ok");
    let findings = ask(&up.url, "pybots_0000");
    assert!(finding(&findings, "coordinator", "fail").contains("does not know this host's token"));
    let findings = ask(&up.url, "");
    assert!(finding(&findings, "coordinator", "warn").contains("answers; this host was not enrolled yet"));
    // what was kept at enrolment need not be said again
    std::fs::create_dir(own.path().join("pybots-data")).unwrap();
    std::fs::write(own.path().join("pybots-data/token"), token).unwrap();
    finding(&ask(&up.url, ""), "coordinator", "ok");

    let findings = ask("http://127.0.0.1:9", token);
    assert!(
        finding(&findings, "coordinator", "fail").contains("does not answer at http://127.0.0.1:9: Connection refused")
    );
    let old = stranger(answer(
        "426 Upgrade Required",
        Some("Sun, 06 Nov 1994 08:49:37 GMT"),
        "this host is too old; install Pybots 9.9",
    ));
    let findings = ask(&old, token);
    assert!(finding(&findings, "coordinator", "fail").contains("install Pybots 9.9"));
    assert!(finding(&findings, "clock", "fail").contains("days ahead of the coordinator's"));
    let findings = ask(&stranger(answer("200 OK", Some("soon"), "hello")), token);
    assert!(finding(&findings, "coordinator", "fail").contains("is not a Pybots coordinator"));
    finding(&findings, "clock", "warn");
    let findings = ask(&stranger(answer("502 Bad Gateway", None, "")), token);
    assert!(finding(&findings, "coordinator", "fail").contains("answered 502"));
}
