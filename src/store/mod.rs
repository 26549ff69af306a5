//! All SQL, a file per table. SQLite and PostgreSQL run the same statements; where one behaves
//! differently, it is said here.

pub mod attempts;
pub mod branches;
pub mod claims;
pub mod hosts;
pub mod images;
pub mod jobs;
pub mod logs;
pub mod projects;
pub mod retention;
pub mod revisions;
pub mod runs;
pub mod views;

use anyhow::{Context, Result};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, Executor, Transaction};
use std::str::FromStr;
use std::time::Duration;

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    begin: &'static str,
}

pub type Tx = Transaction<'static, Any>;

/// Two parts wanted to move the same row; the second was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what} {id} {why}")]
pub struct Conflict {
    pub what: &'static str,
    pub id: String,
    pub why: String,
}

impl Store {
    /// Opens (and for SQLite creates) the database and brings its schema up to date.
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let sqlite = url.starts_with("sqlite:");
        let options = AnyConnectOptions::from_str(url).context("the database URL can't be read")?;
        let pool = AnyPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(30))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if sqlite {
                        // WAL: pages are read while a host's result is written
                        connection
                            .execute("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 15000; PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL")
                            .await?;
                    }
                    Ok(())
                })
            })
            .connect_with(options)
            .await
            .context("failed to open the database; check the setting `database`, or that `data` can be written")?;
        sqlx::migrate!("src/store/migrations")
            .run(&pool)
            .await
            .context("failed to bring the database's schema up to date")?;
        // A SQLite transaction that reads first could not get the write lock later: take it at once.
        let begin = if sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        Ok(Self { pool, begin })
    }

    pub async fn begin(&self) -> Result<Tx> {
        let begin = sqlx::AssertSqlSafe(self.begin);
        Ok(self.pool.begin_with(begin).await?)
    }

    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }
}

/// A new id; ids sort by the time they were made.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
