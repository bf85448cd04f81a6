//! What a job made on the disk, noted before it is made, so that undo removes exactly that.
//!
//! An entry is a path relative to the Hugging Face home. A folder ends in `/`. A reference that had
//! another commit before is `path=commit`, and undo writes that commit back.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The notes of one job.
pub struct CreatedPaths {
    file: Option<PathBuf>,
    inner: Mutex<MadeEntries>,
}

struct MadeEntries {
    entries: BTreeSet<String>,
    out: Option<File>,
}

impl CreatedPaths {
    /// Notes kept in memory only.
    pub fn in_memory() -> Self {
        Self {
            file: None,
            inner: Mutex::new(MadeEntries {
                entries: BTreeSet::new(),
                out: None,
            }),
        }
    }

    /// Notes kept in a file, going on from what it says.
    pub fn in_file(path: &Path) -> io::Result<Self> {
        let entries = read(path)?;
        let out = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            file: Some(path.to_path_buf()),
            inner: Mutex::new(MadeEntries {
                entries,
                out: Some(out),
            }),
        })
    }

    /// Notes an entry. The act comes after.
    pub fn note(&self, entry: impl Into<String>) -> io::Result<()> {
        let entry = entry.into();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.entries.contains(&entry) {
            return Ok(());
        }
        if let Some(out) = &mut inner.out {
            out.write_all(format!("{entry}\n").as_bytes())?;
            out.sync_data()?;
        }
        inner.entries.insert(entry);
        Ok(())
    }

    /// All entries so far.
    pub fn entries(&self) -> Vec<String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.entries.iter().cloned().collect()
    }

    /// Makes a folder and those above it up to the Hugging Face home and beyond, noting each that was
    /// not there.
    pub fn folder(&self, home: &Path, folder: &Path) -> io::Result<()> {
        let mut missing: Vec<&Path> = folder.ancestors().take_while(|p| !p.is_dir()).collect();
        missing.reverse();
        for path in missing {
            self.note(format!("{}/", relative(home, path)))?;
            match std::fs::create_dir(path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Where the notes are kept.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// Reads the entries of a notes file; there are none where there is no file.
pub fn read(path: &Path) -> io::Result<BTreeSet<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(e) => Err(e),
    }
}

/// A path as seen from the Hugging Face home; folders above it come out as `..`.
pub fn relative(home: &Path, path: &Path) -> String {
    if let Ok(below) = path.strip_prefix(home) {
        let text = below.to_string_lossy();
        return if text.is_empty() {
            ".".to_owned()
        } else {
            text.into_owned()
        };
    }
    match home.strip_prefix(path) {
        Ok(rest) => vec![".."; rest.components().count()].join("/"),
        Err(_) => path.to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_new_folder_is_noted_and_no_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join(".cache/huggingface");
        let notes = dir.path().join("made");
        let made = CreatedPaths::in_file(&notes).unwrap();
        made.folder(&home, &home.join("hub/x")).unwrap();
        made.folder(&home, &home.join("hub/x")).unwrap();
        let entries: Vec<_> = read(&notes).unwrap().into_iter().collect();
        assert_eq!(entries, ["../", "./", "hub/", "hub/x/"]);
    }
}
