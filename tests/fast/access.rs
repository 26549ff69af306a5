//! Who may do what: every call of the API with every role, tokens, sessions, forms, and what is public.

use crate::support::people::{Person, person, recipe};
use crate::support::sim::Sim;
use crate::support::sim::front_door::{state, until};
use pybots::access::{self, Actor, TokenRequest};
use pybots::api::v1::document;
use pybots::clock::now;
use pybots::config::Settings;
use pybots::domain::access::{Names, Permission};
use pybots::domain::host::HostState;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The roles of the table, in its order. Nobody is not logged in; a reader is, without a role.
const ROLES: [&str; 6] = ["nobody", "reader", "owner", "host-owner", "maintainer", "operator"];

/// One call, and the status that each role gets. `ann` owns the project `alpha` and the host `h`, and is none of the callers.
struct Row {
    method: &'static str,
    path: &'static str,
    /// The path with names filled in.
    call: &'static str,
    body: Value,
    expected: [u16; 6],
}

fn row(method: &'static str, path: &'static str, call: &'static str, body: Value, expected: [u16; 6]) -> Row {
    Row {
        method,
        path,
        call,
        body,
        expected,
    }
}

/// Everybody reads; nothing is changed by a call of this table that another one needs.
#[rustfmt::skip]
fn table() -> Vec<Row> {
    let none = Value::Null;
    let everybody = [200; 6];
    let logged_in = [401, 200, 200, 200, 200, 200];
    vec![
        row("get", "/api/v1/openapi.json", "openapi.json", none.clone(), everybody),
        row("get", "/api/v1/results", "results", none.clone(), everybody),
        row("get", "/api/v1/incidents", "incidents", none.clone(), everybody),
        row("get", "/api/v1/incidents/{number}", "incidents/7", none.clone(), [404; 6]),
        row("get", "/api/v1/compare/{base}/{now}", "compare/a/b", none.clone(), [404; 6]),
        row("get", "/api/v1/queue", "queue", none.clone(), everybody),
        row("get", "/api/v1/projects/{project}/tests", "projects/alpha/tests?branch=nosuch", none.clone(), [404; 6]),
        row("get", "/api/v1/logs/{id}", "logs/x", none.clone(), [404; 6]),
        row("get", "/api/v1/events", "events?after=x", none.clone(), [400; 6]),
        row("get", "/api/v1/hosts", "hosts", none.clone(), everybody),
        row("get", "/api/v1/recipes", "recipes", none.clone(), everybody),
        row("get", "/api/v1/projects", "projects", none.clone(), everybody),
        row("get", "/api/v1/projects/{project}", "projects/alpha", none.clone(), everybody),
        row("get", "/api/v1/projects/{project}/versions", "projects/alpha/versions", none.clone(), everybody),
        row("get", "/api/v1/projects/{project}/versions/{number}", "projects/alpha/versions/1", none.clone(), everybody),
        row("get", "/api/v1/projects/{project}/versions/{number}/diff", "projects/alpha/versions/1/diff", none.clone(), everybody),
        row("get", "/api/v1/me", "me", none.clone(), logged_in),
        row("get", "/api/v1/tokens", "tokens", none.clone(), logged_in),
        row("post", "/api/v1/tokens", "tokens", json!({ "name": "x" }), [401, 201, 201, 201, 201, 201]),
        // of other people's tokens nobody learns anything
        row("delete", "/api/v1/tokens/{id}", "tokens/x", none.clone(), [401, 404, 404, 404, 404, 404]),
        row("get", "/api/v1/audit", "audit", none.clone(), [401, 403, 403, 403, 200, 200]),
        row("get", "/api/v1/accounts", "accounts", none.clone(), [401, 403, 403, 403, 403, 200]),
        row("post", "/api/v1/accounts", "accounts", json!({ "name": "new" }), [401, 403, 403, 403, 403, 201]),
        row("get", "/api/v1/accounts/{name}", "accounts/ann", none.clone(), [401, 403, 403, 403, 403, 200]),
        row("delete", "/api/v1/accounts/{name}/identities", "accounts/ann/identities", none.clone(), [401, 403, 403, 403, 403, 409]),
        row("patch", "/api/v1/accounts/{name}", "accounts/ann", json!({ "mail": "ann@example.org" }), [401, 403, 403, 403, 403, 200]),
        row("post", "/api/v1/recipes", "recipes", json!({ "text": "" }), [401, 403, 422, 403, 422, 422]),
        row("post", "/api/v1/projects/{project}/versions/{number}/decision", "projects/alpha/versions/9/decision",
            json!({ "decision": "approve" }), [401, 403, 403, 403, 404, 404]),
        row("post", "/api/v1/projects/{project}/state", "projects/alpha/state", json!({ "action": "pause" }), [401, 403, 403, 403, 409, 409]),
        row("post", "/api/v1/projects/{project}/owner", "projects/alpha/owner", json!({ "to": "x" }), [401, 403, 403, 403, 404, 404]),
        row("post", "/api/v1/projects/{project}/hand-over", "projects/alpha/hand-over", json!({ "action": "withdraw" }), [401, 403, 403, 403, 409, 409]),
        row("post", "/api/v1/incidents/{number}/decision", "incidents/7/decision", json!({ "decision": "close", "why": "x" }), [401, 403, 403, 403, 404, 404]),
        row("post", "/api/v1/jobs/{id}/{action}", "jobs/x/cancel", none.clone(), [401, 403, 403, 403, 404, 404]),
        row("post", "/api/v1/hosts", "hosts", json!({ "name": "h", "owner": "x@example.org" }), [401, 403, 403, 409, 403, 409]),
        row("post", "/api/v1/hosts/{name}/{action}", "hosts/h/drain", none, [401, 403, 403, 403, 403, 200]),
    ]
}

async fn coordinator() -> (Sim, String) {
    coordinator_with(|_| {}).await
}

async fn coordinator_with(change: impl FnOnce(&mut Settings)) -> (Sim, String) {
    let mut sim = Sim::with(&["other"], 1, change).await;
    sim.commit("start", "");
    sim.run().await;
    sim.decided(1).await;
    let server = sim.serve().await;
    (sim, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_gives_every_role_what_the_table_says() {
    let (sim, server) = coordinator().await;
    let ann = person(&sim, &server, "ann", "owner host-owner").await;
    assert_eq!(
        ann.calls("POST", "recipes", Some(json!({ "text": recipe("alpha", "") })))
            .await
            .0,
        201
    );
    assert_eq!(ann.calls("POST", "hosts", Some(json!({ "name": "h" }))).await.0, 201);
    let mut people = Vec::new();
    for role in ROLES {
        let roles = if ["nobody", "reader"].contains(&role) { "" } else { role };
        let mut one = person(&sim, &server, &format!("a-{role}"), roles).await;
        if role == "nobody" {
            one.token.clear();
        }
        people.push(one);
    }
    let table = table();
    let mut wrong = Vec::new();
    for row in &table {
        for (person, (role, expected)) in people.iter().zip(ROLES.iter().zip(row.expected)) {
            let body = (!row.body.is_null()).then(|| row.body.clone());
            let (status, answer) = person.calls(&row.method.to_uppercase(), row.call, body).await;
            if status != expected {
                wrong.push(format!(
                    "{} {} as {role}: {status}, not {expected}: {answer}",
                    row.method, row.call
                ));
            }
            if status >= 400 {
                assert_eq!(answer["status"], status, "{} {}: {answer}", row.method, row.call);
                assert!(!answer["detail"].as_str().unwrap().is_empty(), "{answer}");
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    // a call without a row fails
    let document = serde_json::to_value(document()).unwrap();
    let mut of_document = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = ["get", "post", "patch", "delete", "put"];
        of_document.extend(
            methods
                .iter()
                .filter(|method| item.get(**method).is_some())
                .map(|method| format!("{method} {path}")),
        );
    }
    let of_table: BTreeSet<String> = table.iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    assert_eq!(of_table, of_document);
    // as do calls that are served and not documented
    let served = crate::docs::served("src/api/v1/mod.rs", "/api/v1");
    let reading = crate::docs::served("src/api/public.rs", "/api/v1");
    let pattern = |path: &str| {
        let parts = path
            .split('/')
            .map(|part| if part.starts_with('{') { "*" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    let documented: BTreeSet<String> = table.iter().map(|row| pattern(row.path)).collect();
    assert_eq!(served.union(&reading).cloned().collect::<BTreeSet<_>>(), documented);
    // people read the same document as a page
    let answer = reqwest::get(format!("{server}/api")).await.unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["content-type"].to_str().unwrap()
        ),
        (200, "text/html; charset=utf-8")
    );
    let page = answer.text().await.unwrap();
    for row in &table {
        assert!(
            page.contains(&format!("<b>{}</b> {}</code>", row.method.to_uppercase(), row.path)),
            "{}",
            row.path
        );
    }
    // another method than a path has
    let client = reqwest::Client::new();
    let answer = client.put(format!("{server}/api/v1/accounts")).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["allow"].to_str().unwrap()),
        (405, "GET, HEAD, POST")
    );
    for (method, path, expected) in [
        ("POST", "incidents", 405),
        ("TRACE", "results", 405),
        ("HEAD", "hosts", 200),
        ("GET", "projects?after=%00", 400),
    ] {
        let request = client.request(method.parse().unwrap(), format!("{server}/api/v1/{path}"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), expected, "{method} {path}");
        if expected == 400 {
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
    }
    assert_eq!(
        client
            .get(format!("{server}/api/v1/nosuch"))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
}

/// The permission that a call's security in the document names. `None` for a call that everybody makes; `Some(None)` for one that
/// every account makes.
fn documented_permission(document: &Value, row: &Row) -> Option<Option<Permission>> {
    let security = document["paths"][row.path][row.method].get("security")?;
    let scopes = security[0]["token"].as_array().unwrap();
    assert!(scopes.len() <= 1, "{} {}: {scopes:?}", row.method, row.path);
    Some(scopes.first().map(|name| name.as_str().unwrap().parse().unwrap()))
}

/// The page `/api` says who may make a call, by the document. Tokens of an operator with one permission, or without one, show what is
/// enforced.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_names_the_permission_that_each_call_needs() {
    let (sim, server) = coordinator().await;
    let store = &sim.coordinator().store;
    let nobody = Person {
        token: String::new(),
        ..person(&sim, &server, "nobody", "").await
    };
    let reader = person(&sim, &server, "reader", "").await;
    person(&sim, &server, "op", "operator").await;
    let operator = async |name: String, permissions: BTreeSet<Permission>| {
        let request = TokenRequest {
            account: "op".to_owned(),
            name,
            permissions: Some(Names(permissions)),
            days: 1,
        };
        let (_, secret) = access::issue(store, &Actor::local("test"), &request, now())
            .await
            .unwrap();
        Person {
            token: secret.secret().to_owned(),
            home: tempfile::tempdir().unwrap(),
            server: server.clone(),
        }
    };
    let all: BTreeSet<Permission> = Permission::ALL.iter().copied().collect();
    let mut only = Vec::new();
    for permission in &all {
        let without = all.iter().copied().filter(|one| one != permission).collect();
        let with = operator(format!("only {permission}"), BTreeSet::from([*permission])).await;
        only.push((*permission, with, operator(format!("no {permission}"), without).await));
    }
    let document = serde_json::to_value(document()).unwrap();
    let page = reqwest::get(format!("{server}/api"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let is_refused = async |person: &Person, row: &Row| {
        let body = (!row.body.is_null()).then(|| row.body.clone());
        let (status, _) = person.calls(&row.method.to_uppercase(), row.call, body).await;
        [401, 403].contains(&status)
    };
    for row in &table() {
        let place = format!("{} {}", row.method, row.path);
        let permission = documented_permission(&document, row);
        assert_eq!(
            is_refused(&nobody, row).await,
            permission.is_some(),
            "{place} by nobody"
        );
        let needs_more = permission.flatten().is_some();
        assert_eq!(is_refused(&reader, row).await, needs_more, "{place} without a role");
        let who = match permission {
            None => "everybody".to_owned(),
            Some(None) => "every account".to_owned(),
            Some(Some(needed)) => {
                let (_, with, without) = only.iter().find(|(one, ..)| *one == needed).unwrap();
                assert!(!is_refused(with, row).await, "{place} with nothing but {needed}");
                assert!(is_refused(without, row).await, "{place} with everything but {needed}");
                format!("accounts with the permission {needed}<")
            }
        };
        let heading = format!("<b>{}</b> {}</code>", row.method.to_uppercase(), row.path);
        let (_, rest) = page.split_once(&heading).unwrap();
        let (_, caller) = rest.split_once("<b>Who:</b> ").unwrap();
        assert!(caller.starts_with(&who), "{place}: {:?}", &caller[..60]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_never_gives_more_than_it_has() {
    let (sim, server) = coordinator().await;
    let max = person(&sim, &server, "max", "maintainer").await;
    let op = person(&sim, &server, "op", "operator").await;
    let issue = async |person: &Person, body: Value| person.calls("POST", "tokens", Some(body)).await;
    // one permission of several
    let (status, narrow) = issue(&max, json!({ "name": "bot", "permissions": ["jobs"], "days": 1 })).await;
    assert_eq!(status, 201, "{narrow}");
    let bot = Person {
        token: narrow["secret"].as_str().unwrap().to_owned(),
        home: tempfile::tempdir().unwrap(),
        server: server.clone(),
    };
    assert_eq!(bot.calls("GET", "me", None).await.1["permissions"], json!(["jobs"]));
    assert_eq!(bot.calls("POST", "jobs/x/rerun", None).await.0, 404);
    assert_eq!(bot.calls("GET", "audit", None).await.0, 403);
    // it neither outlives itself nor ends others
    for body in [
        json!({ "name": "same" }),
        json!({ "name": "more", "permissions": ["audit"] }),
    ] {
        let (status, problem) = issue(&bot, body).await;
        assert!(
            status == 403 && problem["detail"].as_str().unwrap().contains("issues and revokes"),
            "{problem}"
        );
    }
    let (_, own) = max.calls("GET", "tokens", None).await;
    let whole = own["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["name"] == "test")
        .unwrap();
    let path = format!("tokens/{}", whole["id"].as_str().unwrap());
    assert_eq!(bot.calls("DELETE", &path, None).await.0, 403);
    // bounds, and names that nobody knows
    for body in [
        json!({ "name": "" }),
        json!({ "name": "x", "days": 0 }),
        json!({ "name": "x", "days": 367 }),
        json!({ "name": "x", "permissions": ["everything"] }),
        json!({ "name": "x", "nosuch": 1 }),
        json!({ "name": "a\nb" }),
        json!({ "name": "a\u{202e}b" }),
        json!({ "name": "\u{200b}" }),
    ] {
        assert!(matches!(issue(&max, body.clone()).await.0, 400 | 422), "{body}");
    }
    assert_eq!(issue(&max, json!({ "name": "x", "account": "op" })).await.0, 403);
    // the secret is nowhere in the database, and its last use is shown
    let (_, tokens) = max.calls("GET", "tokens", None).await;
    let listed = tokens["items"].as_array().unwrap();
    assert!(listed.iter().all(|token| token.get("secret").is_none()), "{tokens}");
    assert!(
        listed
            .iter()
            .any(|token| token["id"] == narrow["id"] && token["used_at"].is_i64()),
        "{tokens}"
    );
    let sql = "SELECT COUNT(*) FROM access_token WHERE digest = $1 OR id = $1 OR name = $1";
    let found: i64 = sqlx::query_scalar(sql)
        .bind(bot.token.clone())
        .fetch_one(sim.coordinator().store.pool())
        .await
        .unwrap();
    assert_eq!(found, 0);
    // revoked, and of a disabled account
    let id = narrow["id"].as_str().unwrap();
    assert_eq!(max.calls("DELETE", &format!("tokens/{id}"), None).await.0, 204);
    assert_eq!(bot.calls("GET", "me", None).await.0, 401);
    assert_eq!(
        op.calls("PATCH", "accounts/max", Some(json!({ "disabled": true })))
            .await
            .0,
        200
    );
    assert_eq!(max.calls("GET", "me", None).await.0, 401);
    assert_eq!(
        op.calls("PATCH", "accounts/max", Some(json!({ "disabled": false })))
            .await
            .0,
        200
    );
    assert_eq!(
        max.calls("GET", "me", None).await.0,
        401,
        "an enabled account needs a new token"
    );
    // an expired one
    let store = &sim.coordinator().store;
    let later = now() + 2 * 24 * 3600 * 1000;
    assert_eq!(access::authenticate(store, &op.token, "", later).await.unwrap(), None);
    // the last operator stays
    for change in [json!({ "roles": [] }), json!({ "disabled": true })] {
        let (status, problem) = op.calls("PATCH", "accounts/op", Some(change)).await;
        assert!(
            status == 409 && problem["detail"].as_str().unwrap().contains("last operator"),
            "{problem}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_accounts_get_one_mail_address() {
    let (sim, server) = coordinator().await;
    let store = &sim.coordinator().store;
    let op = person(&sim, &server, "op", "operator").await;
    person(&sim, &server, "ann", "owner").await;
    let add = async |name: &str, mail: &str| {
        let body = json!({ "name": name, "mail": mail });
        op.calls("POST", "accounts", Some(body)).await
    };
    let change = async |name: &str, body: Value| op.calls("PATCH", &format!("accounts/{name}"), Some(body)).await;
    let is_taken = |(status, problem): (u16, Value)| {
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(
            status == 409 && detail.contains("the account \"ann\" has the mail address"),
            "{status}: {problem}"
        );
    };
    for mail in ["ann@example.org", "ANN@Example.org"] {
        is_taken(add("eve", mail).await);
    }
    assert!(store.account("eve").await.unwrap().is_none());
    assert_eq!(add("eve", "eve@example.org").await.0, 201);
    is_taken(change("eve", json!({ "mail": "Ann@example.org", "roles": ["owner"] })).await);
    let eve = store.account("eve").await.unwrap().unwrap();
    assert_eq!((eve.mail.as_str(), eve.roles.0.len()), ("eve@example.org", 0));
    // by the command too
    op.logs_in().await;
    let printed = op
        .types(
            &[
                "account",
                "add",
                "eva",
                "--mail",
                "ann@EXAMPLE.org",
                "--server",
                &server,
            ],
            "",
        )
        .await;
    assert!(
        printed.code != 0 && printed.err.contains("has the mail address"),
        "{}",
        printed.err
    );
    // one's own address may be written in another way, and any number of accounts have none
    assert_eq!(change("ann", json!({ "mail": "Ann@Example.org" })).await.0, 200);
    for name in ["x1", "x2"] {
        assert_eq!(add(name, "").await.0, 201);
    }
    // accounts that had the same address before stay as they are
    let mut tx = store.begin().await.unwrap();
    let roles = Names::default();
    let old = store.insert_account(&mut tx, "old", "ann@example.org", &roles, now());
    assert!(old.await.unwrap().is_some());
    tx.commit().await.unwrap();
    assert_eq!(change("old", json!({ "roles": ["owner"] })).await.0, 200);
    assert_eq!(change("old", json!({ "mail": "old@example.org" })).await.0, 200);
    is_taken(change("old", json!({ "mail": "ann@example.org" })).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_operator_gets_a_token_once() {
    let (sim, _) = coordinator().await;
    let store = &sim.coordinator().store;
    let token = access::first_operator(store, now()).await.unwrap().unwrap();
    assert!(access::first_operator(store, now()).await.unwrap().is_none());
    let actor = access::authenticate(store, token.secret(), "192.0.2.1", now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (actor.name.as_str(), actor.roles.to_string()),
        ("operator", "operator".to_owned())
    );
}

/// A browser: it keeps one cookie, and follows nothing by itself.
struct Browser {
    http: reqwest::Client,
    server: String,
    cookie: Option<String>,
}

struct Shown {
    status: u16,
    location: Option<String>,
    text: String,
}

impl Browser {
    fn new(server: &str) -> Self {
        Self {
            http: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                // a connection ends after a body that is too long
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
            server: server.to_owned(),
            cookie: None,
        }
    }

    async fn send(&mut self, mut request: reqwest::RequestBuilder) -> Shown {
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let answer = request.send().await.unwrap();
        if let Some(set) = answer.headers().get(SET_COOKIE) {
            let set = set.to_str().unwrap();
            assert!(set.contains("; HttpOnly; SameSite=Lax"), "{set}");
            let pair = set.split(';').next().unwrap();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        Shown {
            status: answer.status().as_u16(),
            location: answer.headers().get(LOCATION).map(|to| to.to_str().unwrap().to_owned()),
            text: answer.text().await.unwrap(),
        }
    }

    async fn get(&mut self, path: &str) -> Shown {
        let request = self.http.get(format!("{}{path}", self.server));
        self.send(request).await
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let request = self.http.post(format!("{}{path}", self.server)).body(body);
        self.send(request).await
    }
}

/// The form token of a page.
fn csrf(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form");
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_handed_over_is_accepted_on_its_page_and_by_command() {
    let (sim, server) = coordinator().await;
    let ann = person(&sim, &server, "ann", "owner").await;
    let bob = person(&sim, &server, "bob", "owner").await;
    let recipe = json!({ "text": recipe("alpha", "") });
    assert_eq!(ann.calls("POST", "recipes", Some(recipe)).await.0, 201);
    let says = async |person: &Person, arguments: &[&str], words: &str| {
        let all: Vec<&str> = ["recipe", "--server", &server]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let out = person.logs_in().await.ok(&all).await;
        assert!(out.contains(words), "{arguments:?}: {out}");
    };
    says(&ann, &["hand-over", "alpha", "bob"], "alpha waits for bob").await;
    says(&ann, &["list"], "ann, next bob").await;
    // the page has a button for each of the two, and for nobody else
    let mut of_ann = Browser::new(&server);
    let mut of_bob = Browser::new(&server);
    let (accept, withdraw) = ("Accept it</button>", "Withdraw the hand-over to bob</button>");
    let page = of_ann.get("/recipe/alpha").await.text;
    assert!(page.contains("bob can take it over.") && !page.contains(accept) && !page.contains(withdraw));
    of_ann.post("/login", &[("token", &ann.token)]).await;
    of_bob.post("/login", &[("token", &bob.token)]).await;
    let page = of_ann.get("/recipe/alpha").await.text;
    assert!(page.contains(withdraw) && !page.contains(accept), "{page}");
    let form = csrf(&page);
    let page = of_bob.get("/recipe/alpha").await.text;
    assert!(page.contains(accept) && !page.contains(withdraw), "{page}");
    let path = "/recipe/alpha/hand-over";
    let refused = of_bob.post(path, &[("csrf", &form), ("action", "accept")]).await;
    assert_eq!(refused.status, 403, "the form is that of another session");
    let accepted = of_bob.post(path, &[("csrf", &csrf(&page)), ("action", "accept")]).await;
    assert_eq!(
        (accepted.status, accepted.location.as_deref()),
        (303, Some("/recipe/alpha"))
    );
    let late = of_ann.post(path, &[("csrf", &form), ("action", "withdraw")]).await;
    assert_eq!(late.status, 403, "the project is no longer ann's");
    let page = of_bob.get("/recipe/alpha").await.text;
    assert!(
        page.contains("It belongs to bob.") && !page.contains("can take it over"),
        "{page}"
    );
    // back by commands
    says(&bob, &["hand-over", "alpha", "ann"], "alpha waits for ann").await;
    says(&bob, &["withdraw", "alpha"], "alpha belongs to bob").await;
    says(&bob, &["hand-over", "alpha", "ann"], "alpha waits for ann").await;
    says(&ann, &["accept", "alpha"], "alpha belongs to ann").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_submit_and_decide_in_a_browser() {
    let (sim, server) = coordinator().await;
    let ann = person(&sim, &server, "ann", "owner").await;
    let max = person(&sim, &server, "max", "maintainer").await;
    let mut browser = Browser::new(&server);
    // who is not logged in is sent to the login, and back from there
    let shown = browser.get("/submit").await;
    assert_eq!(
        (shown.status, shown.location.as_deref()),
        (303, Some("/login?next=%2Fsubmit"))
    );
    let login = browser.get("/login?next=%2Fsubmit").await;
    assert!(login.text.contains("value=\"/submit\""), "{}", login.text);
    let wrong = browser
        .post("/login", &[("token", "pybots_x"), ("next", "/submit")])
        .await;
    assert!(
        wrong.status == 401 && wrong.text.contains("unknown, expired or revoked"),
        "{}",
        wrong.text
    );
    assert_eq!(browser.cookie, None);
    let shown = browser
        .post("/login", &[("token", &ann.token), ("next", "https://evil.example/")])
        .await;
    assert_eq!((shown.status, shown.location.as_deref()), (303, Some("/")));
    let before = browser.cookie.clone().unwrap();
    assert!(!before.contains(&ann.token), "the cookie is a secret of its own");
    // who is logged in can log in again
    // a session that somebody prepared is not taken over: each login has a new one
    browser
        .post("/login", &[("token", &ann.token), ("next", "/submit")])
        .await;
    assert_ne!(browser.cookie.as_ref(), Some(&before));
    let page = browser.get("/submit").await;
    let form = csrf(&page.text);
    // a bad recipe comes back with its text and its problems
    let bad = "name = \"alpha\"\nnosuch = \"<script>alert(1)</script>\"\n";
    let shown = browser.post("/submit", &[("csrf", &form), ("recipe", bad)]).await;
    assert_eq!(shown.status, 422);
    assert!(
        shown.text.contains("Line 2, column 1: unknown key &#x60;nosuch&#x60;"),
        "{}",
        shown.text
    );
    assert!(
        shown.text.contains("&lt;script&gt;") && !shown.text.contains("<script>alert"),
        "{}",
        shown.text
    );
    // lines as browsers send them
    let text = recipe("alpha", "").replace('\n', "\r\n");
    for wrong in ["", "0123"] {
        let shown = browser.post("/submit", &[("csrf", wrong), ("recipe", &text)]).await;
        assert_eq!(shown.status, 403, "{}", shown.text);
    }
    let foreign = browser
        .http
        .post(format!("{server}/submit"))
        .header("sec-fetch-site", "cross-site");
    assert_eq!(
        browser.send(foreign.body(format!("csrf={form}&recipe=x"))).await.status,
        403
    );
    let shown = browser.post("/submit", &[("csrf", &form), ("recipe", &text)]).await;
    assert_eq!(
        (shown.status, shown.location.as_deref()),
        (303, Some("/recipe/alpha/1")),
        "{}",
        shown.text
    );
    let stored = sim.coordinator().store.version("alpha", 1).await.unwrap().unwrap();
    let stored = sim
        .coordinator()
        .store
        .recipe_text(&stored.digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored, recipe("alpha", ""));
    let page = browser.get("/recipe/alpha/1").await.text;
    assert!(!page.contains("name=\"decision\""), "owners do not decide: {page}");
    // a script of the page has to send the form's token too
    let request = browser
        .http
        .post(format!("{server}/api/v1/recipes"))
        .json(&json!({ "text": recipe("beta", "") }));
    assert_eq!(browser.send(request).await.status, 403);
    let request = browser
        .http
        .post(format!("{server}/api/v1/recipes"))
        .json(&json!({ "text": recipe("beta", "") }));
    assert_eq!(browser.send(request.header("x-csrf-token", &form)).await.status, 201);
    // the maintainer decides once the trial has ended
    let mut other = Browser::new(&server);
    other.post("/login", &[("token", &max.token), ("next", "/")]).await;
    let start = std::time::Instant::now();
    let page = loop {
        let page = other.get("/recipe/alpha/1").await.text;
        if page.contains("id=\"state\">waiting") {
            break page;
        }
        assert!(start.elapsed().as_secs() < 60, "{page}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert!(page.contains("It ended: <strong>passed</strong>"), "{page}");
    let shown = other
        .post("/recipe/alpha/1/decision", &[("csrf", &form), ("decision", "approve")])
        .await;
    assert_eq!(shown.status, 403, "the token of another session");
    let own = csrf(&page);
    // an owner does not decide about incidents, and a maintainer only by a form of their own session
    let (decision, close) = ("/incident/7/decision", [("decision", "close"), ("text", "x")]);
    let of_another = [&close[..], &[("csrf", form.as_str())]].concat();
    let with_own = [&close[..], &[("csrf", own.as_str())]].concat();
    assert_eq!(browser.post(decision, &of_another).await.status, 403);
    assert_eq!(other.post(decision, &of_another).await.status, 403);
    assert_eq!(other.post(decision, &with_own).await.status, 404);
    let shown = other
        .post("/recipe/alpha/1/decision", &[("csrf", &own), ("decision", "approve")])
        .await;
    assert_eq!(
        (shown.status, shown.location.as_deref()),
        (303, Some("/recipe/alpha/1")),
        "{}",
        shown.text
    );
    let page = browser.get("/recipe/alpha").await.text;
    assert!(
        page.contains("approved, in force") && page.contains("value=\"pause\""),
        "{page}"
    );
    let shown = browser
        .post(
            "/recipe/alpha/state",
            &[("csrf", &form), ("action", "pause"), ("reason", "a while")],
        )
        .await;
    assert_eq!(shown.status, 303, "{}", shown.text);
    assert!(
        browser
            .get("/recipe/alpha")
            .await
            .text
            .contains("The project is paused: a while")
    );
    // a token is issued on the page, shown once, and revoked; the session ends with the token by which it began
    let shown = browser
        .post("/account/tokens", &[("csrf", &form), ("name", "laptop"), ("days", "9")])
        .await;
    let (_, rest) = shown.text.split_once("id=\"secret\">").unwrap();
    let secret = rest.split('<').next().unwrap().to_owned();
    assert!(!browser.get("/account").await.text.contains(&secret));
    let shown = browser
        .post("/account/tokens", &[("csrf", &form), ("name", "x"), ("days", "many")])
        .await;
    assert!(
        shown.status == 422 && shown.text.contains("1 to 366 days"),
        "{}",
        shown.text
    );
    let tokens = sim
        .coordinator()
        .store
        .tokens(&sim.coordinator().store.account("ann").await.unwrap().unwrap().id, 9)
        .await
        .unwrap();
    let first = tokens.iter().find(|token| token.name == "test").unwrap();
    let shown = browser
        .post(&format!("/account/tokens/{}/revoke", first.id), &[("csrf", &form)])
        .await;
    assert_eq!(shown.status, 303);
    assert_eq!(browser.get("/account").await.status, 303, "logged out");
    // and by the button
    browser.cookie = None;
    browser.post("/login", &[("token", &secret)]).await;
    let form = csrf(&browser.get("/account").await.text);
    let kept = browser.cookie.clone();
    assert_eq!(browser.post("/logout", &[("csrf", &form)]).await.status, 303);
    assert_eq!(browser.cookie, None);
    browser.cookie = kept;
    assert_eq!(browser.get("/account").await.status, 303, "the old cookie is dead");
    // forms have a bound
    let long = "x".repeat(600 << 10);
    assert_eq!(browser.post("/submit", &[("recipe", &long)]).await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_public_needs_a_login() {
    let mut sim = Sim::with(&["other"], 1, |settings| settings.http.public_read = false).await;
    sim.commit("start", "");
    sim.run().await;
    let server = sim.serve().await;
    let reader = person(&sim, &server, "rea", "").await;
    let mut browser = Browser::new(&server);
    for path in ["/", "/hosts", "/recipes", "/incidents", "/nosuch"] {
        assert_eq!(browser.get(path).await.status, 303, "{path}");
    }
    for path in ["/login", "/style.css", "/healthz"] {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
    }
    for path in [
        "/api/results",
        "/api/incidents",
        "/api/v1/results",
        "/api/v1/hosts",
        "/api/v1/openapi.json",
    ] {
        assert_eq!(browser.get(path).await.status, 401, "{path}");
        let request = browser.http.get(format!("{server}{path}")).bearer_auth(&reader.token);
        assert_eq!(browser.send(request).await.status, 200, "{path}");
    }
    browser.post("/login", &[("token", &reader.token)]).await;
    assert_eq!(browser.get("/").await.status, 200);
    // hosts have their own tokens
    assert_eq!(
        browser
            .http
            .get(format!("{server}/api/host/hello"))
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_have_tags_and_secrets_are_in_no_url() {
    let (sim, server) = coordinator().await;
    let ann = person(&sim, &server, "ann", "owner").await;
    let http = reqwest::Client::new();
    let get = async |path: &str, tag: &str| {
        let request = http.get(format!("{server}{path}")).header("if-none-match", tag);
        let answer = request.send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned()),
        )
    };
    let (status, tag) = get("/api/v1/projects", "\"x\"").await;
    assert_eq!(status, 200);
    assert_eq!(get("/api/v1/projects", &tag.unwrap()).await.0, 304);
    // the tag of a project is what a submission takes
    assert_eq!(
        ann.calls("POST", "recipes", Some(json!({ "text": recipe("alpha", "") })))
            .await
            .0,
        201
    );
    let (_, tag) = get("/api/v1/projects/alpha", "").await;
    let submit = async |text: String, tag: &str| {
        let request = http
            .post(format!("{server}/api/v1/recipes"))
            .bearer_auth(&ann.token)
            .header("if-match", tag);
        request
            .json(&json!({ "text": text }))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    let tag = tag.unwrap();
    // the number alone is not enough: the version with it may have another text
    let (_, of_number) = tag.split_once('-').unwrap();
    let (digest, rest) = of_number.split_once('-').unwrap();
    for other in ["0".repeat(digest.len()), String::new()] {
        let other = format!("\"1-{other}-{rest}");
        assert_eq!(
            submit(recipe("alpha", "summary = \"b\"\n"), &other).await,
            412,
            "{other}"
        );
    }
    assert_eq!(submit(recipe("alpha", "summary = \"b\"\n"), &tag).await, 201);
    assert_eq!(submit(recipe("alpha", "summary = \"c\"\n"), &tag).await, 412);
    assert_eq!(submit(recipe("alpha", "summary = \"c\"\n"), "\"x\"").await, 412);
    // a token in the query is none
    let answer = http
        .get(format!("{server}/api/v1/me?token={}", ann.token))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    // a token in a recipe is refused and revoked, and nobody repeats it
    let other = person(&sim, &server, "leo", "owner").await;
    let pasted = recipe("leak", &format!("summary = \"{}\"\n", other.token));
    let (status, problem) = ann.calls("POST", "recipes", Some(json!({ "text": pasted }))).await;
    assert!(
        status == 422 && !problem.to_string().contains(&other.token),
        "{problem}"
    );
    assert!(problem.to_string().contains("revoke"), "{problem}");
    assert_eq!(other.calls("GET", "me", None).await.0, 401);
    assert_eq!(ann.calls("GET", "me", None).await.0, 200);
    // bodies have a bound, which is checked before they are read
    let long = format!("{{\"text\": \"{}\"}}", "x".repeat(600 << 10));
    let request = http
        .post(format!("{server}/api/v1/recipes"))
        .bearer_auth(&ann.token)
        .body(long);
    assert_eq!(request.send().await.unwrap().status(), 413);
    // a wrong token counts once for a call
    let wrong = async || {
        let request = http.get(format!("{server}/api/v1/me")).bearer_auth("pybots_x");
        request.send().await.unwrap().status().as_u16()
    };
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(wrong().await);
    }
    let wrong = statuses.iter().filter(|status| **status == 401).count();
    assert!((28..=33).contains(&wrong), "{statuses:?}");
    // and right ones go on
    assert_eq!(ann.calls("GET", "me", None).await.0, 200);
    let actor = Actor::local("x");
    let refused = access::add(
        &sim.coordinator().store,
        &actor,
        ("Bad Name", ""),
        &Default::default(),
        now(),
    )
    .await;
    assert!(refused.unwrap_err().to_string().contains("lower-case"));
}

/// What an attack of the front door found.
#[tokio::test(flavor = "multi_thread")]
async fn owners_reach_no_further_than_their_own_things() {
    let (sim, server) = coordinator().await;
    let store = &sim.coordinator().store;
    let ann = person(&sim, &server, "ann", "owner host-owner").await;
    let max = person(&sim, &server, "max", "maintainer").await;
    let submit = async |name: &str| {
        let body = json!({ "text": recipe(name, "") });
        ann.calls("POST", "recipes", Some(body)).await
    };
    // the name of a file of the folder stays reserved, also while the file is gone or wrong
    sim.remove_recipe("other");
    until("the file is gone", async || store.projects().await.unwrap().is_empty()).await;
    let (status, problem) = submit("other").await;
    assert!(
        status == 409 && problem["detail"].as_str().unwrap().contains("folder of recipes"),
        "{problem}"
    );
    sim.recipe("third", "nosuch = 1");
    until("the file is refused", async || {
        !store.refused_recipes().await.unwrap().is_empty()
    })
    .await;
    assert_eq!(submit("third").await.0, 409);
    // nor does a file that comes later share its results with what was submitted before
    assert_eq!(submit("alpha").await.0, 201);
    until("the trial", async || state(&ann, "alpha", 1).await == "waiting").await;
    sim.recipe("alpha", "[[suite]]\nname = \"own\"\nrun = \"true\"\n");
    until("the file", async || {
        store
            .projects()
            .await
            .unwrap()
            .iter()
            .any(|project| project.name == "alpha")
    })
    .await;
    let path = "projects/alpha/versions/1/decision";
    assert_eq!(
        max.calls("POST", path, Some(json!({ "decision": "approve" }))).await.0,
        409
    );
    assert_eq!(submit("alpha").await.0, 409);
    // a quarantine is not ended by a detour, and no host is called like the id of another
    assert_eq!(ann.calls("POST", "hosts", Some(json!({ "name": "h" }))).await.0, 201);
    let host = store.host("h").await.unwrap().unwrap();
    store
        .move_host(&host.id, HostState::Active, HostState::Quarantined)
        .await
        .unwrap();
    for (action, expected) in [("drain", 403), ("resume", 403), ("rotate", 200)] {
        assert_eq!(
            ann.calls("POST", &format!("hosts/h/{action}"), None).await.0,
            expected,
            "{action}"
        );
    }
    let body = json!({ "name": host.id.as_str() });
    assert_eq!(ann.calls("POST", "hosts", Some(body)).await.0, 422);
    // what a maintainer stops, its owner does not take up again
    assert_eq!(submit("beta").await.0, 201);
    let stop = json!({ "action": "retire", "reason": "a copy" });
    assert_eq!(max.calls("POST", "projects/beta/state", Some(stop)).await.0, 200);
    let (status, problem) = ann
        .calls("POST", "projects/beta/state", Some(json!({ "action": "resume" })))
        .await;
    assert!(
        status == 403 && problem["detail"].as_str().unwrap().contains("a copy"),
        "{problem}"
    );
    let resume = json!({ "action": "resume" });
    assert_eq!(max.calls("POST", "projects/beta/state", Some(resume)).await.0, 200);
}

/// One more is allowed only after 20 seconds, so the calls need not be quick.
#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_a_rate_are_refused() {
    let (sim, server) = coordinator_with(|settings| {
        settings.http.wrong_tokens_per_minute = 3.try_into().unwrap();
        settings.http.changes_per_minute = 3.try_into().unwrap();
    })
    .await;
    let ann = person(&sim, &server, "ann", "owner").await;
    let change = async || {
        let body = json!({ "action": "pause" });
        ann.calls("POST", "projects/nosuch/state", Some(body)).await.0
    };
    refuses_after(404, change).await;
    let mut browser = Browser::new(&server);
    let guess = async || browser.post("/login", &[("token", "x")]).await.status;
    refuses_after(401, guess).await;
}

/// A call is allowed at first, and refused before it was made ten times.
async fn refuses_after(status: u16, mut call: impl AsyncFnMut() -> u16) {
    let mut statuses = Vec::new();
    while statuses.len() < 10 && statuses.last() != Some(&429) {
        statuses.push(call().await);
    }
    assert!(statuses[0] == status && statuses.ends_with(&[429]), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_wait_for_a_host_hold_up_no_others() {
    let (sim, server) = coordinator().await;
    let store = &sim.coordinator().store;
    let ann = person(&sim, &server, "ann", "owner").await;
    let submit = async |text: String| ann.calls("POST", "recipes", Some(json!({ "text": text }))).await;
    for number in 0..20 {
        let text = recipe(&format!("stuck{number}x"), "needs = [\"no-such-label\"]\n");
        let (status, problem) = submit(text).await;
        assert_eq!(status, 201, "{problem}");
    }
    until("all wait for a host", async || {
        store.untried_versions(1).await.unwrap().is_empty()
    })
    .await;
    let (status, problem) = submit(recipe("honest", "")).await;
    assert!(
        status == 409 && problem["detail"].as_str().unwrap().contains("have not ended"),
        "{problem}"
    );
    let (_, version) = ann.calls("GET", "projects/stuck0x/versions/1", None).await;
    let why = version["trial"].as_str().unwrap();
    assert!(why.starts_with("waits: ") && why.contains("no-such-label"), "{version}");
    let bob = person(&sim, &server, "bob", "owner").await;
    let body = json!({ "text": recipe("honest", "") });
    assert_eq!(bob.calls("POST", "recipes", Some(body)).await.0, 201);
    until("the trial", async || state(&bob, "honest", 1).await == "waiting").await;
    // all of them are listed, in parts
    let (_, page) = bob.calls("GET", "recipes?state=trial&limit=15", None).await;
    assert_eq!(
        (page["items"].as_array().unwrap().len(), page["next"].as_str()),
        (15, Some("15"))
    );
    let (_, rest) = bob.calls("GET", "recipes?state=trial&limit=15&after=15", None).await;
    assert_eq!(
        (rest["items"].as_array().unwrap().len(), rest["next"].as_str()),
        (5, None)
    );
    // a text whose trial was cancelled is tried when it is submitted again
    assert_eq!(submit(recipe("stuck0x", "")).await.0, 201);
    until("its own trial", async || state(&ann, "stuck0x", 2).await == "waiting").await;
    let (_, version) = ann.calls("GET", "projects/stuck0x/versions/2", None).await;
    assert_eq!(version["trial"], "passed", "{version}");
}
