//! Which bytes of an unfinished file are on the disk, noted so that a death loses little.
//!
//! The notes stand beside the file, one range a line, and a line is written only after the data it
//! speaks of was flushed to the disk. A line that was cut short by a death is not counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Disjoint ranges in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds a range; what overlaps or touches becomes one.
    pub fn add(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let first = self.0.partition_point(|r| r.1 < from);
        let last = self.0.partition_point(|r| r.0 <= to);
        let mut merged = (from, to);
        if first < last {
            merged.0 = merged.0.min(self.0[first].0);
            merged.1 = merged.1.max(self.0[last - 1].1);
        }
        self.0.splice(first..last, [merged]);
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|r| r.1 - r.0).sum()
    }

    /// Bytes of `from..to` that are in.
    pub fn within(&self, from: u64, to: u64) -> u64 {
        self.0
            .iter()
            .map(|r| r.1.min(to).saturating_sub(r.0.max(from)))
            .sum()
    }

    /// What is missing of `from..to`.
    pub fn missing(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        let mut at = from;
        for range in &self.0 {
            if range.1 <= at {
                continue;
            }
            if range.0 >= to {
                break;
            }
            if range.0 > at {
                out.push((at, range.0));
            }
            at = range.1;
        }
        if at < to {
            out.push((at, to));
        }
        out
    }

    /// Whether all of `from..to` is in.
    pub fn covers(&self, from: u64, to: u64) -> bool {
        self.missing(from, to).is_empty()
    }
}

/// A range with the hash that its bytes had as they arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// First byte.
    pub from: u64,
    /// The byte after the last.
    pub to: u64,
    /// sha256 in hex, where hashes are kept.
    pub sha256: Option<String>,
}

/// The notes beside a file.
pub struct Notes {
    path: PathBuf,
    out: File,
}

impl Notes {
    /// Opens the notes of a file that will have `size` bytes. Notes of another size are of another
    /// file and count for nothing.
    pub fn open(path: &Path, size: u64) -> io::Result<(Self, Vec<Mark>)> {
        let head = format!("tandem-ranges 1 {size}");
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e),
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines();
        let marks: Vec<Mark> = if lines.next() == Some(head.as_str()) {
            lines.filter_map(|line| mark(line, size)).collect()
        } else {
            Vec::new()
        };
        let mut fresh = format!("{head}\n");
        for mark in &marks {
            fresh.push_str(&line(mark));
        }
        // Written anew, so that a half line at the end cannot swallow the next one.
        let beside = path.with_extension("tandem-new");
        std::fs::write(&beside, fresh)?;
        std::fs::rename(&beside, path)?;
        let out = OpenOptions::new().append(true).open(path)?;
        Ok((
            Self {
                path: path.to_path_buf(),
                out,
            },
            marks,
        ))
    }

    /// Adds lines; the data must be on the disk already.
    pub fn add(&mut self, marks: &[Mark]) -> io::Result<()> {
        let text: String = marks.iter().map(line).collect();
        self.out.write_all(text.as_bytes())
    }

    /// Forgets every line.
    pub fn clear(&mut self, size: u64) -> io::Result<()> {
        std::fs::write(&self.path, format!("tandem-ranges 1 {size}\n"))?;
        self.out = OpenOptions::new().append(true).open(&self.path)?;
        Ok(())
    }
}

fn line(mark: &Mark) -> String {
    match &mark.sha256 {
        Some(hash) => format!("{} {} {hash}\n", mark.from, mark.to),
        None => format!("{} {}\n", mark.from, mark.to),
    }
}

fn mark(line: &str, size: u64) -> Option<Mark> {
    let mut parts = line.split(' ');
    let from = parts.next()?.parse().ok()?;
    let to = parts.next()?.parse().ok()?;
    let sha256 = parts.next().map(str::to_owned);
    (from < to && to <= size).then_some(Mark { from, to, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_and_know_what_is_missing() {
        let mut ranges = Ranges::default();
        for (from, to) in [(10, 20), (30, 40), (20, 25), (5, 6), (24, 31), (7, 7)] {
            ranges.add(from, to);
        }
        assert_eq!(ranges.0, [(5, 6), (10, 40)]);
        assert_eq!(ranges.missing(0, 50), [(0, 5), (6, 10), (40, 50)]);
        assert_eq!(ranges.within(0, 12), 3);
        assert!(ranges.covers(12, 40) && !ranges.covers(12, 41));
    }

    #[test]
    fn notes_outlive_a_death_in_the_middle_of_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.notes");
        let (mut notes, none) = Notes::open(&path, 100).unwrap();
        assert!(none.is_empty());
        let first = Mark {
            from: 0,
            to: 10,
            sha256: None,
        };
        notes.add(std::slice::from_ref(&first)).unwrap();
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"10 2");
        std::fs::write(&path, text).unwrap();
        let (mut notes, marks) = Notes::open(&path, 100).unwrap();
        assert_eq!(marks, [first], "the half line is not counted");
        let second = Mark {
            from: 20,
            to: 30,
            sha256: Some("ab".into()),
        };
        notes.add(std::slice::from_ref(&second)).unwrap();
        let (_, marks) = Notes::open(&path, 100).unwrap();
        assert_eq!(marks[1], second, "the next line stands by itself");
        let (_, marks) = Notes::open(&path, 101).unwrap();
        assert!(marks.is_empty(), "notes of another size are another file's");
    }
}
