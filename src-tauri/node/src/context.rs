//! What every long work is given.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tandem_domain::problem::Problem;
use tandem_domain::secret::Secret;
use tokio_util::sync::CancellationToken;

use crate::created_paths::CreatedPaths;
use crate::fetched::Fetched;
use crate::hub::Hub;
use crate::job_output::JobOutput;

/// How long the Hub may stay silent, and how small the pieces are.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// For questions before anything is transferred.
    pub patience: Duration,
    /// Without a single byte on any connection, during a transfer. Long enough for a router that
    /// restarts in the night; until when it is tried is said meanwhile.
    pub transfer_patience: Duration,
    /// The same while the Hub answers and asks to wait.
    pub busy_patience: Duration,
    /// How long one connection may say nothing before it is made again.
    pub silence: Duration,
    /// The minute of the day by the machine's clock, for the hours in which a fetch may run.
    pub minute: fn() -> Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(20),
            transfer_patience: Duration::from_secs(1800),
            busy_patience: Duration::from_secs(3600),
            silence: Duration::from_secs(30),
            minute: crate::transfer::minute_of_day,
        }
    }
}

/// Surroundings of one job.
pub struct Context {
    /// Where it speaks.
    pub lines: Arc<JobOutput>,
    /// Tripped when somebody cancels.
    pub cancel: CancellationToken,
    /// What it made.
    pub made: CreatedPaths,
    /// Bytes that crossed the line, over all starts.
    pub fetched: Arc<Fetched>,
    /// Where limits that are given while it runs are kept.
    pub limits: Option<PathBuf>,
    /// Where an image on its way is kept; it goes with the job.
    pub spool: Option<PathBuf>,
    /// A mark that is there while it brings nothing by itself; see [`Context::waits`].
    pub waits: Option<PathBuf>,
    /// See [`Settings`].
    pub settings: Settings,
}

impl Context {
    /// A job of its own, without a folder.
    pub fn foreground(lines: JobOutput, cancel: CancellationToken) -> Self {
        Self {
            lines: Arc::new(lines),
            cancel,
            made: CreatedPaths::in_memory(),
            fetched: Arc::default(),
            limits: None,
            spool: None,
            waits: None,
            settings: Settings::default(),
        }
    }

    /// The way to a Hub.
    pub(crate) fn hub(&self, endpoint: &str, token: Option<Secret>) -> Result<Hub, Problem> {
        Hub::new(endpoint, token, self.settings.patience, self.cancel.clone())
    }

    /// Says whether the job brings nothing by itself any more and only waits for another machine. Two
    /// machines that copy from each other know by it that neither has more to give, instead of each
    /// waiting for the other.
    pub fn waits(&self, waits: bool) {
        let Some(mark) = &self.waits else { return };
        // A mark that cannot be set or taken away costs the other machine time and no bytes.
        let _ = if waits {
            std::fs::write(mark, b"")
        } else {
            std::fs::remove_file(mark)
        };
    }
}
