//! How fast something goes, over the last seconds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::ports::Clock;

const WINDOW: Duration = Duration::from_secs(10);

/// Units per second over the last ten seconds.
pub(crate) struct Rate {
    clock: Arc<dyn Clock>,
    seen: VecDeque<(Duration, u64)>,
}

impl Rate {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            seen: VecDeque::new(),
        }
    }

    /// The rate after this many units in all; `None` until two moments are known.
    pub(crate) fn after(&mut self, done: u64) -> Option<f64> {
        let now = self.clock.monotonic();
        self.seen.push_back((now, done));
        while self.seen.len() > 2 && now.saturating_sub(self.seen[0].0) > WINDOW {
            self.seen.pop_front();
        }
        let (then, before) = *self.seen.front()?;
        let seconds = now.saturating_sub(then).as_secs_f64();
        (seconds > 0.2).then(|| done.saturating_sub(before) as f64 / seconds)
    }
}
