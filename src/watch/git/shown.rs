//! Reads what a revision changes.

use super::{GitError, Result};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// The time limit. Somebody waits for the page.
const PATIENCE: Duration = Duration::from_secs(5);

/// The beginning of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPatch {
    /// The output of `git show` without the message.
    pub text: String,
    /// Whether the patch is longer than `text`.
    pub is_cut: bool,
}

/// Returns what a revision changes in the tree of its first parent, at most `most` bytes of it. `mirror` is the folder
/// of the mirror, and `sha` the full hash of the revision.
pub async fn patch(mirror: &Path, sha: &str, most: u64) -> Result<ShownPatch> {
    let mut command = Command::new("git");
    command.arg("--git-dir").arg(mirror);
    // independent of this machine's git settings
    command.args(["-c", "core.quotePath=false", "-c", "core.attributesFile=/dev/null"]);
    command.args(["-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false"]);
    command.args(["show", "--format=", "--no-show-signature", "-m", "--first-parent"]);
    command.args([
        "--find-renames",
        "--unified=3",
        "--inter-hunk-context=0",
        "--submodule=short",
    ]);
    command.args(["--src-prefix=a/", "--dst-prefix=b/", "-O/dev/null"]);
    command.args(["--no-color", "--no-ext-diff", "--no-textconv", sha, "--"]);
    command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.kill_on_drop(true);
    let failed = |reason: String| GitError::Failed {
        command: "show".to_owned(),
        reason,
    };
    let read = async {
        let mut child = command.spawn().map_err(GitError::NotRun)?;
        let mut bytes = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let mut beginning = stdout.take(most + 1);
            let read = beginning.read_to_end(&mut bytes).await;
            read.map_err(|error| failed(error.to_string()))?;
        }
        let is_cut = bytes.len() as u64 > most;
        if is_cut {
            bytes.truncate(usize::try_from(most).unwrap_or(usize::MAX));
            // a line that is not whole is not shown
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            bytes.truncate(whole);
        } else {
            let status = child.wait().await.map_err(|error| failed(error.to_string()))?;
            if !status.success() {
                return Err(failed(format!("it ended with {status}")));
            }
        }
        Ok(ShownPatch {
            text: String::from_utf8_lossy(&bytes).into_owned(),
            is_cut,
        })
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_| failed(format!("no answer for {} s", PATIENCE.as_secs())))?
}
