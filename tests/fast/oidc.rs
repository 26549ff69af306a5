//! Logins by an identity provider: a real one, and a small one that lies, is slow, or is not there.

use crate::support::identity_provider::{Canaille, Key, Mood, Provider, SECRET, Signed};
use crate::support::people::person;
use crate::support::sim::Sim;
use pybots::access::{self, AccountChange, Actor};
use pybots::clock::now;
use pybots::config::OidcSettings;
use pybots::domain::access::{NewAccounts, Roles};
use pybots::oidc;
use pybots::server::Server;
use pybots::store::Store;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A coordinator whose people log in by a provider.
struct Site {
    sim: Sim,
    server: String,
    /// The secret of the client at the provider.
    _secret: tempfile::NamedTempFile,
}

/// An address at which nobody listens yet, and the listener for it.
async fn listener() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    (listener, server)
}

impl Site {
    async fn start(issuer: &str, accounts: NewAccounts) -> Self {
        Self::at(listener().await, issuer, accounts).await
    }

    async fn at(listener: (tokio::net::TcpListener, String), issuer: &str, accounts: NewAccounts) -> Self {
        Self::asking(listener, issuer, accounts, |provider| provider).await
    }

    /// `patience` says how long the coordinator waits for the provider.
    async fn asking(
        (listener, server): (tokio::net::TcpListener, String),
        issuer: &str,
        accounts: NewAccounts,
        patience: impl FnOnce(oidc::Provider) -> oidc::Provider,
    ) -> Self {
        let http = pybots::config::HttpSettings {
            url: server.clone(),
            ..Default::default()
        };
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), format!("{SECRET}\n")).unwrap();
        let oidc = OidcSettings {
            issuer: issuer.to_owned(),
            client_id: "pybots".to_owned(),
            client_secret_file: secret.path().to_owned(),
            name: "Example <b>".to_owned(),
            accounts,
        };
        let mut sim = Sim::with(&["other"], 0, |settings| {
            settings.oidc = oidc;
            settings.http = http.clone();
        })
        .await;
        sim.commit("start", "");
        sim.run().await;
        let settings = &sim.coordinator().settings;
        let provider = oidc::Provider::new(&settings.oidc, &settings.http.url).map(patience);
        let routes = pybots::server::routes_with(sim.coordinator().clone(), provider);
        tokio::spawn(Server::new(routes, &http).run(listener));
        Self {
            sim,
            server,
            _secret: secret,
        }
    }

    fn store(&self) -> &Store {
        &self.sim.coordinator().store
    }

    async fn audit(&self, action: &str) -> Vec<Value> {
        let all = self.store().audit(None, None, 100).await.unwrap();
        let all = all.into_iter().filter(|entry| entry.action == action);
        all.map(|entry| {
            json!({ "account": entry.account, "subject": entry.subject, "address": entry.address, "token": entry.token,
                "after": serde_json::from_str::<Value>(&entry.after).unwrap_or_default() })
        })
        .collect()
    }
}

/// A provider, and a coordinator with the account `ann`, whose mail address the provider has verified.
async fn with_ann() -> (Provider, Site, String) {
    let provider = Provider::start().await;
    let site = Site::start(&provider.issuer, NewAccounts::Refuse).await;
    let server = site.server.clone();
    person(&site.sim, &server, "ann", "owner").await;
    (provider, site, server)
}

struct Shown {
    status: u16,
    location: String,
    text: String,
}

/// A browser: it keeps the cookies of each site, and follows nothing by itself.
struct Browser {
    http: reqwest::Client,
    /// By site and name.
    cookies: BTreeMap<(String, String), String>,
}

fn site(address: &str) -> String {
    let url = url::Url::parse(address).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port_or_known_default().unwrap())
}

impl Browser {
    fn new() -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            http,
            cookies: BTreeMap::new(),
        }
    }

    async fn send(&mut self, address: &str, form: Option<&[(&str, &str)]>) -> Shown {
        let mut request = match form {
            None => self.http.get(address),
            Some(fields) => {
                let body = url::form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(fields)
                    .finish();
                let request = self
                    .http
                    .post(address)
                    .header("content-type", "application/x-www-form-urlencoded");
                request.header("referer", address).body(body)
            }
        };
        let site = site(address);
        let own = self.cookies.iter().filter(|((of, _), _)| *of == site);
        let own: Vec<String> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        if !own.is_empty() {
            request = request.header(COOKIE, own.join("; "));
        }
        let answer = request.send().await.unwrap();
        for set in answer.headers().get_all(SET_COOKIE) {
            let set = set.to_str().unwrap();
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            if name.starts_with("pybots") {
                assert!(set.contains("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
            }
            match set.contains("Max-Age=0") {
                true => self.cookies.remove(&(site.clone(), name.to_owned())),
                false => self.cookies.insert((site.clone(), name.to_owned()), value.to_owned()),
            };
        }
        let location = answer.headers().get(LOCATION).map(|to| to.to_str().unwrap());
        Shown {
            status: answer.status().as_u16(),
            location: location.unwrap_or_default().to_owned(),
            text: answer.text().await.unwrap(),
        }
    }

    async fn get(&mut self, address: &str) -> Shown {
        self.send(address, None).await
    }

    /// A cookie of the coordinator.
    fn cookie(&self, server: &str, name: &str) -> Option<&String> {
        self.cookies.get(&(site(server), name.to_owned()))
    }

    /// Begins a login, and returns the address at the provider.
    async fn begins(&mut self, server: &str) -> String {
        let shown = self.get(&format!("{server}/login/oidc?next=%2Faccount")).await;
        assert_eq!(shown.status, 303, "{}", shown.text);
        shown.location
    }

    /// A whole login by the small provider.
    async fn logs_in(&mut self, server: &str, provider: &Provider) -> Shown {
        let address = self.begins(server).await;
        self.get(&provider.logs_in(&address)).await
    }
}

/// What was written to the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Everything from here on, down to traces of this program.
    fn start() -> Self {
        let log = Self::default();
        let own = log.clone();
        tracing_subscriber::fmt()
            .with_env_filter("info,pybots=trace")
            .with_writer(move || own.clone())
            .init();
        log
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_address_is_linked_once_and_logs_in_from_then_on() {
    let log = Log::start();
    let (provider, site, server) = with_ann().await;
    let op = person(&site.sim, &server, "op", "operator").await;
    let mut browser = Browser::new();
    let page = browser.get(&format!("{server}/login?next=%2Fsubmit")).await;
    assert!(page.text.contains("Log in with Example &lt;b&gt;"), "{}", page.text);
    assert!(
        page.text.contains("/login/oidc?next&#x3D;%2Fsubmit") || page.text.contains("/login/oidc?next=%2Fsubmit"),
        "{}",
        page.text
    );
    let address = browser.begins(&server).await;
    assert!(browser.cookie(&server, "pybots_login").is_some());
    let back = provider.logs_in(&address);
    let shown = browser.get(&back).await;
    assert_eq!(
        (shown.status, shown.location.as_str()),
        (303, "/account"),
        "{}",
        shown.text
    );
    let first = browser.cookie(&server, "pybots_session").unwrap().clone();
    assert!(browser.cookie(&server, "pybots_login").is_none());
    let account = browser.get(&format!("{server}/account")).await;
    assert!(
        account.text.contains("<h1>ann</h1>") && !account.text.contains("login by identity"),
        "{}",
        account.text
    );
    // the same answer ends nothing twice, in whatever browser
    let again = browser.get(&back).await;
    assert_eq!(again.status, 400, "{}", again.text);
    // linked once, and a new session each time, while the earlier one ends
    let shown = browser.logs_in(&server, &provider).await;
    assert_eq!(shown.status, 303, "{}", shown.text);
    let second = browser.cookie(&server, "pybots_session").unwrap().clone();
    assert_ne!(first, second);
    assert!(
        access::session(site.store(), &first, "", now())
            .await
            .unwrap()
            .is_none()
    );
    let linked = site.audit("link identity").await;
    assert_eq!(linked.len(), 1, "{linked:?}");
    assert_eq!(
        (
            &linked[0]["account"],
            &linked[0]["subject"],
            &linked[0]["after"]["subject"]
        ),
        (&json!("ann"), &json!("account ann"), &json!("subject-of-ann"))
    );
    assert!(linked[0]["address"] == "127.0.0.1" && linked[0]["token"] != "");
    // the identity counts from now on, whatever the provider says about mail
    provider.set(|state| state.claims = json!({ "email": "bob@example.org", "email_verified": false }));
    assert_eq!(browser.logs_in(&server, &provider).await.status, 303);
    // of logins that are over, nothing stays but the last one
    let tokens: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM access_token WHERE login = 1")
        .fetch_one(site.store().pool())
        .await
        .unwrap();
    assert_eq!(tokens, 2);
    // an operator sees it, and takes it away: the sessions end
    let (_, shown) = op.calls("GET", "accounts/ann", None).await;
    assert_eq!(shown["identities"][0]["subject"], "subject-of-ann", "{shown}");
    assert!(shown["identities"][0]["used_at"].is_i64(), "{shown}");
    let printed = op
        .logs_in()
        .await
        .ok(&["account", "show", "ann", "--server", &server])
        .await;
    assert!(printed.contains("subject-of-ann at http://127.0.0.1"), "{printed}");
    op.ok(&["account", "unlink", "ann", "--server", &server]).await;
    assert_eq!(site.audit("unlink identity").await.len(), 1);
    let account = browser.get(&format!("{server}/account")).await;
    assert_eq!(
        (account.status, account.location.as_str()),
        (303, "/login?next=%2Faccount")
    );
    assert_eq!(op.calls("DELETE", "accounts/ann/identities", None).await.0, 409);
    // a mail address that is not verified links nothing again
    assert_eq!(browser.logs_in(&server, &provider).await.status, 403);
    // nothing secret is in the log
    let text = log.text();
    assert!(text.len() > 20, "{text}");
    for secret in [
        SECRET,
        "the-code-itself",
        "the-access-token",
        &first,
        &second,
        "state=",
        "nonce",
        "eyJ",
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_does_not_hold_lets_nobody_in() {
    let log = Log::start();
    let (provider, _site, server) = with_ann().await;
    let past = now().as_millis() / 1000 - 3600;
    let fails = async |claims: Value, reason: &str| {
        provider.set(|state| state.claims = claims.clone());
        // a browser for each, from which nothing is left
        let mut browser = Browser::new();
        let before = log.text().len();
        let shown = browser.logs_in(&server, &provider).await;
        assert_eq!(shown.status, 403, "{claims}: {}", shown.text);
        assert!(browser.cookie(&server, "pybots_session").is_none(), "{claims}");
        let text = log.text().split_off(before);
        assert!(text.contains(reason), "{claims}: {reason}: {text}");
    };
    fails(json!({ "nonce": "another" }), "its nonce belongs to another login").await;
    fails(json!({ "nonce": null }), "its nonce belongs to another login").await;
    fails(json!({ "aud": "another" }), "it is for another audience").await;
    fails(json!({ "aud": ["pybots", "another"] }), "it is for another audience").await;
    fails(json!({ "iss": "http://127.0.0.1:1" }), "it is of another issuer").await;
    fails(json!({ "exp": past }), "it has expired").await;
    fails(json!({ "sub": "" }), "its subject is none").await;
    fails(
        json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" }),
        "it belongs to another access token",
    )
    .await;
    // a key with the name of the right one
    provider.set(|state| state.signs = Key::new("first"));
    fails(json!({}), "its signature is wrong").await;
    // a key that the provider does not publish is not asked for again at once
    provider.set(|state| state.signs = Key::new("second"));
    let asked = provider.asked();
    fails(json!({}), "the provider publishes no key for it").await;
    assert_eq!(provider.asked(), asked);
    // what is not signed by a key of the provider at all
    for (how, reason) in [
        (Signed::Not, "it has no signature that can be checked"),
        (Signed::BySecret, "its algorithm is not allowed"),
    ] {
        provider.set(|state| state.how = how);
        fails(json!({}), reason).await;
    }
    for secret in [SECRET, "the-code-itself", "the-access-token", "eyJ"] {
        assert!(!log.text().contains(secret), "{secret}: {}", log.text());
    }
}

/// A new key is asked for when a token names it, also if it has the name of the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_may_change_its_keys() {
    let provider = Provider::start().await;
    let at_once = |provider: oidc::Provider| provider.asking_for_keys_every(Duration::ZERO);
    let site = Site::asking(listener().await, &provider.issuer, NewAccounts::Refuse, at_once).await;
    let server = site.server.clone();
    person(&site.sim, &server, "ann", "owner").await;
    let login = async || Browser::new().logs_in(&server, &provider).await.status;
    assert_eq!(login().await, 303);
    for id in ["second", "second"] {
        let asked = provider.asked();
        provider.set(|state| state.signs_by_and_publishes(Key::new(id)));
        assert_eq!(login().await, 303);
        assert_eq!(provider.asked(), asked + 1);
        assert_eq!(login().await, 303);
        assert_eq!(provider.asked(), asked + 1);
    }
}

/// A provider may keep mail addresses for those who ask with the access token.
#[tokio::test(flavor = "multi_thread")]
async fn mail_that_is_not_in_the_token_is_asked_for() {
    let (provider, _site, server) = with_ann().await;
    let login = async |info: Value| {
        provider.set(|state| {
            state.claims = json!({ "email": null, "email_verified": null });
            state.info = Some(info);
        });
        Browser::new().logs_in(&server, &provider).await.status
    };
    let mail = json!({ "sub": "subject-of-ann", "email": "ann@example.org", "email_verified": false });
    assert_eq!(login(mail.clone()).await, 403);
    // about another person
    let mut other = mail.clone();
    other["sub"] = json!("another");
    other["email_verified"] = json!(true);
    assert_eq!(login(other).await, 503);
    let mut verified = mail;
    verified["email_verified"] = json!(true);
    assert_eq!(login(verified).await, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_sent_as_the_provider_wants_it() {
    let provider = Provider::start().await;
    provider.set(|state| state.takes_forms = true);
    let site = Site::start(&provider.issuer, NewAccounts::Refuse).await;
    person(&site.sim, &site.server, "ann", "owner").await;
    assert_eq!(Browser::new().logs_in(&site.server, &provider).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_site_and_no_other_browser_ends_a_login() {
    let log = Log::start();
    let (provider, _site, server) = with_ann().await;
    let mut browser = Browser::new();
    let address = browser.begins(&server).await;
    let back = provider.logs_in(&address);
    let callback = back.split('?').next().unwrap();
    let mut other = Browser::new();
    let shown = other.get(&back).await;
    assert!(
        shown.status == 400 && shown.text.contains("begin again"),
        "{}",
        shown.text
    );
    for query in ["code=the-code-itself&state=wrong", "code=the-code-itself"] {
        let shown = browser.get(&format!("{callback}?{query}")).await;
        assert!(
            shown.status == 400 && shown.text.contains("begin again"),
            "{}",
            shown.text
        );
    }
    // the provider refuses, in words of its own
    let state = back.split("state=").nth(1).unwrap();
    let shown = browser
        .get(&format!(
            "{callback}?error=access_denied%3Cscript%3E&error_description=x&state={state}"
        ))
        .await;
    assert!(
        shown.status == 403 && shown.text.contains("refused the login: access_denied"),
        "{}",
        shown.text
    );
    assert!(!shown.text.contains("<script>"));
    // an answer of another provider
    let address = browser.begins(&server).await;
    let shown = browser
        .get(&format!(
            "{}&iss=http%3A%2F%2F127.0.0.1%3A1",
            provider.logs_in(&address)
        ))
        .await;
    assert_eq!(shown.status, 400);
    // another site begins no login: people press the button themselves
    let asked = browser.http.get(format!("{server}/login/oidc?next=%2Fsubmit"));
    let answer = asked.header("sec-fetch-site", "cross-site").send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()[LOCATION].to_str().unwrap()),
        (303, "/login?next=%2Fsubmit")
    );
    assert!(answer.headers().get(SET_COOKIE).is_none());
    // a page to go to is one of ours
    let shown = browser
        .get(&format!("{server}/login/oidc?next=https%3A%2F%2Fevil.example%2F"))
        .await;
    let shown = browser.get(&provider.logs_in(&shown.location)).await;
    assert_eq!((shown.status, shown.location.as_str()), (303, "/"), "{}", shown.text);
    for secret in [SECRET, "the-code-itself", "the-access-token", "eyJ"] {
        assert!(!log.text().contains(secret), "{secret}: {}", log.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_account_of_its_own_gets_a_reason() {
    let provider = Provider::start().await;
    let site = Site::start(&provider.issuer, NewAccounts::Refuse).await;
    let server = site.server.clone();
    let refused = async |claims: Value, words: &str| {
        provider.set(|state| state.claims = claims.clone());
        let shown = Browser::new().logs_in(&server, &provider).await;
        assert!(
            shown.status == 403 && shown.text.contains(words),
            "{claims}: {}",
            shown.text
        );
    };
    person(&site.sim, &server, "op", "operator").await;
    // nobody has the address
    refused(json!({}), "is no account for you here").await;
    person(&site.sim, &server, "ann", "owner").await;
    refused(json!({ "email_verified": false }), "is no account for you here").await;
    refused(json!({ "email_verified": null }), "is no account for you here").await;
    refused(json!({ "email": null }), "is no account for you here").await;
    // two have it
    let operator = Actor::local("test");
    let (store, second) = (site.store(), "Ann@example.org");
    let mut tx = store.begin().await.unwrap();
    let added = store
        .insert_account(&mut tx, "ann-2", second, &Roles::default(), now())
        .await
        .unwrap();
    assert!(added.is_some());
    tx.commit().await.unwrap();
    refused(json!({}), "is no account for you here").await;
    let change = AccountChange {
        mail: Some(String::new()),
        ..AccountChange::default()
    };
    access::change(site.store(), &operator, "ann-2", change, now())
        .await
        .unwrap();
    provider.set(|state| state.claims = json!({ "email": "ANN@example.org" }));
    assert_eq!(Browser::new().logs_in(&server, &provider).await.status, 303);
    // the address has got another owner
    refused(json!({ "sub": "another" }), "belongs to another identity").await;
    // a disabled account, by its identity and by its address
    let change = AccountChange {
        disabled: Some(true),
        ..AccountChange::default()
    };
    access::change(site.store(), &operator, "ann", change, now())
        .await
        .unwrap();
    refused(json!({}), "account ann is disabled").await;
    assert_eq!(site.audit("link identity").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_accounts_without_a_role_and_not_too_many() {
    let provider = Provider::start().await;
    let site = Site::start(&provider.issuer, NewAccounts::Create).await;
    let server = site.server.clone();
    let op = person(&site.sim, &server, "op", "operator").await;
    let login = async |subject: &str, name: &str, mail: &str| {
        let claims =
            json!({ "sub": subject, "preferred_username": name, "email": mail, "email_verified": !mail.is_empty() });
        provider.set(|state| state.claims = claims);
        Browser::new().logs_in(&server, &provider).await
    };
    for (subject, name, mail) in [
        ("1", "Cleo", "cleo@example.org"),
        ("2", "cleo", ""),
        ("3", "operator", "x@example.org"),
    ] {
        let shown = login(subject, name, mail).await;
        assert_eq!(shown.status, 303, "{}", shown.text);
    }
    let (_, all) = op.calls("GET", "accounts", None).await;
    let all: Vec<_> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| {
            assert!(account["name"] == "op" || account["roles"] == json!([]), "{account}");
            (account["name"].as_str().unwrap(), account["mail"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        all,
        [
            ("cleo", "cleo@example.org"),
            ("cleo-2", ""),
            ("op", "op@example.org"),
            ("operator-2", "x@example.org")
        ]
    );
    let added = site.audit("add account").await;
    assert_eq!(
        added
            .iter()
            .filter(|entry| entry["account"] == "policy" && entry["address"] == "127.0.0.1")
            .count(),
        3
    );
    // until an hour has enough of them; who has one logs in
    let enters = async |subject: &str, at| {
        let person = access::VouchedPerson {
            issuer: &provider.issuer,
            subject,
            mail: None,
            name: "",
        };
        access::begin_by_identity(site.store(), &person, NewAccounts::Create, "192.0.2.1", at).await
    };
    let more: Vec<String> = (0..17).map(|number| format!("n{number}")).collect();
    for subject in &more {
        enters(subject, now()).await.unwrap();
    }
    let error = enters("late", now()).await.err().unwrap();
    assert!(error.to_string().contains("within the last hour"), "{error}");
    enters("n0", now()).await.unwrap();
    enters("late", now() + Duration::from_secs(3700)).await.unwrap();
    // and one address begins few logins
    let mut browser = Browser::new();
    let mut begun = 0;
    while browser.get(&format!("{server}/login/oidc")).await.status != 429 {
        begun += 1;
        assert!(begun < 100, "no login is refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_work_gives_a_page_soon() {
    let provider = Provider::start().await;
    for (mood, words) in [
        (Mood::Fails, "does not answer"),
        (Mood::Garbage, "does not work"),
        (Mood::Huge, "does not work"),
        (Mood::Redirects, "does not work"),
        (Mood::AnotherIssuer, "does not work"),
        (Mood::Slow, "does not answer"),
    ] {
        provider.set(|state| state.mood = mood);
        let patience = |provider: oidc::Provider| provider.with_timeout(Duration::from_secs(2));
        let site = Site::asking(listener().await, &provider.issuer, NewAccounts::Refuse, patience).await;
        let start = Instant::now();
        let shown = Browser::new().get(&format!("{}/login/oidc", site.server)).await;
        assert!(
            shown.status == 503 && shown.text.contains(words),
            "{mood:?}: {} {}",
            shown.status,
            shown.text
        );
        assert!(start.elapsed() < Duration::from_secs(30), "{mood:?}");
        // the next one does not wait for it
        let asked = provider.asked();
        assert_eq!(
            Browser::new().get(&format!("{}/login/oidc", site.server)).await.status,
            503
        );
        assert_eq!(provider.asked(), asked);
    }
    // nobody is there
    let site = Site::start("http://127.0.0.1:9", NewAccounts::Refuse).await;
    let shown = Browser::new().get(&format!("{}/login/oidc", site.server)).await;
    assert!(
        shown.status == 503 && shown.text.contains("does not answer"),
        "{}",
        shown.text
    );
    // without a provider in the settings, there is nothing to log in by
    let mut sim = Sim::new(&["other"], 0).await;
    sim.run().await;
    let server = sim.serve().await;
    for path in ["/login/oidc", "/login/oidc/callback?code=a&state=b"] {
        assert_eq!(Browser::new().get(&format!("{server}{path}")).await.status, 404);
    }
    assert!(
        !Browser::new()
            .get(&format!("{server}/login"))
            .await
            .text
            .contains("oidc")
    );
}

/// Fills the form of a page of Canaille, with what it hides in it.
async fn fill(browser: &mut Browser, address: &str, page: &str, fields: &[(&str, &str)]) -> Shown {
    let (_, rest) = page.split_once("name=\"csrf_token\" value=\"").expect("a form");
    let token = rest.split('"').next().unwrap().to_owned();
    let mut all = vec![("csrf_token", token.as_str())];
    all.extend(fields);
    browser.send(address, Some(&all)).await
}

/// Logs in through the forms of Canaille, from the coordinator and back to it.
async fn through_canaille(browser: &mut Browser, server: &str, issuer: &str, name: &str) -> Shown {
    let mut address = browser.begins(server).await;
    let password = format!("the password of {name}");
    for _ in 0..12 {
        let mut shown = browser.get(&address).await;
        if shown.status == 200 && shown.text.contains("name=\"login\"") {
            shown = fill(browser, &address, &shown.text, &[("login", name), ("answer", "")]).await;
        } else if shown.status == 200 && shown.text.contains("name=\"password\"") {
            shown = fill(browser, &address, &shown.text, &[("password", &password)]).await;
        }
        assert!(
            [302, 303].contains(&shown.status),
            "{address}: {} {}",
            shown.status,
            shown.text
        );
        address = match shown.location.starts_with('/') {
            true => format!("{issuer}{}", shown.location),
            false => shown.location,
        };
        if address.starts_with(server) {
            return browser.get(&address).await;
        }
    }
    panic!("{address}: the login does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_provider_logs_people_in() {
    let (listener, server) = listener().await;
    let Some(canaille) = Canaille::start(&format!("{server}/login/oidc/callback")) else {
        return;
    };
    let site = Site::at((listener, server.clone()), &canaille.issuer, NewAccounts::Refuse).await;
    person(&site.sim, &server, "ann", "owner").await;
    person(&site.sim, &server, "bob", "owner").await;
    let mut browser = Browser::new();
    let shown = through_canaille(&mut browser, &server, &canaille.issuer, "ann").await;
    assert_eq!(
        (shown.status, shown.location.as_str()),
        (303, "/account"),
        "{}",
        shown.text
    );
    let account = browser.get(&format!("{server}/account")).await;
    assert!(account.text.contains("<h1>ann</h1>"), "{}", account.text);
    let linked = site.audit("link identity").await;
    assert_eq!(
        (linked.len(), &linked[0]["after"]["subject"]),
        (1, &json!("ann")),
        "{linked:?}"
    );
    // its address is not verified
    let shown = through_canaille(&mut Browser::new(), &server, &canaille.issuer, "bob").await;
    assert!(
        shown.status == 403 && shown.text.contains("no account for you"),
        "{}",
        shown.text
    );
}
