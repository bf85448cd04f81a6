//! A run as it is read back from the store.

use serde::{Deserialize, Serialize};

use crate::node::FetchLimits;
use crate::run::{Plan, RunEvent, RunSummary, StepProgressRow};

/// A run with its plan and history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct RunDetail {
    /// The run.
    pub summary: RunSummary,
    /// What was planned.
    pub plan: Plan,
    /// What happened so far.
    pub events: Vec<RunEvent>,
    /// The latest progress of each step.
    pub progress: Vec<StepProgressRow>,
    /// The limits of its download now; `None` of a run that was not asked to download.
    #[serde(default)]
    pub download: Option<FetchLimits>,
}
