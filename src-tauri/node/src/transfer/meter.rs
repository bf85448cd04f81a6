//! How far a job is, and how fast.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tandem_domain::node::NodeEvent;

use crate::lines::Lines;

/// The rate is taken over this time.
const WINDOW: Duration = Duration::from_secs(5);

/// Counters that every connection adds to.
pub struct Meter {
    done: AtomicU64,
    total: AtomicU64,
    arrived_ms: AtomicU64,
    started: Instant,
    doing: Mutex<String>,
}

impl Meter {
    /// Nothing of an unknown whole.
    pub fn new(doing: &str) -> Arc<Self> {
        Arc::new(Self {
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            arrived_ms: AtomicU64::new(0),
            started: Instant::now(),
            doing: Mutex::new(doing.to_owned()),
        })
    }

    /// Sets the whole and what of it is here already.
    pub fn set(&self, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// Bytes that are here and good.
    pub fn add(&self, n: u64) {
        self.done.fetch_add(n, Ordering::Relaxed);
    }

    /// Bytes that turned out not to be good.
    pub fn take(&self, n: u64) {
        let _ = self
            .done
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |d| {
                Some(d.saturating_sub(n))
            });
    }

    /// What is being done now.
    pub fn doing(&self, text: impl Into<String>) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }

    /// Something arrived just now.
    pub fn alive(&self) {
        self.arrived_ms
            .store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// How long nothing has arrived.
    pub fn quiet(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(
            self.arrived_ms.load(Ordering::Relaxed),
        ))
    }
}

/// Says a meter's standing twice a second until it is dropped.
pub struct Reporter(tokio::task::JoinHandle<()>);

impl Reporter {
    /// Starts.
    pub fn start(meter: Arc<Meter>, lines: Arc<Lines>) -> Self {
        Self(tokio::spawn(async move {
            let mut seen: VecDeque<(Instant, u64)> = VecDeque::new();
            loop {
                let done = meter.done.load(Ordering::Relaxed);
                let total = meter.total.load(Ordering::Relaxed);
                let now = Instant::now();
                seen.push_back((now, done));
                while seen.len() > 2 && now - seen[0].0 > WINDOW {
                    seen.pop_front();
                }
                let (since, before) = seen[0];
                let seconds = (now - since).as_secs_f64();
                lines.say(NodeEvent::Progress {
                    done,
                    total: (total > 0).then_some(total),
                    rate: (seconds > 0.2).then(|| done.saturating_sub(before) as f64 / seconds),
                    doing: meter
                        .doing
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clone(),
                });
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }))
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.0.abort();
    }
}
