//! A real browser: Debian's chromium, driven by chromedriver.

use super::sim::front_door::until;
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The program of axe-core that `scripts/setup` installs.
pub fn axe() -> Option<String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    let scripts = std::fs::read_dir(target.join("axe")).into_iter().flatten();
    let path = scripts
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "js"));
    if path.is_none() {
        println!("SKIPPED: accessible pages, for axe-core is not installed (scripts/setup installs it)");
    }
    std::fs::read_to_string(path?).ok()
}

/// A browser without a window, and the program that drives it.
pub struct Browser {
    pub client: Client,
    driver: Child,
    server: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// `None` if this machine has none.
    pub async fn start(server: &str) -> Option<Self> {
        Self::start_with(server, &[]).await
    }

    /// As [`Browser::start`], with more arguments of the command line.
    pub async fn start_with(server: &str, more: &[&str]) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let started = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(driver) = started else {
            println!("SKIPPED: pages in a real browser, for chromedriver is not installed (scripts/setup installs it)");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-proxy-server".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        arguments.extend(more.iter().map(ToString::to_string));
        let options = json!({ "goog:chromeOptions": { "args": arguments } });
        let address = format!("http://127.0.0.1:{port}");
        let mut client = None;
        until("the browser", async || {
            let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
            client = builder
                .capabilities(options.as_object().unwrap().clone())
                .connect(&address)
                .await
                .ok();
            client.is_some()
        })
        .await;
        Some(Self {
            client: client.unwrap(),
            driver,
            server: server.to_owned(),
            _profile: profile,
        })
    }

    pub async fn open(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.server)).await.unwrap();
    }

    pub async fn find(&self, css: &str) -> Element {
        // a machine that does much else draws pages slowly
        let wait = self.client.wait().at_most(Duration::from_secs(120));
        wait.for_element(Locator::Css(css)).await.unwrap()
    }

    pub async fn logs_in(&self, token: &str) {
        self.open("/login?next=%2Fsubmit").await;
        self.find("#token").await.send_keys(token).await.unwrap();
        self.find("main form button").await.click().await.unwrap();
        self.find("#recipe").await;
    }

    /// The text of the page. The page replaces itself while it is read; then the element that was found is gone.
    pub async fn text(&self) -> String {
        loop {
            match self.find("main").await.text().await {
                Ok(text) => return text,
                Err(error) if error.is_stale_element_reference() => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub async fn path(&self) -> String {
        self.client.current_url().await.unwrap().path().to_owned()
    }

    /// What axe-core finds on the page that is open, as `rule: element`.
    pub async fn violations(&self, axe: &str) -> Vec<String> {
        self.client.execute(axe, Vec::new()).await.unwrap();
        let script = "const [done] = arguments; axe.run().then(found => done(found.violations.flatMap(
            rule => rule.nodes.map(node => rule.id + ': ' + node.html.slice(0, 200) + ' ' + node.failureSummary))));";
        let found: Value = self.client.execute_async(script, Vec::new()).await.unwrap();
        serde_json::from_value(found).unwrap()
    }

    /// Keeps a picture of the page that is open, if `PYBOTS_TEST_PICTURES` names a folder for pictures.
    pub async fn keep_picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("PYBOTS_TEST_PICTURES") else {
            return;
        };
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.client.screenshot().await.unwrap();
        std::fs::write(PathBuf::from(folder).join(name), picture).unwrap();
    }

    pub async fn end(self) {
        self.client.clone().close().await.unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
