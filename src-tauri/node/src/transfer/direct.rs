//! Writes past the kernel's page cache.
//!
//! A copy brings more than the machine has memory, faster than most disks take it, and nobody reads it
//! before the model is loaded. In the cache it would push out what is in use, cost the processor another
//! copy of every byte and leave the disk's work for the end. Where the file system or the place of a write
//! does not allow it, it is written the usual way; the kernel keeps both views of a file the same.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;

use crate::own_file;

/// Where such a write may begin and end, in the file and in memory: no disk has larger blocks.
const ALIGN: usize = 4096;

/// Bytes in memory that begin where such a write may begin.
pub struct Buffer {
    bytes: Vec<u8>,
    from: usize,
    len: usize,
}

impl Buffer {
    /// Of `len` bytes.
    pub fn new(len: usize) -> Self {
        let bytes = vec![0; len + ALIGN];
        let from = bytes.as_ptr().addr().wrapping_neg() % ALIGN;
        Self { bytes, from, len }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.from..self.from + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.from..self.from + self.len]
    }
}

/// The way past the cache into one file.
pub struct Direct {
    file: File,
    refused: AtomicBool,
}

impl Direct {
    /// Into the file at `path`, which exists. `None` where the file system has no such way.
    pub fn open(path: &Path) -> Option<Self> {
        let file =
            own_file::open_with(path, OpenOptions::new().write(true), OFlags::DIRECT).ok()?;
        Some(Self {
            file,
            refused: AtomicBool::new(false),
        })
    }

    /// Writes, and says whether it did: `false` where it has to be done the usual way.
    pub fn write(&self, bytes: &[u8], at: u64) -> io::Result<bool> {
        let whole = |n: usize| n.is_multiple_of(ALIGN);
        let fits = whole(bytes.as_ptr().addr()) && whole(bytes.len()) && whole(at as usize);
        if !fits || self.refused.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match self.file.write_all_at(bytes, at) {
            Ok(()) => Ok(true),
            // Some file systems allow to open and not to write so.
            Err(e) if e.kind() == ErrorKind::InvalidInput => {
                self.refused.store(true, Ordering::Relaxed);
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// Has the disk set room aside for a stretch: without it every write waits until its place is found.
    pub fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), from, to - from) {
            Err(e @ (Errno::NOSPC | Errno::DQUOT)) => Err(e.into()),
            // It is a convenience; a file system that has it not, writes all the same.
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_goes_past_the_cache_and_the_rest_is_left_to_others() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("f");
        let file = File::create(&path).unwrap();
        let direct = Direct::open(&path).expect("the repository lies on a disk that knows it");
        direct.reserve(0, 3 * ALIGN as u64).unwrap();
        let mut buffer = Buffer::new(2 * ALIGN);
        buffer.fill(7);
        assert!(direct.write(&buffer, ALIGN as u64).unwrap());
        assert!(!direct.write(&buffer, 5).unwrap(), "no block begins there");
        assert!(!direct.write(&buffer[1..], 0).unwrap());
        assert!(!direct.write(&buffer[..9], 0).unwrap());
        file.write_all_at(&[1; 9], 0).unwrap();
        let mut expected = vec![0; 3 * ALIGN];
        expected[..9].fill(1);
        expected[ALIGN..].fill(7);
        assert_eq!(std::fs::read(&path).unwrap(), expected);
    }

    #[test]
    fn a_buffer_begins_at_a_block() {
        for len in [1, ALIGN, 1 << 20] {
            let mut buffer = Buffer::new(len);
            assert_eq!(buffer.len(), len);
            assert!(buffer.as_ptr().addr().is_multiple_of(ALIGN));
            buffer[len - 1] = 1;
        }
    }
}
