//! All SQL, a file for each table. SQLite and PostgreSQL run the same statements. Comments here name the few places in
//! which the two behave differently. [`rows`], [`types`] and [`decode`] decode rows: modules outside this folder parse
//! no stored text.

pub mod accounts;
pub mod agreements;
pub mod attempts;
pub mod audit;
pub mod branches;
pub mod builds;
mod cells;
pub mod claims;
pub mod decode;
pub mod events;
pub mod flakiness;
pub mod hosts;
pub mod identities;
pub mod images;
pub mod incidents;
pub mod investigations;
pub mod jobs;
pub mod locks;
pub mod logs;
pub mod presence;
pub mod probes;
pub mod projects;
pub mod regressions;
pub mod remote;
pub mod repetitions;
pub mod results;
pub mod retention;
pub mod revisions;
pub mod rows;
pub mod runs;
mod search;
mod shared;
pub mod submissions;
pub mod tokens;
pub mod types;
pub mod unreachable;
pub mod views;
pub mod withdrawn;

use crate::domain::address::Address;
use crate::domain::causes::causes;
use anyhow::{Context, Result, anyhow};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions, Connection, Executor, Transaction};
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How long a database has to report why it can't be opened.
const DIRECT_WITHIN: Duration = Duration::from_secs(5);

/// The number of connections of planning and hosts, and how long a task waits for one of them.
const CONNECTIONS: u32 = 8;
const ACQUIRE_WITHIN: Duration = Duration::from_secs(30);
/// The number of connections of pages and the public API. A client that waits too long gets 503.
const CONNECTIONS_OF_PAGES: u32 = 4;
const PAGES_ACQUIRE_WITHIN: Duration = Duration::from_secs(10);

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    begin: &'static str,
    /// SQLite has one writer at a time. A task that waits here is woken at once; one that waits in the database sleeps.
    writer: Option<Arc<Mutex<()>>>,
}

/// A transaction. Dropping it rolls it back.
///
/// Transactions that end, claim, cancel or cross jobs lock runs first, then jobs, then groups of jobs. Two that lock in
/// different orders may wait for each other, and PostgreSQL ends one of them: see [`is_deadlock`].
pub struct Tx {
    transaction: Transaction<'static, Any>,
    _writer: Writer,
}

/// The lock that a writer holds.
pub type Writer = Option<OwnedMutexGuard<()>>;

impl Tx {
    pub async fn commit(self) -> Result<()> {
        Ok(self.transaction.commit().await?)
    }

    pub async fn rollback(self) -> Result<()> {
        Ok(self.transaction.rollback().await?)
    }
}

impl Deref for Tx {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

/// A row is not in the state from which the caller wants to move it: somebody else moved it first.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what} {id} {why}")]
pub struct Conflict {
    pub what: &'static str,
    pub id: String,
    pub why: String,
}

/// Returns whether PostgreSQL ended a transaction because it and another one waited for each other (SQLSTATE 40P01).
/// Nothing was written, so the same transaction can be tried again.
pub fn is_deadlock(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<sqlx::Error>());
    causes.any(|error| matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("40P01")))
}

impl Store {
    /// Opens the database and brings its schema up to date. An address of SQLite with `?mode=rwc` creates the file.
    /// Errors do not show the login in the address.
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let sqlite = url.starts_with("sqlite:");
        let address = Address::new(url);
        let options =
            AnyConnectOptions::from_str(url).map_err(|error| masked(&address, "its address can't be read", &error))?;
        let opened = pool_of(sqlite, CONNECTIONS, ACQUIRE_WITHIN)
            .connect_with(options.clone())
            .await;
        let pool = match opened {
            Ok(pool) => pool,
            Err(error) => {
                // a pool only reports that it waited in vain
                let direct = tokio::time::timeout(DIRECT_WITHIN, options.connect()).await;
                let error = direct.ok().and_then(Result::err).unwrap_or(error);
                return Err(masked(&address, "it can't be opened", &error));
            }
        };
        sqlx::migrate!("src/store/migrations")
            .run(&pool)
            .await
            .context("failed to bring the database's schema up to date")?;
        // A SQLite transaction that reads first may fail to get the write lock later, so it takes the lock at once.
        let begin = if sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        let writer = sqlite.then(Arc::default);
        let store = Self { pool, begin, writer };
        store
            .compute_cells()
            .await
            .context("failed to compute the cells of runs")?;
        Ok(store)
    }

    /// Begins a transaction. On SQLite, only one at a time exists.
    pub async fn begin(&self) -> Result<Tx> {
        let begin = sqlx::AssertSqlSafe(self.begin);
        let writer = self.writer().await;
        Ok(Tx {
            transaction: self.pool.begin_with(begin).await?,
            _writer: writer,
        })
    }

    /// Waits for the turn to write a single statement without a transaction.
    pub async fn writer(&self) -> Writer {
        match &self.writer {
            Some(writer) => Some(writer.clone().lock_owned().await),
            None => None,
        }
    }

    /// Returns the same database with connections of its own, for pages and the public API. However many clients read
    /// them, planning and hosts keep their own connections.
    pub fn for_pages(&self) -> Self {
        let options = self.pool.connect_options().as_ref().clone();
        let pool = pool_of(self.writer.is_some(), CONNECTIONS_OF_PAGES, PAGES_ACQUIRE_WITHIN);
        Self {
            pool: pool.connect_lazy_with(options),
            ..self.clone()
        }
    }

    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }
}

fn pool_of(sqlite: bool, connections: u32, acquire_within: Duration) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(acquire_within)
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
        // after a full disk, a connection may still be in a transaction
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

/// Returns an error with the address of the database, without its login, the failed step, the causes, and a remedy.
fn masked(address: &Address, tried: &str, error: &sqlx::Error) -> anyhow::Error {
    let remedy = match address.with_login().starts_with("sqlite:") {
        true => "check that `data` can be written",
        false => "check that it runs, and the setting `database`",
    };
    let causes = address.mask_in(&causes(error));
    anyhow!("the database {address}: {tried}: {causes}; {remedy}")
}

/// Returns a new id. Ids sort by the time at which they were created.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
