//! Reads a Subversion repository through the `svn` command.

use super::git::GitError;
use super::xml::Element;
use crate::domain::address::Address;
use crate::domain::login::Login;
use crate::domain::svn::SvnFolder;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// The time limit of queries to the repository or to a working copy.
const ASK: Duration = Duration::from_secs(120);
/// The most bytes of a command's output. The log of a whole batch takes less than one MiB.
const OUTPUT: u64 = 64 << 20;
/// The most XML elements in one output.
const MAX_ELEMENTS: usize = 1_000_000;

/// Why a Subversion command, or the import of a revision, failed.
#[derive(Debug, thiserror::Error)]
pub enum SvnError {
    #[error("failed to run svn: {0}; is it installed?")]
    NotRun(std::io::Error),
    #[error("the Subversion repository {url} can't be reached: {reason}")]
    Unreachable { url: Address, reason: String },
    #[error("svn {command} failed: {reason}")]
    Failed { command: String, reason: String },
    #[error("there is no folder {path:?} in {url}; correct `ref` in the settings")]
    NoFolder { path: String, url: Address },
    #[error(
        "{url} ends at r{youngest}, but r{seen} was imported already; if this is an older copy of the repository, restore the newer one"
    )]
    Older { url: Address, youngest: u64, seen: u64 },
    #[error(
        "failed to write the working copy {folder}: {error}; check the free space and the permissions of the data folder"
    )]
    Folder { folder: String, error: std::io::Error },
    #[error(transparent)]
    Git(#[from] GitError),
}

pub type Result<T> = std::result::Result<T, SvnError>;

/// A Subversion repository and the folder of its working copies.
#[derive(Clone, Debug)]
pub struct Svn {
    /// The address as the settings write it.
    address: Address,
    /// The address as a URL without a slash at the end, and without the login that svn gets separately.
    root: Address,
    login: Option<Login>,
    /// The folder for working copies, svn's configuration, and the git repository that reads the working copies.
    pub(super) folder: PathBuf,
}

/// The folder of a branch in the newest revision of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SvnTip {
    pub folder: SvnFolder,
    /// The URL of the folder, as Subversion writes it.
    pub url: Address,
    /// The number of the newest revision of the whole repository.
    pub youngest: u64,
}

/// A revision in the log of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SvnEntry {
    pub number: u64,
    pub author: Option<String>,
    /// When it was committed, in seconds since 1970, UTC.
    pub at: i64,
    pub message: String,
}

impl Svn {
    /// Builds a client. `address` is a URL or a path. `folder` need not exist; the first import creates it.
    pub fn new(address: &Address, folder: &Path) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // with SSH, the user is part of the address
        let (text, login) = match address.apart() {
            (text, login) if text.starts_with("http") || text.starts_with("svn://") => (text, login),
            _ => (address.with_login().to_owned(), None),
        };
        let root = match text.contains("://") {
            true => text,
            false => format!("file://{}", encode(&absolute(Path::new(&text)).to_string_lossy())),
        };
        Self {
            login,
            address: address.clone(),
            root: root.trim_end_matches('/').into(),
            folder: absolute(folder),
        }
    }

    /// Returns the tip of a branch. `path` is its folder, relative to the address of the repository.
    pub async fn tip(&self, path: &str) -> Result<SvnTip> {
        // without this peg revision, svn would take an `@` in the path for one
        let target = format!("{}/{}@HEAD", self.root.with_login(), encode(path));
        let missing = || SvnError::NoFolder {
            path: path.to_owned(),
            url: self.address.clone(),
        };
        let output = match self.run("info", &["--xml", &target], ASK).await {
            Err(SvnError::Failed { reason, .. }) if is_missing(&reason) => return Err(missing()),
            Err(SvnError::Failed { reason, .. }) => {
                return Err(SvnError::Unreachable {
                    url: self.address.clone(),
                    reason,
                });
            }
            output => output?,
        };
        let (tip, is_folder) = parse("info", &output, read_info)?;
        if is_folder { Ok(tip) } else { Err(missing()) }
    }

    /// Returns the newest revisions of a folder, oldest first. The history of a folder begins where it was created, or
    /// copied from another folder.
    pub async fn newest(&self, tip: &SvnTip, most: u32) -> Result<Vec<SvnEntry>> {
        let range = format!("{}:1", tip.youngest);
        let mut entries = self.log(&tip.url, tip.youngest, &range, most).await?;
        entries.reverse();
        Ok(entries)
    }

    /// Returns the revisions of a folder after revision `number`, oldest first.
    pub async fn since(&self, tip: &SvnTip, number: u64, most: u32) -> Result<Vec<SvnEntry>> {
        if number > tip.youngest {
            return Err(SvnError::Older {
                url: self.address.clone(),
                youngest: tip.youngest,
                seen: number,
            });
        }
        if number == tip.youngest {
            return Ok(Vec::new());
        }
        let range = format!("{}:{}", number + 1, tip.youngest);
        self.log(&tip.url, tip.youngest, &range, most).await
    }

    /// Returns the revision with a number, or `None` if it did not touch the folder.
    pub async fn at(&self, tip: &SvnTip, number: u64) -> Result<Option<SvnEntry>> {
        if number > tip.youngest {
            return Ok(None);
        }
        // the peg is that revision, because the folder may have been deleted and created again later
        match self.log(&tip.url, number, &format!("{number}:{number}"), 1).await {
            Err(SvnError::Failed { reason, .. }) if is_missing(&reason) => Ok(None),
            found => Ok(found?.into_iter().next()),
        }
    }

    async fn log(&self, url: &Address, peg: u64, range: &str, most: u32) -> Result<Vec<SvnEntry>> {
        let (target, most) = (format!("{}@{peg}", url.with_login()), most.to_string());
        let arguments = [
            "--xml",
            "--stop-on-copy",
            "--revision",
            range,
            "--limit",
            &most,
            &target,
        ];
        let answer = self.run("log", &arguments, ASK).await?;
        parse("log", &answer, |document| {
            document.descendants("logentry").into_iter().map(read_entry).collect()
        })
    }

    /// Returns the tip that a working copy was checked out from, or `None` if the folder is not a working copy.
    pub(super) async fn copy_of(&self, folder: &Path) -> Option<SvnTip> {
        let answer = self.run("info", &["--xml", &local(folder)], ASK).await.ok()?;
        parse("info", &answer, read_info).ok().map(|(tip, _)| tip)
    }

    /// Returns whether a working copy equals its revision. The file system, a full disk or a person may have changed
    /// it.
    pub(super) async fn is_clean(&self, folder: &Path) -> Result<bool> {
        let arguments = ["--xml", "--no-ignore", "--ignore-externals", &local(folder)];
        let answer = self.run("status", &arguments, ASK).await?;
        parse("status", &answer, |document| {
            let states = document.descendants("wc-status");
            Some(states.iter().all(|state| state.attribute("item") == Some("external")))
        })
    }

    /// Runs an svn command without a terminal and without the user's settings, and returns its output.
    pub(super) async fn run(&self, command: &str, arguments: &[&str], patience: Duration) -> Result<String> {
        let mut svn = Command::new("svn");
        svn.args([command, "--non-interactive", "--config-dir"])
            .arg(self.folder.join("config"))
            .args(arguments)
            // names and messages in UTF-8; the keyword $Date$ is in local time
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC0")
            .env_remove("LANGUAGE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // the login goes to stdin, because every user of the machine can see the arguments of a process
        if let Some(login) = &self.login {
            svn.args(["--no-auth-cache", "--username", &login.user, "--password-from-stdin"])
                .stdin(Stdio::piped());
        }
        if std::env::var_os("SVN_SSH").is_none() {
            svn.env("SVN_SSH", "ssh -q -o BatchMode=yes");
        }
        let failed = |reason: String| SvnError::Failed {
            command: command.to_owned(),
            reason: self.address.mask_in(&reason),
        };
        let work = async {
            let mut child = svn.spawn()?;
            if let (Some(mut stdin), Some(login)) = (child.stdin.take(), &self.login) {
                // a command that ends before it needs a password does not read it
                let _ = stdin.write_all(format!("{}\n", login.password).as_bytes()).await;
            }
            let (out, err) = tokio::join!(read(child.stdout.take(), OUTPUT), read(child.stderr.take(), 1 << 20));
            Ok((out?, err?, child.wait().await?))
        };
        let (out, err, status) = tokio::time::timeout(patience, work)
            .await
            .map_err(|_| failed(format!("no answer for {} s", patience.as_secs())))?
            .map_err(SvnError::NotRun)?;
        if status.success() {
            return Ok(out);
        }
        let reasons: Vec<&str> = err
            .lines()
            .filter_map(|line| line.strip_prefix("svn: "))
            .map(|line| line.trim_start_matches("warning: "))
            .collect();
        Err(failed(match reasons.is_empty() {
            true => format!("it ended with {status} and printed no reason"),
            false => reasons.join("; "),
        }))
    }
}

/// Returns a local path as an argument. The `@` at its end keeps svn from taking an `@` in the path for a peg revision.
pub(super) fn local(path: &Path) -> String {
    format!("{}@", path.display())
}

/// Reads a pipe to its end. Fails if it has more than `most` bytes.
async fn read(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(most + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!("it printed more than {most} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns whether svn failed because a path is missing, and not because of the repository. `svn` prints these codes.
fn is_missing(reason: &str) -> bool {
    ["W170000", "W160013", "E160013", "E195012"]
        .iter()
        .any(|code| reason.contains(code))
}

fn parse<T>(command: &str, text: &str, read: impl FnOnce(&Element) -> Option<T>) -> Result<T> {
    let failed = |reason: String| SvnError::Failed {
        command: command.to_owned(),
        reason,
    };
    let document =
        Element::read(text, MAX_ELEMENTS).map_err(|error| failed(format!("its output can't be parsed: {error}")))?;
    read(&document).ok_or_else(|| failed("its output is incomplete".to_owned()))
}

fn child<'a>(element: &'a Element, name: &str) -> Option<&'a str> {
    let found = element.descendants(name).into_iter().next()?;
    Some(&found.text)
}

/// Reads the entry of `svn info`, and whether it is a folder.
fn read_info(document: &Element) -> Option<(SvnTip, bool)> {
    let entry = document.descendants("entry").into_iter().next()?;
    let url = child(entry, "url")?;
    let path = url.strip_prefix(child(entry, "root")?)?.trim_start_matches('/');
    let folder = SvnFolder {
        uuid: child(entry, "uuid")?.to_owned(),
        path: decode(path),
    };
    let tip = SvnTip {
        folder,
        url: url.into(),
        youngest: entry.attribute("revision")?.parse().ok()?,
    };
    Some((tip, entry.attribute("kind") == Some("dir")))
}

/// Reads one entry of `svn log`. The author, date and message may be missing or hidden.
fn read_entry(entry: &Element) -> Option<SvnEntry> {
    let at = child(entry, "date").and_then(|date| date.parse::<jiff::Timestamp>().ok());
    Some(SvnEntry {
        number: entry.attribute("revision")?.parse().ok()?,
        author: child(entry, "author").map(str::to_owned),
        at: at.map_or(0, |at| at.as_second()),
        message: child(entry, "msg").unwrap_or_default().to_owned(),
    })
}

fn encode(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    path.bytes()
        .map(|b| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

fn decode(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .filter(|_| *first == b'%')
        {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[path = "svn_tests.rs"]
mod tests;
