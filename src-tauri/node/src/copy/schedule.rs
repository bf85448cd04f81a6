//! What is still to be copied, shared by all streams: which stretches are next, which blobs are whole, and
//! when it is over.

use std::collections::VecDeque;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use blake3::hazmat::ChainingValue;
use tandem_domain::problem::{Code, Problem, Retry};
use tokio_util::sync::CancellationToken;

use super::MissingBlob;
use super::tree;
use super::wire::Ready;
use crate::stop::Stop;
use crate::transfer::Meter;

/// How long the link may carry nothing before the copy gives up.
const PATIENCE: Duration = Duration::from_secs(45);
/// How long the other end may refuse before it is taken for gone: its machine restarted, or it has ended.
const REFUSED: Duration = Duration::from_secs(4);

/// A stretch of a blob, inside one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) blob: usize,
    pub(super) from: u64,
    pub(super) to: u64,
    /// Whether it is written although it is there already, because it was wrong.
    pub(super) anew: bool,
}

/// See the module.
pub(super) struct CopySchedule {
    pub(super) wanted: Vec<MissingBlob>,
    pub(super) source: String,
    pub(super) meter: Arc<Meter>,
    pub(super) cancel: CancellationToken,
    inner: Mutex<ScheduleState>,
    wake: Condvar,
    copied: AtomicU64,
}

struct ScheduleState {
    queue: VecDeque<Stretch>,
    blobs: Vec<Blob>,
    /// Blobs whose last byte arrived and that nobody has checked yet.
    whole: VecDeque<usize>,
    /// When the other end was last heard, on any stream.
    heard: Instant,
    /// Since when every try has been refused.
    refused: Option<Instant>,
    end: Option<Result<(), Stop>>,
}

/// Where a blob stands.
struct Blob {
    standing: BlobStage,
    tree: String,
    /// Stretches that are queued or under way.
    open: usize,
    /// Streams that bring it right now.
    streams: usize,
    nodes: Vec<Option<ChainingValue>>,
    tries: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlobStage {
    /// Not to be had yet.
    Awaited,
    /// On its way, or being checked.
    Coming,
    /// In its place.
    Here,
    /// Not to be had from there.
    Absent,
}

fn all_over(blobs: &[Blob]) -> bool {
    let over = |b: &Blob| matches!(b.standing, BlobStage::Here | BlobStage::Absent);
    blobs.iter().all(over)
}

impl CopySchedule {
    /// With everything still to come.
    pub(super) fn new(
        wanted: Vec<MissingBlob>,
        source: String,
        meter: Arc<Meter>,
        cancel: CancellationToken,
    ) -> Self {
        let blob = |w: &MissingBlob| Blob {
            standing: BlobStage::Awaited,
            tree: String::new(),
            open: 0,
            streams: 0,
            nodes: vec![None; tree::pieces(w.size)],
            tries: 0,
        };
        let blobs = wanted.iter().map(blob).collect();
        Self {
            wanted,
            source,
            meter,
            cancel,
            inner: Mutex::new(ScheduleState {
                queue: VecDeque::new(),
                blobs,
                whole: VecDeque::new(),
                heard: Instant::now(),
                refused: None,
                end: None,
            }),
            wake: Condvar::new(),
            copied: AtomicU64::new(0),
        }
    }

    fn inner(&self) -> MutexGuard<'_, ScheduleState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that came over the link in this start.
    pub(super) fn copied(&self) -> u64 {
        self.copied.load(Ordering::Relaxed)
    }

    /// Whether there is something left to do for the streams.
    pub(super) fn going(&self) -> bool {
        !self.cancel.is_cancelled() && self.inner().end.is_none()
    }

    /// Ends it, the first time.
    pub(super) fn end(&self, how: Result<(), Stop>) {
        self.inner().end.get_or_insert(how);
        self.wake.notify_all();
    }

    /// How it ended.
    pub(super) fn ended(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        self.inner().end.take().unwrap_or(Ok(()))
    }

    /// The other end was heard.
    pub(super) fn heard(&self) {
        let mut inner = self.inner();
        inner.heard = Instant::now();
        inner.refused = None;
    }

    /// A stream failed. When none has worked for too long, the copy is over.
    pub(super) fn failed(&self, why: String, refused: bool) {
        let mut inner = self.inner();
        inner.refused = refused.then(|| inner.refused.unwrap_or_else(Instant::now));
        let gone = inner.refused.is_some_and(|s| s.elapsed() > REFUSED);
        let silent = inner.heard.elapsed() > PATIENCE;
        drop(inner);
        if gone {
            self.end(Err(self
                .broken(format!("{} does not serve any more: {why}.", self.source))
                .into()));
        } else if silent {
            self.end(Err(self
                .broken(format!(
                    "Nothing has come over the link for {} s: {why}.",
                    PATIENCE.as_secs()
                ))
                .into()));
        }
    }

    /// The copy broke off, with why.
    pub(super) fn broken(&self, why: String) -> Problem {
        Problem::new(
            Code::LinkFails,
            "Not everything came over the private link.",
        )
        .cause(why)
        .fix("Check that the cable sits in both machines, then resume: what is here is kept.")
        .retry(Retry::Now)
    }

    /// Blobs that nobody has said anything about yet.
    pub(super) fn awaited(&self) -> Vec<String> {
        self.names(BlobStage::Awaited)
    }

    /// Blobs that are not to be had from there.
    pub(super) fn left(&self) -> Vec<String> {
        self.names(BlobStage::Absent)
    }

    fn names(&self, standing: BlobStage) -> Vec<String> {
        let inner = self.inner();
        let which = inner.blobs.iter().zip(&self.wanted);
        let which = which.filter(|(b, _)| b.standing == standing);
        which.map(|(_, w)| w.etag.clone()).collect()
    }

    fn position(&self, etag: &str) -> Option<usize> {
        self.wanted.iter().position(|w| w.etag == etag)
    }

    /// A blob can be had: what is missing of it is queued.
    pub(super) fn offered(&self, ready: &Ready) {
        let Some(blob) = self.position(&ready.etag) else {
            return;
        };
        if ready.size != self.wanted[blob].size {
            return self.absent(&ready.etag);
        }
        let mut inner = self.inner();
        if inner.blobs[blob].standing != BlobStage::Awaited {
            return;
        }
        inner.blobs[blob].standing = BlobStage::Coming;
        inner.blobs[blob].tree.clone_from(&ready.tree);
        let size = ready.size;
        for (from, to) in self.wanted[blob].target.missing(0, size) {
            let mut at = from;
            while at < to {
                let end = to.min((at / tree::PIECE + 1) * tree::PIECE);
                inner.blobs[blob].open += 1;
                inner.queue.push_back(Stretch {
                    blob,
                    from: at,
                    to: end,
                    anew: false,
                });
                at = end;
            }
        }
        if inner.blobs[blob].open == 0 {
            inner.whole.push_back(blob);
        }
        drop(inner);
        self.wake.notify_all();
    }

    /// A blob cannot be had from there.
    pub(super) fn absent(&self, etag: &str) {
        if let Some(blob) = self.position(etag) {
            let mut inner = self.inner();
            inner.blobs[blob].standing = BlobStage::Absent;
            inner.queue.retain(|s| s.blob != blob);
            inner.blobs[blob].open = 0;
            drop(inner);
            self.wake.notify_all();
        }
    }

    /// Whether every blob is here or known not to be had.
    pub(super) fn complete(&self) -> bool {
        all_over(&self.inner().blobs)
    }

    /// What a stream does next, after it was at `last`; waits for it. `None` when it is over.
    ///
    /// A stream stays with its blob, and begins one that no other is at where it can: writers of one file
    /// wait for each other in the kernel.
    pub(super) fn next(&self, last: Option<usize>) -> Option<Stretch> {
        self.wait(|inner| {
            let alone = |s: &Stretch| inner.blobs[s.blob].streams == 0;
            let same = |s: &Stretch| Some(s.blob) == last;
            let at = inner.queue.iter().position(|s| same(s) && alone(s));
            let at = at.or_else(|| inner.queue.iter().position(alone));
            let taken = inner.queue.remove(at.unwrap_or(0))?;
            inner.blobs[taken.blob].streams += 1;
            Some(taken)
        })
    }

    /// A blob to be checked; waits for it. `None` when it is over.
    pub(super) fn next_whole(&self) -> Option<usize> {
        self.wait(|inner| inner.whole.pop_front())
    }

    fn wait<T>(&self, take: impl Fn(&mut ScheduleState) -> Option<T>) -> Option<T> {
        let mut inner = self.inner();
        loop {
            if inner.end.is_some() || self.cancel.is_cancelled() {
                return None;
            }
            if let Some(taken) = take(&mut inner) {
                return Some(taken);
            }
            let waited = self.wake.wait_timeout(inner, Duration::from_millis(250));
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits this long, or until it is over or complete.
    pub(super) fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut inner = self.inner();
        while inner.end.is_none() && !self.cancel.is_cancelled() && !all_over(&inner.blobs) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.wake.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether a stream has nothing to do right now.
    pub(super) fn is_idle(&self) -> bool {
        let inner = self.inner();
        inner.queue.is_empty() && inner.whole.is_empty() && inner.blobs.iter().all(|b| b.open == 0)
    }

    /// Room for a stretch that is about to come.
    pub(super) fn expect(&self, stretch: &Stretch) -> Result<(), Stop> {
        let one = &self.wanted[stretch.blob];
        let room = one.target.expect(stretch.from, stretch.to);
        Ok(room.map_err(|e| crate::disk::problem("writing what arrived", &one.target.path, &e))?)
    }

    /// Writes bytes of a stretch in their place.
    pub(super) fn put(&self, stretch: &Stretch, at: u64, bytes: &[u8]) -> Result<(), Stop> {
        let one = &self.wanted[stretch.blob];
        let written = if stretch.anew {
            one.target.file().write_all_at(bytes, at).map(|()| 0)
        } else {
            one.target.write(at, bytes)
        };
        let new = written
            .map_err(|e| crate::disk::problem("writing what arrived", &one.target.path, &e))?;
        self.meter.add(new);
        self.copied.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// A stretch has arrived up to `at`; what is missing goes to another stream.
    pub(super) fn arrived(&self, stretch: Stretch, at: u64, node: Option<ChainingValue>) {
        let mut inner = self.inner();
        inner.blobs[stretch.blob].streams -= 1;
        if inner.blobs[stretch.blob].standing != BlobStage::Coming {
            return;
        }
        if at < stretch.to {
            inner.queue.push_front(Stretch {
                from: at,
                ..stretch
            });
        } else {
            let blob = &mut inner.blobs[stretch.blob];
            blob.nodes[(stretch.from / tree::PIECE) as usize] = node;
            blob.open -= 1;
            if blob.open == 0 {
                inner.whole.push_back(stretch.blob);
            }
        }
        drop(inner);
        self.wake.notify_all();
    }

    /// The hash a blob should have, and what is known of its pieces.
    pub(super) fn proof(&self, blob: usize) -> (String, Vec<Option<ChainingValue>>) {
        let inner = self.inner();
        let blob = &inner.blobs[blob];
        (blob.tree.clone(), blob.nodes.clone())
    }

    /// A blob is in its place.
    pub(super) fn is_here(&self, blob: usize) {
        self.inner().blobs[blob].standing = BlobStage::Here;
        self.wake.notify_all();
    }

    /// Pieces of a blob that are not as they are there come once more. `false` when that was done before.
    pub(super) fn again(&self, blob: usize, wrong: &[usize]) -> bool {
        let mut inner = self.inner();
        let one = &mut inner.blobs[blob];
        one.tries += 1;
        if one.tries > 2 {
            return false;
        }
        one.open = wrong.len();
        for piece in wrong {
            one.nodes[*piece] = None;
        }
        let size = self.wanted[blob].size;
        for piece in wrong {
            let (from, to) = tree::bounds(*piece, size);
            inner.queue.push_back(Stretch {
                blob,
                from,
                to,
                anew: true,
            });
        }
        drop(inner);
        self.wake.notify_all();
        true
    }
}
