//! Delivers what a job needs from outside of its host.

use crate::domain::tree::{TreeChange, Wanted};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

/// Delivers sources and folders to jobs.
#[async_trait]
pub trait Supply: Send + Sync {
    /// Returns the tree of a revision, or the wanted part of it, as a tar whose names begin with `src/`.
    async fn tree(&self, revision: &str, wanted: &Wanted)
    -> anyhow::Result<BoxStream<'static, std::io::Result<Bytes>>>;
    /// Returns the differences between two revisions, or `None` if the first one does not exist any more.
    async fn changes(&self, from: &str, to: &str, ignore: &[String]) -> anyhow::Result<Option<Vec<TreeChange>>>;
    /// Returns the tar of a source folder that belongs to a recipe.
    async fn folder(&self, digest: &str) -> anyhow::Result<Vec<u8>>;
}
