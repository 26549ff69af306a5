//! `make bench-logs`: logs from hosts to a real `pybots serve` process over loopback. How fast they are taken from one
//! run and from 16 at once, what memory that costs the coordinator, and how long it takes until a line that was
//! written is in the answer that a browser reads. A table, then JSON.
//!
//! | variable | meaning |
//! |---|---|
//! | `PYBOTS_BENCH_MB` | megabytes of text from each run; 100 |
//! | `PYBOTS_BENCH_RUNS` | runs at once; 16 |

#[path = "../tests/support/mod.rs"]
mod support;

use bytes::Bytes;
use futures_util::StreamExt;
use pybots::domain::id::AttemptId;
use pybots::host::client::Client;
use pybots::host::deliver::LogSink;
use pybots::host::log::Log;
use pybots::logfile::Stream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::up::{Up, settings, toy_repository};
use support::work::{self, Leased};

/// Bytes that an engine hands on at a time.
const PIECE: usize = 32 << 10;

/// Time between two lines of the run that is watched.
const EVERY: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() {
    let number = |name: &str, default: usize| {
        let text = std::env::var(name).unwrap_or_default();
        text.parse().unwrap_or(default).max(1)
    };
    let (megabytes, runs) = (number("PYBOTS_BENCH_MB", 100), number("PYBOTS_BENCH_RUNS", 16));
    let folder = tempfile::tempdir().unwrap();
    let _repository = toy_repository(folder.path());
    settings(folder.path(), folder.path(), &[("trunk", "main", 1)], "");
    let up = Up::start_as(folder.path(), "serve");
    let (leased, token) = work::lease(&folder.path().join("data"), runs + 3).await;
    let client = work::client(&up.url, &token);
    let spool = folder.path().join("spool");
    let text = Arc::new(sample(8 << 20));
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    eprintln!("load of the machine before: {}", busy.trim());

    println!("| what | MB/s | coordinator's peak MB | visible p50 ms | visible p99 ms |");
    println!("|---|---|---|---|---|");
    // a quiet coordinator first
    let (watched, rest) = leased.split_first().unwrap();
    let quiet = watch(&client, &up.url, watched, &spool, Until::Lines(250)).await;
    row("one line every 20 ms", None, peak(&up), Some(&quiet));

    let (one, rest) = rest.split_first().unwrap();
    let one_run = flood(&client, std::slice::from_ref(one), &spool, &text, megabytes).await;
    let one_peak = peak(&up);
    row("one run", Some(one_run), one_peak, None);

    let (watched, rest) = rest.split_first().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let beside = {
        let (client, url, watched, spool) = (client.clone(), up.url.clone(), watched.clone(), spool.clone());
        let until = Until::Over(over.clone());
        tokio::spawn(async move { watch(&client, &url, &watched, &spool, until).await })
    };
    let many = flood(&client, &rest[..runs], &spool, &text, megabytes).await;
    over.store(true, Ordering::SeqCst);
    let beside = beside.await.unwrap();
    let many_peak = peak(&up);
    row(
        &format!("{runs} runs at once, and one that writes a line every 20 ms"),
        Some(many),
        many_peak,
        Some(&beside),
    );

    let wanted = (megabytes * 1_000_000) as u64;
    let (stored, bytes) = check(folder.path(), &rest[..runs], wanted).await;
    println!(
        "\n{} runs of {megabytes} MB are whole; {stored:.1} MB of files hold {bytes:.0} MB of text",
        runs
    );
    println!(
        "{}",
        serde_json::json!({
            "one_run_mb_s": round(one_run),
            "sixteen_runs_mb_s": round(many),
            "coordinator_peak_mb": round(many_peak),
            "visible_p99_ms": round(percentile(&beside, 99)),
        })
    );
}

fn row(what: &str, speed: Option<f64>, peak: f64, delays: Option<&[f64]>) {
    let speed = speed.map_or("-".to_owned(), |speed| format!("{speed:.0}"));
    let delay = |percent| delays.map_or("-".to_owned(), |delays| format!("{:.0}", percentile(delays, percent)));
    println!("| {what} | {speed} | {peak:.0} | {} | {} |", delay(50), delay(99));
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Text as suites write it: verbose test lines, warnings, tracebacks, progress.
fn sample(size: usize) -> Vec<u8> {
    let words = [
        "parse", "encode", "walk", "thread", "socket", "pickle", "format", "await", "merge", "slots",
    ];
    let mut state = 42u64;
    let mut chance = move |most: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    let mut text = String::new();
    while text.len() < size {
        let (a, b) = (words[chance(10) as usize], words[chance(10) as usize]);
        let n = chance(100_000);
        match chance(20) {
            0 => {
                text += &format!(
                    "Traceback (most recent call last):\n  File \"/pybots/work/tests/test_{a}.py\", line {n}, in test_{b}_{}\n    self.assertEqual({a}({n}), {b}.{a}[{}])\nAssertionError: {} != {:#x}\n",
                    chance(500),
                    chance(90),
                    chance(1 << 30),
                    chance(1 << 30)
                )
            }
            1 => {
                text += &format!(
                    "tests/test_{a}.py:{n}: DeprecationWarning: {b}.{a}() is deprecated since 3.{}\n",
                    chance(16)
                )
            }
            2 => {
                text += &format!(
                    "0x{:016x} {:.6}s {a}_{b}\n",
                    chance(1 << 31) * 7919,
                    chance(1_000_000) as f64 / 1e6
                )
            }
            3 => text += &format!("{}\n", ".".repeat(chance(70) as usize + 1)),
            _ => {
                text += &format!(
                    "tests/test_{a}.py::Test{}::test_{b}_{n}[{a}-{}] \x1b[32mPASSED\x1b[0m  [{:3}%]\n",
                    b.to_uppercase(),
                    chance(64),
                    chance(101)
                )
            }
        }
    }
    text.into_bytes()
}

/// Writes so much from each run, as fast as it is taken; MB/s in sum.
async fn flood(client: &Client, runs: &[Leased], spool: &Path, text: &Arc<Vec<u8>>, megabytes: usize) -> f64 {
    let clock = Instant::now();
    let writers = runs.iter().enumerate().map(|(n, run)| {
        let (client, run, spool, text) = (client.clone(), run.clone(), spool.to_owned(), text.clone());
        tokio::spawn(async move {
            let (log, delivered) = Log::start(Arc::new(LogSink::start(
                &client,
                &run.attempt,
                &run.fence,
                spool.join(&run.attempt),
            )));
            let mut left = megabytes * 1_000_000;
            // each begins elsewhere, so that no two logs are alike
            let mut at = n * 7919 * 61 % text.len();
            while left > 0 {
                let length = PIECE.min(left).min(text.len() - at);
                log.write(Stream::Stdout, Bytes::copy_from_slice(&text[at..at + length]))
                    .await;
                left -= length;
                at = (at + length) % text.len();
            }
            drop(log);
            delivered.await.unwrap().unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    (runs.len() * megabytes) as f64 / clock.elapsed().as_secs_f64()
}

enum Until {
    Lines(usize),
    Over(Arc<AtomicBool>),
}

/// Writes a line with its time again and again, and reads what a browser reads; milliseconds between the two, sorted.
async fn watch(client: &Client, url: &str, run: &Leased, spool: &Path, until: Until) -> Vec<f64> {
    let events = format!("{url}/attempt/{}/events", run.attempt);
    let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(events);
    let mut parts = answer.send().await.unwrap().bytes_stream();
    let (log, delivered) = Log::start(Arc::new(LogSink::start(
        client,
        &run.attempt,
        &run.fence,
        spool.join(&run.attempt),
    )));
    let writer = tokio::spawn(async move {
        let mut written = 0;
        let mut every = tokio::time::interval(EVERY);
        while match &until {
            Until::Lines(most) => written < *most,
            Until::Over(over) => !over.load(Ordering::SeqCst),
        } {
            every.tick().await;
            log.write(
                Stream::Stdout,
                format!("sent@{:.3}@ a line that is written now\n", now()).into(),
            )
            .await;
            written += 1;
        }
        drop(log);
        delivered.await.unwrap().unwrap();
        written
    });
    let mut delays = Vec::new();
    let mut text = String::new();
    let mut wanted = None;
    let mut writer = Box::pin(writer);
    while wanted.is_none_or(|wanted| delays.len() < wanted) {
        tokio::select! {
            written = &mut writer, if wanted.is_none() => wanted = Some(written.unwrap()),
            part = parts.next() => {
                text.push_str(&String::from_utf8_lossy(&part.unwrap().unwrap()));
                let seen = now();
                // whole lines of the answer only
                let Some(end) = text.rfind('\n') else { continue };
                let rest = text.split_off(end);
                for sent in text.split("sent@").skip(1) {
                    let sent: f64 = sent.split('@').next().unwrap().parse().unwrap();
                    delays.push(seen - sent);
                }
                text = rest;
            }
        }
    }
    delays.sort_by(f64::total_cmp);
    delays
}

/// Milliseconds.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1000.0
}

/// Most memory that the coordinator had so far, MB.
fn peak(up: &Up) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", up.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0 / 1e6
}

/// Every log must be whole; MB of the files, and of the text.
async fn check(folder: &Path, runs: &[Leased], wanted: u64) -> (f64, f64) {
    let objects = pybots::store::logs::Objects::open(&folder.join("data")).unwrap();
    let (mut stored, mut bytes) = (0, 0);
    for run in runs {
        let total = objects
            .read_log(&AttemptId::from(run.attempt.as_str()), u64::MAX, 0)
            .await
            .unwrap()
            .total;
        assert_eq!(total, wanted, "a log is not whole");
        let path = folder.join(format!("data/objects/logs/{}.zst", run.attempt));
        (stored, bytes) = (stored + path.metadata().unwrap().len(), bytes + total);
    }
    (stored as f64 / 1e6, bytes as f64 / 1e6)
}
