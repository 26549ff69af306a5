//! Logs from a host to a real coordinator process, and back out of it; no engine.

use crate::support::up::{Up, pybots, settings, toy_repository};
use crate::support::work::{self, Leased};
use bytes::Bytes;
use pybots::host::client::Client;
use pybots::host::deliver::{LogSink, deliver_left};
use pybots::host::log::Log;
use pybots::host::log::outbox::Outbox;
use pybots::logfile::{Chunk, Stream, frame};
use pybots::protocol::{PROTOCOL, PROTOCOL_HEADER};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Longest that anything here takes.
const WITHIN: Duration = Duration::from_secs(20);

/// A coordinator of its own, with attempts in work. It has the same address in each life.
async fn coordinator(count: usize) -> (tempfile::TempDir, Up, Vec<Leased>, String) {
    let folder = tempfile::tempdir().unwrap();
    let _repository = toy_repository(folder.path());
    settings(folder.path(), folder.path(), &[("trunk", "main", 1)], "");
    let up = Up::start_as(folder.path(), "serve");
    let file = folder.path().join("pybots.toml");
    let address = up.url.strip_prefix("http://").unwrap();
    let text = std::fs::read_to_string(&file).unwrap().replace("127.0.0.1:0", address);
    std::fs::write(&file, text).unwrap();
    let (leased, token) = work::lease(&folder.path().join("data"), count).await;
    (folder, up, leased, token)
}

fn sink(client: &Client, run: &Leased, folder: &Path) -> Arc<LogSink> {
    Arc::new(LogSink::start(
        client,
        &run.attempt,
        &run.fence,
        folder.join("spool").join(&run.attempt),
    ))
}

fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = pybots(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_killed_gets_the_log_whole_and_holds_nobody_up() {
    let (folder, mut up, leased, token) = coordinator(1).await;
    let (client, run) = (work::client(&up.url, &token), &leased[0]);
    let (log, delivered) = Log::start(sink(&client, run, folder.path()));
    let mut wanted = String::new();
    let spooled = folder.path().join("spool").join(&run.attempt).join("log.zst");
    for life in 0..3 {
        for n in 0..400 {
            let line = format!("life {life} line {n}: {}\n", "text ".repeat(n % 30));
            wanted.push_str(&line);
            log.write(Stream::ALL[n % 2], line.into()).await;
            if n % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
        }
        up.kill_9();
        // more than memory would hold, of what can't be compressed
        let clock = Instant::now();
        let mut state = life as u64 + 1;
        for _ in 0..400 {
            let flakiness: String = (0..32 << 10)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    char::from(b' ' + (state >> 58) as u8)
                })
                .collect();
            wanted.push_str(&flakiness);
            log.write(Stream::Stdout, Bytes::from(flakiness)).await;
        }
        assert!(clock.elapsed() < Duration::from_secs(15), "{:?}", clock.elapsed());
        assert!(spooled.exists(), "nothing is kept while the coordinator is away");
        up = Up::start_as(folder.path(), "serve");
    }
    drop(log);
    delivered.await.unwrap().unwrap();
    assert!(!spooled.parent().unwrap().exists(), "the spool is left");
    let got = printed(folder.path(), &["logs", &run.attempt, "--raw"]);
    assert!(got == wanted, "{} bytes of {}", got.len(), wanted.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_life_of_the_host_kept_is_delivered() {
    let (folder, up, leased, token) = coordinator(1).await;
    let (client, run) = (work::client(&up.url, &token), &leased[0]);
    let spool = folder.path().join("spool");
    assert!(
        !deliver_left(&client, &run.attempt, &run.fence, spool.join(&run.attempt))
            .await
            .unwrap()
    );
    let outbox = Outbox::new(spool.join(&run.attempt));
    for (offset, text) in [(0, "one "), (4, "two ")] {
        outbox
            .push(&Chunk::of(offset, Stream::Stdout, 7, text.into()))
            .await
            .unwrap();
        outbox.away().await;
    }
    // killed
    drop(outbox);
    assert!(
        deliver_left(&client, &run.attempt, &run.fence, spool.join(&run.attempt))
            .await
            .unwrap()
    );
    assert_eq!(printed(folder.path(), &["logs", &run.attempt, "--raw"]), "one two ");
    assert!(!spool.join(&run.attempt).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_chunk_has_its_answer() {
    let (folder, up, leased, token) = coordinator(1).await;
    let run = &leased[0];
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = |fence: &str, body: Bytes| {
        let request = http.post(format!("{}/api/host/attempts/{}/log", up.url, run.attempt));
        let request = request.bearer_auth(&token).header(PROTOCOL_HEADER, PROTOCOL);
        let request = request.query(&[("fence", fence)]).body(body);
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
    };
    let out = |offset, text: &'static str| frame::encode(&Chunk::of(offset, Stream::Stdout, 7, text.into())).unwrap();
    let length = |answer: &str| serde_json::from_str::<serde_json::Value>(answer).unwrap()["length"].clone();
    let (status, answer) = send(&run.fence, out(0, "hello ")).await;
    assert_eq!((status, length(&answer)), (200, 6.into()));
    let (status, answer) = send(&run.fence, out(0, "hello ")).await;
    assert_eq!((status, length(&answer)), (200, 6.into()));
    let (status, answer) = send(&run.fence, out(9, "x")).await;
    assert_eq!((status, answer.as_str()), (409, "{\"ends_at\":6}"));
    let (status, answer) = send("0", out(6, "x")).await;
    assert_eq!(
        (status, answer.as_str()),
        (409, "the attempt is not leased under this fence")
    );
    let (status, answer) = send(
        &run.fence,
        Bytes::from_static(b"plain text, which is no frame of a log"),
    )
    .await;
    assert_eq!(status, 400, "{answer}");
    let (status, _) = send(&run.fence, vec![0; frame::FRAME_MOST + 1].into()).await;
    assert_eq!(status, 413);
    assert_eq!(printed(folder.path(), &["logs", &run.attempt]), "hello \n");
    // a second later it is on the disk
    let start = Instant::now();
    while !send(&run.fence, out(0, "hello ")).await.1.contains("\"synced\":6") {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// `pybots logs -f` as a process, ended with the test if it does not end before.
struct Follow {
    child: Child,
    /// Each line with the time at which it came.
    lines: Receiver<(Instant, String)>,
}

impl Follow {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pybots"))
            .current_dir(folder)
            .args(["--config", "pybots.toml", "logs", "--follow"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines() {
                if sender.send((Instant::now(), line.unwrap())).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn next(&self) -> (Instant, String) {
        self.lines.recv_timeout(WITHIN).unwrap()
    }

    /// Nothing more comes, and the process ends well.
    fn ended(mut self) {
        assert_eq!(self.lines.recv_timeout(WITHIN), Err(RecvTimeoutError::Disconnected));
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_followed_here_and_from_elsewhere_to_their_end() {
    let (folder, up, leased, token) = coordinator(1).await;
    let (client, run) = (work::client(&up.url, &token), &leased[0]);
    let (log, delivered) = Log::start(sink(&client, run, folder.path()));
    log.say("begins").await;
    let here = Follow::start(folder.path(), &[&run.attempt]);
    let elsewhere = Follow::start(
        folder.path(),
        &[&run.attempt, "--server", &up.url, "--stream", "stderr", "--timestamps"],
    );
    assert!(here.next().1.contains("[pybots] begins"));
    let (mut slowest, mut came) = (Duration::ZERO, Vec::new());
    for n in 0..5 {
        let clock = Instant::now();
        log.write(Stream::Stdout, format!("out {n}\n").into()).await;
        log.write(Stream::Stderr, format!("err {n}\n").into()).await;
        let (_, out) = here.next();
        let (at, err) = here.next();
        assert_eq!((out, err), (format!("out {n}"), format!("err {n}")));
        let (dated_at, dated) = elsewhere.next();
        slowest = slowest.max(at - clock).max(dated_at - clock);
        came.push(dated);
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(
        came[4].ends_with("Z stderr  err 4") && came[4].starts_with("20"),
        "{came:?}"
    );
    drop(log);
    delivered.await.unwrap().unwrap();
    work::finish(&up.url, &token, run).await;
    here.ended();
    elsewhere.ended();
    let control = printed(folder.path(), &["logs", &run.attempt, "--stream", "control"]);
    assert_eq!(control.matches("begins").count(), 1);
    assert!(!control.contains("out 1"), "{control}");
}

/// What a log and its names do to a terminal: nothing. `script` gives the command a terminal.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_gets_text_and_colours_and_a_pipe_text() {
    let (folder, up, leased, token) = coordinator(1).await;
    let (client, run) = (work::client(&up.url, &token), &leased[0]);
    let (log, delivered) = Log::start(sink(&client, run, folder.path()));
    log.write(
        Stream::Stdout,
        "\x1b]52;c;aGFjaw==\x07\x1b[2J\x1b[H\x1b[31mred\x1b[0m\n\x1b[36m[pybots] outcome: passed\x1b[0m\n".into(),
    )
    .await;
    log.say("outcome: failed\n[pybots] outcome: \x1b[2Jpassed").await;
    drop(log);
    delivered.await.unwrap().unwrap();
    work::finish(&up.url, &token, run).await;
    let plain =
        "red\n[stdout: pybots] outcome: passed\n[pybots] outcome: failed\n[pybots]   [pybots] outcome: ?[2Jpassed\n";
    for from in [&[][..], &["--server", &up.url]] {
        let logs = |more: &[&'static str]| {
            let arguments = [&["logs", run.attempt.as_str()][..], from, more].concat();
            printed(folder.path(), &arguments)
        };
        assert_eq!(logs(&[]), plain);
        assert_eq!(
            logs(&["--color", "always", "--stream", "stdout"]).lines().next(),
            Some("\x1b[0;31mred\x1b[0m")
        );
        assert!(logs(&["--raw"]).starts_with("\x1b]52;c;aGFjaw==\x07\x1b[2J"));
    }
    // on a terminal
    let on_terminal = |name: &str, value: &str| {
        let command = format!(
            "{} --config pybots.toml logs {} --stream stdout",
            env!("CARGO_BIN_EXE_pybots"),
            run.attempt
        );
        let output = Command::new("script")
            .current_dir(folder.path())
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env_remove("NO_COLOR")
            .env(name, value)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
    };
    let coloured = "\x1b[0;31mred\x1b[0m\n\x1b[0;36m[stdout: pybots] outcome: passed\x1b[0m\n";
    assert_eq!(on_terminal("LANG", "C.UTF-8"), coloured);
    assert_eq!(on_terminal("NO_COLOR", "1"), "red\n[stdout: pybots] outcome: passed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_is_printed_but_for_what_is_lost() {
    let (folder, up, leased, token) = coordinator(1).await;
    let (client, run) = (work::client(&up.url, &token), &leased[0]);
    let (log, delivered) = Log::start(sink(&client, run, folder.path()));
    let file = folder.path().join(format!("data/objects/logs/{}.zst", run.attempt));
    let mut ends = Vec::new();
    for line in ["first\n", "second\n", "third\n"] {
        log.write(Stream::Stdout, line.into()).await;
        let begun = Instant::now();
        let length = || std::fs::metadata(&file).map_or(0, |data| data.len());
        while length() == ends.last().copied().unwrap_or(0) {
            assert!(begun.elapsed() < WITHIN);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ends.push(length());
    }
    drop(log);
    delivered.await.unwrap().unwrap();
    work::finish(&up.url, &token, run).await;
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[ends[0] as usize + 50] ^= 0xff;
    bytes.pop();
    std::fs::write(&file, bytes).unwrap();
    let wanted = "first\n[pybots] bytes 6 to 13 of this log are lost, because its file is damaged\n\
                  [pybots] this log is lost from byte 13 on, because its file is damaged\n";
    for arguments in [
        &["logs", &run.attempt][..],
        &["logs", &run.attempt, "-f"],
        &["logs", &run.attempt, "--server", &up.url],
        &["logs", &run.attempt, "-f", "--server", &up.url],
    ] {
        assert_eq!(printed(folder.path(), arguments), wanted, "{arguments:?}");
    }
    assert_eq!(printed(folder.path(), &["logs", &run.attempt, "--raw"]), "first\n");
    std::fs::remove_file(&file).unwrap();
    let output = pybots(folder.path(), &["logs", &run.attempt]);
    assert!(output.status.success() && output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("attempt {} has no log", run.attempt)), "{said}");
}
