//! Makes commits from patches.

use super::{ASK, Mirror, Result, run};
use std::path::Path;

/// The author of the commits.
const AUTHOR: &str = "pybots try-patch";

impl Mirror {
    /// Applies a patch file to a revision and returns the id of the new commit. The same patch gives the same id.
    pub async fn patched(&self, base: &str, patch: &Path) -> Result<String> {
        let index = self.folder.join(format!("index-{}", crate::store::new_id()));
        let patched = self.apply(base, patch, &index).await;
        let _ = std::fs::remove_file(&index);
        patched
    }

    async fn apply(&self, base: &str, patch: &Path, index: &Path) -> Result<String> {
        let git = |arguments: &[&str]| {
            let mut command = self.command();
            command.env("GIT_INDEX_FILE", index).args(arguments);
            command
        };
        run(&mut git(&["read-tree", base]), ASK).await?;
        let shown = patch.display().to_string();
        run(&mut git(&["apply", "--cached", "--whitespace=nowarn", &shown]), ASK).await?;
        let tree = run(&mut git(&["write-tree"]), ASK).await?;
        let date = run(&mut git(&["show", "--no-patch", "--format=%ct +0000", base]), ASK).await?;
        let name = patch
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut commit = git(&["commit-tree", "-p", base, "-m", &name, tree.trim()]);
        for person in ["AUTHOR", "COMMITTER"] {
            commit
                .env(format!("GIT_{person}_NAME"), AUTHOR)
                .env(format!("GIT_{person}_EMAIL"), "")
                .env(format!("GIT_{person}_DATE"), date.trim());
        }
        Ok(run(&mut commit, ASK).await?.trim().to_owned())
    }
}
