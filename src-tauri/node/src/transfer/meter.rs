//! How far a job is, and how fast.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tandem_domain::node::{NodeEvent, PauseReason};

use crate::job_output::JobOutput;

/// The rate is taken over this time.
const WINDOW: Duration = Duration::from_secs(5);
/// A standing that stays the same is said again after this time, as a sign of life.
const SIGN: Duration = Duration::from_secs(10);
/// What goes wrong is said once nothing has arrived for this long; before, it is nobody's concern.
const CONCERN: Duration = Duration::from_secs(3);

/// Counters that every connection adds to.
pub struct Meter {
    done: AtomicU64,
    total: AtomicU64,
    arrived_ms: AtomicU64,
    started: Instant,
    words: Mutex<Words>,
    /// What this one is a part of.
    whole: Option<Arc<Meter>>,
}

#[derive(Default)]
struct Words {
    doing: String,
    /// What is waited for by order, and what is said of it, while nothing may arrive.
    held: Option<(PauseReason, String)>,
    /// Why nothing arrives, as part of a sentence, and until when it is tried.
    trouble: Option<(String, Instant)>,
}

impl Meter {
    /// Nothing of an unknown whole.
    pub fn new(doing: &str) -> Arc<Self> {
        Arc::new(Self {
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            arrived_ms: AtomicU64::new(0),
            started: Instant::now(),
            words: Mutex::new(Words {
                doing: doing.to_owned(),
                ..Words::default()
            }),
            whole: None,
        })
    }

    /// One whose bytes count here too. What it says of the present nobody hears: this one speaks for both.
    pub fn beside(self: &Arc<Self>) -> Arc<Self> {
        let mut part = Self::new("");
        if let Some(part) = Arc::get_mut(&mut part) {
            part.whole = Some(Arc::clone(self));
        }
        part
    }

    /// Sets the whole and what of it is here already.
    pub fn set(&self, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// Bytes that are here and good.
    pub fn add(&self, n: u64) {
        self.done.fetch_add(n, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add(n);
        }
    }

    /// Bytes that turned out not to be good.
    pub fn take(&self, n: u64) {
        let _ = self
            .done
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |d| {
                Some(d.saturating_sub(n))
            });
        if let Some(whole) = &self.whole {
            whole.take(n);
        }
    }

    /// What is being done now.
    pub fn doing(&self, text: impl Into<String>) {
        self.words().doing = text.into();
    }

    /// What is waited for by order, with the words for it, while nothing may arrive; `None` when it may
    /// again. Time that was waited is no silence of the line.
    pub fn hold(&self, held: Option<(PauseReason, String)>) {
        let mut words = self.words();
        if words.held.is_some() || held.is_some() {
            self.alive();
        }
        words.held = held;
    }

    /// What is waited for by order now.
    fn held(&self) -> Option<PauseReason> {
        self.words().held.as_ref().map(|(held, _)| held.clone())
    }

    /// Something did not arrive, and is tried again until then.
    pub fn trouble(&self, why: &str, until: Instant) {
        self.words().trouble = Some((why.to_owned(), until));
    }

    /// What is said of the present.
    fn says(&self) -> String {
        let words = self.words();
        if let Some((_, text)) = &words.held {
            return text.clone();
        }
        match &words.trouble {
            Some((why, until)) if self.quiet() > CONCERN => {
                let left = until.saturating_duration_since(Instant::now()).as_secs();
                let left = match left {
                    0..120 => format!("{left} s"),
                    _ => format!("{} min", left / 60),
                };
                format!(
                    "{}: nothing arrives ({why}); it is tried for another {left}",
                    words.doing
                )
            }
            _ => words.doing.clone(),
        }
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Says a meter's standing twice a second until it is dropped, as long as it changes.
pub struct Reporter(tokio::task::JoinHandle<()>);

impl Reporter {
    /// Starts.
    pub fn start(meter: Arc<Meter>, lines: Arc<JobOutput>) -> Self {
        Self(tokio::spawn(async move {
            let mut seen: VecDeque<(Instant, u64)> = VecDeque::new();
            let mut said: Option<(Instant, NodeEvent)> = None;
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
                let event = NodeEvent::Progress {
                    done,
                    total: (total > 0).then_some(total),
                    rate: (seconds > 0.2).then(|| done.saturating_sub(before) as f64 / seconds),
                    doing: meter.says(),
                    held: meter.held(),
                };
                // A night of waiting is not worth a hundred thousand equal lines.
                if said
                    .as_ref()
                    .is_none_or(|(at, last)| *last != event || now - *at >= SIGN)
                {
                    lines.say(event.clone());
                    said = Some((now, event));
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_counts_for_the_whole_and_keeps_its_words() {
        let whole = Meter::new("Fetching");
        whole.set(5, 100);
        let part = whole.beside();
        part.doing("Copying");
        part.add(7);
        whole.add(1);
        part.take(2);
        assert_eq!(whole.done.load(Ordering::Relaxed), 11);
        assert_eq!(part.done.load(Ordering::Relaxed), 5);
        assert_eq!(whole.says(), "Fetching");
    }

    #[test]
    fn what_is_waited_for_is_said_instead_and_is_no_silence() {
        let meter = Meter::new("Fetching");
        assert_eq!(meter.says(), "Fetching");
        meter.hold(Some((PauseReason::Paused, "Paused".into())));
        assert_eq!(meter.says(), "Paused");
        assert_eq!(meter.held(), Some(PauseReason::Paused));
        assert!(meter.quiet() < Duration::from_secs(1));
        meter.hold(None);
        meter.trouble("the connection was lost", Instant::now());
        assert_eq!(meter.says(), "Fetching", "it may be over in a moment");
    }
}
