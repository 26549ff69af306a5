//! Small tars, in and out.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use std::io::Read;

/// Owner of what is put into a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Root,
    /// The user of the runs, uid and gid 1000.
    Runner,
}

/// A tar of files: (path, content, executable).
pub fn files(owner: Owner, files: &[(&str, &[u8], bool)]) -> Vec<u8> {
    let mut bytes = open_ended(owner, files);
    bytes.extend(end());
    bytes
}

/// The end marker of a tar.
pub fn end() -> [u8; 1024] {
    [0; 1024]
}

/// Folders, without an end marker.
pub fn folders(owner: Owner, paths: &[&str]) -> Vec<u8> {
    let headers = paths
        .iter()
        .map(|path| header(owner, path, tar::EntryType::Directory, 0, 0o755));
    headers.flat_map(|header| *header.as_bytes()).collect()
}

/// The same without its end marker, so that another tar can follow.
pub fn open_ended(owner: Owner, files: &[(&str, &[u8], bool)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, content, executable) in files {
        let mode = if *executable { 0o755 } else { 0o644 };
        bytes.extend_from_slice(header(owner, path, tar::EntryType::Regular, content.len(), mode).as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

fn header(owner: Owner, path: &str, kind: tar::EntryType, size: usize, mode: u32) -> tar::Header {
    let id = match owner {
        Owner::Root => 0,
        Owner::Runner => 1000,
    };
    let mut header = tar::Header::new_ustar();
    // paths here are short names of ours; a longer one would be refused by the engine, not misread
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

/// The first file of a tar stream, at most `most` bytes of it.
pub async fn first_file(stream: BoxStream<'static, std::io::Result<Bytes>>, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut stream = stream;
    while let Some(chunk) = stream.try_next().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > most + 2048 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!("the file is larger than {most} bytes"),
            ));
        }
    }
    let mut archive = tar::Archive::new(bytes.as_slice());
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            return Ok(content);
        }
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        "no file in the archive",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_goes_in_comes_out() {
        let tar = files(Owner::Runner, &[("a/b.txt", b"hello", false)]);
        assert_eq!(first_file(stream(tar.clone()), 100).await.unwrap(), b"hello");
        let mut archive = tar::Archive::new(tar.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.header().uid().unwrap(), 1000);
        assert_eq!(entry.path().unwrap().to_str(), Some("a/b.txt"));
        assert!(
            first_file(stream(files(Owner::Root, &[("x", &[0; 9000], true)])), 10)
                .await
                .is_err()
        );
    }
}
