//! A step before the restart, in a run that is taken up again: a machine that does not answer may be in the
//! middle of it.

use async_trait::async_trait;
use serde_json::Value;

use super::{BACK, REST, on_its_way};
use crate::run::{Step, StepCheck, StepError, StepPlan, Undo};
use crate::step::services::{Services, StepContext};

/// The same step, which waits for a machine that is silent where the run has been here before.
pub(crate) struct Patient<S>(pub(crate) S);

/// Whether a machine that is on its way down or up may say this.
fn may_be_on_its_way(error: &StepError) -> bool {
    matches!(error, StepError::Machine { error, .. } if on_its_way(error))
}

#[async_trait]
impl<S: Step<Services>> Step<Services> for Patient<S> {
    fn plan(&self) -> StepPlan {
        self.0.plan()
    }

    fn undoes(&self) -> Undo {
        self.0.undoes()
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let been_here = cx.receipts.contains_key(&cx.step);
        let began = cx.clock.monotonic();
        let mut told = false;
        loop {
            let found = cx.unless_cancelled(self.0.check(cx)).await;
            let waits = found.as_ref().is_err_and(may_be_on_its_way)
                && been_here
                && cx.clock.monotonic().saturating_sub(began) <= BACK;
            if !waits {
                return found;
            }
            if !told {
                told = true;
                cx.log(None, "Waiting for a machine that may be restarting.");
            }
            for machine in &cx.machines {
                machine.shell.reconnect().await;
            }
            cx.unless_cancelled(async {
                cx.clock.wait(REST).await;
                Ok(())
            })
            .await?;
        }
    }

    async fn apply(&self, cx: &StepContext, before: &Value) -> Result<Value, StepError> {
        self.0.apply(cx, before).await
    }

    async fn verify(&self, cx: &StepContext, receipt: &Value) -> Result<String, StepError> {
        self.0.verify(cx, receipt).await
    }

    async fn undo(
        &self,
        cx: &StepContext,
        before: &Value,
        receipt: Option<&Value>,
    ) -> Result<String, StepError> {
        self.0.undo(cx, before, receipt).await
    }
}
