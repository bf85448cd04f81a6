//! What a job says, numbered and timed.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tandem_domain::node::{NodeEvent, NodeLine};

/// A place where lines go, each as one JSON text.
pub struct JobOutput {
    out: Mutex<LinesOut>,
}

struct LinesOut {
    last: u64,
    /// Whether the end was said. A task that reports beside the work may be at it still, as its abort does not
    /// wait for it; a line of its own after the end would hide the end from whoever reads the last one.
    ended: bool,
    to: Box<dyn Write + Send>,
}

impl JobOutput {
    /// Goes on after `last` in `out`.
    pub fn new(last: u64, out: Box<dyn Write + Send>) -> Self {
        Self {
            out: Mutex::new(LinesOut {
                last,
                ended: false,
                to: out,
            }),
        }
    }

    /// Says something; after the end nothing more. A reader that has gone away does not stop the work.
    pub fn say(&self, event: NodeEvent) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.ended {
            return;
        }
        out.last += 1;
        out.ended = event.is_last();
        let line = NodeLine {
            seq: out.last,
            at: now_ms(),
            event,
        };
        if let Ok(mut text) = serde_json::to_vec(&line) {
            text.push(b'\n');
            // One write per line, so that a reader never meets the first half of a line for long.
            let _ = out.to.write_all(&text);
            let _ = out.to.flush();
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_end_is_the_last_line_whoever_still_reports() {
        let written = Written::default();
        let lines = JobOutput::new(4, Box::new(written.clone()));
        lines.note("It works.");
        lines.say(NodeEvent::Cancelled);
        lines.note("Late.");
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let said: Vec<NodeLine> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(said.iter().map(|l| l.seq).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(said[1].event, NodeEvent::Cancelled);
    }
}
