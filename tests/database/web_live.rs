//! Logs while they are written, over HTTP.

use crate::support::web_sample::Sample;
use futures_util::StreamExt;
use pybots::config::HttpSettings;
use pybots::domain::id::AttemptId;
use pybots::domain::job::Report;
use pybots::domain::outcome::Outcome;
use pybots::domain::trust::Trust;
use pybots::logfile::Stream;
use pybots::server::{Server, site as routes};
use pybots::web::Web;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

struct Site {
    sample: Sample,
    base: String,
    attempt: String,
    run: String,
    server: tokio::task::JoinHandle<()>,
    data: tempfile::TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Pages with one attempt in work.
async fn site(log: &[u8]) -> Site {
    let data = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", data.path().join("test.sqlite").display());
    let sample = Sample::new(&url, data.path()).await;
    sample.branches(&["trunk"]).await;
    sample.projects(&["attrs"]).await;
    let ids = sample.revisions("trunk", "3.16.0a0", 1, &["one"]).await;
    let image = sample.image(ids[0].as_str(), "key", Some(true)).await;
    let run = sample.run(ids[0].as_str(), &image, "attrs", None).await;
    let job = sample.job(Some(&run), None, "leased").await;
    let attempt = sample.attempt(&job, 5.0, None, log).await;
    let web = Web::open(sample.store.clone(), sample.objects.clone(), Trust::all());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(warp::serve(routes(web)).incoming(listener).run());
    Site {
        sample,
        base,
        attempt,
        run,
        server,
        data,
    }
}

impl Site {
    async fn end(&self) {
        let mut tx = self.sample.store.begin().await.unwrap();
        let report = Report::of(Outcome::Passed);
        let now = self.sample.now;
        assert!(
            self.sample
                .store
                .end_attempt(&mut tx, &AttemptId::from(self.attempt.as_str()), &report, false, now)
                .await
                .unwrap()
        );
        tx.commit().await.unwrap();
    }

    async fn open(&self, path: &str, last: Option<&str>) -> Answer {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.get(format!("{}{path}", self.base));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        Answer {
            text: String::new(),
            parts: Box::pin(answer.bytes_stream()),
        }
    }
}

/// An answer that comes in parts.
struct Answer {
    text: String,
    parts: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>>>>,
}

impl Answer {
    /// What comes up to and with a text.
    async fn until(&mut self, wanted: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(at) = self.text.find(wanted) {
                let rest = self.text.split_off(at + wanted.len());
                return std::mem::replace(&mut self.text, rest);
            }
            assert!(start.elapsed() < PATIENCE, "no {wanted:?} in {:?}", self.text);
            match tokio::time::timeout(PATIENCE, self.parts.next()).await {
                Ok(Some(part)) => self.text.push_str(&String::from_utf8_lossy(&part.unwrap())),
                _ => panic!("no {wanted:?} in {:?}", self.text),
            }
        }
    }

    /// All that still comes.
    async fn rest(mut self) -> String {
        while let Some(part) = tokio::time::timeout(PATIENCE, self.parts.next()).await.unwrap() {
            self.text.push_str(&String::from_utf8_lossy(&part.unwrap()));
        }
        self.text
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_on_where_it_ends_and_shows_what_is_written() {
    let site = site(b"first\nbegun").await;
    let page = reqwest::get(format!("{}/run/{}", site.base, site.run)).await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("<span>first\n</span><span>begun</span>"), "{page}");
    let events = page.split("data-events=\"").nth(1).unwrap().split('"').next().unwrap();
    let events = events.replace("&#x3D;", "=").replace("&amp;", "&");
    assert_eq!(events, format!("/attempt/{}/events?from=11", site.attempt));

    let mut live = site.open(&events, None).await;
    let start = Instant::now();
    site.sample
        .write(&site.attempt, Stream::Stdout, b" <ended>\n\x1b[31mred")
        .await;
    let event = live.until("\n\n").await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(event.contains("\"lines\":\"begun &lt;ended&gt;\\n\""), "{event}");
    assert!(event.contains("<span class=\\\"f1\\\">red</span>"), "{event}");
    // up to here it was shown
    assert!(event.contains("id:28\n"), "{event}");

    // cut off, and back again: what was shown is not shown again, but the line and its colour go on
    drop(live);
    site.sample.write(&site.attempt, Stream::Stdout, b" more").await;
    let mut again = site.open(&events, Some("28")).await;
    let event = again.until("\n\n").await;
    assert!(!event.contains("begun"), "{event}");
    assert!(event.contains("<span class=\\\"f1\\\">red more</span>"), "{event}");

    // to the end
    site.sample
        .write(&site.attempt, Stream::Control, b"\x1b[0m\nthe last\n")
        .await;
    site.end().await;
    let rest = again.rest().await;
    assert!(
        rest.contains("the last</span>\\n") && rest.contains("event:end"),
        "{rest}"
    );
}

/// A link of 100 KB and a character are torn between events, and while the browser is away.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_torn_between_two_events_is_never_shown_as_text() {
    let site = site(b"first\n").await;
    let events = format!("/attempt/{}/events?from=0", site.attempt);
    let mut live = site.open(&events, None).await;
    live.until("first").await;
    let link = "x".repeat(100_000);
    let text = format!("a \x1b]8;;http://{link}\x1b\\link\u{20ac}\x1b]8;;\x1b\\ b\nlast\n");
    let cuts = [
        0,
        4,
        70,
        50_000,
        100_010,
        text.find('\u{20ac}').unwrap() + 1,
        text.len(),
    ];
    let mut shown = String::new();
    for cut in cuts.windows(2) {
        let part = &text.as_bytes()[cut[0]..cut[1]];
        site.sample.write(&site.attempt, Stream::Stdout, part).await;
        // another stream in between
        site.sample.write(&site.attempt, Stream::Stderr, b"err\n").await;
        shown += &live.until("err\\n").await;
        shown += &live.until("\n\n").await;
        let last = shown
            .rsplit_once("id:")
            .unwrap()
            .1
            .split('\n')
            .next()
            .unwrap()
            .to_owned();
        live = site.open(&events, Some(&last)).await;
    }
    site.end().await;
    shown += &live.rest().await;
    assert!(!shown.contains("xx") && !shown.contains('\u{fffd}'), "{:.2000}", shown);
    assert!(shown.contains("a link\u{20ac} b\\n"), "{shown}");
    assert_eq!(shown.matches("err\\n").count(), cuts.len() - 1, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn characters_that_are_torn_between_pieces_are_whole_in_json() {
    let site = site(b"").await;
    for part in [&b"\xe2\x82"[..], b"\xac \xf0\x9f", b"\x90\x8d \xff end \xe2"] {
        site.sample.write(&site.attempt, Stream::Stdout, part).await;
        site.sample.write(&site.attempt, Stream::Stderr, b"err ").await;
    }
    site.end().await;
    let text = |path: String, stream: &'static str| {
        let site = &site;
        async move {
            let all = site.open(&path, None).await.rest().await;
            let lines = all
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            let lines = lines.filter(|line| line["stream"] == stream);
            lines
                .map(|line| line["text"].as_str().unwrap().to_owned())
                .collect::<String>()
        }
    };
    let path = format!("/api/logs/{}", site.attempt);
    assert_eq!(
        text(path.clone(), "stdout").await,
        "\u{20ac} \u{1f40d} \u{fffd} end \u{fffd}"
    );
    assert_eq!(text(path.clone(), "stderr").await, "err err err ");
    // whoever goes on inside of a character gets it whole
    assert_eq!(
        text(format!("{path}?from=6&follow=true"), "stdout").await,
        "\u{20ac} \u{1f40d} \u{fffd} end \u{fffd}"
    );
}

/// Wrong text, a head that is none, one that claims too much, and a torn end: the rest is shown wherever logs are read.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_is_readable_but_for_what_is_lost() {
    let site = site(b"first\n").await;
    let file = site.data.path().join(format!("objects/logs/{}.zst", site.attempt));
    let mut frames = vec![0];
    for part in ["second\n", "third\n", "fourth\n"] {
        frames.push(std::fs::metadata(&file).unwrap().len());
        site.sample.write(&site.attempt, Stream::Stdout, part.as_bytes()).await;
    }
    site.end().await;
    let whole = std::fs::read(&file).unwrap();
    let second = (frames[1], "bytes 6 to 13 of this log are lost", "second");
    let last = (frames[3], "this log is lost from byte 19 on", "fourth");
    for (at, bytes, (frame, said, lost)) in [
        (50, &[0x55; 4][..], second),
        (0, &[0; 8], second),
        (20, &[0xff; 4], second),
        (50, &[0x55; 4], last),
        (0, &[], last),
    ] {
        let mut damaged = whole.clone();
        match bytes {
            [] => damaged.truncate(damaged.len() - 3),
            bytes => damaged[frame as usize + at..][..bytes.len()].copy_from_slice(bytes),
        }
        std::fs::write(&file, damaged).unwrap();
        for path in [
            format!("/run/{}", site.run),
            format!("/run/{}?from=0", site.run),
            format!("/api/logs/{}", site.run),
            format!("/api/logs/{}?follow=true", site.run),
            format!("/attempt/{}/events", site.attempt),
            format!("/run/{}/log", site.run),
        ] {
            let text = site.open(&path, None).await.rest().await;
            let raw = path.ends_with("/log");
            for part in ["first", "second", "third", "fourth"] {
                assert_eq!(text.contains(part), part != lost, "{part} {path}: {text}");
            }
            // of so few bytes the raw log has no place to say it
            assert!(raw || text.contains(said), "{path}: {text}");
        }
    }
    std::fs::remove_file(&file).unwrap();
    let page = site.open(&format!("/run/{}", site.run), None).await.rest().await;
    assert!(page.contains("This attempt left no log"), "{page}");
    let none = site
        .open(&format!("/api/logs/{}?follow=true", site.run), None)
        .await
        .rest()
        .await;
    assert_eq!(none, "");
}

/// Pages that take long to draw hold nobody up.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_jumps_is_bounded_and_holds_no_other_page_up() {
    let site = site(b"").await;
    let jumps = b"\x1b[2000Cx\r".repeat((8 << 20) / 9);
    site.sample.write(&site.attempt, Stream::Stdout, &jumps).await;
    site.end().await;
    let path = format!("/run/{}", site.run);
    let pages = (0..3).map(|_| async {
        let clock = Instant::now();
        let length = site.open(&path, None).await.rest().await.len();
        (length, clock.elapsed())
    });
    let other = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let clock = Instant::now();
        site.open("/hosts", None).await.rest().await;
        clock.elapsed()
    };
    let (drawn, waited) = tokio::join!(futures_util::future::join_all(pages), other);
    assert!(drawn.iter().all(|(length, _)| *length < 4 << 20), "{drawn:?}");
    // who is held up waits for as long as the pages take
    let longest = drawn.iter().map(|(_, took)| *took).max().unwrap();
    assert!(waited < longest / 2, "{waited:?} of {longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_not_keep_up_is_brought_to_the_end() {
    let site = site(b"first\n").await;
    let mut live = site.open(&format!("/attempt/{}/events", site.attempt), None).await;
    live.until("first").await;
    let line = b"a line that is written very often, and that nobody reads\n";
    site.sample
        .write(&site.attempt, Stream::Stdout, &line.repeat(200_000))
        .await;
    site.sample.write(&site.attempt, Stream::Stdout, b"now\n").await;
    let shown = live.until("now\\n").await;
    assert!(shown.contains("left out because they came too fast"));
    assert!(
        shown.len() < 6 << 20,
        "{} of {} bytes were sent",
        shown.len(),
        line.len() * 200_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_what_will_never_be_gets_nothing() {
    let site = site(b"hello\n").await;
    let beyond = format!("/attempt/{}/events?from={}", site.attempt, u64::MAX);
    let live = site.open(&beyond, None).await;
    site.end().await;
    let text = live.rest().await;
    assert!(text.contains("event:end"), "{text}");
    assert!(!text.contains("hello"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_pieces_with_stream_and_time() {
    let site = site(b"out\n").await;
    site.sample.write(&site.attempt, Stream::Stderr, b"err\n").await;
    let all = site.open(&format!("/api/logs/{}", site.run), None).await.rest().await;
    let lines: Vec<serde_json::Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{all}");
    assert_eq!(
        (&lines[0]["text"], &lines[0]["stream"]),
        (&"out\n".into(), &"stdout".into())
    );
    assert_eq!(
        (&lines[1]["text"], &lines[1]["offset"], &lines[1]["until"]),
        (&"err\n".into(), &4.into(), &8.into())
    );
    assert_eq!(lines[1]["at"], site.sample.now.as_millis());

    let path = format!("/api/logs/{}?follow=true&stream=stderr&from=4", site.attempt);
    let mut follow = site.open(&path, None).await;
    follow.until("err").await;
    site.sample.write(&site.attempt, Stream::Stdout, b"not this\n").await;
    site.sample.write(&site.attempt, Stream::Stderr, b"but this\n").await;
    let more = follow.until("but this").await;
    assert!(!more.contains("not this"), "{more}");
    site.end().await;
    follow.rest().await;
    let none = reqwest::get(format!("{}/api/logs/none", site.base)).await.unwrap();
    assert_eq!(none.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_follows_few_logs() {
    let site = site(b"a line\n").await;
    let settings = HttpSettings {
        proxies: vec!["127.0.0.1".parse().unwrap()],
        log_readers_per_address: 2,
        ..HttpSettings::default()
    };
    let objects = site
        .sample
        .objects
        .clone()
        .with_readers_of_one(settings.log_readers_per_address);
    let web = Web::open(site.sample.store.clone(), objects, Trust::all());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(Server::new(routes(web), &settings).run(listener));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let events = format!("/attempt/{}/events", site.attempt);
    let pieces = format!("/api/logs/{}?follow=true", site.attempt);
    let read = |path: &str, client: &str| {
        // what a client claims of itself stands before what the proxy says
        let forwarded = format!("192.0.2.{}, {client}", fastrand::u8(..));
        http.get(format!("{base}{path}"))
            .header("x-forwarded-for", forwarded)
            .send()
    };
    // readers of both kinds count together
    let first = read(&events, "198.51.100.1").await.unwrap();
    let second = read(&pieces, "198.51.100.1").await.unwrap();
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    for path in [&events, &pieces] {
        let third = read(path, "198.51.100.1").await.unwrap();
        assert_eq!(third.status(), 503, "{path}");
        let text = third.text().await.unwrap();
        assert!(text.contains("http.log_readers_per_address"), "{text}");
    }
    let whole = read(&format!("/api/logs/{}", site.attempt), "198.51.100.1")
        .await
        .unwrap();
    assert_eq!(
        whole.text().await.unwrap().lines().count(),
        1,
        "what is there can be read"
    );
    let other = read(&events, "198.51.100.2").await.unwrap();
    assert_eq!(other.status(), 200);
    drop(first);
    let start = Instant::now();
    while read(&pieces, "198.51.100.1").await.unwrap().status() != 200 {
        assert!(start.elapsed() < PATIENCE, "the place was not given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_one_stream_alone() {
    let site = site(b"from stdout\n").await;
    site.sample.write(&site.attempt, Stream::Stderr, b"from stderr\n").await;
    let page = reqwest::get(format!("{}/run/{}?stream=stderr", site.base, site.run))
        .await
        .unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("from stderr") && !page.contains("from stdout"), "{page}");
    // the script reads the page again, for no log grows on it
    assert!(
        page.contains(" data-refresh=\"3\"") && !page.contains("<pre id=\"live\""),
        "{page}"
    );
}
