//! Bytes from the Hub to their places, over several connections, in pieces that survive a death.
//!
//! What arrives is written and noted a sixteenth of a mebibyte at a time, so that a process that is killed
//! loses what its connections held and no more; see [`ranges`] for what a loss of power costs. A few files
//! are under way at once, each filled from its first byte on, so that its hash can follow ([`StreamingHash`]).

mod bucket;
mod chunk;
pub mod direct;
mod meter;
mod queue;
pub mod ranges;
mod stream;
mod streaming_hash;
mod target;
mod throttle;
mod trouble;
mod xet;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tandem_domain::problem::{Code, Problem, Retry};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::disk;
use crate::fetched::Fetched;
use crate::hub::{Hub, Source};
use crate::stop::Stop;

pub use meter::{Meter, Reporter};
use queue::{Segment, SegmentQueue};
pub use streaming_hash::StreamingHash;
pub use target::Target;
pub use throttle::{LimitWatcher, Throttle, Watch, minute_of_day};
pub use xet::Xet;

/// More connections than this are not opened, whatever is asked for: each holds what has just come, and the
/// program's memory stays below 64 MiB.
const MOST_CONNECTIONS: u16 = 24;
/// Written and not flushed at most, before a flush is asked for and before connections wait for it.
const UNSAFE: (u64, u64) = (64 << 20, 256 << 20);

/// A stretch of a file on the Hub and its place here.
pub struct Piece {
    /// Where it comes from.
    pub source: Arc<Source>,
    /// First byte there.
    pub at: u64,
    /// Which target it goes to.
    pub target: usize,
    /// First byte there.
    pub to: u64,
    /// Bytes.
    pub len: u64,
}

/// Everything that one job transfers.
pub struct Transfer {
    /// The way to the Hub.
    pub hub: Arc<Hub>,
    /// What is fetched.
    pub pieces: Vec<Piece>,
    /// Where it goes.
    pub targets: Vec<Arc<Target>>,
    /// Connections.
    pub connections: u16,
    /// Counts what is here.
    pub meter: Arc<Meter>,
    /// Counts what crossed the line.
    pub fetched: Arc<Fetched>,
    /// How long no byte may arrive on any connection.
    pub patience: Duration,
    /// What else it is told.
    pub manner: Manner,
    /// Tripped when somebody cancels.
    pub cancel: CancellationToken,
}

/// How a transfer behaves where the defaults are not enough.
pub struct Manner {
    /// What every connection passes.
    pub throttle: Arc<Throttle>,
    /// The hashes that follow the targets, in their order; none where nothing is to be hashed.
    pub hashes_under_way: Vec<Option<Arc<StreamingHash>>>,
    /// How long nothing may arrive while the Hub answers and asks to wait.
    pub busy_patience: Duration,
    /// The way to the Hub's storage, for sources that may come in chunks.
    pub xet: Option<Arc<Xet>>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            throttle: Arc::default(),
            hashes_under_way: Vec::new(),
            busy_patience: Duration::from_secs(3600),
            xet: None,
        }
    }
}

struct TransferState {
    transfer: Transfer,
    queue: Mutex<SegmentQueue>,
    /// Bytes of each target that are still to come; the finisher hears of it at zero.
    open: Vec<AtomicU64>,
    complete: mpsc::UnboundedSender<usize>,
    left: AtomicUsize,
    unsynced: AtomicU64,
    wake_sync: Notify,
    synced: Notify,
    wake_workers: Notify,
    stop: CancellationToken,
}

/// What the caller says of a target that has all its bytes.
pub enum Verdict {
    /// It is right.
    Good,
    /// It is not: fetch it again.
    Again,
}

/// Transfers everything. `finish` is asked about each target as soon as it is whole.
pub async fn run<F>(transfer: Transfer, mut finish: F) -> Result<(), Stop>
where
    F: AsyncFnMut(usize) -> Result<Verdict, Stop>,
{
    let total: u64 = transfer.pieces.iter().map(|p| p.len).sum();
    let connections = transfer.connections.clamp(1, MOST_CONNECTIONS);
    let segment = (total / (200 * u64::from(connections))).clamp(1 << 20, 64 << 20);
    let (complete, mut completed) = mpsc::unbounded_channel();
    let open: Vec<AtomicU64> = transfer.targets.iter().map(|_| AtomicU64::new(0)).collect();
    for piece in &transfer.pieces {
        let target = &transfer.targets[piece.target];
        let missing = piece.len - target.within(piece.to, piece.to + piece.len);
        open[piece.target].fetch_add(missing, Ordering::Relaxed);
    }
    let cancel = transfer.cancel.clone();
    let shared = Arc::new(TransferState {
        left: AtomicUsize::new(transfer.targets.len()),
        queue: Mutex::new(SegmentQueue::new(transfer.targets.len(), segment)),
        open,
        complete,
        unsynced: AtomicU64::new(0),
        wake_sync: Notify::new(),
        synced: Notify::new(),
        wake_workers: Notify::new(),
        stop: cancel.child_token(),
        transfer,
    });
    for target in 0..shared.open.len() {
        shared.enqueue(target);
        if shared.open[target].load(Ordering::Relaxed) == 0 {
            let _ = shared.complete.send(target);
        }
    }
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(stream::worker(Arc::clone(&shared)));
    }
    let syncer = tokio::spawn(syncer(Arc::clone(&shared)));
    let turns = Arc::new(Semaphore::new(
        std::thread::available_parallelism().map_or(2, |n| n.get().min(4)),
    ));
    let mut followers = JoinSet::new();
    for (target, streaming_hash) in shared
        .transfer
        .targets
        .iter()
        .zip(&shared.transfer.manner.hashes_under_way)
    {
        if let Some(streaming_hash) = streaming_hash {
            followers.spawn(streaming_hash::follow(
                Arc::clone(streaming_hash),
                Arc::clone(target),
                Arc::clone(&turns),
                shared.stop.clone(),
            ));
        }
    }
    let mut outcome: Result<(), Stop> = Ok(());
    while outcome.is_ok() && shared.left.load(Ordering::Relaxed) > 0 {
        tokio::select! {
            () = cancel.cancelled() => outcome = Err(Stop::Cancelled),
            Some(ended) = tasks.join_next() => match ended {
                Ok(Err(stop)) => outcome = Err(stop),
                Ok(Ok(())) => {}
                Err(e) => outcome = Err(Problem::new(Code::Broken, "A connection of the download failed.").cause(e.to_string()).into()),
            },
            Some(target) = completed.recv() => {
                outcome = shared.sync(target).await;
                if outcome.is_ok() {
                    match finish(target).await {
                        Ok(Verdict::Good) => { shared.left.fetch_sub(1, Ordering::Relaxed); }
                        Ok(Verdict::Again) => outcome = shared.again(target),
                        Err(stop) => outcome = Err(stop),
                    }
                }
            }
        }
    }
    shared.stop.cancel();
    while tasks.join_next().await.is_some() {}
    while followers.join_next().await.is_some() {}
    let synced = syncer.await.unwrap_or(Ok(()));
    match outcome {
        Ok(()) => synced,
        Err(stop) => Err(stop),
    }
}

impl TransferState {
    /// Puts what is missing of a target into the queue, in order of place.
    fn enqueue(&self, target: usize) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, piece) in self.transfer.pieces.iter().enumerate() {
            if piece.target != target {
                continue;
            }
            for (from, to) in self.transfer.targets[target].missing(piece.to, piece.to + piece.len)
            {
                queue.push(
                    target,
                    Segment {
                        piece: index,
                        from,
                        to,
                    },
                );
            }
        }
        drop(queue);
        self.wake_workers.notify_waiters();
    }

    fn next(&self) -> Option<Segment> {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next()
    }

    /// Writes bytes in their place and counts them.
    async fn put(&self, piece: &Piece, at: u64, bytes: &[u8]) -> Result<(), Stop> {
        let target = &self.transfer.targets[piece.target];
        // Counted before they are written: the syncer may make them safe before the next line here,
        // and must not take away what was not added yet.
        let len = bytes.len() as u64;
        let unsynced = self.unsynced.fetch_add(len, Ordering::Relaxed) + len;
        // Two connections may bring the same bytes when a server ignores ranges now and then.
        let n = tokio::task::block_in_place(|| target.write(at, bytes))
            .map_err(|e| disk::problem("writing what arrived", &target.path, &e))?;
        self.transfer.meter.add(n);
        if n < len {
            // What was not new, no sync will speak of.
            self.is_safe(len - n);
        }
        if unsynced >= UNSAFE.0 {
            self.wake_sync.notify_one();
        }
        if n > 0 && self.open[piece.target].fetch_sub(n, Ordering::AcqRel) == n {
            let _ = self.complete.send(piece.target);
        }
        if let Some(streaming_hash) = self.streaming_hash(piece.target) {
            streaming_hash.wake();
        }
        // A disk slower than the line must not let the unsafe part grow.
        while self.unsynced.load(Ordering::Relaxed) > UNSAFE.1 {
            tokio::select! {
                () = self.stop.cancelled() => return Err(Stop::Cancelled),
                () = self.synced.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
        Ok(())
    }

    fn streaming_hash(&self, target: usize) -> Option<&Arc<StreamingHash>> {
        self.transfer.manner.hashes_under_way.get(target)?.as_ref()
    }

    /// Takes bytes off the count of unsafe ones. An earlier life's bytes are made safe too and were never
    /// counted.
    fn is_safe(&self, n: u64) {
        let _ = self
            .unsynced
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |u| {
                Some(u.saturating_sub(n))
            });
    }

    /// Makes what was written to a target safe.
    async fn sync(self: &Arc<Self>, target: usize) -> Result<(), Stop> {
        let file = Arc::clone(&self.transfer.targets[target]);
        let path = file.path.clone();
        let safe = tokio::task::spawn_blocking(move || file.sync())
            .await
            .unwrap_or_else(|e| Err(std::io::Error::other(e)))
            .map_err(|e| disk::problem("writing what arrived", &path, &e))?;
        self.is_safe(safe);
        self.synced.notify_waiters();
        Ok(())
    }

    /// Begins a target again.
    fn again(&self, target: usize) -> Result<(), Stop> {
        let file = &self.transfer.targets[target];
        file.forget()
            .map_err(|e| disk::problem("starting a file again", &file.path, &e))?;
        let mut bytes = 0;
        for piece in self.transfer.pieces.iter().filter(|p| p.target == target) {
            bytes += piece.len;
            // Whichever road brought wrong bytes: the other one is ranges.
            piece.source.come_in_chunks(false);
            if let Ok(mut whole) = piece.source.whole.try_lock() {
                *whole = false;
            }
        }
        self.transfer.meter.take(bytes);
        if let Some(streaming_hash) = self.streaming_hash(target) {
            streaming_hash.reset();
        }
        self.open[target].store(bytes, Ordering::Release);
        self.enqueue(target);
        Ok(())
    }
}

/// Makes what was written safe, soon after it was and never all the time.
async fn syncer(shared: Arc<TransferState>) -> Result<(), Stop> {
    loop {
        let last = tokio::select! {
            () = shared.stop.cancelled() => true,
            () = shared.wake_sync.notified() => false,
            () = tokio::time::sleep(Duration::from_millis(1000)) => false,
        };
        for target in 0..shared.transfer.targets.len() {
            let outcome = shared.sync(target).await;
            if outcome.is_err() {
                shared.stop.cancel();
                return outcome;
            }
        }
        shared.transfer.fetched.save();
        if last {
            return Ok(());
        }
    }
}

/// What arrived is not what the Hub announced, twice.
pub(crate) fn wrong_bytes(name: &str, repo: &str, expected: &str, found: &str) -> Problem {
    Problem::new(
        Code::HashMismatch,
        format!("{name} of {repo} did not arrive as the Hub announced it."),
    )
    .cause(format!(
        "Its hash should be {expected} and is {found}; it was fetched twice."
    ))
    .fix("Start again. If it stays, something between this machine and the Hub changes the data.")
    .retry(Retry::Now)
}
