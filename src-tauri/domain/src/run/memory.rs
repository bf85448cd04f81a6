//! A journal in memory, for tests: it keeps the rules of the real one and can be told to die.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;

use crate::run::{Journal, JournalError};
use crate::run::{RunEvent, RunId, StepId, StepProgress};

/// See the module.
#[derive(Default)]
pub struct MemoryJournal {
    events: Mutex<BTreeMap<RunId, Vec<RunEvent>>>,
    writes_left: Mutex<Option<usize>>,
}

impl MemoryJournal {
    /// Takes this many writes more and then none, as a killed process would. `None` takes all.
    pub fn writes_left(&self, n: Option<usize>) {
        *self
            .writes_left
            .lock()
            .expect("nothing panics while holding it") = n;
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(
        &self,
        run: &RunId,
        after: u64,
        mut event: RunEvent,
    ) -> Result<RunEvent, JournalError> {
        if let Some(left) = self
            .writes_left
            .lock()
            .expect("nothing panics while holding it")
            .as_mut()
        {
            if *left == 0 {
                return Err(JournalError::Failed("the process is dead".into()));
            }
            *left -= 1;
        }
        let mut events = self.events.lock().expect("nothing panics while holding it");
        let of_run = events.entry(run.clone()).or_default();
        let there = of_run.len() as u64;
        if there != after {
            return Err(JournalError::Overtaken {
                known: after,
                there,
            });
        }
        event.seq = there + 1;
        of_run.push(event.clone());
        Ok(event)
    }

    async fn events(&self, run: &RunId) -> Result<Vec<RunEvent>, JournalError> {
        let events = self.events.lock().expect("nothing panics while holding it");
        Ok(events.get(run).cloned().unwrap_or_default())
    }

    async fn progress(&self, _: &RunId, _: &StepId, _: &StepProgress) -> Result<(), JournalError> {
        Ok(())
    }
}
