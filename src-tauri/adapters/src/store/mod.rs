//! Tandem's own database: runs and their journal, machines, measurements, conversations, settings.
//!
//! SQLite in one file. One connection writes, so that writers queue here and not in SQLite's busy
//! handler; readers come from a pool and cannot write. What has been written has reached the disk
//! (WAL with `synchronous = FULL`), since the journal is read after a crash to learn what we did.
//!
//! Every time is an argument. Absent is `Ok(None)` or `Ok(false)`, never an error.

mod bench;
mod chat;
mod error;
mod images;
mod journal;
mod kept_recipes;
mod machines;
mod messages;
mod runs;
mod search;
mod settings;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

pub use error::StoreError;
pub use images::StoredImage;
pub use machines::{MachineChange, SavedMachine};
pub use runs::{LOG_LINES, LogLine, NewRun};

use error::{doing, says};

use crate::data_folder::{close_file, make_private};

/// Compiled in. Never change one that was released; add another.
static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// The open database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    path: PathBuf,
}

impl Store {
    /// Opens the database, makes it where there is none, and brings it to this version's tables.
    ///
    /// A damaged one, or one that a newer Tandem wrote, is left as it is.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        if let Some(folder) = path.parent() {
            make_private(folder).map_err(StoreError::Folder)?;
        }
        // SQLite gives the two beside it the mode of the first.
        for ending in ["", "-wal", "-shm"] {
            let mut file = path.clone().into_os_string();
            file.push(ending);
            close_file(Path::new(&file)).map_err(StoreError::Folder)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .foreign_keys(true)
            // What is deleted is overwritten, so that a deleted conversation is not found in the file.
            .pragma("secure_delete", "on")
            // Another copy of Tandem, or a backup, may hold the file for a moment.
            .busy_timeout(Duration::from_secs(10))
            .synchronous(SqliteSynchronous::Full);
        let failed = |source| StoreError::opening(&path, source);
        #[cfg(unix)]
        if !path.exists() {
            // Made here, so that it is nobody else's from its first byte.
            let mut new = std::fs::File::options();
            new.write(true).create_new(true);
            std::os::unix::fs::OpenOptionsExt::mode(&mut new, 0o600);
            let made = new.open(&path).map(drop);
            // Another one may have been faster, with the same in mind.
            if let Err(source) = made
                && source.kind() != std::io::ErrorKind::AlreadyExists
            {
                return Err(failed(sqlx::Error::Io(source)));
            }
        }
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            // SQLite ends a transaction by itself when the disk is full. The library then takes the
            // connection to be inside of it for ever, so such a connection is given up for a new one.
            .before_acquire(|connection, _| {
                let free = !connection.is_in_transaction();
                Box::pin(async move { Ok(free) })
            })
            .connect_with(
                options
                    .clone()
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .optimize_on_close(true, None),
            )
            .await
            .map_err(failed)?;

        let found: String = sqlx::query_scalar("pragma quick_check(1)")
            .fetch_one(&writer)
            .await
            .map_err(failed)?;
        if found != "ok" {
            return Err(StoreError::Damaged {
                path,
                detail: found,
            });
        }
        MIGRATIONS
            .run(&writer)
            .await
            .map_err(|source| match source {
                MigrateError::VersionMissing(version) => StoreError::Newer {
                    path: path.clone(),
                    version,
                },
                MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                    StoreError::opening(&path, source)
                }
                source => StoreError::Migrate {
                    path: path.clone(),
                    source,
                },
            })?;

        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_lazy_with(options.read_only(true));
        Ok(Self {
            writer,
            readers,
            path,
        })
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends all connections and folds the write-ahead log into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// A transaction that holds the write lock from its start, so that what it reads stays true.
    async fn write(
        &self,
        what: &'static str,
    ) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, StoreError> {
        self.writer
            .begin_with("begin immediate")
            .await
            .map_err(doing(what))
    }
}
