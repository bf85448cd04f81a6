//! A file on its way: written in place, with notes of what is safe.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::direct::Direct;
use super::ranges::{KeptNotes, Mark, Notes, Ranges};
use crate::own_file;

/// An unfinished file.
pub struct Target {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes it will have.
    pub size: u64,
    /// Whether every written piece is hashed as it arrives.
    pub hashed: bool,
    file: File,
    direct: Option<Direct>,
    state: Mutex<TargetState>,
}

struct TargetState {
    have: Ranges,
    /// What is here or on its way into the file, so that no two connections write one byte: the second
    /// could bring another one after the first was hashed.
    taken: Ranges,
    marks: Vec<Mark>,
    unsynced: Vec<Mark>,
    notes: Notes,
}

impl Target {
    /// Opens or begins the file at `path`, with its notes at `notes`.
    pub fn open(path: &Path, notes: &Path, size: u64, hashed: bool) -> io::Result<Self> {
        let existed = std::fs::symlink_metadata(path).is_ok();
        let file = own_file::open(path)?;
        let (mut notes, mut kept) = Notes::open(notes, size)?;
        if !existed || file.metadata()?.len() > size {
            notes.clear(size)?;
            file.set_len(0)?;
            kept = KeptNotes::default();
        }
        let (mut marks, mut unsynced) = (kept.safe, kept.written);
        marks.retain(|m| m.sha256.is_some() == hashed);
        unsynced.retain(|m| m.sha256.is_some() == hashed);
        let mut have = Ranges::default();
        for mark in marks.iter().chain(&unsynced) {
            have.add(mark.from, mark.to);
        }
        if hashed {
            marks.extend(unsynced.iter().cloned());
        } else {
            marks.clear();
        }
        Ok(Self {
            path: path.to_path_buf(),
            size,
            hashed,
            file,
            direct: None,
            state: Mutex::new(TargetState {
                taken: have.clone(),
                have,
                marks,
                unsynced,
                notes,
            }),
        })
    }

    /// The same, written past the page cache where that can be: for what is not read back.
    pub fn past_the_cache(self) -> Self {
        Self {
            direct: Direct::open(&self.path),
            ..self
        }
    }

    /// Says that a stretch is about to be written.
    pub fn expect(&self, from: u64, to: u64) -> io::Result<()> {
        match &self.direct {
            Some(direct) => direct.reserve(from, to),
            None => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, TargetState> {
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

    /// Up to where everything is written from `at` on.
    pub fn whole_from(&self, at: u64) -> u64 {
        self.state().have.whole_from(at)
    }

    /// The pieces with their hashes, in order of place.
    pub fn marks(&self) -> Vec<Mark> {
        let mut marks = self.state().marks.clone();
        marks.sort_by_key(|m| m.from);
        marks
    }

    /// Writes what is missing of a piece in its place and says how many bytes that were.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<u64> {
        let end = at + bytes.len() as u64;
        let missing = {
            let mut state = self.state();
            let missing = state.taken.missing(at, end);
            state.taken.add(at, end);
            missing
        };
        let mut new = 0;
        for (from, to) in missing {
            let part = &bytes[(from - at) as usize..(to - at) as usize];
            let sha256 = self.hashed.then(|| crate::digest::sha256(part));
            let direct = match &self.direct {
                Some(direct) => direct.write(part, from)?,
                None => false,
            };
            if !direct {
                self.file.write_all_at(part, from)?;
            }
            self.note(Mark { from, to, sha256 })?;
            new += to - from;
        }
        Ok(new)
    }

    /// Notes a piece that is written.
    fn note(&self, mark: Mark) -> io::Result<()> {
        let mut state = self.state();
        state.have.add(mark.from, mark.to);
        state.notes.wrote(&mark)?;
        if self.hashed {
            state.marks.push(mark.clone());
        }
        // Pieces that follow each other are one line, unless each has a hash of its own.
        let before = state.unsynced.iter_mut().rev().take(64);
        let mut before = before.filter(|last| !self.hashed && last.to == mark.from);
        match before.next() {
            Some(last) => last.to = mark.to,
            None => state.unsynced.push(mark),
        }
        Ok(())
    }

    /// Flushes what was written to the disk and notes it; says how many bytes became safe.
    pub fn sync(&self) -> io::Result<u64> {
        let marks = std::mem::take(&mut self.state().unsynced);
        if marks.is_empty() {
            return Ok(0);
        }
        self.file.sync_data()?;
        let notes = self.state().notes.add(&marks)?;
        notes.sync_data()?;
        Ok(marks.iter().map(|m| m.to - m.from).sum())
    }

    /// Forgets a stretch, or everything, because it is not what it should be.
    pub fn forget(&self) -> io::Result<()> {
        let mut state = self.state();
        state.have = Ranges::default();
        state.taken = Ranges::default();
        state.marks.clear();
        state.unsynced.clear();
        state.notes.clear(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_there_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, notes) = (dir.path().join("f"), dir.path().join("n"));
        let target = Target::open(&path, &notes, 30, false).unwrap();
        assert_eq!(target.write(5, &[1; 10]).unwrap(), 10);
        assert_eq!(target.write(0, &[2; 30]).unwrap(), 20);
        assert_eq!(target.write(0, &[3; 30]).unwrap(), 0);
        let mut expected = [2; 30];
        expected[5..15].fill(1);
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        assert_eq!(target.whole_from(0), 30);
    }

    #[test]
    fn a_piece_with_a_hash_counts_after_a_kill_with_its_hash() {
        let dir = tempfile::tempdir().unwrap();
        let (path, notes) = (dir.path().join("f"), dir.path().join("n"));
        let target = Target::open(&path, &notes, 30, true).unwrap();
        target.write(0, &[1; 10]).unwrap();
        assert_eq!(target.sync().unwrap(), 10);
        target.write(10, &[2; 5]).unwrap();
        let before = target.marks();
        assert!(before.len() == 2 && before.iter().all(|m| m.sha256.is_some()));
        drop(target);
        let target = Target::open(&path, &notes, 30, true).unwrap();
        assert_eq!(target.missing(0, 30), [(15, 30)]);
        assert_eq!(target.marks(), before);
    }

    #[test]
    fn what_was_written_counts_after_a_kill_and_is_flushed_then() {
        let dir = tempfile::tempdir().unwrap();
        let (path, notes) = (dir.path().join("f"), dir.path().join("n"));
        let target = Target::open(&path, &notes, 30, false).unwrap();
        target.write(0, &[1; 10]).unwrap();
        assert_eq!(target.sync().unwrap(), 10);
        target.write(10, &[1; 5]).unwrap();
        drop(target); // as a kill leaves it: the file closed, nothing flushed
        let target = Target::open(&path, &notes, 30, false).unwrap();
        assert_eq!(target.missing(0, 30), [(15, 30)]);
        assert_eq!(target.sync().unwrap(), 5, "it is not safe yet");
        drop(target);
        std::fs::remove_file(&path).unwrap();
        let target = Target::open(&path, &notes, 30, false).unwrap();
        assert_eq!(target.missing(0, 30), [(0, 30)], "the file itself is gone");
    }
}
