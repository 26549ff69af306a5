//! Packs the source folder of a recipe, and detects changes of it.

use crate::domain::digest::digest;
use anyhow::{Context, Result, bail};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The most bytes of a source folder.
const FOLDER_MOST: usize = 64 << 20;

/// The folders of version control. They can contain logins, and history that is not meant to be public.
const HISTORIES: [&str; 4] = [".git", ".hg", ".svn", ".bzr"];

/// The most files and folders of a source folder.
const ENTRIES_MOST: usize = 20_000;

/// Returns the folders and files of a source folder, relative to it. Skips links and the folders of version control.
/// Fails if there are more than [`ENTRIES_MOST`].
fn walk(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    let mut left = vec![PathBuf::new()];
    while let Some(relative) = left.pop() {
        let here = folder.join(&relative);
        let entries =
            std::fs::read_dir(&here).with_context(|| format!("failed to read the source folder {}", here.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let relative = relative.join(&name);
            match entry.file_type()? {
                kind if kind.is_dir() && !HISTORIES.iter().any(|history| name == *history) => {
                    folders.push(relative.clone());
                    left.push(relative);
                }
                kind if kind.is_file() => files.push(relative),
                _ => {}
            }
            if folders.len() + files.len() > ENTRIES_MOST {
                bail!(
                    "the source folder {} has more than {ENTRIES_MOST} files; name an archive by `url`",
                    folder.display()
                );
            }
        }
    }
    Ok((folders, files))
}

/// A value that changes with each change of a file: its inode, size, mode and times. Two changes within one tick of the
/// file system's clock have equal times, so a file that has just changed has no stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(String);

/// The time after a change in which another change may go undetected.
const SETTLED: Duration = Duration::from_secs(2);

impl Stamp {
    /// Returns the stamp of a file, or `None` if the file does not exist or has just changed.
    pub fn of_file(file: &Path) -> Option<Self> {
        Self::of(file, &[PathBuf::new()])
    }

    /// Returns the stamp of a source folder and everything in it, as [`Stamp::of_file`] does.
    pub fn of_folder(folder: &Path) -> Option<Self> {
        let (mut all, files) = walk(folder).ok()?;
        all.extend(files);
        all.sort();
        Self::of(folder, &all)
    }

    fn of(base: &Path, paths: &[PathBuf]) -> Option<Self> {
        let settled = SystemTime::now().checked_sub(SETTLED)?;
        let settled = settled.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        let mut texts = Vec::new();
        for path in paths {
            let place = if path.as_os_str().is_empty() {
                base.to_owned()
            } else {
                base.join(path)
            };
            let found = std::fs::symlink_metadata(place).ok()?;
            if found.ctime() >= i64::try_from(settled).ok()? {
                return None;
            }
            let numbers = [found.ino(), found.dev(), found.size(), u64::from(found.mode())];
            let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
            texts.push(format!("{path:?} {numbers:?} {times:?}"));
        }
        let parts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        Some(Self(digest(&parts)))
    }
}

/// Packs a folder as a tar that depends only on names, contents and executable bits. Skips links and the folders of
/// version control. All entries belong to the user of the runs.
pub fn pack(folder: &Path) -> Result<Vec<u8>> {
    let shown = folder.display();
    let mut tar = tar::Builder::new(Vec::new());
    let (mut folders, mut files) = walk(folder)?;
    folders.sort();
    files.sort();
    let header = |mode| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_uid(1000);
        header.set_gid(1000);
        header.set_mtime(1_000_000_000);
        header
    };
    for relative in folders {
        let mut header = header(0o755);
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        tar.append_data(&mut header, &relative, std::io::empty())?;
    }
    let mut size = 0;
    for relative in files {
        let file = folder.join(&relative);
        let is_executable = std::fs::symlink_metadata(&file)?.permissions().mode() & 0o111 != 0;
        // reading is bounded: a sparse file of terabytes takes no space on a disk, but would fill the memory
        let mut content = Vec::new();
        let left = FOLDER_MOST - size;
        std::fs::File::open(file)?
            .take(left as u64 + 1)
            .read_to_end(&mut content)?;
        size += content.len();
        if size > FOLDER_MOST {
            bail!(
                "the source folder {shown} has more than {} MiB; name an archive by `url`",
                FOLDER_MOST >> 20
            );
        }
        let mut header = header(if is_executable { 0o755 } else { 0o644 });
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, &relative, content.as_slice())?;
    }
    Ok(tar.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, path: &str, text: &str) {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    #[test]
    fn of_a_file_that_is_too_large_little_is_read() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "small", "x");
        let sparse = std::fs::File::create(folder.path().join("sparse")).unwrap();
        sparse.set_len(1 << 42).unwrap();
        let error = pack(folder.path()).unwrap_err().to_string();
        assert!(error.contains("more than 64 MiB"), "{error}");
    }

    #[test]
    fn a_packed_folder_has_modes_and_no_history() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/plain.py", "a/run.sh", ".coveragerc", "a/.git/config", ".svn/entries"] {
            write(folder.path(), path, path);
        }
        let run = folder.path().join("a/run.sh");
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700)).unwrap();
        let tar = pack(folder.path()).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (1000, 1000));
            (entry.path().unwrap().display().to_string(), header.mode().unwrap())
        });
        let found: Vec<(String, u32)> = entries.collect();
        let expected = [
            ("a", 0o755),
            (".coveragerc", 0o644),
            ("a/plain.py", 0o644),
            ("a/run.sh", 0o755),
        ];
        assert_eq!(found, expected.map(|(path, mode)| (path.to_owned(), mode)));
    }
}
