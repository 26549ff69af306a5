//! How long the server waits for clients that are slow or silent, and what it does with handlers that panic.

use futures_util::stream;
use pybots::config::HttpSettings;
use pybots::domain::host::Capabilities;
use pybots::domain::job::Report;
use pybots::domain::outcome::Outcome;
use pybots::host::client::Client;
use pybots::protocol::{FinishRequest, Receipt};
use pybots::server::{Patience, Server};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Reply};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(600);
/// Less than the time limits that hold outside of tests, and enough for a machine with much to do.
const SOON: Duration = Duration::from_secs(10);

fn patience() -> Patience {
    Patience {
        head: SHORT,
        body_silence: SHORT,
        body: 3 * SHORT,
        write: SHORT,
    }
}

/// Counts the streams that are being sent.
#[derive(Clone)]
struct Sent(Arc<AtomicUsize>);

impl Sent {
    fn begin() -> Self {
        OPEN.fetch_add(1, Ordering::SeqCst);
        Self(Arc::default())
    }
}

static OPEN: AtomicUsize = AtomicUsize::new(0);

impl Drop for Sent {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::SeqCst);
    }
}

fn routes() -> BoxedFilter<(Response,)> {
    let ok = warp::path("ok").map(|| "fine".into_response());
    let body = warp::path("body").and(warp::body::bytes());
    let body = body.map(|bytes: bytes::Bytes| format!("{} bytes", bytes.len()).into_response());
    let panic = warp::path("panic").map(|| -> Response { panic!("on purpose") });
    let slow = warp::path("slow").then(|| async {
        tokio::time::sleep(4 * SHORT).await;
        "late".into_response()
    });
    let events = warp::path("events").map(|| {
        let ticks = stream::unfold(0, |n| async move {
            tokio::time::sleep(2 * SHORT).await;
            (n < 3).then(|| (Ok::<_, std::io::Error>(format!("tick {n}\n")), n + 1))
        });
        warp::reply::stream(ticks).into_response()
    });
    let flood = warp::path("flood").map(|| {
        let sent = Sent::begin();
        let parts = stream::repeat_with(move || {
            sent.0.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(vec![b'x'; 64 << 10])
        });
        warp::reply::stream(parts).into_response()
    });
    ok.or(body)
        .unify()
        .or(panic)
        .unify()
        .or(slow)
        .unify()
        .or(events)
        .unify()
        .or(flood)
        .unify()
        .boxed()
}

async fn serve_at(ip: IpAddr, settings: &HttpSettings) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Server::new(routes(), settings).with_patience(patience()).run(listener));
    address
}

async fn serve() -> SocketAddr {
    serve_at(Ipv4Addr::LOCALHOST.into(), &HttpSettings::default()).await
}

fn request(path: &str, more: &str) -> String {
    format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n")
}

/// What comes until the server closes, and how long that takes.
async fn rest(stream: &mut TcpStream) -> (String, Duration) {
    let start = Instant::now();
    let mut text = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut text)).await;
    let _ = read.expect("the server does not close the connection");
    (String::from_utf8_lossy(&text).into_owned(), start.elapsed())
}

/// What comes up to and with a text.
async fn until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let mut part = [0; 4096];
        let read = tokio::time::timeout(LONG, stream.read(&mut part))
            .await
            .unwrap()
            .unwrap();
        assert!(read > 0, "no {wanted:?} in {text:?}");
        text.push_str(&String::from_utf8_lossy(&part[..read]));
    }
    text
}

/// Sends a text letter by letter until the server has enough.
async fn dribble(stream: &mut TcpStream, text: &str) {
    for byte in text.bytes() {
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(SHORT / 12).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_slow_connections_are_closed() {
    let address = serve().await;
    let connect = || async { TcpStream::connect(address).await.unwrap() };
    let mut silent = connect().await;
    let mut begun = connect().await;
    begun.write_all(b"GET /ok HT").await.unwrap();
    let mut idle = connect().await;
    idle.write_all(request("ok", "").as_bytes()).await.unwrap();
    until(&mut idle, "fine").await;
    for (stream, what) in [(&mut silent, "silent"), (&mut begun, "begun"), (&mut idle, "idle")] {
        let (text, took) = rest(stream).await;
        assert!(text.is_empty() && took < SOON, "{what}: {text:?} after {took:?}");
    }
    // each letter comes in time, the whole does not
    let mut slow = connect().await;
    let start = Instant::now();
    dribble(&mut slow, &request("ok", &format!("X: {}\r\n", "x".repeat(200)))).await;
    rest(&mut slow).await;
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_are_refused() {
    let address = serve().await;
    let head = request("body", "Content-Length: 1000\r\n");
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(format!("{head}abc").as_bytes()).await.unwrap();
    let (text, took) = rest(&mut silent).await;
    assert!(
        text.starts_with("HTTP/1.1 408") && took < SOON,
        "{text:?} after {took:?}"
    );
    assert!(text.contains("too slowly"), "{text}");

    let slow = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = slow.into_split();
    writer.write_all(head.as_bytes()).await.unwrap();
    let start = Instant::now();
    let sending = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 12).await;
        }
    });
    let mut text = Vec::new();
    let _ = tokio::time::timeout(LONG, reader.read_to_end(&mut text)).await.unwrap();
    assert!(String::from_utf8_lossy(&text).starts_with("HTTP/1.1 408"), "{text:?}");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    sending.abort();

    // one that comes in time is read, also in parts
    let mut good = TcpStream::connect(address).await.unwrap();
    good.write_all(request("body", "Content-Length: 6\r\n").as_bytes())
        .await
        .unwrap();
    for _ in 0..3 {
        tokio::time::sleep(SHORT / 4).await;
        good.write_all(b"ab").await.unwrap();
    }
    until(&mut good, "6 bytes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_take_long_are_not_cut() {
    let address = serve().await;
    for (path, last) in [("events", "tick 2"), ("slow", "late")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(request(path, "Connection: close\r\n").as_bytes())
            .await
            .unwrap();
        let (text, took) = rest(&mut stream).await;
        assert!(text.contains(last) && took > 3 * SHORT, "{text:?} after {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_left() {
    let address = serve().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request("flood", "").as_bytes()).await.unwrap();
    until(&mut stream, "200 OK").await;
    assert_eq!(OPEN.load(Ordering::SeqCst), 1);
    let start = Instant::now();
    while OPEN.load(Ordering::SeqCst) > 0 {
        assert!(start.elapsed() < LONG, "the response is still being sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_ends_nothing() {
    let address = serve().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..20 {
        stream.write_all(request("panic", "").as_bytes()).await.unwrap();
        let text = until(&mut stream, "</html>").await;
        assert!(text.starts_with("HTTP/1.1 500"), "{text}");
        assert!(!text.contains("on purpose"), "{text}");
    }
    // the same connection goes on
    stream.write_all(request("ok", "").as_bytes()).await.unwrap();
    until(&mut stream, "fine").await;
}

/// The address of this machine in its network, from which it calls itself as a stranger would.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stranger_takes_few_connections() {
    let Some(outer) = outer_address() else {
        println!("SKIPPED: connections of a stranger, for this machine has no address but loopback");
        return;
    };
    let settings = HttpSettings {
        connections_per_address: 3,
        ..HttpSettings::default()
    };
    let port = serve_at(Ipv4Addr::UNSPECIFIED.into(), &settings).await.port();
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect((outer, port)).await.unwrap();
        stream.write_all(request("slow", "").as_bytes()).await.unwrap();
        held.push(stream);
    }
    tokio::time::sleep(SHORT / 4).await;
    let mut refused = TcpStream::connect((outer, port)).await.unwrap();
    let (text, _) = rest(&mut refused).await;
    assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    assert!(text.contains("`http.connections_per_address`"), "{text}");
    // nobody else is kept out
    let mut local = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    local.write_all(request("ok", "").as_bytes()).await.unwrap();
    until(&mut local, "fine").await;
    // and it has its places again once its requests are answered
    for stream in &mut held {
        until(stream, "late").await;
    }
    drop(held);
    tokio::time::sleep(SHORT).await;
    let mut again = TcpStream::connect((outer, port)).await.unwrap();
    again.write_all(request("ok", "").as_bytes()).await.unwrap();
    until(&mut again, "fine").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_table_of_open_files_ends_nothing() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(routes(), &HttpSettings::default()).with_patience(patience());
    let mut client = TcpStream::connect(address).await.unwrap();
    // this test is a process of its own
    let before = getrlimit(Resource::Nofile);
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let highest = open
        .filter_map(|file| file.unwrap().file_name().to_str()?.parse::<u64>().ok())
        .max();
    // the highest is that of the folder itself, which is closed again
    let limit = Rlimit {
        current: highest,
        ..before
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let filler: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    let busy = cpu_time();
    tokio::spawn(server.run(listener));
    client.write_all(request("ok", "").as_bytes()).await.unwrap();
    let mut part = [0; 100];
    let read = tokio::time::timeout(Duration::from_secs(2), client.read(&mut part)).await;
    let busy = cpu_time() - busy;
    setrlimit(Resource::Nofile, before).unwrap();
    drop(filler);
    assert!(
        read.is_err(),
        "the connection was taken although no file could be opened: {read:?}"
    );
    assert!(
        busy < Duration::from_millis(500),
        "the server was busy for {busy:?} of 2 s"
    );
    until(&mut client, "fine").await;
}

/// The time for which this process has used a processor.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_goes_on_after_answers_that_pass() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let bodies = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = bodies.clone();
    tokio::spawn(async move {
        let mut statuses = ["408 Slow", "421 Misdirected", "503 Away", "200 OK", "421 Misdirected"].iter();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 64 << 10];
            let mut read = 0;
            while !String::from_utf8_lossy(&request[..read]).contains("}") {
                read += stream.read(&mut request[read..]).await.unwrap();
            }
            seen.lock()
                .unwrap()
                .push(String::from_utf8_lossy(&request[..read]).into_owned());
            let status = statuses.next().unwrap();
            let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 9\r\n\r\n\"counted\"");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let client = Client::new(&url, "token").unwrap();
    let report = Report::of(Outcome::Infra {
        reason: "a\0b".to_owned(),
    });
    let finish = FinishRequest {
        fence: "f".to_owned(),
        report,
    };
    // the report arrives in the end, and without the character that no database stores
    assert_eq!(client.finish("x", &finish).await.unwrap(), Receipt::Counted);
    {
        let bodies = bodies.lock().unwrap();
        assert_eq!(bodies.len(), 4);
        assert!(bodies.iter().all(|body| body.contains("a\\ufffdb")), "{bodies:?}");
    }
    // whoever starts a host learns why it is not let in
    let error = client.hello(&Capabilities::default()).await.unwrap_err();
    assert!(error.to_string().contains("refused (421"), "{error:#}");
}
