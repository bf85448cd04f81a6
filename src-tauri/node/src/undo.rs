//! Takes back exactly what a job made.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use tandem_domain::node::Undone;

/// Removes what the notes name, below the Hugging Face home. A blob that another snapshot links to
/// and a folder that is not empty stay: somebody else uses them.
pub fn undo(home: &Path, entries: &BTreeSet<String>) -> Undone {
    let mut undone = Undone {
        removed: 0,
        bytes: 0,
        left: Vec::new(),
    };
    let mut blobs = Vec::new();
    let mut folders = Vec::new();
    for entry in entries {
        if let Some(folder) = entry.strip_suffix('/') {
            folders.push(folder);
            continue;
        }
        if let Some((path, commit)) = restored(entry) {
            if let Err(e) = std::fs::write(home.join(path), commit) {
                undone
                    .left
                    .push(format!("{path} could not be set back: {e}."));
            }
            continue;
        }
        if !stays_inside(entry) {
            undone
                .left
                .push(format!("{entry} is not in the Hugging Face home."));
        } else if entry.contains("/blobs/") {
            blobs.push(entry.as_str());
        } else {
            remove(home, entry, &mut undone);
        }
    }
    for entry in blobs {
        let path = home.join(entry);
        if is_linked(&path) {
            undone
                .left
                .push(format!("{entry} is used by another snapshot and was kept."));
        } else {
            remove(home, entry, &mut undone);
        }
    }
    // The deepest first; one that is not empty holds what others put there.
    folders.sort_by_key(|f| std::cmp::Reverse(depth(f)));
    for folder in folders {
        let _ = std::fs::remove_dir(folder_of(home, folder));
    }
    undone
}

/// A noted folder; the kernel does not remove one by the names `.` and `..`.
fn folder_of(home: &Path, entry: &str) -> PathBuf {
    let mut path = home.to_path_buf();
    for part in Path::new(entry).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

fn depth(folder: &str) -> i64 {
    Path::new(folder)
        .components()
        .map(|c| match c {
            Component::ParentDir => -1,
            Component::Normal(_) => 1,
            _ => 0,
        })
        .sum()
}

/// A reference that named another commit before.
fn restored(entry: &str) -> Option<(&str, &str)> {
    let (path, commit) = entry.rsplit_once('=')?;
    let is_commit = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
    (is_commit && path.contains("/refs/") && stays_inside(path)).then_some((path, commit))
}

fn stays_inside(entry: &str) -> bool {
    Path::new(entry)
        .components()
        .all(|c| matches!(c, Component::Normal(_)))
}

fn remove(home: &Path, entry: &str, undone: &mut Undone) {
    let path = home.join(entry);
    let size =
        std::fs::symlink_metadata(&path).map_or(0, |m| if m.is_file() { m.len() } else { 0 });
    match std::fs::remove_file(&path) {
        Ok(()) => {
            undone.removed += 1;
            undone.bytes += size;
        }
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) => {}
        Err(e) => undone
            .left
            .push(format!("{entry} could not be removed: {e}.")),
    }
}

/// Whether any snapshot of the repository links to a blob.
fn is_linked(blob: &Path) -> bool {
    let Some(repo) = blob.parent().and_then(Path::parent) else {
        return false;
    };
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

/// Removes a checkpoint made beside a snapshot, and the folders above it that are then empty.
pub fn remove_overlay(home: &Path, overlay: &Path) -> Undone {
    let mut undone = Undone {
        removed: 0,
        bytes: 0,
        left: Vec::new(),
    };
    let tandem = home.join("tandem");
    if !overlay.starts_with(&tandem) || overlay == tandem {
        undone.left.push(format!(
            "{} is not a checkpoint that Tandem made.",
            overlay.display()
        ));
        return undone;
    }
    for path in [overlay.to_path_buf(), crate::graft::unfinished(overlay)] {
        count(&path, &mut undone);
        match std::fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => undone
                .left
                .push(format!("{} could not be removed: {e}.", path.display())),
            _ => {}
        }
    }
    for folder in overlay
        .ancestors()
        .skip(1)
        .take_while(|p| p.starts_with(&tandem))
    {
        let _ = std::fs::remove_dir(folder);
    }
    undone
}

/// Counts what goes. A file with other links frees nothing.
fn count(folder: &Path, undone: &mut Undone) {
    use std::os::unix::fs::MetadataExt;
    let Ok(list) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in list.flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => count(&entry.path(), undone),
            Ok(meta) => {
                undone.removed += 1;
                if meta.nlink() == 1 && meta.is_file() {
                    undone.bytes += meta.len();
                }
            }
            Err(_) => {}
        }
    }
}
