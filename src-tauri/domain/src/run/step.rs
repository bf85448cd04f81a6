//! One step: the smallest thing worth undoing.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::ports::{Clock, MachineError, MachineServices};
use crate::problem::{Code, Problem};
use crate::run::{ProgressPart, RunId, RunSignal, StepId, StepPlan, StepProgress};

/// Why a step did not end well. It becomes a [`Problem`] where the run writes it down, so that steps can
/// decide by what happened.
#[derive(Debug, Clone, PartialEq)]
pub enum StepError {
    /// Somebody cancelled; the step stopped at a safe point.
    Cancelled,
    /// A machine did not do what it was asked.
    Machine {
        /// Its name.
        machine: String,
        /// Why.
        error: MachineError,
    },
    /// It did not happen, in the step's own words.
    Problem(Box<Problem>),
}

impl StepError {
    /// The error in words; `None` where somebody cancelled.
    pub fn into_problem(self) -> Option<Problem> {
        match self {
            Self::Cancelled => None,
            Self::Machine { machine, error } => Some(error.problem(&machine)),
            Self::Problem(problem) => Some(*problem),
        }
    }
}

impl From<Problem> for StepError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// What a step's check found.
#[derive(Debug, Clone, PartialEq)]
pub enum StepCheck {
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

/// One step of a procedure. `S` is what it may use beside the machines: see [`StepContext::services`].
///
/// # How to write one
///
/// This step makes a folder on the head. `check` looks and says what was there before; the run writes that
/// down and only then calls `apply`. So whatever dies in between, `undo` knows what to restore.
///
/// ```
/// use async_trait::async_trait;
/// use serde::{Deserialize, Serialize};
/// use serde_json::{Value, json};
/// use tandem_domain::ports::Command;
/// use tandem_domain::problem::{Code, Problem};
/// use tandem_domain::run::{StepCheck, Receipt, Step, StepError, StepId, StepPlan};
/// use tandem_domain::step::services::{Services, StepContext};
///
/// /// What the step leaves for later ones: `cx.receipt::<FolderReceipt>()`.
/// #[derive(Serialize, Deserialize)]
/// struct FolderReceipt {
///     path: String,
/// }
///
/// impl Receipt for FolderReceipt {
///     const STEP: &'static str = "folder";
/// }
///
/// struct MakeFolder {
///     path: String,
/// }
///
/// impl MakeFolder {
///     /// Whether a command ends well on the head.
///     async fn ok(&self, cx: &StepContext, command: &[&str]) -> Result<bool, StepError> {
///         let head = &cx.machines[0];
///         let command = Command::new(command[0], command[1..].iter().copied());
///         match head.shell.exec(&command).await {
///             Ok(output) => Ok(output.ok()),
///             Err(error) => Err(StepError::Machine { machine: head.name.clone(), error }),
///         }
///     }
/// }
///
/// #[async_trait]
/// impl Step<Services> for MakeFolder {
///     fn plan(&self) -> StepPlan {
///         StepPlan {
///             id: StepId::of::<FolderReceipt>(),
///             title: "Folder".into(),
///             will: "Makes a folder for the weights.".into(),
///             exactly: vec![format!("mkdir {}", self.path)],
///             undo: "Removes it if it is empty.".into(),
///             privileged: false,
///         }
///     }
///
///     async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
///         if self.ok(cx, &["test", "-d", &self.path]).await? {
///             let receipt = json!(FolderReceipt { path: self.path.clone() });
///             return Ok(StepCheck::AlreadyDone { found: "The folder is there.".into(), receipt });
///         }
///         Ok(StepCheck::Needed { before: json!({}) })
///     }
///
///     async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
///         // Safe to repeat: a life before this one may have made it and died.
///         if self.ok(cx, &["mkdir", "-p", &self.path]).await? {
///             return Ok(json!(FolderReceipt { path: self.path.clone() }));
///         }
///         let problem = Problem::new(Code::FileAccess, "The folder was not made.");
///         Err(problem.fix("Check who may write there, then resume.").into())
///     }
///
///     async fn verify(&self, cx: &StepContext, _: &Value) -> Result<String, StepError> {
///         match self.ok(cx, &["test", "-w", &self.path]).await? {
///             true => Ok("The folder is there and can be written to.".into()),
///             false => Err(Problem::new(Code::FileAccess, "The folder cannot be written to.").into()),
///         }
///     }
///
///     async fn undo(
///         &self,
///         cx: &StepContext,
///         _before: &Value,
///         _receipt: Option<&Value>,
///     ) -> Result<String, StepError> {
///         // What is no longer empty, or gone already, is left as it is.
///         self.ok(cx, &["rmdir", &self.path]).await?;
///         Ok("The folder is gone unless something moved in.".into())
///     }
/// }
/// ```
///
/// A step that changes nothing implements [`ReadOnly`] instead.
#[async_trait]
pub trait Step<S: Sync>: Send + Sync {
    /// Its identity, title and words, before it runs.
    fn plan(&self) -> StepPlan;

    /// Whether it changes anything that must be taken back.
    fn undoes(&self) -> Undo {
        Undo::Restores
    }

    /// Looks, never touches.
    async fn check(&self, cx: &StepContext<S>) -> Result<StepCheck, StepError>;

    /// Acts. Safe to repeat with the same `before`; stops at a safe point when cancelled.
    async fn apply(
        &self,
        cx: &StepContext<S>,
        before: &serde_json::Value,
    ) -> Result<serde_json::Value, StepError>;

    /// Looks again, by another road where there is one, and says what it saw.
    async fn verify(
        &self,
        cx: &StepContext<S>,
        receipt: &serde_json::Value,
    ) -> Result<String, StepError>;

    /// Makes it as `before` says. Safe to repeat, and safe after an act that got half-way or nowhere:
    /// `receipt` is `None` then. Says what it did.
    async fn undo(
        &self,
        cx: &StepContext<S>,
        before: &serde_json::Value,
        receipt: Option<&serde_json::Value>,
    ) -> Result<String, StepError>;
}

/// A step that changes nothing on the machines, so that nothing is to be taken back. Each is a [`Step`] too.
#[async_trait]
pub trait ReadOnly<S: Sync>: Send + Sync {
    /// See [`Step::plan`].
    fn plan(&self) -> StepPlan;

    /// See [`Step::check`]. A step that only reads is done with it.
    async fn check(&self, cx: &StepContext<S>) -> Result<StepCheck, StepError>;

    /// Finds out what the check could not, and gives back the receipt. Safe to repeat.
    async fn find_out(&self, _cx: &StepContext<S>) -> Result<serde_json::Value, StepError> {
        Ok(serde_json::Value::Null)
    }

    /// See [`Step::verify`].
    async fn verify(
        &self,
        _cx: &StepContext<S>,
        _receipt: &serde_json::Value,
    ) -> Result<String, StepError> {
        Ok("It was read.".into())
    }
}

#[async_trait]
impl<S: Sync, T: ReadOnly<S>> Step<S> for T {
    fn plan(&self) -> StepPlan {
        ReadOnly::plan(self)
    }

    fn undoes(&self) -> Undo {
        Undo::Nothing
    }

    async fn check(&self, cx: &StepContext<S>) -> Result<StepCheck, StepError> {
        ReadOnly::check(self, cx).await
    }

    async fn apply(
        &self,
        cx: &StepContext<S>,
        _: &serde_json::Value,
    ) -> Result<serde_json::Value, StepError> {
        self.find_out(cx).await
    }

    async fn verify(
        &self,
        cx: &StepContext<S>,
        receipt: &serde_json::Value,
    ) -> Result<String, StepError> {
        ReadOnly::verify(self, cx, receipt).await
    }

    async fn undo(
        &self,
        _: &StepContext<S>,
        _: &serde_json::Value,
        _: Option<&serde_json::Value>,
    ) -> Result<String, StepError> {
        Ok("It changed nothing.".into())
    }
}

/// What a step leaves for later ones, in its own type. The type names the step, so nobody can ask a step
/// for what another one leaves.
pub trait Receipt: Serialize + DeserializeOwned {
    /// The step that leaves it.
    const STEP: &'static str;
}

/// What a step may use.
#[derive(Clone)]
pub struct StepContext<S> {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// Whether an act of this step began, in a life before this one or a moment ago, and its end was not seen. A step
    /// whose act ends with a look that `check` cannot take says then that it is needed, and is carried out again.
    pub is_unfinished: bool,
    /// The machines, head first.
    pub machines: Vec<MachineServices>,
    /// Trips when somebody cancels.
    pub cancel: CancellationToken,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What the steps may use beside the machines.
    pub services: S,
    /// Receipts of the steps before, by step.
    pub receipts: BTreeMap<StepId, serde_json::Value>,
    /// Who listens to progress and log lines.
    pub(crate) signals: Arc<dyn Fn(RunSignal) + Send + Sync>,
    /// The latest progress, so that machines can report apart.
    pub(crate) parts: Arc<std::sync::Mutex<Vec<ProgressPart>>>,
}

impl<S> StepContext<S> {
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
                        let named = |s: &MachineServices| s.name == part.machine;
                        self.machines.iter().position(named)
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

    /// Adds a line to the step's log. One of more than 8 KiB is cut, and three dots stand for the rest.
    pub fn log(&self, machine: Option<&str>, line: impl Into<String>) {
        (self.signals)(RunSignal::Log {
            step: self.step.clone(),
            machine: machine.map(str::to_owned),
            line: shortened(line.into()),
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

/// A line of a log, cut where it is longer than anybody reads.
fn shortened(mut line: String) -> String {
    const LONGEST: usize = 8 << 10;
    if line.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| line.is_char_boundary(*at));
        line.truncate(end.unwrap_or(0));
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_long_line_is_cut_between_two_letters() {
        assert_eq!(shortened("é".into()), "é");
        let cut = shortened("é".repeat(5000));
        assert_eq!(cut, format!("{}…", "é".repeat(4096)));
        let odd = shortened(format!("x{}", "é".repeat(5000)));
        assert_eq!(odd, format!("x{}…", "é".repeat(4095)));
    }
}
