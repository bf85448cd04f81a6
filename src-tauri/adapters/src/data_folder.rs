//! Tandem's folder on this computer: for its owner alone, and for one process at a time.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use tandem_domain::problem::{Code, Problem, Retry};

/// The file that is locked for the life of the process. It stays; the lock is the system's and ends with the
/// process, however that ends.
const LOCK: &str = "lock";

/// The folder, held by this process until the value is dropped.
#[derive(Debug)]
pub struct DataFolder {
    _lock: File,
}

/// Why the folder is not ours to use.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process holds it.
    #[error("`{}` is held by another process", path.display())]
    Held {
        /// The folder.
        path: PathBuf,
        /// Who holds it, in the words that the holder left there; `None` if it cannot be read.
        by: Option<String>,
    },
    /// Somebody else owns it.
    #[error("`{}` belongs to another user", path.display())]
    Foreign {
        /// The file or folder.
        path: PathBuf,
    },
    /// It could not be made, closed to others or locked.
    #[error("`{}` could not be used", path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl FolderError {
    /// The error in words.
    pub fn problem(&self) -> Problem {
        let message = "Tandem was not started.";
        match self {
            Self::Held { path, by } => Problem::new(Code::Locked, message)
                .cause(match by {
                    Some(by) => format!("Another Tandem uses the folder `{}`: {by}.", path.display()),
                    None => format!("Another Tandem uses the folder `{}`.", path.display()),
                })
                .fix("Go on in its window, or close it and start Tandem again.")
                .retry(Retry::Now),
            Self::Foreign { path } => Problem::new(Code::FileAccess, message)
                .cause(format!("`{}` belongs to another user of this computer, who could change what Tandem reads there.", path.display()))
                .fix("Start Tandem as that user, or with another folder: set `TANDEM_DATA`."),
            Self::Unusable { path, source } => Problem::new(Code::FileAccess, message)
                .cause(format!("`{}` could not be made, closed to others or locked: {source}.", path.display()))
                .fix("Check its owner and its permissions, then start Tandem again."),
        }
    }
}

impl DataFolder {
    /// Makes the folder if there is none, closes it to other users, and locks it for this process. A second call on
    /// the same folder is [`FolderError::Held`] as long as the first one's value lives, in whichever process.
    pub fn take(path: &Path) -> Result<Self, FolderError> {
        make_private(path)?;
        let file = path.join(LOCK);
        let unusable = |source| FolderError::Unusable {
            path: file.clone(),
            source,
        };
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut lock = options.open(&file).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut by = String::new();
                // Where a locked file cannot be read, who holds it stays unknown.
                let read = lock.read_to_string(&mut by);
                let by = read.ok().map(|_| by.trim().to_owned());
                return Err(FolderError::Held {
                    path: path.to_owned(),
                    by: by.filter(|by| !by.is_empty()),
                });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let who = crate::this_computer::who();
        let holder = format!(
            "process {} of `{}` on `{}`\n",
            std::process::id(),
            who.user,
            who.host
        );
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(holder.as_bytes()))
            .map_err(unusable)?;
        Ok(Self { _lock: lock })
    }
}

/// Makes a folder that only its owner may look into, and closes one that is there: conversations are in it. A
/// folder that everybody shares, as `/tmp`, is left as it is.
pub(crate) fn make_private(folder: &Path) -> Result<(), FolderError> {
    let unusable = |source| FolderError::Unusable {
        path: folder.to_owned(),
        source,
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(unusable)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        const STICKY: u32 = 0o1000;
        let found = std::fs::metadata(folder).map_err(unusable)?;
        if found.mode() & STICKY == 0 {
            close(folder, &found, 0o700)?;
        }
    }
    Ok(())
}

/// Closes a file to others, if it is there.
#[cfg_attr(not(unix), expect(unused_variables, reason = "modes are of Unix"))]
pub(crate) fn close_file(path: &Path) -> Result<(), FolderError> {
    #[cfg(unix)]
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => close(path, &found, 0o600)?,
        _ => {}
    }
    Ok(())
}

/// Gives a file or folder of ours this mode, if it has another.
#[cfg(unix)]
fn close(path: &Path, found: &std::fs::Metadata, mode: u32) -> Result<(), FolderError> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    if found.mode() & 0o777 == mode {
        return Ok(());
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(FolderError::Foreign {
            path: path.to_owned(),
        });
    }
    let closed = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    closed.map_err(|source| FolderError::Unusable {
        path: path.to_owned(),
        source,
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_process_at_a_time_holds_it_and_the_second_is_told_who() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("tandem");
        let held = DataFolder::take(&data).expect("nobody holds it");
        let error = DataFolder::take(&data).expect_err("it is held");
        let cause = error.problem().cause.expect("it says why");
        assert!(
            cause.contains(&format!("process {}", std::process::id())),
            "{cause}"
        );
        assert_eq!(error.problem().code, Code::Locked);
        drop(held);
        DataFolder::take(&data).expect("it is free again");
    }

    #[test]
    fn a_folder_that_was_open_to_others_is_closed_and_a_shared_one_is_not() {
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode();
        let folder = tempfile::tempdir().expect("a folder");
        for (before, after) in [(0o755, 0o700), (0o770, 0o700), (0o1777, 0o1777)] {
            let data = folder.path().join(format!("{before:o}"));
            std::fs::create_dir(&data).expect("made");
            let open = std::fs::Permissions::from_mode(before);
            std::fs::set_permissions(&data, open).expect("set");
            make_private(&data).expect("it is ours");
            assert_eq!(mode(&data) & 0o7777, after);
        }
    }
}
