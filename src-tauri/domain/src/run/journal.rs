//! Where runs are written down.

use async_trait::async_trait;

use crate::run::{RunEvent, RunId, StepId, StepProgress};

/// The journal could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct JournalError(pub String);

/// Where runs are written down. Rows are only ever added; a written event has reached the disk.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Writes the event with the next sequence number and gives it back with that number.
    async fn append(&self, run: &RunId, event: RunEvent) -> Result<RunEvent, JournalError>;
    /// All events of a run, in order.
    async fn events(&self, run: &RunId) -> Result<Vec<RunEvent>, JournalError>;
    /// Keeps the latest progress of a step. May be lost.
    async fn progress(
        &self,
        run: &RunId,
        step: &StepId,
        progress: &StepProgress,
    ) -> Result<(), JournalError>;
}
