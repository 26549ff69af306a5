//! What a Subversion repository tells, through the `svn` command.

use super::git::GitError;
use crate::domain::place::Line;
use roxmltree::{Document, Node, ParsingOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// Time for an answer of the repository, or for a look at a working copy.
const ASK: Duration = Duration::from_secs(120);
/// Bytes of an answer that are read at most; the log of a whole portion takes less than one of them.
const ANSWER: u64 = 64 << 20;
/// Elements, attributes and texts of an answer.
const NODES: u32 = 2_000_000;

/// Why Subversion did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SvnError {
    #[error("failed to run svn: {0}; is it installed?")]
    NotRun(std::io::Error),
    #[error("the Subversion repository {url} can't be reached: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("svn {command} failed: {reason}")]
    Failed { command: String, reason: String },
    #[error("there is no folder {path:?} in {url}; correct `ref` in the settings")]
    NoFolder { path: String, url: String },
    #[error(
        "{url} ends at r{youngest}, but r{seen} was seen already; if this is an older copy of the repository, bring the newer one back"
    )]
    Older { url: String, youngest: u64, seen: u64 },
    #[error("failed to write the working copy {folder}: {error}; check the space and the rights of the data folder")]
    Folder { folder: String, error: std::io::Error },
    #[error(transparent)]
    Git(#[from] GitError),
}

pub type Result<T> = std::result::Result<T, SvnError>;

/// A repository, and where its working copies are.
#[derive(Clone, Debug)]
pub struct Svn {
    /// As the settings write it.
    address: String,
    /// The same as a URL without a slash at its end.
    root: String,
    /// Of working copies, svn's own configuration, and what git needs to read them.
    pub(super) folder: PathBuf,
}

/// A branch's folder in the newest revision of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    pub line: Line,
    /// As Subversion writes it.
    pub url: String,
    /// The newest revision of the repository, whatever it touched.
    pub youngest: u64,
}

/// A check-in as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub number: u64,
    pub author: Option<String>,
    /// Seconds UTC.
    pub at: i64,
    pub message: String,
}

impl Svn {
    /// `folder` may be missing; it is made with the first working copy.
    pub fn new(address: &str, folder: &Path) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let root = match address.contains("://") {
            true => address.to_owned(),
            false => format!("file://{}", encode(&absolute(Path::new(address)).to_string_lossy())),
        };
        Self {
            address: address.to_owned(),
            root: root.trim_end_matches('/').to_owned(),
            folder: absolute(folder),
        }
    }

    /// The folder of a branch, in one question to the repository.
    pub async fn tip(&self, path: &str) -> Result<Tip> {
        // with a peg revision, or else an `@` in the path would begin one
        let target = format!("{}/{}@HEAD", self.root, encode(path));
        let missing = || SvnError::NoFolder {
            path: path.to_owned(),
            url: self.address.clone(),
        };
        let answer = match self.run("info", &["--xml", &target], ASK).await {
            Err(SvnError::Failed { reason, .. }) if is_missing(&reason) => return Err(missing()),
            Err(SvnError::Failed { reason, .. }) => {
                return Err(SvnError::Unreachable {
                    url: self.address.clone(),
                    reason,
                });
            }
            answer => answer?,
        };
        let (tip, is_folder) = parse("info", &answer, read_info)?;
        if is_folder { Ok(tip) } else { Err(missing()) }
    }

    /// The newest check-ins of a line, oldest first. A line begins where its folder was made or copied
    /// from another: what happened to the other one before is no check-in of this line.
    pub async fn newest(&self, tip: &Tip, most: u32) -> Result<Vec<Entry>> {
        let range = format!("{}:1", tip.youngest);
        let mut entries = self.log(&tip.url, tip.youngest, &range, most).await?;
        entries.reverse();
        Ok(entries)
    }

    /// The check-ins of a line after a revision, oldest first.
    pub async fn since(&self, tip: &Tip, number: u64, most: u32) -> Result<Vec<Entry>> {
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

    /// One check-in; None if the revision did not touch the line.
    pub async fn at(&self, tip: &Tip, number: u64) -> Result<Option<Entry>> {
        if number > tip.youngest {
            return Ok(None);
        }
        // as the folder was then: it may have been deleted and made anew since
        match self.log(&tip.url, number, &format!("{number}:{number}"), 1).await {
            Err(SvnError::Failed { reason, .. }) if is_missing(&reason) => Ok(None),
            found => Ok(found?.into_iter().next()),
        }
    }

    async fn log(&self, url: &str, peg: u64, range: &str, most: u32) -> Result<Vec<Entry>> {
        let (target, most) = (format!("{url}@{peg}"), most.to_string());
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
            document
                .descendants()
                .filter(|node| node.has_tag_name("logentry"))
                .map(read_entry)
                .collect()
        })
    }

    /// What a working copy is of; None if it is none.
    pub(super) async fn copy_of(&self, folder: &Path) -> Option<Tip> {
        let answer = self.run("info", &["--xml", &local(folder)], ASK).await.ok()?;
        parse("info", &answer, read_info).ok().map(|(tip, _)| tip)
    }

    /// Whether a working copy holds exactly what its revision does. The settings of the file system,
    /// a full disk or a person may have changed it.
    pub(super) async fn is_clean(&self, folder: &Path) -> Result<bool> {
        let arguments = ["--xml", "--no-ignore", "--ignore-externals", &local(folder)];
        let answer = self.run("status", &arguments, ASK).await?;
        parse("status", &answer, |document| {
            let mut states = document.descendants().filter(|node| node.has_tag_name("wc-status"));
            Some(states.all(|state| state.attribute("item") == Some("external")))
        })
    }

    /// Runs a command that asks nothing of a terminal and knows no settings of the user, and returns
    /// what it says.
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
        if std::env::var_os("SVN_SSH").is_none() {
            svn.env("SVN_SSH", "ssh -q -o BatchMode=yes");
        }
        let failed = |reason: String| SvnError::Failed {
            command: command.to_owned(),
            reason,
        };
        let work = async {
            let mut child = svn.spawn()?;
            let (out, err) = tokio::join!(read(child.stdout.take(), ANSWER), read(child.stderr.take(), 1 << 20));
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
            true => format!("it ended with {status} and gave no reason"),
            false => reasons.join("; "),
        }))
    }
}

/// A path of this machine as an argument: the `@` at its end keeps one within from being understood.
pub(super) fn local(path: &Path) -> String {
    format!("{}@", path.display())
}

/// Reads all, or fails where it is more than `most` bytes.
async fn read(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(most + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!("it says more than {most} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether svn says that a path is not there, as opposed to the repository.
fn is_missing(reason: &str) -> bool {
    ["W170000", "W160013", "E160013", "E195012"]
        .iter()
        .any(|code| reason.contains(code))
}

fn parse<T>(command: &str, text: &str, read: impl FnOnce(&Document) -> Option<T>) -> Result<T> {
    let failed = |reason: String| SvnError::Failed {
        command: command.to_owned(),
        reason,
    };
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| failed(format!("its answer can't be read: {error}")))?;
    read(&document).ok_or_else(|| failed("its answer lacks something".to_owned()))
}

fn child<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    let found = node.descendants().find(|node| node.has_tag_name(name))?;
    Some(found.text().unwrap_or_default())
}

/// The one entry of `svn info`, and whether it is a folder.
fn read_info(document: &Document) -> Option<(Tip, bool)> {
    let entry = document.descendants().find(|node| node.has_tag_name("entry"))?;
    let url = child(entry, "url")?;
    let path = url.strip_prefix(child(entry, "root")?)?.trim_start_matches('/');
    let line = Line {
        uuid: child(entry, "uuid")?.to_owned(),
        path: decode(path),
    };
    let tip = Tip {
        line,
        url: url.to_owned(),
        youngest: entry.attribute("revision")?.parse().ok()?,
    };
    Some((tip, entry.attribute("kind") == Some("dir")))
}

/// Author, date and message are missing where a repository has lost them, or hides them.
fn read_entry(entry: Node) -> Option<Entry> {
    let at = child(entry, "date").and_then(|date| date.parse::<jiff::Timestamp>().ok());
    Some(Entry {
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
