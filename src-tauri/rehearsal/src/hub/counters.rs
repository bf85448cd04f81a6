//! What the Hub gave out, so that a test can tell what was fetched twice.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

/// Of one file, over all revisions: `owner/name/file`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCount {
    /// Requests that were answered with content.
    pub requests: u64,
    /// Bytes of content handed to the network.
    pub bytes: u64,
}

/// Of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// By file.
    pub files: BTreeMap<String, FileCount>,
    /// Content bytes in all.
    pub bytes: u64,
    /// Content bytes from the CDN alone.
    pub cdn_bytes: u64,
    /// Requests in all.
    pub requests: u64,
    /// Requests with a signed address that had expired.
    #[serde(default)]
    pub expired: u64,
    /// What no client may do, in sentences: a token shown to the CDN above all.
    pub violations: Vec<String>,
}

/// See [`Count`].
#[derive(Debug, Default)]
pub struct Counters {
    count: Mutex<Count>,
}

impl Counters {
    fn lock(&self) -> std::sync::MutexGuard<'_, Count> {
        self.count
            .lock()
            .expect("no thread panics while it holds the counters")
    }

    /// As they stand.
    pub fn read(&self) -> Count {
        self.lock().clone()
    }

    /// Sets all to nothing.
    pub fn reset(&self) {
        *self.lock() = Count::default();
    }

    pub(crate) fn request(&self) {
        self.lock().requests += 1;
    }

    pub(crate) fn expired(&self) {
        self.lock().expired += 1;
    }

    pub(crate) fn opened(&self, file: &str) {
        self.lock()
            .files
            .entry(file.to_owned())
            .or_default()
            .requests += 1;
    }

    pub(crate) fn sent(&self, file: &str, bytes: u64, cdn: bool) {
        let mut count = self.lock();
        count.bytes += bytes;
        if cdn {
            count.cdn_bytes += bytes;
        }
        count.files.entry(file.to_owned()).or_default().bytes += bytes;
    }

    pub(crate) fn violation(&self, what: String) {
        self.lock().violations.push(what);
    }
}
