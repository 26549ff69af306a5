//! The watcher against real git repositories, on every database that is there.

use crate::support::{Repository, TestDatabase, branch, databases, watched};
use pybots::config::{BranchSettings, SourceSettings};
use pybots::domain::time::Timestamp;
use pybots::store::Store;
use pybots::watch::{self, sources::Sources};
use std::path::Path;

struct Watch {
    folder: tempfile::TempDir,
    database: TestDatabase,
    repository: Repository,
    store: Store,
    sources: Sources,
    settings: Vec<BranchSettings>,
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
        let repository = Repository::new(&folder.path().join("cpython"));
        repository.write("Include/patchlevel.h", "#define PY_VERSION \"3.14.0a1+\"\n");
        let (store, sources) = open(&database.url, folder.path(), &settings).await;
        Self {
            folder,
            database,
            repository,
            store,
            sources,
            settings,
        }
    }

    /// As after a restart of the process.
    async fn restart(&mut self) {
        (self.store, self.sources) = open(&self.database.url, self.folder.path(), &self.settings).await;
    }

    async fn tick(&self) -> usize {
        watch::tick(&self.store, &self.sources, &self.settings, Timestamp::from_millis(1))
            .await
            .unwrap()
    }

    /// (sha, still on the branch) in the order of the rows.
    async fn rows(&self, branch: &str) -> Vec<(String, bool)> {
        let sql = "SELECT revision.sha, CASE WHEN left_at IS NULL THEN 1 ELSE 0 END FROM revision
                   JOIN branch ON branch.id = revision.branch_id WHERE branch.name = $1 ORDER BY seq";
        let rows: Vec<(String, i64)> = sqlx::query_as(sql)
            .bind(branch)
            .fetch_all(self.store.pool())
            .await
            .unwrap();
        rows.into_iter().map(|(sha, on)| (sha, on == 1)).collect()
    }

    async fn problem(&self, name: &str) -> Option<String> {
        let branches = self.store.watched_branches().await.unwrap();
        branches.into_iter().find(|branch| branch.name == name).unwrap().problem
    }
}

async fn open(url: &str, folder: &Path, settings: &[BranchSettings]) -> (Store, Sources) {
    let store = Store::open(url).await.unwrap();
    let source = SourceSettings {
        git: folder.join("cpython").display().to_string().into(),
        svn: "".into(),
    };
    store.set_branches(&watched(settings, &source)).await.unwrap();
    (store, Sources::open(folder, &source).await.unwrap())
}

fn on(shas: &[&String]) -> Vec<(String, bool)> {
    shas.iter().map(|sha| ((*sha).clone(), true)).collect()
}

#[tokio::test]
async fn first_sight_takes_the_newest_and_then_every_one() {
    for mut watch in Watch::on_each(vec![branch("trunk", "main", 2)]).await {
        let shas: Vec<String> = (0..4)
            .map(|i| watch.repository.commit(&format!("change {i}")))
            .collect();
        assert_eq!(watch.tick().await, 2);
        assert_eq!(watch.rows("trunk").await, on(&[&shas[2], &shas[3]]));
        assert_eq!(watch.tick().await, 0);

        let more: Vec<String> = (0..30).map(|i| watch.repository.commit(&format!("more {i}"))).collect();
        watch.restart().await;
        assert_eq!(watch.tick().await, 30);
        watch.restart().await;
        assert_eq!(watch.tick().await, 0);
        let all: Vec<&String> = shas[2..].iter().chain(&more).collect();
        assert_eq!(watch.rows("trunk").await, on(&all));

        let revision = watch.store.revision_by_sha(&more[29][..10]).await.unwrap().unwrap();
        assert_eq!(revision.subject, "more 29");
        assert_eq!(revision.author, "Test <test@example.org>");
        assert_eq!(revision.version.as_deref(), Some("3.14.0a1"));
        assert!(revision.committed_at > Timestamp::from_millis(1_700_000_000_000));
    }
}

#[tokio::test]
async fn a_force_push_loses_nothing_and_repeats_nothing() {
    for watch in Watch::on_each(vec![branch("trunk", "main", 9)]).await {
        let a = watch.repository.commit("a");
        let b = watch.repository.commit("b");
        let c = watch.repository.commit("c");
        assert_eq!(watch.tick().await, 3);
        // b and c are taken away, d comes
        watch.repository.git(&["reset", "--quiet", "--hard", &a]);
        let d = watch.repository.commit("d");
        assert_eq!(watch.tick().await, 1);
        let off = |sha: &String| (sha.clone(), false);
        let kept = |sha: &String| (sha.clone(), true);
        assert_eq!(watch.rows("trunk").await, vec![kept(&a), off(&b), off(&c), kept(&d)]);
        // and the old history comes back, with one more
        watch.repository.git(&["reset", "--quiet", "--hard", &c]);
        let e = watch.repository.commit("e");
        watch.tick().await;
        assert_eq!(
            watch.rows("trunk").await,
            vec![kept(&a), kept(&b), kept(&c), off(&d), kept(&e)]
        );
        // a branch that only went back
        watch.repository.git(&["reset", "--quiet", "--hard", &b]);
        assert_eq!(watch.tick().await, 0);
        assert_eq!(
            watch.rows("trunk").await,
            vec![kept(&a), kept(&b), off(&c), off(&d), off(&e)]
        );
    }
}

#[tokio::test]
async fn the_head_is_a_revision_wherever_a_branch_is_set() {
    for watch in Watch::on_each(vec![branch("trunk", "main", 2)]).await {
        let shas: Vec<String> = ["a", "b", "c", "d"]
            .iter()
            .map(|name| watch.repository.commit(name))
            .collect();
        let [a, b, c, d] = shas.as_slice() else { unreachable!() };
        let off = |sha: &String| (sha.clone(), false);
        let kept = |sha: &String| (sha.clone(), true);
        assert_eq!(watch.tick().await, 2);
        // back to revisions from before the first sight: they come before all others
        watch.repository.git(&["reset", "--quiet", "--hard", b]);
        assert_eq!(watch.tick().await, 2);
        assert_eq!(watch.rows("trunk").await, vec![kept(a), kept(b), off(c), off(d)]);
        assert_eq!(watch.tick().await, 0);
        // forward again: the order is that of history
        watch.repository.git(&["reset", "--quiet", "--hard", d]);
        watch.tick().await;
        assert_eq!(watch.rows("trunk").await, on(&[a, b, c, d]));
        // a line that was merged, then the branch set to its end, then to the merge again
        watch.repository.git(&["checkout", "--quiet", "-b", "side", c]);
        let s = watch.repository.commit("s");
        watch.repository.git(&["checkout", "--quiet", "main"]);
        watch
            .repository
            .git(&["merge", "--quiet", "--no-ff", "--no-edit", "side"]);
        let merge = watch.repository.git(&["rev-parse", "HEAD"]);
        assert_eq!(watch.tick().await, 1);
        watch.repository.git(&["reset", "--quiet", "--hard", &s]);
        assert_eq!(watch.tick().await, 1);
        let rows = vec![kept(a), kept(b), kept(c), off(d), off(&merge), kept(&s)];
        assert_eq!(watch.rows("trunk").await, rows);
        watch.repository.git(&["reset", "--quiet", "--hard", &merge]);
        watch.tick().await;
        let rows = vec![kept(a), kept(b), kept(c), kept(d), kept(&merge), off(&s)];
        assert_eq!(watch.rows("trunk").await, rows);
    }
}

#[tokio::test]
async fn a_branch_that_goes_forward_again_has_its_revisions_in_order() {
    for watch in Watch::on_each(vec![branch("trunk", "main", 1)]).await {
        let shas: Vec<String> = ["a", "b", "c", "d"]
            .iter()
            .map(|name| watch.repository.commit(name))
            .collect();
        let [a, b, c, d] = shas.as_slice() else { unreachable!() };
        assert_eq!(watch.tick().await, 1);
        watch.repository.git(&["reset", "--quiet", "--hard", a]);
        assert_eq!(watch.tick().await, 1);
        watch.repository.git(&["reset", "--quiet", "--hard", d]);
        let e = watch.repository.commit("e");
        watch.tick().await;
        assert_eq!(watch.rows("trunk").await, on(&[a, b, c, d, &e]));
    }
}

#[tokio::test]
async fn what_a_commit_says_is_a_line_of_bounded_length() {
    for watch in Watch::on_each(vec![branch("trunk", "main", 9)]).await {
        // as a file, for it is longer than a command may be
        let path = watch.folder.path().join("message");
        let long = format!("\u{1b}[2J{}", "long ".repeat(400_000));
        std::fs::write(&path, long).unwrap();
        let message = path.display().to_string();
        watch
            .repository
            .git(&["commit", "--quiet", "--allow-empty", "--file", &message]);
        watch
            .repository
            .git(&["commit", "--quiet", "--allow-empty", "--allow-empty-message", "-m", ""]);
        assert_eq!(watch.tick().await, 2);
        let sql = "SELECT subject FROM revision ORDER BY seq";
        let subjects: Vec<String> = sqlx::query_scalar(sql).fetch_all(watch.store.pool()).await.unwrap();
        assert!(subjects[0].starts_with("?[2Jlong long"), "{}", &subjects[0][..40]);
        assert_eq!(
            (subjects[0].chars().count(), subjects[1].as_str()),
            (500, "(no subject)")
        );
    }
}

#[tokio::test]
async fn a_repository_that_is_away_is_told_and_caught_up_with() {
    for watch in Watch::on_each(vec![branch("trunk", "main", 1)]).await {
        watch.repository.commit("a");
        watch.tick().await;
        let away = watch.folder.path().join("elsewhere");
        std::fs::rename(&watch.repository.path, &away).unwrap();
        assert_eq!(watch.tick().await, 0);
        let problem = watch.problem("trunk").await.unwrap();
        assert!(problem.contains("can't be reached: fatal: "), "{problem}");
        std::fs::rename(&away, &watch.repository.path).unwrap();
        watch.repository.commit("b");
        watch.repository.commit("c");
        assert_eq!(watch.tick().await, 2);
        assert_eq!(watch.problem("trunk").await, None);
        assert_eq!(watch.rows("trunk").await.len(), 3);
    }
}

#[tokio::test]
async fn a_lost_mirror_is_made_anew() {
    for mut watch in Watch::on_each(vec![branch("trunk", "main", 1)]).await {
        let a = watch.repository.commit("a");
        watch.tick().await;
        std::fs::remove_dir_all(watch.folder.path().join("mirror.git")).unwrap();
        let b = watch.repository.commit("b");
        watch.restart().await;
        watch.tick().await;
        assert_eq!(watch.rows("trunk").await, on(&[&a, &b]));
    }
}

#[tokio::test]
async fn tags_merges_and_missing_branches() {
    for watch in Watch::on_each(vec![
        branch("trunk", "main", 9),
        branch("2.5", "2.5", 1),
        branch("9.9", "nosuch", 1),
    ])
    .await
    {
        let a = watch.repository.commit("a");
        watch.repository.git(&["tag", "-a", "2.5", "-m", "the end of 2.5"]);
        watch.repository.git(&["checkout", "--quiet", "-b", "side"]);
        watch.repository.commit("side 1");
        watch.repository.commit("side 2");
        watch.repository.git(&["checkout", "--quiet", "main"]);
        let b = watch.repository.commit("b");
        watch
            .repository
            .git(&["merge", "--quiet", "--no-ff", "-m", "merge side", "side"]);
        let merge = watch.repository.git(&["rev-parse", "HEAD"]);
        watch.tick().await;
        // a merge is one revision of the line
        assert_eq!(watch.rows("trunk").await, on(&[&a, &b, &merge]));
        assert_eq!(watch.rows("2.5").await, on(&[&a]));
        assert_eq!(watch.problem("2.5").await, None);
        let problem = watch.problem("9.9").await.unwrap();
        assert!(
            problem.contains("\"nosuch\"") && problem.contains("correct `ref`"),
            "{problem}"
        );
        // the tag has not moved: nothing to do
        assert_eq!(watch.tick().await, 0);
    }
}

#[tokio::test]
async fn two_watchers_add_each_revision_once() {
    for watch in Watch::on_each(vec![branch("trunk", "main", 50)]).await {
        for i in 0..20 {
            watch.repository.commit(&format!("change {i}"));
        }
        let (left, right) = tokio::join!(watch.tick(), watch.tick());
        assert_eq!(left + right, 20);
        assert_eq!(watch.rows("trunk").await.len(), 20);
    }
}

#[tokio::test]
async fn another_history_begins_again() {
    for mut watch in Watch::on_each(vec![branch("trunk", "main", 2)]).await {
        let old: Vec<String> = (0..3).map(|i| watch.repository.commit(&format!("old {i}"))).collect();
        watch.tick().await;
        watch.repository.git(&["checkout", "--quiet", "--orphan", "fresh"]);
        let fresh: Vec<String> = (0..9).map(|i| watch.repository.commit(&format!("fresh {i}"))).collect();
        // the branch is taken over by a history that has nothing to do with it
        watch.repository.git(&["branch", "--force", "main", "fresh"]);
        assert_eq!(watch.tick().await, 2);
        let rows = vec![
            (old[1].clone(), false),
            (old[2].clone(), false),
            (fresh[7].clone(), true),
            (fresh[8].clone(), true),
        ];
        assert_eq!(watch.rows("trunk").await, rows);
        // and so does another ref, named in the settings
        watch.repository.git(&["checkout", "--quiet", "--orphan", "third"]);
        let third: Vec<String> = (0..9).map(|i| watch.repository.commit(&format!("third {i}"))).collect();
        watch.settings = vec![branch("trunk", "third", 1)];
        watch.restart().await;
        assert_eq!(watch.tick().await, 1);
        assert_eq!(watch.rows("trunk").await.last(), Some(&(third[8].clone(), true)));
    }
}
