//! What can go wrong with the database, and its words.

use std::path::{Path, PathBuf};

use sqlx::migrate::MigrateError;

use crate::data_folder::FolderError;
use tandem_domain::bench::BenchStoreError;
use tandem_domain::problem::{Code, Problem, Retry};
use tandem_domain::run::JournalError;

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder for the file could not be made or closed to others, or the file could not.
    #[error("could not make it private")]
    Folder(#[source] FolderError),
    /// The file could not be opened.
    #[error("could not open `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The file is no database, or a broken one.
    #[error("`{}` is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },
    /// A later version of Tandem has added to it.
    #[error("`{}` was written by a newer Tandem (migration {version})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The first migration this version does not know.
        version: i64,
    },
    /// The tables could not be brought to this version.
    #[error("could not bring the tables of `{}` up to date", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: MigrateError,
    },
    /// There is no room, or the disk refuses.
    #[error("the disk took no more while {doing}: {detail}")]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// In SQLite's words.
        detail: String,
    },
    /// Somebody else holds the file.
    #[error("the database is held by another program while {doing}")]
    Busy {
        /// What was being done.
        doing: &'static str,
    },
    /// A machine of that name, or the same machine, is there already.
    #[error("{what} is there already")]
    Taken {
        /// What is.
        what: Taken,
    },
    /// Somebody else has written to the run: see [`JournalError::Overtaken`].
    #[error("{known} events of the run were known, and {there} are written")]
    Overtaken {
        /// The number of the last event that the writer knew.
        known: u64,
        /// The number of the last event that is there.
        there: u64,
    },
    /// A query failed.
    #[error("the database failed while {doing}")]
    Query {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// A row holds what this version cannot read.
    #[error("`{column}` of row `{row}` in `{table}` cannot be read: {detail}")]
    Row {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
        /// Why.
        detail: String,
    },
}

/// See [`StoreError::Taken`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A machine of the same name.
    Name,
    /// The same machine, whatever its name and address.
    Machine,
    /// Something of the same id.
    Id,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "a machine of that name",
            Self::Machine => "that machine",
            Self::Id => "something with that id",
        })
    }
}

/// SQLite's own result code, without the extension in the higher bits.
fn code(error: &sqlx::Error) -> Option<u32> {
    let extended: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

const BUSY: u32 = 5;
const IO: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const NOT_A_DATABASE: u32 = 26;

/// Says what was being done when a query failed.
pub(super) fn doing(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| match code(&source) {
        Some(FULL | IO) => StoreError::Disk {
            doing,
            detail: source.to_string(),
        },
        Some(BUSY) => StoreError::Busy { doing },
        _ => StoreError::Query { doing, source },
    }
}

/// Says which column of which row could not be read.
pub(super) fn says<E: std::fmt::Display>(
    table: &'static str,
    column: &'static str,
    row: &str,
) -> impl FnOnce(E) -> StoreError {
    let row = row.to_owned();
    move |e| StoreError::Row {
        table,
        column,
        row,
        detail: e.to_string(),
    }
}

impl StoreError {
    pub(super) fn opening(path: &Path, source: sqlx::Error) -> Self {
        match code(&source) {
            Some(CORRUPT | NOT_A_DATABASE) => Self::Damaged {
                path: path.to_owned(),
                detail: source.to_string(),
            },
            Some(FULL) => Self::Disk {
                doing: "opening it",
                detail: source.to_string(),
            },
            Some(BUSY) => Self::Busy {
                doing: "opening it",
            },
            _ => Self::Open {
                path: path.to_owned(),
                source,
            },
        }
    }

    /// The error in words.
    pub fn problem(&self) -> Problem {
        let unopened = "Tandem's database was not opened.";
        let problem = match self {
            Self::Folder(error) => error.problem(),
            Self::Open { path, .. } => Problem::new(Code::JournalWrite, unopened)
                .cause(format!("`{}` could not be read or written.", path.display()))
                .fix("Check the file's owner and rights, then start Tandem again."),
            Self::Damaged { path, detail } => Problem::new(Code::JournalWrite, unopened)
                .cause(format!("`{}` is damaged: {detail}.", path.display()))
                .fix_with(
                    "Put a copy from a backup in its place. Or move it aside: Tandem then starts empty, and what is on the machines stays.",
                    format!("mv '{0}' '{0}.damaged'", path.display()),
                ),
            Self::Newer { path, .. } => Problem::new(Code::JournalWrite, unopened)
                .cause(format!("`{}` was written by a newer version of Tandem.", path.display()))
                .fix("Start the newer version. Nothing was changed in the file."),
            Self::Migrate { path, .. } => Problem::new(Code::JournalWrite, unopened)
                .cause(format!("The tables in `{}` could not be brought up to date.", path.display())),
            Self::Disk { doing, detail } => Problem::new(Code::DiskFull, "Tandem could not write to its database.")
                .cause(format!("The disk of this computer took no more while {doing}: {detail}."))
                .fix("Free some space on this computer, then try again; what was written before is kept.")
                .retry(Retry::Now),
            Self::Busy { doing } => Problem::new(Code::JournalWrite, "Tandem's database did not answer.")
                .cause(format!("Another program held it for 10 s while {doing}."))
                .fix("Close the other copy of Tandem, then try again.")
                .retry(Retry::Now),
            Self::Taken { what: Taken::Name } => Problem::new(Code::BadInput, "The machine was not saved.")
                .cause("Another machine has that name.")
                .fix("Choose another name."),
            Self::Taken { what: Taken::Machine } => {
                Problem::new(Code::SameMachineTwice, "The machine was not added.")
                    .cause("It is here already, under another address or name.")
                    .fix("Give the address of the other machine.")
            }
            Self::Taken { what: Taken::Id } => Problem::new(Code::Broken, "It was not saved.")
                .cause("Something with the same id is saved already."),
            Self::Overtaken { known, there } => {
                JournalError::Overtaken { known: *known, there: *there }.problem()
            }
            Self::Query { doing, .. } => Problem::new(Code::Broken, "Tandem's database failed.")
                .cause(format!("It happened while {doing}.")),
            Self::Row { .. } => Problem::new(Code::Broken, "Tandem could not read its own notes.")
                .cause(format!("{self}.")),
        };
        self.chain().into_iter().fold(problem, Problem::detail)
    }

    /// The error and what caused it, outermost first.
    fn chain(&self) -> Vec<String> {
        let mut chain = vec![self.to_string()];
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            chain.push(error.to_string());
            next = error.source();
        }
        chain
    }
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overtaken { known, there } => Self::Overtaken { known, there },
            other => Self::Failed(other.chain().join(": ")),
        }
    }
}

impl From<StoreError> for BenchStoreError {
    fn from(error: StoreError) -> Self {
        Self(error.chain().join(": "))
    }
}
