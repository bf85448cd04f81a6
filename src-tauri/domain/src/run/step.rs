//! One step: the smallest thing worth undoing.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::node::HeldTo;
use crate::ports::{BenchStore, Clock, Station};
use crate::problem::{Code, Problem};
use crate::run::{ProgressPart, RunId, RunSignal, StepId, StepPlan, StepProgress};
use crate::secret::Secret;

/// Why a step did not end well.
#[derive(Debug, Clone, PartialEq)]
pub enum StepError {
    /// Somebody cancelled; the step stopped at a safe point.
    Cancelled,
    /// It did not happen.
    Problem(Box<Problem>),
}

impl From<Problem> for StepError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// What a step's check found.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Nothing to do.
    AlreadyDone {
        /// In a sentence.
        found: String,
        /// As [`Step::apply`] would give it.
        receipt: serde_json::Value,
    },
    /// There is something to do.
    Needed {
        /// What is there now: what undo restores.
        before: serde_json::Value,
    },
}

/// What a step can take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    /// [`Step::undo`] restores what was there.
    Restores,
    /// The step changes nothing, so there is nothing to take back.
    Nothing,
}

/// One step of a recipe.
#[async_trait]
pub trait Step: Send + Sync {
    /// Its identity, title and words, before it runs.
    fn plan(&self) -> StepPlan;

    /// Whether it changes anything that must be taken back.
    fn undoes(&self) -> Undo {
        Undo::Restores
    }

    /// Looks, never touches.
    async fn check(&self, cx: &StepContext) -> Result<Found, StepError>;

    /// Acts. Safe to repeat with the same `before`; stops at a safe point when cancelled.
    async fn apply(
        &self,
        cx: &StepContext,
        before: &serde_json::Value,
    ) -> Result<serde_json::Value, StepError>;

    /// Looks again, by another road where there is one, and says what it saw.
    async fn verify(
        &self,
        cx: &StepContext,
        receipt: &serde_json::Value,
    ) -> Result<String, StepError>;

    /// Makes it as `before` says. Safe to repeat, and safe after an act that got half-way or nowhere:
    /// `receipt` is `None` then. Says what it did.
    async fn undo(
        &self,
        cx: &StepContext,
        before: &serde_json::Value,
        receipt: Option<&serde_json::Value>,
    ) -> Result<String, StepError>;
}

/// What a step leaves for later ones, in its own type. The type names the step, so nobody can ask a step
/// for what another one leaves.
pub trait Receipt: Serialize + DeserializeOwned {
    /// The step that leaves it.
    const STEP: &'static str;
}

/// What a step may use.
#[derive(Clone)]
pub struct StepContext {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// The machines, head first.
    pub stations: Vec<Station>,
    /// Trips when somebody cancels.
    pub cancel: CancellationToken,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The Hub's token, if the person gave one.
    pub hub_token: Option<Secret>,
    /// What the run's downloads are held to now.
    pub download: HeldTo,
    /// Where measurements go.
    pub bench: Arc<dyn BenchStore>,
    /// Receipts of the steps before, by step.
    pub receipts: BTreeMap<StepId, serde_json::Value>,
    /// Who listens to progress and log lines.
    pub(crate) signals: Arc<dyn Fn(RunSignal) + Send + Sync>,
    /// The latest progress, so that machines can report apart.
    pub(crate) parts: Arc<std::sync::Mutex<Vec<ProgressPart>>>,
}

impl StepContext {
    /// What an earlier step left. An error if it left nothing, or something that cannot be read.
    pub fn receipt<R: Receipt>(&self) -> Result<R, StepError> {
        self.receipt_of(&StepId::of::<R>())
    }

    /// The same of a step whose name depends on what it serves.
    pub(crate) fn receipt_of<T: DeserializeOwned>(&self, step: &StepId) -> Result<T, StepError> {
        let value = self.receipts.get(step).ok_or_else(|| {
            Problem::new(Code::Broken, "A step ran before the one it builds on.")
                .cause(format!("`{}` needs what `{step}` left.", self.step))
        })?;
        serde_json::from_value(value.clone()).map_err(|e| {
            Problem::new(
                Code::PlanStale,
                "This run was made by another version of Tandem.",
            )
            .cause(format!("What `{step}` left cannot be read: {e}."))
            .fix("Undo this run, then plan it again.")
            .into()
        })
    }

    /// Reports how far one machine is.
    pub fn progress(&self, part: ProgressPart) {
        let parts = {
            let mut parts = self
                .parts
                .lock()
                .expect("no code panics while holding the progress");
            match parts.iter_mut().find(|p| p.machine == part.machine) {
                Some(old) => *old = part,
                None => {
                    parts.push(part);
                    // In the machines' order, whichever speaks first.
                    let place = |part: &ProgressPart| {
                        let named = |s: &Station| s.name == part.machine;
                        self.stations.iter().position(named)
                    };
                    parts.sort_by_key(place);
                }
            }
            parts.clone()
        };
        (self.signals)(RunSignal::Progress {
            step: self.step.clone(),
            progress: StepProgress { parts },
        });
    }

    /// Adds a line to the step's log.
    pub fn log(&self, machine: Option<&str>, line: impl Into<String>) {
        (self.signals)(RunSignal::Log {
            step: self.step.clone(),
            machine: machine.map(str::to_owned),
            line: line.into(),
        });
    }

    /// An error if somebody cancelled.
    pub fn safe_point(&self) -> Result<(), StepError> {
        if self.cancel.is_cancelled() {
            Err(StepError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Runs an act that may be abandoned at any await when somebody cancels.
    pub async fn unless_cancelled<T>(
        &self,
        act: impl std::future::Future<Output = Result<T, StepError>>,
    ) -> Result<T, StepError> {
        futures::pin_mut!(act);
        let cancelled = self.cancel.cancelled();
        futures::pin_mut!(cancelled);
        match futures::future::select(act, cancelled).await {
            futures::future::Either::Left((result, _)) => result,
            futures::future::Either::Right(_) => Err(StepError::Cancelled),
        }
    }
}
