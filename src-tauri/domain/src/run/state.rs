//! What a run's events fold to, and which moves are legal.
//!
//! The window folds the same events by the same table (`ui/src/session/fold.ts`); one fixture,
//! `tests/fixtures/run_events.json`, holds both to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::run::{Event, RunEvent, RunOutcome, StepId};

/// Where a step stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Not begun.
    #[default]
    Waiting,
    /// There was nothing to do.
    AlreadyDone,
    /// The intent is written; the effect may have begun.
    Applying,
    /// The act ended, nobody looked yet.
    Applied,
    /// Done and seen.
    Verified,
    /// The act or its verification did not succeed.
    Failed,
    /// Undo has begun.
    Undoing,
    /// As before.
    Undone,
    /// Undo did not succeed.
    Stuck,
}

impl Status {
    /// Whether later steps may build on it.
    pub fn is_done(self) -> bool {
        matches!(self, Self::AlreadyDone | Self::Verified)
    }

    /// Whether the step may have left something of ours.
    pub fn is_ours(self) -> bool {
        matches!(
            self,
            Self::Applying
                | Self::Applied
                | Self::Verified
                | Self::Failed
                | Self::Undoing
                | Self::Stuck
        )
    }
}

/// A move that no run makes by itself: two programs have written to its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("event {seq} ({event}) cannot follow {status:?} in step `{step}`")]
pub struct IllegalMove {
    /// The event's number.
    pub seq: u64,
    /// Its kind.
    pub event: String,
    /// Where the step stood.
    pub status: Status,
    /// The step.
    pub step: StepId,
}

/// The one table of legal moves.
pub fn next_status(status: Status, event: &Event) -> Option<Status> {
    use Status::{
        AlreadyDone, Applied, Applying, Failed, Stuck, Undoing, Undone, Verified, Waiting,
    };
    Some(match (status, event) {
        // `Verified` may be looked at again: a resumed run trusts the machine over the journal.
        (Waiting | AlreadyDone | Undone, Event::AlreadyDone { .. }) => AlreadyDone,
        (
            Waiting | AlreadyDone | Undone | Applying | Applied | Verified | Failed,
            Event::Applying { .. },
        ) => Applying,
        (Applying, Event::Applied { .. }) => Applied,
        (Applied | Verified, Event::Verified { .. }) => Verified,
        (Waiting | AlreadyDone | Undone, Event::Failed { .. }) => Waiting,
        (Applying | Applied | Verified | Failed, Event::Failed { .. }) => Failed,
        (Applying | Applied | Verified | Failed, Event::Stopped) => status,
        (Waiting | AlreadyDone | Undone, Event::Stopped) => status,
        (Applying | Applied | Verified | Failed | Undoing | Stuck, Event::Undoing) => Undoing,
        (Undoing, Event::Undone { .. }) => Undone,
        (Undoing, Event::UndoFailed { .. }) => Stuck,
        (_, Event::Unknown) => status,
        _ => return None,
    })
}

/// One step, folded.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StepState {
    /// Where it stands.
    pub status: Status,
    /// What was there before the first act of ours; kept over repeats, since a second look would see our own work.
    pub before: Option<serde_json::Value>,
    /// What the act left.
    pub receipt: Option<serde_json::Value>,
    /// The last failure, until it is tried again.
    pub problem: Option<crate::problem::Problem>,
    /// The last sentence about it.
    pub summary: Option<String>,
    /// What the act found that was undone last: what counts if the history then goes on oddly.
    pub undone_before: Option<serde_json::Value>,
}

impl StepState {
    /// After a move that makes no sense nobody knows what stands. If the act was ever begun it may stand, so it is
    /// looked at again by a resumed run, and undo takes it back.
    fn doubt(&mut self) {
        if self.before.is_none() {
            self.before = self.undone_before.clone();
        }
        if self.before.is_some() {
            self.status = Status::Applying;
        }
    }
}

/// A run, folded.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RunState {
    /// Its steps, by identity.
    pub steps: BTreeMap<StepId, StepState>,
    /// How it ended, if it did and was not taken up again.
    pub outcome: Option<RunOutcome>,
    /// Whether somebody asked to cancel and it has not ended yet.
    pub cancelling: bool,
    /// The last event's number.
    pub last_seq: u64,
    /// What in its history makes no sense.
    pub odd: Vec<IllegalMove>,
}

impl RunState {
    /// Folds a history, whatever it holds: see [`RunState::apply`].
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a RunEvent>) -> Self {
        let mut state = Self::default();
        for event in events {
            state.apply(event);
        }
        state
    }

    /// The state of one step.
    pub fn step(&self, id: &StepId) -> StepState {
        self.steps.get(id).cloned().unwrap_or_default()
    }

    /// Takes one event in. An illegal move is kept in [`RunState::odd`]; its step then stands as
    /// [`Status::Applying`] if it was ever begun, and as before if not.
    pub fn apply(&mut self, event: &RunEvent) {
        if let Some(id) = &event.step {
            let step = self.steps.entry(id.clone()).or_default();
            let next = next_status(step.status, &event.event);
            match &event.event {
                _ if next.is_none() => {
                    self.odd.push(IllegalMove {
                        seq: event.seq,
                        event: kind(&event.event),
                        status: step.status,
                        step: id.clone(),
                    });
                    step.doubt();
                }
                Event::AlreadyDone { found, receipt } => {
                    step.receipt = serde_json::from_str(receipt).ok();
                    step.summary = Some(found.clone());
                    step.problem = None;
                }
                Event::Applying { before } => {
                    // What was found before the first act counts, unless undo has restored it since.
                    if step.before.is_none() || step.status == Status::Undone {
                        // A history is read whatever is in it, and a step that was begun is one to undo.
                        let before = serde_json::from_str(before);
                        step.before = Some(before.unwrap_or_default());
                    }
                    step.problem = None;
                }
                Event::Applied { receipt } => step.receipt = serde_json::from_str(receipt).ok(),
                Event::Verified { seen } => {
                    step.summary = Some(seen.clone());
                    step.problem = None;
                }
                Event::Failed { problem } | Event::UndoFailed { problem } => {
                    step.problem = Some(problem.clone());
                }
                Event::Undone { did } => {
                    step.summary = Some(did.clone());
                    step.problem = None;
                    step.undone_before = step.before.take();
                    step.receipt = None;
                }
                _ => {}
            }
            step.status = next.unwrap_or(step.status);
        }
        match &event.event {
            Event::CancelRequested => self.cancelling = true,
            Event::Resumed => {
                self.outcome = None;
                self.cancelling = false;
            }
            Event::Finished { outcome } => {
                self.outcome = Some(*outcome);
                self.cancelling = false;
            }
            _ => {}
        }
        self.last_seq = event.seq;
    }
}

fn kind(event: &Event) -> String {
    serde_json::to_value(event)
        .ok()
        .and_then(|v| v.get("kind").and_then(|k| k.as_str().map(str::to_owned)))
        .unwrap_or_else(|| "unknown".to_owned())
}
