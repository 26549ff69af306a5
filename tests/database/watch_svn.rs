//! The watcher against a real Subversion repository, served on loopback, on every database that is there.

use crate::support::svn::{self, Subversion};
use crate::support::{Repository, TestDatabase, branch, databases, watched};
use futures_util::StreamExt;
use pybots::config::{BranchSettings, SourceKind, SourceSettings};
use pybots::domain::time::Timestamp;
use pybots::store::Store;
use pybots::watch::{self, sources::Sources};
use std::io::Read;
use std::path::Path;

struct Watch {
    folder: tempfile::TempDir,
    database: TestDatabase,
    server: Subversion,
    store: Store,
    sources: Sources,
    source: SourceSettings,
    settings: Vec<BranchSettings>,
}

/// Data of a coordinator, as after its start.
async fn open(url: &str, data: &Path, settings: &[BranchSettings], source: &SourceSettings) -> (Store, Sources) {
    let store = Store::open(url).await.unwrap();
    store.set_branches(&watched(settings, source)).await.unwrap();
    (store, Sources::open(data, source).await.unwrap())
}

impl Watch {
    /// One on each database that is there.
    async fn on_each(settings: Vec<BranchSettings>) -> Vec<Self> {
        let mut all = Vec::new();
        for database in databases().await {
            all.push(Self::new(settings.clone(), database).await);
        }
        all
    }

    async fn new(settings: Vec<BranchSettings>, database: TestDatabase) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Subversion::new(folder.path());
        server.write("trunk/Include/patchlevel.h", "#define PY_VERSION \"2.5c1\"\n");
        let source = SourceSettings {
            git: "".into(),
            svn: server.url().into(),
        };
        let (store, sources) = open(&database.url, folder.path(), &settings, &source).await;
        Self {
            folder,
            database,
            server,
            store,
            sources,
            source,
            settings,
        }
    }

    async fn restart(&mut self) {
        (self.store, self.sources) = open(&self.database.url, self.folder.path(), &self.settings, &self.source).await;
    }

    async fn tick(&self) -> usize {
        watch::tick(&self.store, &self.sources, &self.settings, Timestamp::from_millis(1))
            .await
            .unwrap()
    }

    /// Writes and commits something on a branch.
    fn change(&self, path: &str, n: u64) -> u64 {
        self.server.write(&format!("{path}/changing.txt"), &format!("{n}\n"));
        self.server.commit(&format!("change {n}"))
    }

    /// (label, still on the branch) in the order of the rows.
    async fn rows(&self, branch: &str) -> Vec<(String, bool)> {
        let rows = self.all(branch).await;
        rows.into_iter().map(|(label, _, on)| (label, on)).collect()
    }

    async fn shas(&self, branch: &str) -> Vec<String> {
        self.all(branch).await.into_iter().map(|(_, sha, _)| sha).collect()
    }

    async fn all(&self, branch: &str) -> Vec<(String, String, bool)> {
        let sql = "SELECT COALESCE(revision.label, ''), revision.sha, CASE WHEN left_at IS NULL THEN 1 ELSE 0 END
                   FROM revision JOIN branch ON branch.id = revision.branch_id WHERE branch.name = $1 ORDER BY seq";
        let query = sqlx::query_as(sql).bind(branch);
        let rows: Vec<(String, String, i64)> = query.fetch_all(self.store.pool()).await.unwrap();
        rows.into_iter().map(|(label, sha, on)| (label, sha, on == 1)).collect()
    }

    async fn problem(&self, name: &str) -> Option<String> {
        let branches = self.store.watched_branches().await.unwrap();
        branches.into_iter().find(|branch| branch.name == name).unwrap().problem
    }

    /// What a build would get: (path, mode, text or target of a link).
    async fn files(&self, sha: &str) -> Vec<(String, u32, String)> {
        let mut tar = Vec::new();
        let mut stream = Box::pin(self.sources.mirror.archive(sha, &Default::default()).unwrap());
        while let Some(chunk) = stream.next().await {
            tar.extend_from_slice(&chunk.unwrap());
        }
        let mut files = Vec::new();
        for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.header().entry_type().is_dir() || entry.header().entry_type().is_pax_global_extensions() {
                continue;
            }
            let path = entry.path().unwrap().display().to_string();
            let mut text = entry
                .link_name()
                .unwrap()
                .map_or_else(String::new, |link| link.display().to_string());
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            text += &String::from_utf8_lossy(&bytes);
            files.push((path, entry.header().mode().unwrap() & 0o111, text));
        }
        files.sort();
        files
    }

    async fn text(&self, sha: &str, path: &str) -> String {
        let files = self.files(sha).await;
        let found = files.iter().find(|(name, ..)| name == &format!("src/{path}"));
        found
            .unwrap_or_else(|| panic!("{path} is not among {files:?}"))
            .2
            .clone()
    }
}

fn on(numbers: &[u64]) -> Vec<(String, bool)> {
    numbers.iter().map(|number| (format!("r{number}"), true)).collect()
}

#[tokio::test]
async fn first_sight_takes_the_newest_and_then_every_one() {
    if !svn::is_there() {
        return;
    }
    for mut watch in Watch::on_each(vec![branch("trunk", "trunk", 2)]).await {
        let numbers: Vec<u64> = (0..4).map(|n| watch.change("trunk", n)).collect();
        assert_eq!(watch.tick().await, 2);
        assert_eq!(watch.rows("trunk").await, on(&numbers[2..]));
        assert_eq!(watch.tick().await, 0);

        // more than one portion, in which others take place that are none of this branch's
        let more: Vec<u64> = (0..60)
            .map(|n| {
                if n % 10 == 0 {
                    watch.change("branches", n);
                }
                watch.change("trunk", 100 + n)
            })
            .collect();
        watch.restart().await;
        assert_eq!(watch.tick().await, 60);
        watch.restart().await;
        assert_eq!(watch.tick().await, 0);
        let all: Vec<u64> = numbers[2..].iter().chain(&more).copied().collect();
        assert_eq!(watch.rows("trunk").await, on(&all));

        let label = format!("r{}", more[59]);
        let revision = watch.store.revision_by_sha(&label).await.unwrap().unwrap();
        assert_eq!(
            (revision.name(), revision.subject.as_str()),
            (label.as_str(), "change 159")
        );
        assert_eq!(revision.author, "guido");
        assert_eq!(revision.version.as_deref(), Some("2.5c1"));
        assert!(revision.committed_at > Timestamp::from_millis(1_700_000_000_000));
        assert_eq!(watch.text(&revision.sha, "changing.txt").await, "159\n");
        assert!(watch.store.revision_by_sha("r1").await.unwrap().is_none());
        // each row names the one before
        let parents: Vec<Option<String>> = sqlx::query_scalar("SELECT parent FROM revision ORDER BY seq")
            .fetch_all(watch.store.pool())
            .await
            .unwrap();
        let shas = watch.shas("trunk").await;
        let before: Vec<Option<String>> = std::iter::once(None).chain(shas.into_iter().map(Some)).collect();
        assert_eq!(parents, before[..parents.len()]);
    }
}

#[tokio::test]
async fn files_are_stored_as_a_checkout_has_them() {
    if !svn::is_there() {
        return;
    }
    let watch = Watch::on_each(vec![branch("trunk", "trunk", 1)]).await.remove(0);
    let server = &watch.server;
    server.write("trunk/Python/sysmodule.c", "\"$Revision$\" \"$HeadURL$\" \"$Date$\"\n");
    server.write("trunk/configure", "#!/bin/sh\r\n");
    server.write("trunk/native.txt", "one\r\ntwo\r\n");
    server.write("trunk/crlf.bat", "one\r\ntwo\r\n");
    server.write("trunk/Lib/tést @2 ü.py", "# ü\n");
    server.write(
        "trunk/.gitattributes",
        "* text=auto eol=lf ident\n*.bat eol=lf working-tree-encoding=UTF-16\n",
    );
    server.write("trunk/.gitignore", "*.o\n");
    server.write("trunk/kept.o", "$Id$\n");
    std::fs::create_dir(server.copy.join("trunk/empty")).unwrap();
    std::os::unix::fs::symlink("configure", server.copy.join("trunk/link")).unwrap();
    server.commit("Файлы\n\nand more");
    server.svn(&[
        "propset",
        "--quiet",
        "svn:keywords",
        "Revision HeadURL Date",
        "trunk/Python/sysmodule.c",
    ]);
    server.svn(&["propset", "--quiet", "svn:executable", "*", "trunk/configure"]);
    server.svn(&["propset", "--quiet", "svn:eol-style", "native", "trunk/native.txt"]);
    // an external that nobody can reach, and that nobody is to try
    server.svn(&[
        "propset",
        "--quiet",
        "svn:externals",
        "ext svn://127.0.0.1:1/none",
        "trunk",
    ]);
    let number = server.commit("Свойства: łąčé\r\n");
    assert_eq!(watch.tick().await, 1);
    assert_eq!(watch.problem("trunk").await, None);
    let revision = watch
        .store
        .revision_by_sha(&format!("r{number}"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(revision.subject, "Свойства: łąčé");
    let text = |path| watch.text(&revision.sha, path);
    let keywords = text("Python/sysmodule.c").await;
    let url = format!(
        "\"$Revision: {number} $\" \"$HeadURL: {}/trunk/Python/sysmodule.c $\" \"$Date: ",
        server.url()
    );
    assert!(
        keywords.starts_with(&url) && keywords.contains(" +0000 ("),
        "{keywords}"
    );
    assert_eq!(text("native.txt").await, "one\ntwo\n");
    assert_eq!(text("Lib/tést @2 ü.py").await, "# ü\n");
    let files = watch.files(&revision.sha).await;
    let of = |path: &str| files.iter().find(|(name, ..)| name == path).unwrap();
    assert_eq!(of("src/configure").1, 0o111);
    assert_eq!(of("src/native.txt").1, 0);
    assert_eq!(of("src/link").2, "configure");
    assert!(
        files
            .iter()
            .all(|(name, ..)| !name.contains(".svn") && !name.contains("ext/"))
    );
    // what git stores knows nothing of `.gitattributes`, though its archive does
    let git = |path: &str| {
        let mut command = std::process::Command::new("git");
        command.arg("--git-dir").arg(watch.folder.path().join("mirror.git"));
        let output = command
            .args(["show", &format!("{}:{path}", revision.sha)])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(git("crlf.bat"), "one\r\ntwo\r\n");
    assert_eq!(git("kept.o"), "$Id$\n");
    assert_eq!(git("configure"), "#!/bin/sh\r\n");

    // what changes after that: a property alone, a deletion, a file that becomes a folder
    std::fs::remove_file(server.copy.join("trunk/native.txt")).unwrap();
    server.svn(&["delete", "--quiet", "trunk/crlf.bat"]);
    server.svn(&["propdel", "--quiet", "svn:executable", "trunk/configure"]);
    server.commit("less");
    server.write("trunk/crlf.bat/inside", "x");
    let number = server.commit("and more");
    assert_eq!(watch.tick().await, 2);
    let sha = &watch.shas("trunk").await[2];
    assert_eq!(watch.rows("trunk").await[2].0, format!("r{number}"));
    let files = watch.files(sha).await;
    assert!(
        files
            .iter()
            .all(|(name, ..)| name != "src/native.txt" && name != "src/crlf.bat")
    );
    assert!(files.iter().any(|(name, ..)| name == "src/crlf.bat/inside"));
    assert!(
        files
            .iter()
            .any(|(name, mode, _)| name == "src/configure" && *mode == 0)
    );
}

#[tokio::test]
async fn a_branch_begins_where_it_was_copied() {
    if !svn::is_there() {
        return;
    }
    for mut watch in Watch::on_each(vec![
        branch("trunk", "trunk", 9),
        branch("2.5", "branches/release25-maint", 9),
    ])
    .await
    {
        let one = watch.change("trunk", 1);
        assert_eq!(watch.tick().await, 2);
        let problem = watch.problem("2.5").await.unwrap();
        assert!(
            problem.contains("\"branches/release25-maint\"") && problem.contains("correct `ref`"),
            "{problem}"
        );
        assert_eq!(watch.problem("trunk").await, None);

        let copied = watch.server.branch("trunk", "branches/release25-maint", "branch");
        assert_eq!(watch.tick().await, 1);
        assert_eq!(watch.problem("2.5").await, None);
        let fixed = watch.change("branches/release25-maint", 2);
        watch.server.write("trunk/both", "x");
        watch.server.write("branches/release25-maint/both", "x");
        let both = watch.server.commit("on two branches");
        let two = watch.change("trunk", 3);
        assert_eq!(watch.tick().await, 4);
        assert_eq!(watch.rows("2.5").await, on(&[copied, fixed, both]));
        assert_eq!(watch.rows("trunk").await, on(&[1, one, both, two]));
        // a revision of two branches is found by its label on each
        let page = watch.store.revision_page(&format!("r{both}")).await.unwrap().unwrap();
        let branches: Vec<&str> = page.rows.iter().map(|row| row.branch.as_str()).collect();
        assert_eq!(branches, ["trunk", "2.5"]);
        assert_ne!(page.rows[0].sha, page.rows[1].sha);
        assert!(page.rows.iter().all(|row| row.name() == format!("r{both}")));

        // the folder is replaced by an older one of its own: its history goes on
        let url = format!("{}/trunk", watch.server.url());
        watch.server.svn(&["delete", "--quiet", "--message", "away", &url]);
        assert_eq!(watch.tick().await, 0);
        assert!(watch.problem("trunk").await.is_some());
        let back = watch.server.branch(&format!("trunk@{one}"), "trunk", "back");
        assert_eq!(watch.tick().await, 1);
        assert_eq!(watch.rows("trunk").await, on(&[1, one, both, two, back]));
        assert_eq!(watch.text(&watch.shas("trunk").await[4], "changing.txt").await, "1\n");

        // another path by the same name begins anew, and the first one is known when it comes back
        watch.settings = vec![branch("trunk", "branches/release25-maint", 1)];
        watch.restart().await;
        assert_eq!(watch.tick().await, 1);
        let rows = watch.rows("trunk").await;
        assert_eq!(
            rows.iter().filter(|(_, on)| *on).collect::<Vec<_>>(),
            [&(format!("r{both}"), true)]
        );
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_told_and_caught_up_with() {
    if !svn::is_there() {
        return;
    }
    for mut watch in Watch::on_each(vec![branch("trunk", "trunk", 1), branch("b", "branches", 1)]).await {
        let a = watch.change("trunk", 1);
        watch.tick().await;
        let b = watch.change("trunk", 2);
        let c = watch.change("trunk", 3);
        watch.server.stop();
        assert_eq!(watch.tick().await, 0);
        for name in ["trunk", "b"] {
            let problem = watch.problem(name).await.unwrap();
            assert!(
                problem.contains("can't be reached") && problem.contains("Connection refused"),
                "{problem}"
            );
        }
        watch.restart().await;
        assert_eq!(watch.tick().await, 0);
        watch.server.start();
        assert_eq!(watch.tick().await, 2);
        assert_eq!(watch.problem("trunk").await, None);
        assert_eq!(watch.rows("trunk").await, on(&[a, b, c]));
    }
}

#[tokio::test]
async fn ids_do_not_depend_on_when_one_began_to_look() {
    if !svn::is_there() {
        return;
    }
    for watch in Watch::on_each(vec![branch("trunk", "trunk", 9)]).await {
        watch.server.write("trunk/a.c", "$Revision$ $HeadURL$\n");
        watch.server.commit("a");
        watch
            .server
            .svn(&["propset", "--quiet", "svn:keywords", "Revision HeadURL", "trunk/a.c"]);
        watch.server.commit("b");
        watch.tick().await;
        // a property that changes nothing but the revision of the file
        watch
            .server
            .svn(&["propset", "--quiet", "svn:mime-type", "text/x-c", "trunk/a.c"]);
        watch.server.commit("c");
        watch.change("trunk", 4);
        watch.tick().await;
        let known = watch.shas("trunk").await;
        assert!(
            watch
                .text(&known[known.len() - 1], "a.c")
                .await
                .starts_with("$Revision: 4 $")
        );

        let other = tempfile::tempdir().unwrap();
        let settings = vec![branch("main", "trunk", 1)];
        let mut databases = databases().await.into_iter();
        let database = databases.find(|database| database.name == watch.database.name).unwrap();
        let (store, sources) = open(&database.url, other.path(), &settings, &watch.source).await;
        assert_eq!(
            watch::tick(&store, &sources, &settings, Timestamp::from_millis(1))
                .await
                .unwrap(),
            1
        );
        let newest = store.revision_by_sha(&known[known.len() - 1]).await.unwrap().unwrap();
        assert_eq!(newest.branch, "main");
        // one in the middle, as for a trial
        let found = sources.fetch_number(&settings[0], 4).await.unwrap();
        assert_eq!(found.as_ref(), Some(&known[known.len() - 2]));
        assert_eq!(sources.fetch_number(&settings[0], 999).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_is_lost_is_made_anew() {
    if !svn::is_there() {
        return;
    }
    for mut watch in Watch::on_each(vec![branch("trunk", "trunk", 3)]).await {
        let mut numbers: Vec<u64> = (0..3).map(|n| watch.change("trunk", n)).collect();
        watch.tick().await;
        let data = watch.folder.path().to_owned();
        let copy = || {
            let folders = std::fs::read_dir(data.join("svn"))
                .unwrap()
                .map(|entry| entry.unwrap().path());
            folders.into_iter().find(|path| path.join(".svn").exists()).unwrap()
        };
        let step = async |watch: &mut Watch, numbers: &mut Vec<u64>| {
            numbers.push(watch.change("trunk", 100 + numbers.len() as u64));
            watch.restart().await;
            assert_eq!(watch.tick().await, 1, "{:?}", watch.problem("trunk").await);
            assert_eq!(watch.rows("trunk").await, on(numbers));
            for (sha, n) in watch.shas("trunk").await.iter().zip(numbers.iter()).skip(3) {
                let revision = watch.store.revision_by_sha(sha).await.unwrap().unwrap();
                assert_eq!(revision.label, Some(format!("r{n}")));
                let files = watch.files(sha).await;
                assert_eq!(files.len(), 2, "{files:?}");
            }
        };
        // the mirror: revisions of rows are in it again
        let before = watch.shas("trunk").await;
        std::fs::remove_dir_all(data.join("mirror.git")).unwrap();
        step(&mut watch, &mut numbers).await;
        for sha in &before {
            assert!(watch.sources.mirror.holds(sha).await);
        }
        // all working copies; a part of one; one that somebody changed; one whose update was cut short
        std::fs::remove_dir_all(data.join("svn")).unwrap();
        step(&mut watch, &mut numbers).await;
        std::fs::remove_dir_all(copy().join("Include")).unwrap();
        step(&mut watch, &mut numbers).await;
        std::fs::write(copy().join("Include/patchlevel.h"), "wrong").unwrap();
        std::fs::write(copy().join("extra.o"), "wrong").unwrap();
        step(&mut watch, &mut numbers).await;
        std::fs::write(copy().join(".svn/wc.db"), "torn").unwrap();
        step(&mut watch, &mut numbers).await;
        let index = copy().with_extension("index");
        std::fs::write(index.with_extension("index.lock"), "").unwrap();
        step(&mut watch, &mut numbers).await;
        std::fs::write(&index, "torn").unwrap();
        step(&mut watch, &mut numbers).await;
        assert_eq!(watch.tick().await, 0);
    }
}

#[tokio::test]
async fn another_repository_begins_again() {
    if !svn::is_there() {
        return;
    }
    for mut watch in Watch::on_each(vec![branch("trunk", "trunk", 2)]).await {
        let old: Vec<u64> = (0..3).map(|n| watch.change("trunk", n)).collect();
        watch.tick().await;
        watch.server.stop();
        // the same repository at another address: nothing is new, and what comes is taken
        watch.source.svn = watch.server.root.join("python").display().to_string().into();
        watch.restart().await;
        assert_eq!(watch.tick().await, 0);
        assert_eq!(watch.problem("trunk").await, None);
        assert_eq!(watch.rows("trunk").await, on(&old[1..]));
        let head = watch.store.watched_branches().await.unwrap()[0].head.clone();
        assert_eq!(head, watch.shas("trunk").await.last().cloned());

        // another one in its place
        std::fs::rename(watch.server.root.join("python"), watch.server.root.join("away")).unwrap();
        watch.server.create();
        watch.source.svn = watch.server.url().into();
        watch.server.start();
        watch.server.check_out();
        let fresh: Vec<u64> = (0..9).map(|n| watch.change("trunk", n)).collect();
        watch.restart().await;
        assert_eq!(watch.tick().await, 2);
        let off = |number: &u64| (format!("r{number}"), false);
        let mut rows: Vec<(String, bool)> = old[1..].iter().map(off).collect();
        rows.extend(on(&fresh[7..]));
        assert_eq!(watch.rows("trunk").await, rows);
    }
}

#[tokio::test]
async fn an_older_copy_of_the_repository_is_told() {
    if !svn::is_there() {
        return;
    }
    for watch in Watch::on_each(vec![branch("trunk", "trunk", 1)]).await {
        watch.change("trunk", 1);
        let (repository, older) = (watch.server.root.join("python"), watch.server.root.join("older"));
        crate::support::copy_folder(&repository, &older);
        let seen = watch.change("trunk", 2);
        assert_eq!(watch.tick().await, 1);
        std::fs::rename(&repository, watch.server.root.join("newer")).unwrap();
        std::fs::rename(&older, &repository).unwrap();
        assert_eq!(watch.tick().await, 0);
        let problem = watch.problem("trunk").await.unwrap();
        assert!(problem.contains("ends at r2, but r3 was imported"), "{problem}");
        assert_eq!(watch.rows("trunk").await, on(&[seen]));
    }
}

#[tokio::test]
async fn two_watchers_add_each_revision_once() {
    if !svn::is_there() {
        return;
    }
    for watch in Watch::on_each(vec![branch("trunk", "trunk", 50)]).await {
        for n in 0..12 {
            watch.change("trunk", n);
        }
        let (left, right) = tokio::join!(watch.tick(), watch.tick());
        assert_eq!(left + right, 13);
        assert_eq!(watch.rows("trunk").await.len(), 13);
        for n in 20..26 {
            watch.change("trunk", n);
        }
        let (left, right) = tokio::join!(watch.tick(), watch.tick());
        assert_eq!(left + right, 6);
        assert_eq!(watch.rows("trunk").await.len(), 19);
    }
}

#[tokio::test]
async fn git_and_subversion_side_by_side() {
    if !svn::is_there() {
        return;
    }
    let in_git = BranchSettings {
        source: Some(SourceKind::Git),
        ..branch("main", "main", 1)
    };
    let in_svn = BranchSettings {
        source: Some(SourceKind::Svn),
        ..branch("old @", "a@b/c d", 1)
    };
    for mut watch in Watch::on_each(vec![in_svn, in_git]).await {
        let repository = Repository::new(&watch.folder.path().join("cpython"));
        repository.write("Include/patchlevel.h", "#define PY_VERSION \"3.14.0\"\n");
        let sha = repository.commit("in git");
        watch
            .server
            .write("a@b/c d/Include/patchlevel.h", "#define PY_VERSION \"2.4\"\n");
        let number = watch.server.commit("in Subversion");
        watch.source.git = repository.path.display().to_string().into();
        watch.restart().await;
        assert_eq!(watch.tick().await, 2);
        assert_eq!(watch.rows("old @").await, on(&[number]));
        assert_eq!(watch.shas("main").await, std::slice::from_ref(&sha));
        assert_eq!(watch.rows("main").await, [(String::new(), true)]);
        let revision = watch.store.revision_by_sha(&sha).await.unwrap().unwrap();
        assert_eq!((revision.label.as_deref(), revision.name()), (None, sha.as_str()));
        // one that is away does not hold the other up
        watch.server.stop();
        let second = repository.commit("more");
        assert_eq!(watch.tick().await, 1);
        assert_eq!(watch.shas("main").await, [sha, second]);
        assert!(watch.problem("old @").await.is_some());
        assert_eq!(watch.problem("main").await, None);
    }
}
