//! Recipes in a git repository: each commit is picked up as a whole, and what goes wrong leaves the commit before it in force.

use crate::support::sim::Sim;
use crate::support::sim::front_door::until;
use crate::support::{Repository, git_server};
use std::path::{Path, PathBuf};
use std::process::Command;

fn recipe(name: &str) -> String {
    format!("name = \"{name}\"\nsource = {{ pypi = \"{name}\" }}\n[[suite]]\nname = \"s\"\nrun = \"true\"\n")
}

async fn with_recipes(url: &str, folder: &str) -> Sim {
    Sim::with(&[], 1, |settings| {
        settings.projects = PathBuf::new();
        settings.recipes.git = url.into();
        settings.recipes.folder = folder.to_owned();
    })
    .await
}

async fn names(sim: &Sim) -> Vec<String> {
    let projects = sim.coordinator().store.projects().await.unwrap();
    projects.into_iter().map(|project| project.name).collect()
}

async fn refused(sim: &Sim) -> Vec<(String, String)> {
    sim.coordinator().store.refused_recipes().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_picked_up_and_errors_are_reported_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let recipes = Repository::new(&folder.path().join("recipes.git"));
    recipes.write("projects/alpha.toml", &recipe("alpha"));
    recipes.write("elsewhere/other.toml", &recipe("other"));
    recipes.commit("alpha");
    let url = git_server::smart_http(folder.path());
    let mut sim = with_recipes(&format!("{url}/recipes.git"), "projects").await;
    sim.commit("start", "");
    sim.run().await;
    until("the first recipe", async || names(&sim).await == ["alpha"]).await;
    sim.decided(1).await;
    assert_eq!(refused(&sim).await, []);

    // a good file, a bad one, a link, and a source folder
    recipes.write(
        "projects/beta/beta.toml",
        &recipe("beta").replace("pypi = \"beta\"", "path = \"src\""),
    );
    recipes.write("projects/beta/src/pyproject.toml", "[project]\nname = \"beta\"\n");
    recipes.write("projects/gamma.toml", "name = \"gamma\"\nsource = 3\n");
    std::fs::write(folder.path().join("secret.toml"), recipe("secret")).unwrap();
    std::os::unix::fs::symlink(
        folder.path().join("secret.toml"),
        recipes.path.join("projects/secret.toml"),
    )
    .unwrap();
    std::os::unix::fs::symlink("/etc", recipes.path.join("projects/etc")).unwrap();
    recipes.commit("more");
    until("the second commit", async || names(&sim).await == ["alpha", "beta"]).await;
    sim.decided(2).await;
    let bad = refused(&sim).await;
    let files: Vec<&str> = bad.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(files, ["gamma.toml", "secret.toml"]);
    assert!(bad[0].1.contains("[gamma.toml:2:10]"), "{}", bad[0].1);
    // a page names no folder of the server
    for (_, message) in &bad {
        assert!(!message.contains(&sim.data().display().to_string()), "{message}");
    }
    assert_eq!(checkouts(&sim).len(), 2, "the checkout in force, and the one before it");

    // a change of one recipe, and the end of another
    recipes.write(
        "projects/alpha.toml",
        &recipe("alpha").replace("\"true\"", "\"true --all\""),
    );
    std::fs::remove_dir_all(recipes.path.join("projects/beta")).unwrap();
    recipes.commit("another command");
    until("the third commit", async || names(&sim).await == ["alpha"]).await;
    let store = &sim.coordinator().store;
    let digest = store.projects().await.unwrap()[0].recipe.clone();
    let text = store.recipe_text(&digest).await.unwrap().unwrap();
    assert!(text.contains("true --all"), "{text}");
    assert_eq!(checkouts(&sim).len(), 2);
}

/// Whether the repository's problem, which is the only refused entry, has a text.
async fn says(sim: &Sim, text: &str) -> bool {
    let refused = refused(sim).await;
    refused.len() == 1 && refused[0].0 == "[recipes] git" && refused[0].1.contains(text)
}

fn checkouts(sim: &Sim) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(sim.data().join("recipes")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_dir()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn recipes_stay_in_force_while_their_repository_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipes");
    let mut sim = with_recipes(&path.display().to_string(), "").await;
    sim.commit("start", "");
    sim.run().await;
    // nothing is planned before the first fetch, and the reason is shown
    until("the reason", async || says(&sim, "Nothing is planned until").await).await;

    let recipes = Repository::new(&path);
    recipes.write("alpha.toml", &recipe("alpha"));
    let first = recipes.commit("alpha");
    until("the recipe", async || names(&sim).await == ["alpha"]).await;
    assert_eq!(refused(&sim).await, []);
    sim.decided(1).await;

    let away = folder.path().join("away");
    std::fs::rename(&path, &away).unwrap();
    let stays = format!("The recipes of the commit {first} stay in force.");
    until("the problem", async || says(&sim, &stays).await).await;
    assert_eq!(names(&sim).await, ["alpha"]);

    // also after a restart
    sim.stop();
    sim.run().await;
    until("the problem", async || says(&sim, &stays).await).await;
    assert_eq!(names(&sim).await, ["alpha"]);
    sim.commit("next", "");
    sim.decided(2).await;

    // a commit with more files than a checkout may have leaves the one before it in force
    std::fs::rename(&away, &path).unwrap();
    bomb(&recipes, &path);
    until("the bound", async || says(&sim, "more than 100000 files").await).await;
    assert!(says(&sim, &stays).await);
    assert_eq!(names(&sim).await, ["alpha"]);
}

/// Commands read the repository, also with a data folder that is relative.
#[tokio::test]
async fn commands_read_it_into_a_relative_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let recipes = Repository::new(&folder.path().join("recipes"));
    recipes.write("alpha.toml", "name = \"alpha\"\nsource = 3\n");
    recipes.commit("alpha");
    std::fs::write(
        folder.path().join("pybots.toml"),
        "data = \"data\"\n[recipes]\ngit = \"recipes\"\n",
    )
    .unwrap();
    let mut pybots = Command::new(env!("CARGO_BIN_EXE_pybots"));
    let pybots = pybots.args(["--config", "pybots.toml", "try-patch", "x", "--projects", "alpha"]);
    let output = pybots.current_dir(folder.path()).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(printed.contains("[alpha.toml:2:10]"), "{printed}");
    assert!(!printed.contains("can't be checked out"), "{printed}");
}

/// Commits a small repository with a very large tree: each folder holds the next one ten times.
fn bomb(recipes: &Repository, path: &Path) {
    let blob = recipes.git(&["hash-object", "-w", "alpha.toml"]);
    let mut line = format!("100644 blob {blob}");
    for depth in 0..8 {
        let entries: String = (0..10).map(|n| format!("{line}\tf{n}\n")).collect();
        let file = path.join(format!(".git/entries-{depth}"));
        std::fs::write(&file, entries).unwrap();
        let entries = std::fs::File::open(&file).unwrap();
        let mut mktree = Command::new("git");
        let output = mktree.arg("mktree").current_dir(path).stdin(entries).output().unwrap();
        assert!(output.status.success());
        line = format!("040000 tree {}", String::from_utf8(output.stdout).unwrap().trim());
    }
    let tree = line.rsplit(' ').next().unwrap();
    let commit = recipes.git(&["commit-tree", tree, "-m", "bomb", "-p", "HEAD"]);
    recipes.git(&["update-ref", "refs/heads/main", &commit]);
}
