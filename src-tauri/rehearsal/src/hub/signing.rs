//! Signed addresses on the CDN, and until when they are good.

use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::State;

/// Seconds for which a signed URL is good.
const SIGNED_FOR: u64 = 3600;

pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

/// Until when an address is good: expired already, for these seconds, or for as long as usual.
pub(super) fn until(expired: bool, seconds: Option<u64>) -> u64 {
    if expired {
        now() - 1
    } else {
        now() + seconds.unwrap_or(SIGNED_FOR)
    }
}

impl State {
    /// A path on the CDN with its signature.
    pub(super) fn signed(&self, path: &str, until: u64) -> String {
        format!(
            "{path}?Expires={until}&Signature={}",
            self.sign(path, until)
        )
    }

    /// The signature of a path on the CDN until a time.
    pub(super) fn sign(&self, path: &str, until: u64) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.secret);
        hash.update(path);
        hash.update(until.to_le_bytes());
        hex::encode(&hash.finalize()[..16])
    }
}
