//! A file on its way: written in place, with notes of what is safe.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ranges::{Mark, Notes, Ranges};

/// An unfinished file.
pub struct Target {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes it will have.
    pub size: u64,
    /// Whether every written piece is hashed as it arrives.
    pub hashed: bool,
    file: File,
    state: Mutex<State>,
}

struct State {
    have: Ranges,
    marks: Vec<Mark>,
    unsynced: Vec<Mark>,
    notes: Notes,
}

impl Target {
    /// Opens or begins the file at `path`, with its notes at `notes`.
    pub fn open(path: &Path, notes: &Path, size: u64, hashed: bool) -> io::Result<Self> {
        let existed = path.exists();
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        let (mut notes, mut marks) = Notes::open(notes, size)?;
        if !existed || file.metadata()?.len() > size {
            notes.clear(size)?;
            file.set_len(0)?;
            marks.clear();
        }
        marks.retain(|m| m.sha256.is_some() == hashed);
        let mut have = Ranges::default();
        for mark in &marks {
            have.add(mark.from, mark.to);
        }
        if !hashed {
            marks.clear();
        }
        Ok(Self {
            path: path.to_path_buf(),
            size,
            hashed,
            file,
            state: Mutex::new(State {
                have,
                marks,
                unsynced: Vec::new(),
                notes,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file itself, for reading back.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What is written of a range.
    pub fn within(&self, from: u64, to: u64) -> u64 {
        self.state().have.within(from, to)
    }

    /// What is missing of a range.
    pub fn missing(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        self.state().have.missing(from, to)
    }

    /// The pieces with their hashes, in order of place.
    pub fn marks(&self) -> Vec<Mark> {
        let mut marks = self.state().marks.clone();
        marks.sort_by_key(|m| m.from);
        marks
    }

    /// Writes a piece in its place and says how many of its bytes were not there before.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<u64> {
        let sha256 = self.hashed.then(|| crate::digest::sha256(bytes));
        self.file.write_all_at(bytes, at)?;
        let mark = Mark {
            from: at,
            to: at + bytes.len() as u64,
            sha256,
        };
        let mut state = self.state();
        let new = (mark.to - mark.from) - state.have.within(mark.from, mark.to);
        if new == 0 {
            return Ok(0);
        }
        state.have.add(mark.from, mark.to);
        if self.hashed {
            state.marks.push(mark.clone());
        }
        // Pieces that follow each other are one line, unless each has a hash of its own.
        match state.unsynced.last_mut() {
            Some(last) if !self.hashed && last.to == mark.from => last.to = mark.to,
            _ => state.unsynced.push(mark),
        }
        Ok(new)
    }

    /// Flushes what was written to the disk and notes it; says how many bytes became safe.
    pub fn sync(&self) -> io::Result<u64> {
        let marks = std::mem::take(&mut self.state().unsynced);
        if marks.is_empty() {
            return Ok(0);
        }
        self.file.sync_data()?;
        self.state().notes.add(&marks)?;
        Ok(marks.iter().map(|m| m.to - m.from).sum())
    }

    /// Forgets a stretch, or everything, because it is not what it should be.
    pub fn forget(&self) -> io::Result<()> {
        let mut state = self.state();
        state.have = Ranges::default();
        state.marks.clear();
        state.unsynced.clear();
        state.notes.clear(self.size)
    }
}
