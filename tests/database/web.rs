//! The pages over HTTP, on every database that is there.

use crate::support::web_sample::{PLATFORM, Sample, failed, sha};
use crate::support::world::World;
use crate::support::{TestDatabase, databases};
use pybots::domain::id::InvestigationId;
use pybots::domain::outcome::Outcome;
use pybots::domain::series::Series;
use pybots::domain::trust::Trust;
use pybots::server::site as routes;
use pybots::store::investigations::{NewInvestigation, Position};
use pybots::store::views::Scope;
use pybots::verdict::{Cell, Change};
use pybots::web::Web;
use reqwest::{Client, Response};

pub struct Site {
    pub sample: Sample,
    pub base: String,
    client: Client,
    server: tokio::task::JoinHandle<()>,
    pub database: TestDatabase,
    _data: tempfile::TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One on each database that is there.
pub async fn sites() -> Vec<Site> {
    let mut sites = Vec::new();
    for database in databases().await {
        sites.push(site(database).await);
    }
    sites
}

pub async fn site(database: TestDatabase) -> Site {
    let data = tempfile::tempdir().unwrap();
    let sample = Sample::new(&database.url, data.path()).await;
    let web = Web::open(sample.store.clone(), sample.objects.clone(), Trust::all());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(warp::serve(routes(web)).incoming(listener).run());
    let client = Client::builder().no_proxy().build().unwrap();
    Site {
        sample,
        base,
        client,
        server,
        database,
        _data: data,
    }
}

/// No styles inside, and no script but our own where a log grows or a matrix is, which the policy then allows.
fn well_behaved(text: &str, policy: &str, path: &str) {
    assert!(!text.contains("style=\""), "{path}");
    let scripts = text.matches("<script").count();
    let ours = text.matches("<script src=\"/live.js?v=").count();
    let live = ["<pre id=\"live\"", " data-refresh=\"", "<div class=\"matrix\""]
        .iter()
        .any(|part| text.contains(part));
    assert_eq!((scripts, ours), (usize::from(live), usize::from(live)), "{path}");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert_eq!(
        policy.contains("script-src 'self'; connect-src 'self'"),
        live,
        "{path}: {policy}"
    );
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
}

impl Site {
    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap()
    }

    pub async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        let text = answer.text().await.unwrap();
        well_behaved(&text, &policy, path);
        text
    }
}

#[tokio::test]
async fn an_empty_store_says_what_will_come() {
    for site in sites().await {
        assert!(site.page("/").await.contains("The repository is being copied"));
        site.sample.branches(&["3.14", "2.5", "trunk"]).await;
        let text = site.page("/branch/2.5").await;
        assert!(text.contains("No revision yet on 2.5"));
        let tabs: Vec<usize> = [">All<", ">3.14<", ">2.5<", ">trunk<"]
            .iter()
            .map(|tab| text.find(tab).unwrap())
            .collect();
        assert!(tabs.is_sorted(), "{tabs:?}");
        assert!(site.page("/recipes").await.contains("No project is registered"));
        // nobody has made a mirror here
        let health = site.get("/healthz").await;
        assert_eq!(health.status(), 503);
        let health: serde_json::Value = health.json().await.unwrap();
        let ok = |check: &str| health["checks"][check]["ok"].as_bool().unwrap();
        assert_eq!(
            (ok("database"), ok("disk"), ok("mirror")),
            (true, true, false),
            "{health}"
        );
        assert_eq!(site.get("/api/results").await.text().await.unwrap(), "[]");
    }
}

#[tokio::test]
async fn every_page_of_a_full_store_comes() {
    for site in sites().await {
        site.sample.everything().await;
        let text = site.page("/").await;
        assert!(text.contains("typing_extensions on trunk @"));
        assert!(text.contains("refs/3.13 does not exist in the repository"));
        assert!(text.contains("&lt;b&gt;Fix&lt;/b&gt; a race in the &amp; free-threaded build"));
        assert!(text.contains("failed (exit code 1) in test: unit, 52 s"));
        assert!(text.contains("flaky: 2 attempts disagree"));
        assert!(text.contains("1 recipe refused"));
        // every link leads to a page
        let mut seen = std::collections::BTreeSet::new();
        let mut open = vec!["/".to_owned()];
        // served beside the pages, by a coordinator
        seen.insert("/api/v1/openapi.json".to_owned());
        while let Some(path) = open.pop() {
            let path = path
                .replace("&amp;", "&")
                .split('#')
                .next()
                .unwrap_or_default()
                .to_owned();
            if !path.starts_with('/') || !seen.insert(path.clone()) || seen.len() > 400 {
                continue;
            }
            let answer = site.get(&path).await;
            assert_eq!(answer.status(), 200, "{path}");
            if answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/html")
            {
                let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
                let text = answer.text().await.unwrap();
                well_behaved(&text, &policy, &path);
                open.extend(
                    text.split("href=\"")
                        .skip(1)
                        .filter_map(|rest| rest.split('"').next())
                        .map(str::to_owned),
                );
            }
        }
        assert!(seen.len() > 80, "{}", seen.len());
    }
}

#[tokio::test]
async fn a_run_shows_its_log_in_windows_and_raw() {
    for site in sites().await {
        let sample = &site.sample;
        sample.branches(&["trunk"]).await;
        sample.projects(&["attrs"]).await;
        let ids = sample.revisions("trunk", "3.16.0a0", 1, &["one"]).await;
        let image = sample.image(ids[0].as_str(), "key", Some(true)).await;
        let mut log = b"<script>first\xff</script>\n".to_vec();
        log.extend((0..60_000).flat_map(|n| format!("line {n}\n").into_bytes()));
        log.extend(b"\x1b[31mlast\x1b[0m\n");
        let (run, attempt) = sample.ended(ids[0].as_str(), &image, "attrs", &failed(), &log).await;

        let tail = site.page(&format!("/run/{run}")).await;
        assert!(tail.contains("<span class=\"f1\">last</span>") && !tail.contains("first"));
        assert!(tail.contains("failed (exit code 1)") && !tail.contains("http-equiv"));
        let head = site.page(&format!("/run/{run}?from=0")).await;
        assert!(head.contains("&lt;script&gt;first\u{fffd}&lt;/script&gt;") && !head.contains(">last<"));
        assert!(head.len() < 600_000);
        assert!(
            site.page(&format!("/run/{run}?attempt=7&from=junk"))
                .await
                .contains(">last<")
        );

        for path in [format!("/run/{run}/log"), format!("/attempt/{attempt}/log")] {
            let raw = site.get(&path).await;
            assert_eq!(raw.headers()["content-type"], "text/plain");
            assert_eq!(raw.headers()["x-content-type-options"], "nosniff");
            assert!(
                raw.headers()["content-disposition"]
                    .to_str()
                    .unwrap()
                    .starts_with("attachment")
            );
            assert_eq!(raw.bytes().await.unwrap(), log);
        }
        let page = site.page(&format!("/revision/{}", &sha(1)[..9])).await;
        assert!(page.contains("test: unit") && page.contains(&sha(1)));
    }
}

#[tokio::test]
async fn work_in_progress_refreshes_itself() {
    for site in sites().await {
        let sample = &site.sample;
        sample.branches(&["trunk"]).await;
        sample.projects(&["attrs"]).await;
        let ids = sample.revisions("trunk", "3.16.0a0", 1, &["one"]).await;
        let image = sample.image(ids[0].as_str(), "key", Some(true)).await;
        let run = sample.run(ids[0].as_str(), &image, "attrs", None).await;
        let job = sample.job(Some(&run), None, "queued").await;
        assert!(site.page(&format!("/run/{run}")).await.contains("No attempt yet"));
        sample.attempt(&job, 5.0, None, b"so far").await;
        let page = site.page(&format!("/run/{run}")).await;
        // without a script the page loads itself again
        assert!(page.contains("<noscript><meta http-equiv=\"refresh\" content=\"3\"></noscript>"));
        assert!(page.contains("so far") && page.contains("running"));
        assert!(!site.page(&format!("/run/{run}?from=0")).await.contains("http-equiv"));
    }
}

#[tokio::test]
async fn older_revisions_are_a_page_away() {
    for site in sites().await {
        let sample = &site.sample;
        sample.branches(&["trunk"]).await;
        let subjects: Vec<String> = (0..95).map(|n| format!("revision number {n}.")).collect();
        let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
        sample.revisions("trunk", "3.16.0a0", 1, &subjects).await;
        for start in ["/", "/branch/trunk"] {
            let (mut path, mut found) = (start.to_owned(), Vec::new());
            loop {
                let page = site.page(&path).await;
                found.extend(
                    subjects
                        .iter()
                        .filter(|subject| page.contains(&format!("title=\"{subject}\"")))
                        .copied(),
                );
                match page
                    .split("?before&#x3D;")
                    .nth(1)
                    .and_then(|rest| rest.split('"').next())
                {
                    Some(before) => path = format!("{start}?before={before}"),
                    None => break,
                }
            }
            found.sort_unstable();
            let mut all = subjects.clone();
            all.sort_unstable();
            assert_eq!(found, all);
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_kindly() {
    for site in sites().await {
        let none = "00000000-0000-0000-0000-000000000000";
        let paths = [
            "/nowhere",
            "/branch/none",
            "/revision/zzz",
            "/revision/0123456789",
            "/project/none",
            "/attempt/..%2f..%2fetc/log",
            "/run/<script>",
        ];
        let ids = ["run", "image"].map(|kind| format!("/{kind}/{none}"));
        for path in paths
            .iter()
            .map(|path| (*path).to_owned())
            .chain(ids)
            .chain([format!("/run/{none}/log")])
        {
            let answer = site.get(&path).await;
            assert_eq!(answer.status(), 404, "{path}");
            assert!(
                answer.headers()["content-security-policy"]
                    .to_str()
                    .unwrap()
                    .contains("default-src 'none'")
            );
            let text = answer.text().await.unwrap();
            assert!(
                text.contains("There is no such page") && !text.contains("<script"),
                "{path}"
            );
        }
        let answer = site.client.post(&site.base).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["allow"].to_str().unwrap()),
            (405, "GET, HEAD")
        );
        assert_eq!(site.get("/api/results?branch=none").await.status(), 404);
        assert!(site.get("/api/none").await.text().await.unwrap().starts_with('{'));
        site.sample.store.pool().close().await;
        let answer = site.get("/").await;
        assert_eq!(answer.status(), 500);
        assert!(answer.text().await.unwrap().contains("Nothing is lost"));
    }
}

#[tokio::test]
async fn the_style_sheet_is_kept_by_browsers() {
    let site = sites().await.remove(0);
    let first = site.get("/style.css").await;
    assert_eq!(first.headers()["content-type"], "text/css; charset=utf-8");
    let tag = first.headers()["etag"].clone();
    let again = site
        .client
        .get(format!("{}/style.css", site.base))
        .header("if-none-match", tag)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 304);
    let head = site.client.head(&site.base).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.bytes().await.unwrap().len()), (200, 0));
}

/// All cells come, page by page, however few revisions a response has.
#[tokio::test]
async fn scripts_read_results_page_by_page() {
    for site in sites().await {
        site.sample.everything().await;
        let whole: Vec<serde_json::Value> = site.get("/api/results").await.json().await.unwrap();
        let (mut path, mut read, mut pages) = (Some("/api/results?revisions=2&branch=trunk".to_owned()), Vec::new(), 0);
        while let Some(next) = path {
            let head = site.client.head(format!("{}{next}", site.base)).send().await.unwrap();
            let answer = site.get(&next).await;
            assert_eq!(head.headers().get("link"), answer.headers().get("link"));
            let link = answer
                .headers()
                .get("link")
                .map(|link| link.to_str().unwrap().to_owned());
            path = link.map(|link| link[1..link.find('>').unwrap()].to_owned());
            read.extend(answer.json::<Vec<serde_json::Value>>().await.unwrap());
            pages += 1;
        }
        let of_branch = whole.iter().filter(|cell| cell["branch"] == "trunk");
        assert!(pages > 1, "{pages}");
        assert_eq!(read.iter().collect::<Vec<_>>(), of_branch.collect::<Vec<_>>());
    }
}

/// Clients that read pages take no connection from planning and hosts.
#[tokio::test]
async fn pages_have_connections_of_their_own() {
    for test in crate::support::stores().await {
        let pages = test.store.for_pages();
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(pages.pool().acquire().await.unwrap());
        }
        let more = tokio::time::timeout(std::time::Duration::from_millis(100), pages.status()).await;
        assert!(more.is_err(), "{}: a page found a connection", test.name);
        for _ in 0..8 {
            test.store.status().await.unwrap();
        }
        drop(held);
        pages.status().await.unwrap();
    }
}

#[tokio::test]
async fn scripts_read_the_same_cells() {
    for site in sites().await {
        site.sample.everything().await;
        let cells: serde_json::Value = site.get("/api/results?branch=trunk").await.json().await.unwrap();
        let cells = cells.as_array().unwrap();
        let twisted = cells
            .iter()
            .find(|cell| cell["project"] == "twisted" && cell["revision"] == sha(102))
            .unwrap();
        let mut keys: Vec<_> = twisted.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "branch",
                "exit_code",
                "image_of",
                "image_of_label",
                "label",
                "outcome",
                "platform",
                "project",
                "reason",
                "revision",
                "run",
                "seconds",
                "state",
                "variant"
            ]
        );
        assert_eq!(
            (&twisted["state"], &twisted["outcome"], &twisted["exit_code"]),
            (&"fail".into(), &"failed".into(), &1.into())
        );
        assert!(cells.iter().all(|cell| cell["branch"] == "trunk"));
    }
}

#[tokio::test]
async fn variants_have_rows_of_their_own() {
    for site in sites().await {
        site.sample.everything().await;
        let all = site.page("/branch/trunk").await;
        let shown = |page: &str, text: &str| page.matches(text).count();
        assert_eq!(shown(&all, "<span class=\"variant\">debug</span>"), 3);
        // the default is named where it is one of several, and nowhere else
        assert_eq!(shown(&all, "<span class=\"variant\">default</span>"), 3);
        assert!(
            all.contains("idna on trunk @") && all.contains(", debug: crashed (SIGABRT)"),
            "{all}"
        );
        assert!(all.contains("ten times as slow: four hours"));
        assert_eq!(shown(&all, "href=\"?variant&#x3D;debug\""), 1);

        let debug = site.page("/branch/trunk?variant=debug").await;
        assert_eq!(shown(&debug, "class=\"subject\""), 3);
        assert!(!debug.contains("class=\"variant\">default"));
        assert!(debug.contains("href=\"?variant&#x3D;debug\" aria-current=\"true\"") && debug.contains("href=\"?\""));
        let none = site.page("/branch/3.14?variant=debug").await;
        assert!(none.contains("No revision here is built as debug"), "{none}");
        // what can't be a name is as if nothing were asked
        let odd = site.page("/branch/trunk?variant=%22%3E%3Cb%3E").await;
        assert_eq!(shown(&odd, "class=\"subject\""), shown(&all, "class=\"subject\""));
        assert_eq!(shown(&site.page("/branch/3.14").await, "class=\"variants\""), 0);
        let project = site.page("/project/idna?variant=debug").await;
        assert!(project.contains("crashed (SIGABRT)") && shown(&project, "class=\"subject\"") == 4);

        // why a line does not have it
        let old = site.page("/branch/2.5").await;
        assert!(
            old.contains("the build profile &quot;2.5&quot; has no variant &quot;debug&quot;"),
            "{old}"
        );

        let cells: serde_json::Value = site.get("/api/results?variant=debug").await.json().await.unwrap();
        let cells = cells.as_array().unwrap();
        assert!(cells.iter().all(|cell| cell["variant"] == "debug"));
        let of = |revision: &str, project: &str| {
            let wanted = |cell: &&serde_json::Value| cell["revision"] == revision && cell["project"] == project;
            cells.iter().find(wanted).unwrap().clone()
        };
        let skipped = of(&sha(104), "django");
        assert_eq!(
            (&skipped["state"], &skipped["reason"]),
            (&"skipped".into(), &"ten times as slow: four hours".into())
        );

        let run = of(&sha(104), "idna")["run"].as_str().unwrap().to_owned();
        let page = site.page(&format!("/run/{run}")).await;
        assert!(
            page.contains(&format!("idna on trunk @ {}, debug", &sha(104)[..10])),
            "{page}"
        );
        assert!(
            page.contains("<code>-X dev -W error</code>"),
            "how the suite ran: {page}"
        );
    }
}

#[tokio::test]
async fn hosts_are_shown_with_what_they_did() {
    for site in sites().await {
        assert!(site.page("/hosts").await.contains("No host is registered"));
        site.sample.everything().await;
        let store = &site.sample.store;
        // the sample's attempts name their hosts; now those are registered
        let run = store
            .results(None, 100, pybots::clock::now())
            .await
            .unwrap()
            .into_iter()
            .find_map(|cell| cell.run);
        let attempt = store.attempts_of(run.unwrap().as_str()).await.unwrap().remove(0);
        let now = pybots::clock::now();
        store
            .insert_host(&attempt.host, "lab", "owner@example.org", true, now)
            .await
            .unwrap();
        let page = site.page("/hosts").await;
        assert!(
            page.contains("href=\"/host/lab\"") && page.contains("no token"),
            "{page}"
        );
        store.set_host_token(&attempt.host, Some("d"), now).await.unwrap();
        assert!(site.page("/hosts").await.contains("never seen"));
        let row = async || store.host("lab").await.unwrap().unwrap();
        store.saw_host(&row().await, None, now - 10 * 60_000).await.unwrap();
        assert!(site.page("/hosts").await.contains("silent"));
        store.saw_host(&row().await, None, now).await.unwrap();
        assert!(site.page("/hosts").await.contains("active"));

        let page = site.page("/host/lab").await;
        assert!(
            page.contains("Builds images.") && page.contains("href=\"/run/"),
            "{page}"
        );
        let history = store.host_history(&attempt.host, 1000).await.unwrap();
        assert_eq!(
            page.matches("<tr><th scope=\"row\">").count(),
            history.len().min(100),
            "{page}"
        );
        // an address is for maintainers
        for path in ["/hosts", "/host/lab"] {
            assert!(!site.page(path).await.contains("owner@example.org"));
        }
        assert_eq!(site.get("/host/nobody").await.status(), 404);
    }
}

#[tokio::test]
async fn a_shared_image_says_of_which_revision_it_is() {
    for site in sites().await {
        site.sample.everything().await;
        let earlier = &sha(100)[..10];
        let link = format!("image of <a href=\"/revision/{}\"><code>{earlier}</code></a>", sha(100));
        let page = site.page("/branch/trunk").await;
        let cell = format!(" image of</span><span class=\"word\">{earlier}</span>");
        assert_eq!(page.matches(&cell).count(), 2, "as default and as debug: {page}");
        let page = site.page(&format!("/revision/{}", sha(101))).await;
        assert_eq!(page.matches(&link).count(), 2, "{page}");

        let cells: serde_json::Value = site.get("/api/results?branch=trunk").await.json().await.unwrap();
        for cell in cells.as_array().unwrap() {
            let expected = match cell["revision"] == sha(101) {
                true => sha(100).into(),
                false => serde_json::Value::Null,
            };
            assert_eq!(cell["image_of"], expected, "{cell}");
            if cell["revision"] == sha(101) && cell["project"] == "attrs" {
                let page = site.page(&format!("/run/{}", cell["run"].as_str().unwrap())).await;
                assert!(page.contains(&link), "{page}");
            }
        }
        // the image's own page lists the rows that it stands for, and no other variant's
        let matrix = site.sample.store.revision_page(&sha(101)).await.unwrap().unwrap();
        for row in &matrix.rows {
            let page = site.page(&format!("/image/{}", row.image_id.as_ref().unwrap())).await;
            let stands = page.split("Revisions with this image").nth(1).unwrap();
            assert_eq!(stands.matches("<li>").count(), 2, "{stands}");
            assert_eq!(page.contains(", debug"), row.variant == "debug");
        }
    }
}

/// The queries themselves.
#[tokio::test]
async fn postgres_answers_as_sqlite_does() {
    let sites = sites().await;
    let mut answers = Vec::new();
    for sample in sites.iter().map(|site| &site.sample) {
        sample.everything().await;
        let mut results = sample.store.results(None, 50, pybots::clock::now()).await.unwrap();
        results.iter_mut().for_each(|cell| cell.run = None);
        let page = sample
            .store
            .matrix(&Scope::Branch("trunk".into()), 3, None)
            .await
            .unwrap();
        let next = sample
            .store
            .matrix(&Scope::Branch("trunk".into()), 3, page.older.as_ref())
            .await
            .unwrap();
        let all = sample.store.matrix(&Scope::All, 4, None).await.unwrap();
        let rest = sample.store.matrix(&Scope::All, 99, all.older.as_ref()).await.unwrap();
        let revision = sample.store.revision_page(&sha(100)).await.unwrap().unwrap();
        let image = revision.rows[0].image_id.clone().unwrap();
        let project = sample.store.project_page("attrs").await.unwrap().unwrap();
        let status = sample.store.status().await.unwrap();
        let shas: Vec<String> = [page, next, all, rest, revision, project.matrix]
            .iter()
            .flat_map(|matrix| matrix.rows.iter().map(|row| row.sha.clone()))
            .collect();
        let shared = sample.store.image_page(&image).await.unwrap().unwrap().rows.len();
        assert_eq!(shared, 2);
        let variants = sample.store.variants_at_tips(Some("2.5")).await.unwrap();
        assert_eq!(variants, ["default", "debug"]);
        assert_eq!(sample.store.variants_at_tips(None).await.unwrap(), variants);
        answers.push((results, shas, status.waiting, status.working, status.refused));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert!(
        answers[0]
            .0
            .iter()
            .any(|cell| cell.state == Cell::NoImage && cell.platform == PLATFORM)
    );
}

#[tokio::test]
async fn a_project_that_is_gone_keeps_its_results() {
    for site in sites().await {
        let sample = &site.sample;
        sample.branches(&["trunk"]).await;
        sample.projects(&["attrs", "zope.interface"]).await;
        let ids = sample.revisions("trunk", "3.16.0a0", 1, &["one"]).await;
        let image = sample.image(ids[0].as_str(), "key", Some(true)).await;
        sample
            .ended(ids[0].as_str(), &image, "zope.interface", &Outcome::Passed, b"")
            .await;
        sample.projects(&["attrs"]).await;
        assert!(site.page("/").await.contains("zope.interface is no longer registered"));
        let page = site.page("/project/zope.interface").await;
        assert!(page.contains("no longer registered") && page.contains("✓"));
    }
}

async fn open_investigation(store: &pybots::store::Store, revision: &str) -> InvestigationId {
    let found = store.revision(&revision.into()).await.unwrap().unwrap();
    let end = |seq| Position {
        revision: revision.into(),
        seq,
    };
    let new = NewInvestigation {
        series: Series {
            branch_id: found.branch_id.as_str().into(),
            project: "p".to_owned(),
            variant: "default".to_owned(),
            platform: PLATFORM.to_owned(),
        },
        recipe: store.projects().await.unwrap()[0].recipe.clone(),
        change: Change::Broke,
        base: end(found.seq - 1),
        now: end(found.seq),
        subjects: Vec::new(),
        base_lock: None,
        now_lock: None,
        signature: None,
        parent: None,
        manual: false,
    };
    let mut tx = store.begin().await.unwrap();
    let id = store
        .insert_investigation(&mut tx, &new, pybots::clock::now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    id
}

#[tokio::test]
async fn every_page_says_why_jobs_wait() {
    for site in sites().await {
        let (store, now) = (&site.sample.store, pybots::clock::now());
        let world = World::on(site.database.name, store).await;
        site.sample.projects(&["p"]).await;
        let built = world.revision("trunk", "aa", 1).await;
        let run = world.run("p", &built, 1).await;
        let wanted = world.revision("trunk", "bb", 2).await;
        world.build(&wanted).await;
        let investigation = open_investigation(store, &built.revision).await;
        let makes_rerun_for = async |investigation: Option<&str>| {
            sqlx::query("UPDATE job SET investigation_id = $1 WHERE run_id = $2")
                .bind(investigation)
                .bind(&run)
                .execute(store.pool())
                .await
                .unwrap()
        };
        let says = async |reason: &str| {
            let image = format!("/image/{}", wanted.image);
            for path in [
                "/",
                "/branch/trunk",
                "/project/p",
                "/revision/aa000000",
                "/revision/bb000000",
                &format!("/run/{run}"),
                &image,
                "/api/results",
            ] {
                let text = site.get(path).await.text().await.unwrap().replace("&#x60;", "`");
                assert!(text.contains(reason), "{path}: {text}");
            }
            makes_rerun_for(Some(investigation.as_str())).await;
            let incidents = site.page("/incidents").await.replace("&#x60;", "`");
            assert!(incidents.contains(reason), "{incidents}");
            makes_rerun_for(None).await;
            let waiting = store.waiting_of(&run).await.unwrap().unwrap();
            assert!(waiting.reason(now).to_string().contains(reason));
            for (waiting, jobs) in store.waiting_jobs().await.unwrap() {
                assert!(waiting.reason(now).to_string().contains(reason));
                assert_eq!(jobs, 1);
            }
        };
        says("no host is registered; `pybots host add` registers one").await;
        let (lab, _) = pybots::enrolment::add(store, "lab", "o@example.org", true, now)
            .await
            .unwrap();
        says("no host has called yet").await;
        store.saw_host(&lab, Some(3 * 3_600_000), now).await.unwrap();
        let mut capabilities = world.capabilities.clone();
        capabilities.branches = Some(["3.14".to_owned()].into());
        store.save_capabilities(&lab, &capabilities).await.unwrap();
        says("no host that is online has trunk among the branches that it accepts").await;
        capabilities.branches = None;
        capabilities.pause = Some("the engine's disk has 3 GiB free".into());
        store.save_capabilities(&lab, &capabilities).await.unwrap();
        says("lab fits, but takes no jobs: the engine").await;
        // an hour is not enough for a clock that is three hours off
        for page in ["/hosts", "/host/lab"] {
            let text = site.page(page).await.replace("&#x27;", "'");
            assert!(
                text.contains("clock") && text.contains("3 h 0 min ahead of the coordinator's"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn times_of_a_clock_that_was_off_are_corrected() {
    for site in sites().await {
        let (store, now) = (&site.sample.store, site.sample.now);
        let world = World::on(site.database.name, store).await;
        let built = world.revision("trunk", "aa", 1).await;
        world.run("p", &built, 1).await;
        let (lab, _) = pybots::enrolment::add(store, "lab", "o@example.org", true, now)
            .await
            .unwrap();
        let ahead = 3 * 3_600_000;
        store.saw_host(&lab, Some(ahead), now).await.unwrap();
        let taker = pybots::store::claims::Taker {
            host: &lab.id,
            builds: true,
            pulls: false,
            most: None,
            capabilities: &world.capabilities,
        };
        let claim = world.queue.claim(&taker, now).await.unwrap().unwrap();
        site.sample
            .write(claim.attempt.as_str(), pybots::logfile::Stream::Stdout, b"line\n")
            .await;
        let text = site
            .get(&format!("/api/logs/{}", claim.attempt))
            .await
            .text()
            .await
            .unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["at"], now.as_millis() - ahead);
        let run = store.attempt(&claim.attempt).await.unwrap().unwrap();
        assert_eq!(run.clock_offset_ms, Some(ahead));
    }
}
