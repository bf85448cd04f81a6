//! The loop that carries a plan out: look, write the intent down, act, write the outcome down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use crate::ports::{Clock, MachineServices};
use crate::problem::{Code, Problem};
use crate::run::{
    Event, RunEvent, RunId, RunOutcome, RunSignal, RunState, Status, Step, StepCheck, StepContext,
    StepError, StepId, Undo,
};
use crate::run::{Journal, JournalError};

/// Hears every signal of a run, after it is on disk.
pub type Listener = Arc<dyn Fn(RunSignal) + Send + Sync>;

/// How the loop ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is written down as this.
    Finished(RunOutcome),
    /// The journal could not be written, or somebody else writes to it: it stopped where it was, and how it
    /// ended is not written down.
    JournalLost(JournalError),
}

/// Carries one run out. It is the only writer of that run's journal: the journal refuses what is written by one
/// that does not know the last event, and who is refused stops at once.
///
/// `S` is what the steps may use beside the machines; the loop only hands it on.
pub struct Driver<S> {
    /// The run.
    pub run: RunId,
    /// Its steps in order.
    pub steps: Vec<Arc<dyn Step<S>>>,
    /// The machines, head first.
    pub machines: Vec<MachineServices>,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What the steps may use beside the machines.
    pub services: S,
    /// Trips when somebody cancels.
    pub cancel: CancellationToken,
    /// Who listens.
    pub listener: Listener,
}

/// How far a run came, and how it ended.
type Ending = (RunState, RunOutcome);

impl<S: Clone + Send + Sync + 'static> Driver<S> {
    /// Carries the plan out from wherever its journal says it is.
    ///
    /// Cancelling ends it at the next safe point as `Cancelled`, with everything done so far kept.
    /// Called again, it goes on: finished steps are looked at again and repeated only where the
    /// machine no longer is as it should be.
    pub async fn go(&self) -> Outcome {
        self.ending(self.forward().await).await
    }

    /// Takes everything back that is ours, last step first. Goes on past what it cannot take back.
    pub async fn undo(&self) -> Outcome {
        self.ending(self.backward().await).await
    }

    async fn ending(&self, result: Result<Ending, JournalError>) -> Outcome {
        let written = match result {
            Ok((state, outcome)) => self
                .note(state, None, Event::Finished { outcome })
                .await
                .map(|_| outcome),
            Err(e) => Err(e),
        };
        match written {
            Ok(outcome) => Outcome::Finished(outcome),
            Err(e) => {
                let problem = e.problem();
                (self.listener)(RunSignal::Stopped { problem });
                Outcome::JournalLost(e)
            }
        }
    }

    async fn forward(&self) -> Result<Ending, JournalError> {
        let mut state = self.state().await?;
        if state.last_seq > 0 {
            state = self.note(state, None, Event::Resumed).await?;
        }
        for step in &self.steps {
            let id = step.plan().id;
            let before_it = state.step(&id).status;
            if self.cancel.is_cancelled() {
                return self.cancelled(state, None).await;
            }
            let cx = self.context(&id, &state);
            let found = match step.check(&cx).await {
                Ok(found) => found,
                Err(error) => return self.failed(state, id, error).await,
            };
            match found {
                // What we did ourselves and find standing is verified, not "already done": undo owns it.
                StepCheck::AlreadyDone { found, receipt } if before_it.is_ours() => {
                    if before_it == Status::Verified {
                        state = self
                            .note(state, Some(id), Event::Verified { seen: found })
                            .await?;
                        continue;
                    }
                    // An act whose end was never written, and whose effect stands.
                    let before = text(&state.step(&id).before.unwrap_or_default());
                    state = self
                        .note(state, Some(id.clone()), Event::Applying { before })
                        .await?;
                    let receipt = text(&receipt);
                    state = self
                        .note(state, Some(id.clone()), Event::Applied { receipt })
                        .await?;
                    state = self
                        .note(state, Some(id), Event::Verified { seen: found })
                        .await?;
                    continue;
                }
                StepCheck::AlreadyDone { found, receipt } => {
                    let receipt = text(&receipt);
                    state = self
                        .note(state, Some(id), Event::AlreadyDone { found, receipt })
                        .await?;
                    continue;
                }
                StepCheck::Needed { before } => {
                    let before = text(&before);
                    state = self
                        .note(state, Some(id.clone()), Event::Applying { before })
                        .await?;
                }
            }
            let before = state.step(&id).before.unwrap_or_default();
            let applied = step.apply(&cx, &before).await;
            let result = match applied {
                Ok(receipt) => {
                    let event = Event::Applied {
                        receipt: text(&receipt),
                    };
                    state = self.note(state, Some(id.clone()), event).await?;
                    step.verify(&cx, &receipt).await
                }
                Err(e) => Err(e),
            };
            match result {
                Ok(seen) => state = self.note(state, Some(id), Event::Verified { seen }).await?,
                Err(error) => return self.failed(state, id, error).await,
            }
        }
        Ok((state, RunOutcome::Completed))
    }

    async fn backward(&self) -> Result<Ending, JournalError> {
        let mut state = self.state().await?;
        state = self.note(state, None, Event::Resumed).await?;
        let mut stuck = false;
        for step in self.steps.iter().rev() {
            let id = step.plan().id;
            let of_step = state.step(&id);
            if !of_step.status.is_ours() {
                continue;
            }
            state = self.note(state, Some(id.clone()), Event::Undoing).await?;
            let result = match step.undoes() {
                Undo::Nothing => Ok("It changed nothing.".to_owned()),
                Undo::Restores => {
                    let mut cx = self.context(&id, &state);
                    // Undo is not cancelled half-way by the cancel that led to it.
                    cx.cancel = CancellationToken::new();
                    let before = of_step.before.unwrap_or_default();
                    step.undo(&cx, &before, of_step.receipt.as_ref()).await
                }
            };
            let event = match result {
                Ok(did) => Event::Undone { did },
                Err(error) => {
                    stuck = true;
                    let interrupted = || Problem::new(Code::Broken, "Undo was interrupted.");
                    Event::UndoFailed {
                        problem: error.into_problem().unwrap_or_else(interrupted),
                    }
                }
            };
            state = self.note(state, Some(id), event).await?;
        }
        let outcome = if stuck {
            RunOutcome::NeedsAttention
        } else {
            RunOutcome::Undone
        };
        Ok((state, outcome))
    }

    /// Writes down why a step did not end well, which ends the run.
    async fn failed(
        &self,
        state: RunState,
        step: StepId,
        error: StepError,
    ) -> Result<Ending, JournalError> {
        let Some(problem) = error.into_problem() else {
            return self.cancelled(state, Some(step)).await;
        };
        let state = self
            .note(state, Some(step), Event::Failed { problem })
            .await?;
        Ok((state, RunOutcome::Failed))
    }

    async fn cancelled(
        &self,
        state: RunState,
        step: Option<StepId>,
    ) -> Result<Ending, JournalError> {
        let mut state = self.note(state, None, Event::CancelRequested).await?;
        if let Some(id) = step {
            state = self.note(state, Some(id), Event::Stopped).await?;
        }
        Ok((state, RunOutcome::Cancelled))
    }

    fn context(&self, id: &StepId, state: &RunState) -> StepContext<S> {
        let receipts: BTreeMap<_, _> = state
            .steps
            .iter()
            .filter_map(|(id, step)| step.receipt.clone().map(|r| (id.clone(), r)))
            .collect();
        StepContext {
            run: self.run.clone(),
            step: id.clone(),
            is_unfinished: matches!(
                state.step(id).status,
                Status::Applying | Status::Applied | Status::Failed
            ),
            machines: self.machines.clone(),
            cancel: self.cancel.clone(),
            clock: self.clock.clone(),
            services: self.services.clone(),
            receipts,
            signals: self.listener.clone(),
            parts: Arc::new(Mutex::new(Vec::new())),
        }
    }

    async fn state(&self) -> Result<RunState, JournalError> {
        let events = self.journal.events(&self.run).await?;
        Ok(RunState::fold(&events))
    }

    async fn note(
        &self,
        mut state: RunState,
        step: Option<StepId>,
        event: Event,
    ) -> Result<RunState, JournalError> {
        let event = RunEvent {
            seq: 0,
            at: self.clock.now_ms(),
            step,
            event,
        };
        let written = self
            .journal
            .append(&self.run, state.last_seq, event)
            .await?;
        state.apply(&written);
        (self.listener)(RunSignal::Event { event: written });
        Ok(state)
    }
}

fn text(value: &serde_json::Value) -> String {
    value.to_string()
}
