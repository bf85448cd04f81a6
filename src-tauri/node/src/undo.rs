//! Takes back exactly what a job made.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;
use tandem_domain::node::Undone;

use crate::cache::Cache;
use crate::created_paths::CreatedPath;
use crate::own_file;

/// What became of an entry.
enum Outcome {
    /// It is not there any more.
    Gone,
    /// Others use it by now; for this job it is over.
    Kept(String),
    /// It is still there and still the job's.
    Left(String),
    /// It is a folder that holds something of this kind.
    Waits,
}

/// Removes what the notes name, and says what is still to be removed: after its cause has been mended, the
/// same again for these takes back the rest. A blob that another snapshot links to and a folder that is not
/// empty stay: somebody else uses them.
pub fn undo(cache: &Cache, entries: &BTreeSet<CreatedPath>) -> (Undone, BTreeSet<CreatedPath>) {
    let mut undoing = Undoing {
        cache,
        undone: Undone::default(),
        left: BTreeSet::new(),
    };
    // Links before the blobs that they lead to, and the deepest folder first.
    let mut in_order: Vec<&CreatedPath> = entries.iter().collect();
    in_order.sort_by_key(|entry| match entry {
        CreatedPath::Blob(_) => (1, 0),
        CreatedPath::Folder(path) => (2, -depth(path)),
        _ => (0, 0),
    });
    for entry in in_order {
        let outcome = undoing.take_back(entry);
        match outcome {
            Outcome::Gone => {}
            Outcome::Kept(why) => undoing.undone.kept.push(why),
            Outcome::Left(why) => {
                undoing.undone.left.push(why);
                undoing.left.insert(entry.clone());
            }
            Outcome::Waits => {
                undoing.left.insert(entry.clone());
            }
        }
    }
    (undoing.undone, undoing.left)
}

fn depth(folder: &str) -> i64 {
    let parts = Path::new(folder).components();
    let deeper = parts.map(|part| match part {
        Component::ParentDir => -1,
        Component::Normal(_) => 1,
        _ => 0,
    });
    deeper.sum()
}

struct Undoing<'a> {
    cache: &'a Cache,
    undone: Undone,
    left: BTreeSet<CreatedPath>,
}

impl Undoing<'_> {
    fn take_back(&mut self, entry: &CreatedPath) -> Outcome {
        let path = self.cache.absolute(entry.path());
        // Whoever put a link in a folder's place leads to what the job never made.
        if self.cache.refuse_links(&path).is_err() {
            return Outcome::Left(format!("{} is behind a link now.", entry.path()));
        }
        match entry {
            CreatedPath::Folder(name) => self.folder(name, &path),
            CreatedPath::Blob(name) if self.others_link(&path) => {
                Outcome::Kept(format!("{name} is used by another snapshot and was kept."))
            }
            CreatedPath::Reference {
                path: name,
                was: Some(was),
            } => {
                match std::fs::symlink_metadata(&path) {
                    Ok(_) => match own_file::replace(&path, was.as_bytes()) {
                        Ok(()) => Outcome::Gone,
                        Err(e) => Outcome::Left(format!("{name} could not be set back: {e}.")),
                    },
                    // Somebody removed the branch since.
                    Err(_) => Outcome::Gone,
                }
            }
            CreatedPath::Checkpoint(name) => self.checkpoint(name, &path),
            CreatedPath::File(name)
            | CreatedPath::Blob(name)
            | CreatedPath::Link(name)
            | CreatedPath::Reference {
                path: name,
                was: None,
            } => self.file(name, &path),
        }
    }

    /// A file with what a death left beside it.
    fn file(&mut self, name: &str, path: &Path) -> Outcome {
        for path in [own_file::beside(path).as_path(), path] {
            let meta = std::fs::symlink_metadata(path);
            let size = meta.map_or(0, |m| if m.is_file() { m.len() } else { 0 });
            match std::fs::remove_file(path) {
                Ok(()) => {
                    self.undone.removed += 1;
                    self.undone.bytes += size;
                }
                Err(e) if is_gone(&e) => {}
                Err(e) => return Outcome::Left(format!("{name} could not be removed: {e}.")),
            }
        }
        Outcome::Gone
    }

    fn folder(&self, name: &str, path: &Path) -> Outcome {
        match std::fs::remove_dir(path) {
            Ok(()) => Outcome::Gone,
            Err(e) if is_gone(&e) => Outcome::Gone,
            Err(e)
                if matches!(
                    Errno::from_io_error(&e),
                    Some(Errno::NOTEMPTY | Errno::EXIST)
                ) =>
            {
                // It holds what others put there, or what could not be removed.
                let holds =
                    |entry: &CreatedPath| self.cache.absolute(entry.path()).starts_with(path);
                if self.left.iter().any(holds) {
                    Outcome::Waits
                } else {
                    Outcome::Gone
                }
            }
            Err(e) => Outcome::Left(format!("{name} could not be removed: {e}.")),
        }
    }

    /// A checkpoint that was made beside a snapshot, finished or not.
    fn checkpoint(&mut self, name: &str, path: &Path) -> Outcome {
        for path in [path.to_path_buf(), crate::graft::unfinished(path)] {
            if std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink()) {
                return Outcome::Left(format!("{name} is a link now."));
            }
            let mut counted = (0, 0);
            count(&path, &mut counted);
            let removed = std::fs::remove_dir_all(&path);
            let mut remaining = (0, 0);
            if removed.is_err() {
                count(&path, &mut remaining);
            }
            self.undone.removed += counted.0.saturating_sub(remaining.0);
            self.undone.bytes += counted.1.saturating_sub(remaining.1);
            match removed {
                Err(e) if !is_gone(&e) => {
                    return Outcome::Left(format!("{name} could not be removed: {e}."));
                }
                _ => {}
            }
        }
        Outcome::Gone
    }

    /// Whether a snapshot of the repository links to a blob by another link than those that are still to be
    /// removed.
    fn others_link(&self, blob: &Path) -> bool {
        let Some(repo) = blob.parent().and_then(Path::parent) else {
            return false;
        };
        let own: BTreeSet<PathBuf> = self
            .left
            .iter()
            .map(|entry| self.cache.absolute(entry.path()))
            .collect();
        let mut folders: Vec<PathBuf> = vec![repo.join("snapshots")];
        while let Some(folder) = folders.pop() {
            let Ok(list) = std::fs::read_dir(&folder) else {
                continue;
            };
            for entry in list.flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind)
                        if kind.is_symlink()
                            && !own.contains(&path)
                            && std::fs::read_link(&path)
                                .is_ok_and(|t| t.file_name() == blob.file_name()) =>
                    {
                        return true;
                    }
                    _ => {}
                }
            }
        }
        false
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Counts files and what they free: one with other links frees nothing.
fn count(folder: &Path, found: &mut (u32, u64)) {
    let Ok(list) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in list.flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => count(&entry.path(), found),
            Ok(meta) => {
                found.0 += 1;
                if meta.nlink() == 1 && meta.is_file() {
                    found.1 += meta.len();
                }
            }
            Err(_) => {}
        }
    }
}
