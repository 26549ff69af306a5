//! The form in a real browser: an owner submits a recipe, a maintainer approves it, and the results appear. With simulated hosts.

use crate::support::people::{person, recipe};
use crate::support::sim::Sim;
use crate::support::sim::front_door::until;
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::json;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A browser without a window, and the program that drives it.
struct Browser {
    client: Client,
    driver: Child,
    server: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// `None` if this machine has none.
    async fn start(server: &str) -> Option<Self> {
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
            println!(
                "SKIPPED: the form in a real browser, for chromedriver is not installed (scripts/setup installs it)"
            );
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-proxy-server".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
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

    async fn open(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.server)).await.unwrap();
    }

    async fn find(&self, css: &str) -> Element {
        // a machine that does much else draws pages slowly
        let wait = self.client.wait().at_most(Duration::from_secs(120));
        wait.for_element(Locator::Css(css)).await.unwrap()
    }

    async fn logs_in(&self, token: &str) {
        self.open("/login?next=%2Fsubmit").await;
        self.find("#token").await.send_keys(token).await.unwrap();
        self.find("main form button").await.click().await.unwrap();
        self.find("#recipe").await;
    }

    /// The text of the page. The page replaces itself while it is read; then the element that was found is gone.
    async fn text(&self) -> String {
        loop {
            match self.find("main").await.text().await {
                Ok(text) => return text,
                Err(error) if error.is_stale_element_reference() => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn path(&self) -> String {
        self.client.current_url().await.unwrap().path().to_owned()
    }

    async fn end(self) {
        self.client.clone().close().await.unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_goes_through_the_form_to_its_results() {
    let mut sim = Sim::new(&["other"], 1).await;
    sim.commit("start", "");
    sim.run().await;
    sim.decided(1).await;
    let server = sim.serve().await;
    let Some(browser) = Browser::start(&server).await else {
        return;
    };
    let ann = person(&sim, &server, "ann", "owner").await;
    let max = person(&sim, &server, "max", "maintainer").await;
    browser.logs_in(&ann.token).await;
    // a mistake comes back with its place, and the text with it
    let field = browser.find("#recipe").await;
    field.send_keys("name = \"alpha\"\nnosuch = 1\n").await.unwrap();
    browser.find("main form button").await.click().await.unwrap();
    browser.find(".notice li").await;
    assert!(browser.text().await.contains("Line 2, column 1: unknown key `nosuch`"));
    let field = browser.find("#recipe").await;
    assert!(field.prop("value").await.unwrap().unwrap().contains("nosuch"));
    field.clear().await.unwrap();
    field.send_keys(&recipe("alpha", "")).await.unwrap();
    browser.find("main form button").await.click().await.unwrap();
    browser.find("#state").await;
    assert_eq!(browser.path().await, "/recipe/alpha/1");
    // the page itself notices that the trial has ended
    until("the end of the trial", async || {
        browser.text().await.contains("It ended: passed")
    })
    .await;
    browser.open("/account").await;
    browser
        .find("form[action=\"/logout\"] button")
        .await
        .click()
        .await
        .unwrap();
    // the next address must not overtake the form
    until("the logout", async || browser.path().await == "/").await;
    browser.logs_in(&max.token).await;
    browser.open("/recipe/alpha/1").await;
    browser.find("#reason").await.send_keys("welcome").await.unwrap();
    browser.find("button[value=approve]").await.click().await.unwrap();
    until("the approval", async || {
        browser.text().await.contains("approved, and in force")
    })
    .await;
    until("the first result", async || {
        browser.open("/project/alpha").await;
        let text = browser.text().await;
        text.contains("Newest results") && text.contains('✓')
    })
    .await;
    browser.end().await;
}
