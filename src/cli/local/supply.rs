//! Supplies jobs with sources and folders from this machine, without a coordinator.

use crate::domain::tree::{TreeChange, Wanted};
use crate::host::Supply;
use crate::watch::git::Mirror;
use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The sources of CPython, and the folders of recipes.
pub struct LocalSupply {
    pub mirror: Mirror,
    /// The tars of the folders that recipes name as sources, by digest.
    pub folders: BTreeMap<String, Arc<Vec<u8>>>,
}

#[async_trait]
impl Supply for LocalSupply {
    async fn tree(&self, revision: &str, wanted: &Wanted) -> Result<BoxStream<'static, std::io::Result<Bytes>>> {
        Ok(self.mirror.archive(revision, wanted)?.boxed())
    }

    async fn changes(&self, from: &str, to: &str, ignore: &[String]) -> Result<Option<Vec<TreeChange>>> {
        if !self.mirror.holds(from).await {
            return Ok(None);
        }
        Ok(Some(self.mirror.changes(from, to, ignore).await?))
    }

    async fn folder(&self, digest: &str) -> Result<Vec<u8>> {
        self.folders
            .get(digest)
            .map(|tar| tar.to_vec())
            .context("the recipe names no such folder")
    }
}
