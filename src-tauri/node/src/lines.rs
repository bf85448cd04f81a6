//! What a job says, numbered and timed.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tandem_domain::node::{NodeEvent, NodeLine};

/// A place where lines go, each as one JSON text.
pub struct Lines {
    out: Mutex<(u64, Box<dyn Write + Send>)>,
}

impl Lines {
    /// Goes on after `last` in `out`.
    pub fn new(last: u64, out: Box<dyn Write + Send>) -> Self {
        Self {
            out: Mutex::new((last, out)),
        }
    }

    /// Says something. A reader that has gone away does not stop the work.
    pub fn say(&self, event: NodeEvent) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.0 += 1;
        let line = NodeLine {
            seq: out.0,
            at: now_ms(),
            event,
        };
        if let Ok(mut text) = serde_json::to_vec(&line) {
            text.push(b'\n');
            // One write per line, so that a reader never meets the first half of a line for long.
            let _ = out.1.write_all(&text);
            let _ = out.1.flush();
        }
    }

    /// Says a sentence for the log.
    pub fn note(&self, text: impl Into<String>) {
        self.say(NodeEvent::Note { text: text.into() });
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}
