//! TLS: what clients see, and what becomes of wrong files, slow handshakes and renewed certificates.

use crate::support::up::{settings, toy_repository};
use pybots::config::HttpSettings;
use pybots::server::{Patience, Server, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use warp::{Filter, Reply};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(600);
const LOOK: Duration = Duration::from_millis(50);

/// An authority of our own, and the files of a server in a folder.
struct Files {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = Self {
            issuer,
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(files.path("ca.pem"), files.issuer.pem()).unwrap();
        files.renew();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a new certificate with a new key. Returns the certificate as clients see it.
    fn renew(&self) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path("server.pem"), certificate.pem()).unwrap();
        std::fs::write(self.path("server.key"), key.serialize_pem()).unwrap();
        certificate.der().to_vec()
    }

    async fn open(&self) -> Result<Tls, String> {
        let opened = Tls::open(&self.path("server.pem"), &self.path("server.key")).await;
        opened.map_err(|error| error.to_string())
    }

    async fn serve(&self, patience: Duration) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let ok = warp::path("ok").map(|| "fine".into_response()).boxed();
        let server = Server::new(ok, &HttpSettings::default())
            .with_patience(Patience {
                head: patience,
                ..Patience::with_idle(LONG)
            })
            .with_tls(self.open().await.unwrap().looking_every(LOOK));
        tokio::spawn(server.run(listener));
        address
    }

    /// A client that trusts this authority alone, and keeps no connection.
    fn client(&self) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.issuer.pem().as_bytes()).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([root])
            .tls_info(true)
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()
            .unwrap()
    }
}

/// The text of a page, and the certificate that came with it.
async fn get(client: &reqwest::Client, address: SocketAddr) -> (String, Vec<u8>) {
    let answer = client.get(format!("https://localhost:{}/ok", address.port())).send();
    let answer = answer.await.unwrap();
    let shown = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    let shown = shown.peer_certificate().unwrap().to_vec();
    (answer.text().await.unwrap(), shown)
}

async fn closes(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await;
    let _ = read.expect("the server does not close the connection");
    rest
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_over_tls_and_a_renewed_certificate_is_shown_without_a_restart() {
    let files = Files::new();
    let first = files.renew();
    let address = files.serve(LONG).await;
    let client = files.client();
    assert_eq!(get(&client, address).await, ("fine".to_owned(), first.clone()));
    // who does not trust the authority gets nothing
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    let refused = stranger.get(format!("https://localhost:{}/ok", address.port())).send();
    assert!(refused.await.is_err());
    // a broken file changes nothing
    std::fs::write(files.path("server.pem"), "not a certificate").unwrap();
    tokio::time::sleep(4 * LOOK).await;
    assert_eq!(get(&client, address).await.1, first);
    std::fs::remove_file(files.path("server.key")).unwrap();
    tokio::time::sleep(4 * LOOK).await;
    assert_eq!(get(&client, address).await.1, first);
    let second = files.renew();
    let start = Instant::now();
    while get(&client, address).await.1 != second {
        assert!(start.elapsed() < LONG, "the new certificate is not shown");
        tokio::time::sleep(LOOK).await;
    }
}

/// Not so where there is no TLS: people would not reach the pages again.
#[tokio::test(flavor = "multi_thread")]
async fn with_tls_browsers_stay_with_it() {
    for (url, expected) in [("https://localhost", Some("max-age=2592000")), ("", None)] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = HttpSettings {
            url: url.to_owned(),
            ..HttpSettings::default()
        };
        let ok = warp::path("ok").map(|| "fine".into_response()).boxed();
        tokio::spawn(Server::new(ok, &settings).run(listener));
        // as behind a proxy
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{address}/ok")).send().await.unwrap();
        let header = answer.headers().get("strict-transport-security");
        assert_eq!(header.map(|value| value.to_str().unwrap()), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_tls_is_left_and_a_slow_handshake_ends() {
    let files = Files::new();
    let address = files.serve(SHORT).await;
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain
        .write_all(b"GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let answer = closes(&mut plain).await;
    // an alert of TLS at most
    assert!(!String::from_utf8_lossy(&answer).contains("fine"), "{answer:?}");
    assert!(answer.len() < 20, "{answer:?}");
    let start = Instant::now();
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut begun = TcpStream::connect(address).await.unwrap();
    // the beginning of a hello of 512 bytes
    begun.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252]).await.unwrap();
    for stream in [&mut silent, &mut begun] {
        assert_eq!(closes(stream).await, Vec::<u8>::new());
    }
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    // others are served meanwhile
    assert_eq!(get(&files.client(), address).await.0, "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn unended_handshakes_hold_places_and_give_them_up() {
    let files = Files::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = HttpSettings {
        connections: 3,
        ..HttpSettings::default()
    };
    let ok = warp::path("ok").map(|| "fine".into_response()).boxed();
    let server = Server::new(ok, &settings).with_tls(files.open().await.unwrap());
    tokio::spawn(server.run(listener));
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(address).await.unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // longer than a connection keeps its place in any case
    tokio::time::sleep(SHORT).await;
    assert_eq!(get(&files.client(), address).await.0, "fine");
    // the oldest made room, long before its time was over
    let start = Instant::now();
    assert_eq!(closes(&mut held[0]).await, Vec::<u8>::new());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn wrong_files_are_named() {
    let files = Files::new();
    let write = |name: &str, text: &str| std::fs::write(files.path(name), text).unwrap();
    let another = KeyPair::generate().unwrap().serialize_pem();
    let secret = another.lines().nth(1).unwrap();
    let says = async |what: &str| {
        let error = files.open().await.err().expect(what);
        assert!(error.contains(what), "{error}");
        assert!(!error.contains(&secret[..20]), "{error}");
    };
    let (certificate, key) = ("server.pem", "server.key");
    write(key, &another);
    says("does not belong to the certificate").await;
    write(key, "hello");
    says("server.key (`http.tls_key`) has no private key in PEM").await;
    // one with a passphrase
    write(key, &another.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    says("passphrase").await;
    std::fs::remove_file(files.path(key)).unwrap();
    says("failed to read").await;
    files.renew();
    files.open().await.unwrap();
    write(certificate, "");
    says("server.pem (`http.tls_certificate`) has no certificate in PEM").await;
    write(
        certificate,
        "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n",
    );
    says("has no certificate in PEM").await;
    write(
        certificate,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    says("can't be used").await;
    write(certificate, &"x".repeat((1 << 20) + 1));
    says("more than 1 MiB").await;
    std::fs::remove_file(files.path(certificate)).unwrap();
    says("`http.tls_certificate`").await;
}

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pybots(folder: &Path, ca: Option<&Path>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pybots"));
    command
        .current_dir(folder)
        .env("HOME", folder)
        .args(["--config", "pybots.toml"]);
    for name in ["PYBOTS_TOKEN", "PYBOTS_SERVER", "XDG_CONFIG_HOME", "SSL_CERT_DIR"] {
        command.env_remove(name);
    }
    match ca {
        Some(ca) => command.env("SSL_CERT_FILE", ca),
        None => command.env_remove("SSL_CERT_FILE"),
    };
    command
}

/// The whole program: a coordinator, commands of people, and a host, which trust an authority of their own.
#[test]
fn commands_and_hosts_call_a_coordinator_with_a_private_authority() {
    let files = Files::new();
    let folder = files.folder.path();
    let projects = folder.join("projects");
    std::fs::create_dir(&projects).unwrap();
    toy_repository(folder);
    let http = format!(
        "[http]\ntls_certificate = {:?}\ntls_key = {:?}\n",
        files.path("server.pem"),
        files.path("server.key")
    );
    settings(folder, &projects, &[("trunk", "main", 1)], &http);
    let mut child = pybots(folder, None)
        .arg("serve")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let serving = Serving(child);
    let url = line.trim().trim_end_matches('/').to_owned();
    assert!(url.starts_with("https://127.0.0.1:"), "{line}");
    let token = said
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.starts_with("pybots_"))
        .unwrap();
    std::thread::spawn(move || said.for_each(drop));
    let ca = files.path("ca.pem");
    let login = |ca: Option<&Path>| {
        let mut command = pybots(folder, ca);
        command.args(["login", "--server", &url]).env("PYBOTS_TOKEN", &token);
        command.output().unwrap()
    };
    let distrustful = login(None);
    let error = String::from_utf8_lossy(&distrustful.stderr).into_owned();
    assert!(
        !distrustful.status.success() && error.contains("certificate"),
        "{error}"
    );
    let trusting = login(Some(&ca));
    assert!(
        trusting.status.success(),
        "{}",
        String::from_utf8_lossy(&trusting.stderr)
    );
    let run = |arguments: &[&str]| {
        let output = pybots(folder, Some(&ca)).args(arguments).output().unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        out
    };
    assert!(run(&["account", "list", "--server", &url]).contains("operator"));
    let start = run(&[
        "host",
        "add",
        "h",
        "--owner",
        "o@example.org",
        "--server",
        &url,
        "--url",
        &url,
    ]);
    let token = start.trim().rsplit(' ').next().unwrap();
    let output = pybots(folder, Some(&ca))
        .args(["host", "doctor", "--server", &url, "--json", "--token", token])
        .output()
        .unwrap();
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of_coordinator = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["check"] == "coordinator")
        .unwrap();
    assert_eq!(of_coordinator["state"], "ok", "{of_coordinator}");
    drop(serving);
    // a wrong file keeps it from starting, and says why
    std::fs::write(files.path("server.key"), "hello").unwrap();
    let output = pybots(folder, None).arg("serve").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("`http.tls_key`"), "{error}");
}
