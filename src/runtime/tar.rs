//! Writes and reads small tars.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use std::io::Read;

/// The owner of files that are put into a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileOwner {
    Root,
    /// The user of the runs, uid and gid 1000.
    Runner,
}

/// Returns a tar of files. Each is a path, its content, and whether it is executable.
pub fn files(owner: FileOwner, files: &[(&str, &[u8], bool)]) -> Vec<u8> {
    let mut bytes = open_ended(owner, files);
    bytes.extend(end());
    bytes
}

/// Returns the end marker of a tar.
pub fn end() -> [u8; 1024] {
    [0; 1024]
}

/// Returns a tar of folders without the end marker.
pub fn folders(owner: FileOwner, paths: &[&str]) -> Vec<u8> {
    let headers = paths
        .iter()
        .map(|path| header(owner, path, tar::EntryType::Directory, 0, 0o755));
    headers.flat_map(|header| *header.as_bytes()).collect()
}

/// Returns a tar of files without the end marker, so that another tar can follow.
pub fn open_ended(owner: FileOwner, files: &[(&str, &[u8], bool)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, content, executable) in files {
        let mode = if *executable { 0o755 } else { 0o644 };
        bytes.extend_from_slice(header(owner, path, tar::EntryType::Regular, content.len(), mode).as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

fn header(owner: FileOwner, path: &str, kind: tar::EntryType, size: usize, mode: u32) -> tar::Header {
    let id = match owner {
        FileOwner::Root => 0,
        FileOwner::Runner => 1000,
    };
    let mut header = tar::Header::new_ustar();
    // our paths are short; the engine would refuse a longer one instead of misreading it
    let _ = header.set_path(path);
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(mode);
    header.set_uid(id);
    header.set_gid(id);
    header.set_mtime(1_000_000_000);
    header.set_cksum();
    header
}

pub fn stream(bytes: Vec<u8>) -> BoxStream<'static, std::io::Result<Bytes>> {
    stream::once(async move { Ok(Bytes::from(bytes)) }).boxed()
}

/// Returns the first file of a tar stream. The error is `FileTooLarge` if it has more than `most` bytes, and
/// `InvalidData` if the stream has no file or can't be read as a tar.
pub async fn first_file(stream: BoxStream<'static, std::io::Result<Bytes>>, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut stream = stream;
    while let Some(chunk) = stream.try_next().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > most + 2048 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::FileTooLarge,
                format!("the file is larger than {most} bytes"),
            ));
        }
    }
    let invalid = |reason: String| std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
    let mut archive = tar::Archive::new(bytes.as_slice());
    for entry in archive.entries().map_err(|error| invalid(error.to_string()))? {
        // project code may have made the file, so a failure to read it is no failure of the engine
        let mut entry = entry.map_err(|error| invalid(error.to_string()))?;
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            let read = entry.read_to_end(&mut content);
            return read.map(|_| content).map_err(|error| invalid(error.to_string()));
        }
    }
    Err(invalid("no file in the archive".to_owned()))
}

/// Returns the files of a tar stream, and whether it is cut off. The stream is cut off if it has more than `most`
/// bytes, or if the rest can't be read. Then the last file may be incomplete.
pub async fn all_files(
    mut stream: BoxStream<'static, std::io::Result<Bytes>>,
    most: usize,
) -> std::io::Result<(Vec<Vec<u8>>, bool)> {
    let mut bytes = Vec::new();
    let mut is_cut = false;
    while let Some(chunk) = stream.try_next().await? {
        is_cut = bytes.len() + chunk.len() > most;
        if is_cut {
            bytes.extend_from_slice(&chunk[..most - bytes.len()]);
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut files = Vec::new();
    for entry in archive.entries()? {
        // project code made the files, so a failure to read them is no failure of the engine
        let Ok(mut entry) = entry else {
            is_cut = true;
            break;
        };
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            is_cut |= entry.read_to_end(&mut content).is_err();
            files.push(content);
        }
    }
    Ok((files, is_cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_files_are_read_up_to_a_limit() {
        let tar = files(
            FileOwner::Runner,
            &[("a/b", b"hello", false), ("a/c", &[b'x'; 900], false)],
        );
        let (all, is_cut) = all_files(stream(tar.clone()), 9000).await.unwrap();
        assert_eq!((all[0].as_slice(), all[1].len(), is_cut), (&b"hello"[..], 900, false));
        // two headers, the first file, and 76 bytes of the second one
        let (all, is_cut) = all_files(stream(tar), 1612).await.unwrap();
        assert_eq!((all[0].as_slice(), all[1].len(), is_cut), (&b"hello"[..], 76, true));
    }

    #[tokio::test]
    async fn what_goes_in_comes_out() {
        let tar = files(FileOwner::Runner, &[("a/b.txt", b"hello", false)]);
        assert_eq!(first_file(stream(tar.clone()), 100).await.unwrap(), b"hello");
        let mut archive = tar::Archive::new(tar.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.header().uid().unwrap(), 1000);
        assert_eq!(entry.path().unwrap().to_str(), Some("a/b.txt"));
        assert!(
            first_file(stream(files(FileOwner::Root, &[("x", &[0; 9000], true)])), 10)
                .await
                .is_err()
        );
    }
}
