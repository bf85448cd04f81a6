//! Which bytes of an unfinished file are on the disk, noted so that a death loses little.
//!
//! The notes stand beside the file, one range a line, and a line is written only after the data it
//! speaks of was flushed to the disk; it is flushed itself then, or a loss of power would take with the
//! notes of half a minute what they speak of. A line that was cut short by a death is not counted.
//!
//! A line that begins with `w` speaks of data that was written and not flushed yet. The kernel keeps such
//! data when the program dies, and loses it when the machine does; so it counts only within the boot that
//! the `boot` line above it names.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::own_file;

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

    /// Up to where everything is in from `at` on; `at` itself where it is not.
    pub fn whole_from(&self, at: u64) -> u64 {
        let next = self.0.partition_point(|r| r.1 <= at);
        match self.0.get(next) {
            Some(range) if range.0 <= at => range.1,
            _ => at,
        }
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
    out: Arc<File>,
    boot: String,
}

/// What the notes of an earlier life say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeptNotes {
    /// Flushed to the disk.
    pub safe: Vec<Mark>,
    /// Written in this boot of the machine, and to be flushed again.
    pub written: Vec<Mark>,
}

impl Notes {
    /// Opens the notes of a file that will have `size` bytes. Notes of another size are of another
    /// file and count for nothing.
    pub fn open(path: &Path, size: u64) -> io::Result<(Self, KeptNotes)> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self::open_in(path, size, boot.trim())
    }

    /// As [`Notes::open`], in a boot of this name. Without a name nothing is trusted that was not flushed.
    fn open_in(path: &Path, size: u64, boot: &str) -> io::Result<(Self, KeptNotes)> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e),
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines();
        let mut kept = KeptNotes::default();
        if lines.next() == Some(head(size).as_str()) {
            let mut this_boot = false;
            for line in lines {
                if let Some(of) = line.strip_prefix("boot ") {
                    this_boot = !boot.is_empty() && of == boot;
                } else if let Some(written) = line.strip_prefix("w ") {
                    kept.written
                        .extend(mark(written, size).filter(|_| this_boot));
                } else {
                    kept.safe.extend(mark(line, size));
                }
            }
        }
        let mut safe = Ranges::default();
        for mark in &kept.safe {
            safe.add(mark.from, mark.to);
        }
        kept.written.retain(|m| !safe.covers(m.from, m.to));
        // Written again, so that a half line at the end cannot swallow the next one.
        let mut fresh = format!("{}\n", head(size));
        fresh.extend(kept.safe.iter().map(line));
        fresh.push_str(&format!("boot {boot}\n"));
        fresh.extend(kept.written.iter().map(|m| format!("w {}", line(m))));
        own_file::replace(path, fresh.as_bytes())?;
        let out = own_file::append(path)?;
        let notes = Self {
            path: path.to_path_buf(),
            out: Arc::new(out),
            boot: boot.to_owned(),
        };
        Ok((notes, kept))
    }

    /// Adds lines; the data must be on the disk already. The lines themselves are when the file that is
    /// given back was flushed, for which nobody has to hold the notes.
    pub fn add(&mut self, marks: &[Mark]) -> io::Result<Arc<File>> {
        let text: String = marks.iter().map(line).collect();
        (&*self.out).write_all(text.as_bytes())?;
        Ok(Arc::clone(&self.out))
    }

    /// Adds a line of data that is written and not flushed yet.
    pub fn wrote(&mut self, mark: &Mark) -> io::Result<()> {
        (&*self.out).write_all(format!("w {}", line(mark)).as_bytes())
    }

    /// Forgets every line.
    pub fn clear(&mut self, size: u64) -> io::Result<()> {
        let fresh = format!("{}\nboot {}\n", head(size), self.boot);
        own_file::replace(&self.path, fresh.as_bytes())?;
        self.out = Arc::new(own_file::append(&self.path)?);
        Ok(())
    }
}

fn head(size: u64) -> String {
    format!("tandem-ranges 1 {size}")
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
    fn what_is_whole_from_a_byte_on_ends_at_the_first_gap() {
        let mut ranges = Ranges::default();
        ranges.add(0, 10);
        ranges.add(20, 30);
        for (at, to) in [
            (0, 10),
            (9, 10),
            (10, 10),
            (15, 15),
            (20, 30),
            (29, 30),
            (40, 40),
        ] {
            assert_eq!(ranges.whole_from(at), to, "from {at}");
        }
    }

    fn plain(from: u64, to: u64) -> Mark {
        Mark {
            from,
            to,
            sha256: None,
        }
    }

    #[test]
    fn notes_outlive_a_death_in_the_middle_of_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.notes");
        let (mut notes, none) = Notes::open(&path, 100).unwrap();
        assert_eq!(none, KeptNotes::default());
        let first = plain(0, 10);
        notes.add(std::slice::from_ref(&first)).unwrap();
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"10 2");
        std::fs::write(&path, text).unwrap();
        let (mut notes, kept) = Notes::open(&path, 100).unwrap();
        assert_eq!(kept.safe, [first], "the half line is not counted");
        let second = Mark {
            from: 20,
            to: 30,
            sha256: Some("ab".into()),
        };
        notes.add(std::slice::from_ref(&second)).unwrap();
        let (_, kept) = Notes::open(&path, 100).unwrap();
        assert_eq!(kept.safe[1], second, "the next line stands by itself");
        let (_, kept) = Notes::open(&path, 101).unwrap();
        assert_eq!(
            kept,
            KeptNotes::default(),
            "notes of another size are another file's"
        );
    }

    #[test]
    fn what_was_not_flushed_counts_after_a_kill_and_not_after_a_loss_of_power() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.notes");
        let (mut notes, _) = Notes::open_in(&path, 100, "monday").unwrap();
        notes.add(&[plain(0, 10)]).unwrap();
        notes.wrote(&plain(10, 20)).unwrap();
        // The program is killed twice, the machine stays.
        for _ in 0..2 {
            let (_, kept) = Notes::open_in(&path, 100, "monday").unwrap();
            assert_eq!(kept.safe, [plain(0, 10)]);
            assert_eq!(kept.written, [plain(10, 20)]);
        }
        let (mut notes, kept) = Notes::open_in(&path, 100, "tuesday").unwrap();
        assert_eq!(kept.safe, [plain(0, 10)]);
        assert_eq!(kept.written, [], "the power was off");
        notes.wrote(&plain(50, 60)).unwrap();
        let (_, kept) = Notes::open_in(&path, 100, "tuesday").unwrap();
        assert_eq!(kept.written, [plain(50, 60)]);
        let (mut notes, kept) = Notes::open_in(&path, 100, "").unwrap();
        assert_eq!(kept.written, [], "a boot without a name is no boot");
        notes.clear(100).unwrap();
        let (_, kept) = Notes::open_in(&path, 100, "tuesday").unwrap();
        assert_eq!(kept, KeptNotes::default());
    }
}
