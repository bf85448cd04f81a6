//! A file's hash, taken while the file arrives.
//!
//! Connections bring a file out of order; its hash has one order only. The streaming_hash follows the part that is
//! whole from the first byte on, reading it back a moment after it was written, when it still lies in
//! memory. What a death interrupted is hashed again from the disk while the rest arrives.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::target::Target;
use crate::digest::{Digest, Hasher};

/// Bytes read at a time.
const STRIDE: usize = 256 << 10;
/// Less than this is not worth a turn, unless it is the end.
const WORTH: u64 = 4 << 20;
/// The most in one turn, so that files take turns and a cancel is heard.
const TURN: u64 = 32 << 20;

/// See the module.
pub struct StreamingHash {
    fresh: Hasher,
    size: u64,
    state: Mutex<HashState>,
    news: Notify,
    caught_up: Notify,
}

struct HashState {
    hasher: Hasher,
    at: u64,
    failed: Option<(io::ErrorKind, String)>,
}

impl StreamingHash {
    /// At the first byte of a file of this size.
    pub fn new(hasher: Hasher, size: u64) -> Arc<Self> {
        Arc::new(Self {
            fresh: hasher.clone(),
            size,
            state: Mutex::new(HashState {
                hasher,
                at: 0,
                failed: None,
            }),
            news: Notify::new(),
            caught_up: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, HashState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was written.
    pub(super) fn wake(&self) {
        self.news.notify_one();
    }

    /// Back to the first byte, because the file begins again.
    pub(super) fn reset(&self) {
        let mut state = self.state();
        state.hasher = self.fresh.clone();
        state.at = 0;
        state.failed = None;
    }

    /// How many bytes are hashed.
    pub fn at(&self) -> u64 {
        self.state().at
    }

    /// The hash of the whole file, as soon as it has arrived and been followed to its end.
    pub async fn end(&self) -> io::Result<Digest> {
        loop {
            let caught_up = self.caught_up.notified();
            tokio::pin!(caught_up);
            caught_up.as_mut().enable();
            {
                let state = self.state();
                if let Some((kind, text)) = &state.failed {
                    return Err(io::Error::new(*kind, text.clone()));
                }
                if state.at == self.size {
                    return Ok(state.hasher.clone().finish());
                }
            }
            caught_up.await;
        }
    }

    /// Hashes what is whole up to `to`.
    fn advance(&self, file: &File, to: u64) -> io::Result<()> {
        let (mut hasher, mut at) = {
            let state = self.state();
            (state.hasher.clone(), state.at)
        };
        let mut buffer = vec![0; STRIDE];
        while at < to {
            let most = ((to - at) as usize).min(STRIDE);
            file.read_exact_at(&mut buffer[..most], at)?;
            hasher.update(&buffer[..most]);
            at += most as u64;
        }
        let mut state = self.state();
        state.hasher = hasher;
        state.at = at;
        Ok(())
    }
}

/// Follows a target until it is told to stop. `turns` says how many do so at once.
pub(super) async fn follow(
    streaming_hash: Arc<StreamingHash>,
    target: Arc<Target>,
    turns: Arc<Semaphore>,
    stop: CancellationToken,
) {
    loop {
        let at = streaming_hash.at();
        let whole = target.whole_from(at);
        let due = whole > at && (whole - at >= WORTH || whole == streaming_hash.size);
        if due && !stop.is_cancelled() {
            let Ok(_turn) = turns.acquire().await else {
                return;
            };
            let (t, target) = (Arc::clone(&streaming_hash), Arc::clone(&target));
            let to = whole.min(at + TURN);
            let read = tokio::task::spawn_blocking(move || t.advance(target.file(), to))
                .await
                .unwrap_or_else(|e| Err(io::Error::other(e)));
            if let Err(e) = read {
                streaming_hash.state().failed = Some((e.kind(), e.to_string()));
                streaming_hash.caught_up.notify_waiters();
            } else {
                if to == streaming_hash.size {
                    streaming_hash.caught_up.notify_waiters();
                }
                continue;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = streaming_hash.news.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn bytes_in_any_order_and_a_file_begun_anew_end_in_the_file_s_hash() {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..20_000_000_u32).map(|i| (i * 7 / 3) as u8).collect();
        let size = bytes.len() as u64;
        let (path, notes) = (dir.path().join("f"), dir.path().join("n"));
        let target = Arc::new(Target::open(&path, &notes, size, false).unwrap());
        let streaming_hash = StreamingHash::new(Hasher::sha256(), size);
        let stop = CancellationToken::new();
        let follower = tokio::spawn(follow(
            Arc::clone(&streaming_hash),
            Arc::clone(&target),
            Arc::new(Semaphore::new(1)),
            stop.clone(),
        ));
        let piece = 1_234_567;
        let mut order: Vec<usize> = (0..bytes.len().div_ceil(piece)).collect();
        for round in 0..2 {
            order.reverse();
            order.swap(0, 5);
            for i in &order {
                let from = i * piece;
                let to = (from + piece).min(bytes.len());
                target.write(from as u64, &bytes[from..to]).unwrap();
                streaming_hash.wake();
            }
            assert_eq!(
                streaming_hash.end().await.unwrap().hex,
                crate::digest::sha256(&bytes),
                "round {round}"
            );
            target.forget().unwrap();
            streaming_hash.reset();
        }
        stop.cancel();
        follower.await.unwrap();
    }

    #[tokio::test]
    async fn an_empty_file_has_its_hash_at_once() {
        let streaming_hash = StreamingHash::new(Hasher::git_blob(0), 0);
        let hash = streaming_hash.end().await.unwrap();
        assert_eq!(hash.hex, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_that_cannot_be_read_back_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (path, notes) = (dir.path().join("f"), dir.path().join("n"));
        let target = Arc::new(Target::open(&path, &notes, 8, false).unwrap());
        target.write(0, b"12345678").unwrap();
        target.file().set_len(3).unwrap();
        let streaming_hash = StreamingHash::new(Hasher::sha256(), 8);
        let stop = CancellationToken::new();
        let turns = Arc::new(Semaphore::new(1));
        let follower = tokio::spawn(follow(
            Arc::clone(&streaming_hash),
            target,
            turns,
            stop.clone(),
        ));
        assert!(streaming_hash.end().await.is_err());
        stop.cancel();
        follower.await.unwrap();
    }
}
