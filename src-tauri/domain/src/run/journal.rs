//! Where runs are written down.

use async_trait::async_trait;

use crate::problem::{Code, Problem};
use crate::run::{RunEvent, RunId, StepId, StepProgress};

/// Why the journal was not read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It could not be read or written.
    #[error("{0}")]
    Failed(String),
    /// Somebody else has written to the same run, so that the writer does not know any more how far it is.
    #[error("{known} events of the run were known, and {there} are written")]
    Overtaken {
        /// The number of the last event that the writer knew.
        known: u64,
        /// The number of the last event that is there.
        there: u64,
    },
}

impl JournalError {
    /// Why a run stopped where it was.
    pub fn problem(&self) -> Problem {
        let stopped = "The run stopped.";
        match self {
            Self::Failed(why) => Problem::new(Code::JournalWrite, stopped)
                .cause("What it did could not be written to Tandem's database, and nothing is done that is not written down.")
                .fix("Check the disk of this computer, then resume.")
                .detail(why.clone()),
            Self::Overtaken { .. } => Problem::new(Code::Locked, stopped)
                .cause("Another copy of Tandem works on the same run.")
                .fix("Go on in the other copy. If it is gone, resume here.")
                .detail(self.to_string()),
        }
    }
}

/// Where runs are written down. Rows are only ever added; a written event has reached the disk.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Writes the event with the number that follows `after` and gives it back with it. `after` is the number
    /// of the last event that the writer knows, 0 for none: where another one is the last,
    /// [`JournalError::Overtaken`], and nothing is written.
    async fn append(
        &self,
        run: &RunId,
        after: u64,
        event: RunEvent,
    ) -> Result<RunEvent, JournalError>;
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
