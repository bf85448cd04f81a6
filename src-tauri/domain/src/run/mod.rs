//! One execution of a procedure: its events, what they fold to, and the loop that makes them.

use serde::{Deserialize, Serialize};

use crate::problem::Problem;

mod drive;
#[cfg(test)]
mod fixture;
mod journal;
#[cfg(any(test, feature = "fake"))]
pub mod memory;
#[cfg(test)]
mod odd_histories;
#[cfg(test)]
mod schedules;
mod state;
mod step;

pub use crate::ids::{RunId, StepId};
pub use drive::{Driver, Listener, Outcome};
pub use journal::{Journal, JournalError};
pub use state::{IllegalMove, RunState, Status, StepState, next_status};
pub use step::{ReadOnly, Receipt, Step, StepCheck, StepContext, StepError, Undo};

impl StepId {
    /// The step that leaves this receipt.
    pub fn of<R: Receipt>() -> Self {
        Self::from(R::STEP)
    }
}

/// One line of a run's history. Never rewritten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct RunEvent {
    /// From 1, without gaps; given by the journal.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub seq: u64,
    /// Milliseconds since 1970; for people only.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub at: i64,
    /// The step it is about; `None` when about the whole run.
    pub step: Option<StepId>,
    /// What happened.
    pub event: Event,
}

/// What can happen in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// The step found nothing to do.
    AlreadyDone {
        /// What it found, in a sentence.
        found: String,
        /// What later steps need to know, as JSON text.
        receipt: String,
    },
    /// The intent: the act is about to begin. Committed before the effect.
    Applying {
        /// What was there before, as JSON text: what undo restores.
        before: String,
    },
    /// The act ended.
    Applied {
        /// What undo and later steps need to know, as JSON text.
        receipt: String,
    },
    /// The effect was seen by another road.
    Verified {
        /// What was seen, in a sentence.
        seen: String,
    },
    /// The act or its verification did not succeed.
    Failed {
        /// Why, and what to do.
        problem: Problem,
    },
    /// The act was stopped because somebody cancelled.
    Stopped,
    /// The undoing is about to begin.
    Undoing,
    /// It is as before.
    Undone {
        /// What was done, in a sentence.
        did: String,
    },
    /// It could not be made as before.
    UndoFailed {
        /// Why.
        problem: Problem,
    },
    /// Somebody asked to cancel.
    CancelRequested,
    /// Somebody took the run up again.
    Resumed,
    /// The run ended.
    Finished {
        /// How.
        outcome: RunOutcome,
    },
    /// Written by a later version of Tandem, and of no consequence to this one.
    Unknown,
}

impl Event {
    /// Reads an event as the journal keeps it. A kind that a later version wrote reads as
    /// [`Event::Unknown`]; text that is no event at all is an error.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).or_else(|error| {
            let value: serde_json::Value = serde_json::from_str(text)?;
            let known = value["kind"]
                .as_str()
                .is_none_or(|kind| KINDS.contains(&kind));
            if known { Err(error) } else { Ok(Self::Unknown) }
        })
    }
}

/// The kinds of [`Event`] on the wire.
const KINDS: [&str; 13] = [
    "already-done",
    "applying",
    "applied",
    "verified",
    "failed",
    "stopped",
    "undoing",
    "undone",
    "undo-failed",
    "cancel-requested",
    "resumed",
    "finished",
    "unknown",
];

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// Every step is done.
    Completed,
    /// A step did not succeed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// Everything is as before.
    Undone,
    /// Something could not be undone.
    NeedsAttention,
}

/// How far a step is. Only the latest counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct StepProgress {
    /// One line for each machine or part.
    pub parts: Vec<ProgressPart>,
}

/// See [`StepProgress`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ProgressPart {
    /// The machine's name.
    pub machine: String,
    /// How much is done.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub done: u64,
    /// Of how much, where known.
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub total: Option<u64>,
    /// `bytes`, `shards`, `s`, `requests` …
    pub unit: String,
    /// Units per second over the last seconds.
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub rate: Option<f64>,
    /// What is being done.
    pub doing: String,
    /// What it waits for by order: then there is neither a rate nor a time left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<PauseReason>,
}

/// What work waits for because somebody ordered it. That is no silence of the line, and how long it takes
/// cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum PauseReason {
    /// Somebody paused it.
    Paused,
    /// Its hours have not come yet.
    Until {
        /// When they begin by that machine's clock, as `23:00`.
        opens: String,
    },
}

/// What a watcher of a run hears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(tag = "signal", rename_all = "kebab-case")]
pub enum RunSignal {
    /// Something happened; it is on disk.
    Event {
        /// What.
        event: RunEvent,
    },
    /// A step came further.
    Progress {
        /// Which step.
        step: StepId,
        /// How far.
        progress: StepProgress,
    },
    /// A line for the step's log.
    Log {
        /// Which step.
        step: StepId,
        /// The machine's name, if about one.
        machine: Option<String>,
        /// The line, without colour codes.
        line: String,
    },
    /// It stopped where it was, and how it ended could not be written down. The last that is heard of it.
    Stopped {
        /// Why, and what to do.
        problem: Problem,
    },
}

/// A step as it is shown before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct StepPlan {
    /// Its identity.
    pub id: StepId,
    /// Its name: "Private network".
    pub title: String,
    /// What will be done, in a sentence.
    pub will: String,
    /// The commands and files, verbatim, that need root or change the machine.
    pub exactly: Vec<String>,
    /// What undo would do, or why there is none.
    pub undo: String,
    /// Whether it needs root on the machines.
    pub privileged: bool,
}

/// A whole plan as it is shown, stored and compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Plan {
    /// The procedure: `setup`, `link`, `restart`.
    pub procedure: String,
    /// Version of the procedure's steps.
    pub procedure_version: u32,
    /// A sentence over the whole.
    pub summary: String,
    /// What one should know before.
    pub cautions: Vec<String>,
    /// The steps in order.
    pub steps: Vec<StepPlan>,
}

/// A run in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct RunSummary {
    /// Its identity.
    pub id: RunId,
    /// The procedure: see [`Plan::procedure`].
    pub procedure: String,
    /// What it is, for people: "Serve a model over spark-a and spark-b".
    pub title: String,
    /// When it began, ms since 1970.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub started_at: i64,
    /// When it ended.
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub finished_at: Option<i64>,
    /// How it ended; `None` while it goes on or was interrupted.
    pub outcome: Option<RunOutcome>,
    /// Whether it goes on in this app right now.
    pub live: bool,
    /// Whether it was made on rehearsed machines.
    pub simulated: bool,
}

/// How far a step was at last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct StepProgressRow {
    /// The step.
    pub step: StepId,
    /// How far.
    pub progress: StepProgress,
}
