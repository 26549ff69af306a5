//! The git repository of recipes. It is fetched into a separate mirror, and each commit is checked out into a separate
//! folder, so that nobody reads half of a change.

use super::git::{ASK, GitError, Mirror, run};
use crate::config::RecipesSettings;
use crate::domain::digest::digest;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::fs;
use tokio::io::{AsyncBufReadExt, BufReader};

/// The name of the branch in the mirror.
const BRANCH: &str = "recipes";

/// The ref that [`Mirror::fetch`] creates for the branch.
const FETCHED: &str = "refs/pybots/recipes";

/// The file beside the checkouts that names the current one.
const IN_FORCE: &str = "in-force";

/// The most files of a checkout. 5,000 recipes with source folders have fewer.
const FILES_MOST: usize = 100_000;

/// The most bytes of a checkout.
const BYTES_MOST: u64 = 1 << 30;

/// The repository of recipes in the settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RecipeRepository {
    mirror: Mirror,
    reference: String,
    /// The folder of the recipes in the repository. Empty for the root.
    folder: String,
    checkouts: PathBuf,
    /// Why the newest fetch failed.
    unfetched: Arc<Mutex<Option<String>>>,
}

/// The recipes of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The folder of the recipes. `None` until a commit was checked out for the first time.
    pub folder: Option<PathBuf>,
    /// Why there is no newer checkout.
    pub problem: Option<String>,
}

/// Why a commit can't be checked out.
#[derive(Debug, thiserror::Error)]
enum CheckoutError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("failed to write its files: {0}")]
    Unwritten(#[from] std::io::Error),
    #[error("it has more than {FILES_MOST} files; set `recipes.folder` to the folder that holds the recipes")]
    TooMany,
    #[error(
        "its files have more than {} MiB together; name archives by `url` instead of source folders",
        BYTES_MOST >> 20
    )]
    TooLarge,
}

impl RecipeRepository {
    /// Opens the mirror in the data folder, without contacting the repository. `checkouts` is a folder that only this
    /// process uses. Returns `None` if the settings name no repository. Both paths may be relative.
    pub async fn open(data: &Path, settings: &RecipesSettings, checkouts: PathBuf) -> Result<Option<Self>, GitError> {
        if settings.git.is_empty() {
            return Ok(None);
        }
        // git runs inside the checkout, so the paths must be absolute
        let data = std::path::absolute(data).map_err(GitError::NotRun)?;
        let checkouts = std::path::absolute(checkouts).map_err(GitError::NotRun)?;
        Ok(Some(Self {
            mirror: Mirror::open(&data.join("recipes.git"), &settings.git).await?,
            reference: settings.reference.clone(),
            folder: settings.folder.clone(),
            checkouts,
            unfetched: Arc::default(),
        }))
    }

    /// Fetches the newest commit. Returns whether [`RecipeRepository::checkout`] would now return another commit or
    /// another problem.
    pub async fn fetch(&self) -> bool {
        let (has_moved, problem) = match self.try_fetch().await {
            Ok(has_moved) => (has_moved, None),
            Err(error) => (false, Some(error.to_string())),
        };
        let mut unfetched = self.unfetched.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *unfetched != problem;
        *unfetched = problem;
        has_moved || is_new
    }

    async fn try_fetch(&self) -> Result<bool, GitError> {
        self.mirror.make_if_missing().await?;
        let tips = self.mirror.tips(std::slice::from_ref(&self.reference)).await?;
        let tip = tips.into_iter().flatten().next().ok_or_else(|| GitError::NoRef {
            reference: self.reference.clone(),
            url: self.mirror.url().clone(),
        })?;
        let before = self.mirror.commit(FETCHED).await.ok();
        Ok(Some(self.mirror.fetch(BRANCH, &tip).await?) != before)
    }

    /// Returns the commit that was fetched last, and checks it out unless this was done before. If that fails, the
    /// previous checkout stays. Before the files of a commit are written, all checkouts but the current one are
    /// removed.
    pub async fn checkout(&self) -> Checkout {
        let mut in_force = self.in_force().await;
        let mut problem = self.unfetched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Ok(newest) = self.mirror.commit(FETCHED).await
            && in_force.as_ref() != Some(&self.name(&newest))
        {
            match self.write(&newest).await {
                Ok(()) => {
                    tracing::info!(commit = newest, "checked out the recipes");
                    in_force = Some(self.name(&newest));
                }
                Err(error) => problem = Some(format!("the commit {newest} can't be checked out: {error}")),
            }
        }
        Checkout {
            problem: problem.map(|problem| match &in_force {
                Some(name) => {
                    let commit = name.split('.').next().unwrap_or_default();
                    format!("{problem}\nThe recipes of the commit {commit} stay in force.")
                }
                None => format!("{problem}\nNothing is planned until the recipes could be read once."),
            }),
            folder: in_force.map(|name| self.checkouts.join(name)),
        }
    }

    /// Returns the name of the current checkout, or `None` if there is none.
    async fn in_force(&self) -> Option<String> {
        let name = fs::read_to_string(self.checkouts.join(IN_FORCE)).await.ok()?;
        self.checkouts.join(&name).is_dir().then_some(name)
    }

    /// Returns the name of a commit's checkout. The name also depends on the folder of the recipes.
    fn name(&self, sha: &str) -> String {
        let folder = digest(&[self.folder.as_bytes()]);
        format!("{sha}.{}", folder.get(..8).unwrap_or_default())
    }

    /// Writes the files of a commit, and makes its folder the current checkout.
    async fn write(&self, sha: &str) -> Result<(), CheckoutError> {
        let tree = format!("{sha}:{}", self.folder);
        self.measure(&tree).await?;
        fs::create_dir_all(&self.checkouts).await?;
        self.remove_others().await?;
        let unfinished = self.checkouts.join("unfinished");
        fs::create_dir(&unfinished).await?;
        let index = self.checkouts.join("index");
        for arguments in [
            &["read-tree", tree.as_str()][..],
            &["checkout-index", "--all", "--quiet"],
        ] {
            let mut command = self.mirror.command();
            // filters in this machine's git settings could contact addresses that files of the repository name
            command
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GIT_CONFIG_GLOBAL", "/dev/null");
            command
                .env("GIT_INDEX_FILE", &index)
                .arg("--work-tree")
                .arg(&unfinished);
            // a link could lead to any file of this machine, so it becomes a file that contains the link's text
            command.args(["-c", "core.symlinks=false"]).args(arguments);
            run(command.current_dir(&unfinished), ASK).await?;
        }
        let name = self.name(sha);
        fs::rename(&unfinished, self.checkouts.join(&name)).await?;
        let unnamed = self.checkouts.join("in-force.new");
        fs::write(&unnamed, &name).await?;
        fs::rename(&unnamed, self.checkouts.join(IN_FORCE)).await?;
        Ok(())
    }

    /// Removes everything but the current checkout: older ones, and unfinished ones of an earlier process.
    async fn remove_others(&self) -> std::io::Result<()> {
        let in_force = self.in_force().await.unwrap_or_default();
        let mut entries = fs::read_dir(&self.checkouts).await?;
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            if name == IN_FORCE || name == in_force.as_str() {
                continue;
            }
            match entry.file_type().await?.is_dir() {
                true => fs::remove_dir_all(entry.path()).await?,
                false => fs::remove_file(entry.path()).await?,
            }
        }
        Ok(())
    }

    /// Checks the number and size of a tree's files. Reading stops at the bound, because a tree can be far larger than
    /// its repository.
    async fn measure(&self, tree: &str) -> Result<(), CheckoutError> {
        let mut command = self.mirror.command();
        command.args(["ls-tree", "-r", "-l", "-z", tree]);
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null());
        let mut child = command.spawn().map_err(GitError::NotRun)?;
        let (mut files, mut bytes) = (0, 0_u64);
        if let Some(stdout) = child.stdout.take() {
            let mut entries = BufReader::new(stdout).split(0);
            while let Some(entry) = entries.next_segment().await? {
                files += 1;
                bytes = bytes.saturating_add(size(&entry));
                if files > FILES_MOST {
                    return Err(CheckoutError::TooMany);
                }
                if bytes > BYTES_MOST {
                    return Err(CheckoutError::TooLarge);
                }
            }
        }
        match child.wait().await?.success() {
            true => Ok(()),
            false => Err(CheckoutError::Git(GitError::Failed {
                command: "ls-tree".to_owned(),
                reason: match self.folder.is_empty() {
                    true => "its tree can't be read".to_owned(),
                    false => format!("it has no folder {:?}; correct `recipes.folder`", self.folder),
                },
            })),
        }
    }
}

/// Returns the size of a file in a line of `git ls-tree -l`: `MODE TYPE ID SIZE<tab>PATH`. Returns 0 for a submodule,
/// which has none.
fn size(entry: &[u8]) -> u64 {
    let entry = String::from_utf8_lossy(entry);
    let before_path = entry.split('\t').next().unwrap_or_default();
    let size = before_path.split_ascii_whitespace().nth(3);
    size.and_then(|size| size.parse().ok()).unwrap_or(0)
}
