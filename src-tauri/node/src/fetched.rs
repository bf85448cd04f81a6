//! The count of bytes that crossed the line.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count that survives the process.
#[derive(Default)]
pub struct Fetched {
    count: AtomicU64,
    file: Option<PathBuf>,
}

impl Fetched {
    /// Goes on from what a file says.
    pub fn in_file(path: PathBuf) -> Self {
        let before = std::fs::read_to_string(&path)
            .ok()
            .and_then(|t| t.trim().parse().ok())
            .unwrap_or(0);
        Self {
            count: AtomicU64::new(before),
            file: Some(path),
        }
    }

    /// Adds bytes.
    pub fn add(&self, n: u64) {
        self.count.fetch_add(n, Ordering::Relaxed);
    }

    /// All bytes so far.
    pub fn total(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Writes the count down. It is a figure, not a decision, so a failure is not one of the job.
    pub fn save(&self) {
        if let Some(path) = &self.file {
            let _ = std::fs::write(path, format!("{:020}\n", self.total()));
        }
    }
}
