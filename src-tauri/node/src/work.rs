//! What every long work is given, and how it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tandem_domain::node::{NodeEvent, NodeWork};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::lines::Lines;
use crate::made::Made;

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
    /// How long one connection may say nothing before it is made anew.
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
    pub lines: Arc<Lines>,
    /// Tripped when somebody cancels.
    pub cancel: CancellationToken,
    /// What it made.
    pub made: Made,
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
    pub fn foreground(lines: Lines, cancel: CancellationToken) -> Self {
        Self {
            lines: Arc::new(lines),
            cancel,
            made: Made::in_memory(),
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

/// A count that survives the process.
#[derive(Default)]
pub struct Fetched {
    count: AtomicU64,
    file: Option<PathBuf>,
}

impl Fetched {
    /// Goes on from what a file says.
    pub fn in_file(path: PathBuf) -> Self {
        let before = std::fs::read_to_string(&path)
            .ok()
            .and_then(|t| t.trim().parse().ok())
            .unwrap_or(0);
        Self {
            count: AtomicU64::new(before),
            file: Some(path),
        }
    }

    /// Adds bytes.
    pub fn add(&self, n: u64) {
        self.count.fetch_add(n, Ordering::Relaxed);
    }

    /// All bytes so far.
    pub fn total(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Writes the count down. It is a figure, not a decision, so a failure is not one of the job.
    pub fn save(&self) {
        if let Some(path) = &self.file {
            let _ = std::fs::write(path, format!("{:020}\n", self.total()));
        }
    }
}

/// Why a work ended early.
#[derive(Debug)]
pub enum Stop {
    /// It cannot be done.
    Problem(Box<Problem>),
    /// Somebody cancelled it.
    Cancelled,
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// Carries a work out and says how it ended.
pub async fn perform(work: NodeWork, token: Option<Secret>, context: &Context) -> NodeEvent {
    let cancel = context.cancel.clone();
    let outcome = tokio::select! {
        biased;
        outcome = carry_out(work, token, context) => outcome,
        () = overdue(&cancel) => Err(Stop::Cancelled),
    };
    context.fetched.save();
    match outcome {
        Ok(result) => NodeEvent::Done { result },
        Err(Stop::Cancelled) => NodeEvent::Cancelled,
        Err(Stop::Problem(problem)) => NodeEvent::Failed { problem: *problem },
    }
}

/// Ends a while after the cancellation: the work notices by itself and tidies up; this is for a
/// question to the Hub that hangs.
async fn overdue(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
}

async fn carry_out(
    work: NodeWork,
    token: Option<Secret>,
    context: &Context,
) -> Result<serde_json::Value, Stop> {
    match work {
        NodeWork::Copy(request) => value(crate::copy::copy(&request, token, context).await?),
        NodeWork::Fetch(request) => value(crate::fetch::fetch(&request, token, context).await?),
        NodeWork::Graft(request) => value(crate::graft::graft(&request, token, context).await?),
        NodeWork::Survey(request) => value(crate::survey::survey(&request, token, context).await?),
        NodeWork::Probe(request) => value(crate::probe::probe(&request, token, context).await?),
        NodeWork::Check(request) => value(crate::check::check(&request, token, context).await?),
        NodeWork::Verify(request) => value(crate::verify::verify(&request, token, context).await?),
        NodeWork::SaveImage(request) => value(crate::image::save(&request, context).await?),
        NodeWork::LoadImage(request) => value(crate::image::load(&request, token, context).await?),
    }
}

fn value(receipt: impl Serialize) -> Result<serde_json::Value, Stop> {
    serde_json::to_value(receipt).map_err(|e| {
        Problem::new(Code::Broken, "The result could not be written as JSON.")
            .cause(e.to_string())
            .into()
    })
}
