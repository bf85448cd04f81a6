//! Step `collective`: an all-reduce between two containers of the image, because that can be slow when the
//! wire is not.
//!
//! Nothing is built or written: the image's own PyTorch runs a program that comes on the command line, in
//! a container that is given the link exactly as the model server will be. A slow one is said with its
//! cure and stops nothing; one that does not come to an end at all does, for the server would not either.

use std::sync::Arc;

use async_trait::async_trait;
use measure::AllReduceEnd;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::container::command::as_command;
use crate::container::{ContainerSpec, SERVER, fabric};
use crate::network::NetworkPlan;
use crate::network::verdict::all_reduce::{AllReduce, Backend};
use crate::network::verdict::{LinkReport, LinkState, Method, all_reduce};
use crate::recipe::plan::LaunchPlan;
use crate::run::{Receipt, Step, StepCheck, StepError, StepId, StepPlan};
use crate::step::facts::FactsReceipt;
use crate::step::image::ImageReceipt;
use crate::step::link_test::LinkTestReceipt;
use crate::step::machines::on_all;
use crate::step::services::{Services, StepContext};
use crate::step::stored::{stored, value};
use crate::step::{ids, link_test, owned};

mod explain;
mod measure;

/// The name of the container on each machine.
const CONTAINER: &str = "tandem-all-reduce";
/// What PyTorch is told to do.
pub const PROGRAM: &str = include_str!("program.py");
/// How long the sizes are measured together.
const SECONDS: u32 = 6;
/// How long the ranks wait for each other, and for any one collective.
const MEET_SECONDS: u32 = 60;
/// After this the program ends itself, whoever waits for it.
const LIMIT_SECONDS: u32 = 120;

/// See the module.
pub(crate) struct AllReduceTest {
    /// What was chosen.
    pub launch: Arc<LaunchPlan>,
    /// The addresses.
    pub plan: NetworkPlan,
}

/// What the step leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AllReduceReceipt {
    /// The measurement of the wire and this one, and what they mean together; `None` where there is
    /// nothing to hold it against, or the image cannot do it.
    pub report: Option<LinkReport>,
    /// The all-reduce; `None` where the image has no PyTorch.
    pub all_reduce: Option<AllReduce>,
    /// Whether a stand-in or a rehearsed machine was measured.
    pub simulated: bool,
    /// Milliseconds since 1970.
    pub at: i64,
}

impl Receipt for AllReduceReceipt {
    const STEP: &'static str = ids::ALL_REDUCE;
}

impl AllReduceTest {
    /// The containers, head first.
    fn containers(&self, image_id: &str) -> Vec<ContainerSpec> {
        let mut specs: Vec<_> = [0, 1].map(|rank| self.container(rank)).into();
        fabric::label(&mut specs, image_id);
        specs
    }

    fn container(&self, rank: usize) -> ContainerSpec {
        let plan = Some(&self.plan);
        let mut env = fabric::environment(plan, rank);
        env.extend(self.launch.env.iter().cloned());
        // In these lines NCCL says what it uses, which no number tells for certain.
        for (name, value) in [
            ("NCCL_DEBUG", "INFO"),
            ("NCCL_DEBUG_SUBSYS", "INIT,NET"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ] {
            env.push((name.to_owned(), value.to_owned()));
        }
        let mut command = vec!["-c".to_owned(), PROGRAM.to_owned()];
        let mut flag = |name: &str, value: String| command.extend([format!("--{name}"), value]);
        flag("node-rank", rank.to_string());
        flag("nnodes", "2".into());
        flag("master-addr", fabric::address(plan, 0).unwrap_or_default());
        flag("master-port", self.launch.master_port.to_string());
        flag("seconds", SECONDS.to_string());
        flag("meet-seconds", MEET_SECONDS.to_string());
        flag("limit-seconds", LIMIT_SECONDS.to_string());
        ContainerSpec {
            name: CONTAINER.into(),
            image: self.launch.image.name.clone(),
            entrypoint: Some(vec!["python3".into()]),
            command,
            env,
            ..fabric::container(true)
        }
    }

    /// Removes what a life before left behind, and what this one made.
    async fn clear(&self, cx: &StepContext) -> Result<(), StepError> {
        on_all(&cx.machines, |_, s| Box::pin(owned::remove(s, CONTAINER))).await?;
        Ok(())
    }

    /// What was found, as the step leaves it.
    fn receipt(&self, cx: &StepContext, end: AllReduceEnd) -> Result<AllReduceReceipt, StepError> {
        let FactsReceipt(facts) = cx.receipt().unwrap_or_default();
        let at = cx.clock.now_ms();
        let rehearsed = facts.iter().any(|f| f.simulated);
        let all_reduce = match end {
            AllReduceEnd::Measured(all_reduce) => all_reduce,
            AllReduceEnd::NoTorch(why) => {
                let words = "Warning: no all-reduce was measured, for the image has no PyTorch that `python3` finds";
                cx.log(None, format!("{words}: {why}."));
                return Ok(AllReduceReceipt {
                    report: None,
                    all_reduce: None,
                    simulated: rehearsed,
                    at,
                });
            }
        };
        if all_reduce.wrong() > 0 {
            return Err(explain::wrong(&all_reduce).into());
        }
        if all_reduce.backend == Backend::Gloo && facts.iter().any(|f| f.gpu.is_some()) {
            cx.log(None, "Warning: PyTorch saw no GPU in the containers, so processors did it. Check that the NVIDIA Container Toolkit is set up on both machines.");
        }
        let wire = wire(cx);
        let measured = wire.as_ref().map_or(&[][..], |w| &w.measured);
        let verdict = all_reduce::judge(measured, &all_reduce);
        let simulated = all_reduce.stand_in || rehearsed;
        let report = verdict.map(|verdict| LinkReport {
            measured: measured
                .iter()
                .cloned()
                .chain(all_reduce.measured())
                .collect(),
            verdict,
            simulated: simulated || wire.as_ref().is_some_and(|w| w.simulated),
            at,
            all_reduce: Some(all_reduce.clone()),
        });
        let slow = report.as_ref().map(|r| &r.verdict);
        if let Some(verdict) = slow.filter(|v| v.state != LinkState::Good) {
            cx.log(None, format!("Warning: {} {}", verdict.says, verdict.cure));
        }
        Ok(AllReduceReceipt {
            report,
            all_reduce: Some(all_reduce),
            simulated,
            at,
        })
    }
}

/// What this run measured of the wire itself.
fn wire(cx: &StepContext) -> Option<LinkReport> {
    let receipt = cx.receipts.get(&StepId::of::<LinkTestReceipt>())?;
    let mut report = stored::<LinkTestReceipt>(receipt).ok()?.report;
    // One that was taken over from another run may hold that run's all-reduce.
    report.measured.retain(|m| m.method != Method::AllReduce);
    Some(report)
}

/// The result in words, with the number and the transport.
fn sentence(receipt: &AllReduceReceipt) -> String {
    let Some(all_reduce) = &receipt.all_reduce else {
        return "Not measured: the image has no PyTorch that `python3` finds.".into();
    };
    let transport = all_reduce.transport();
    match &receipt.report {
        Some(report) if all_reduce.backend == Backend::Nccl => {
            let cure = &report.verdict.cure;
            format!("{} {transport}. {cure}", link_test::sentence(report))
        }
        // A stand-in moves a few bytes through this computer: its speed would look like a fault of the link.
        _ if receipt.simulated => "Simulated: the two containers exchange data. Stand-ins took the place of GPUs, so no speed is given.".into(),
        _ => format!(
            "The two containers exchange data, {} in an all-reduce. {transport} instead of GPUs, so no expected range is known.",
            link_test::gbps_text(all_reduce.gbps().unwrap_or_default())
        ),
    }
    .trim_end()
    .to_owned()
}

#[async_trait]
impl Step<Services> for AllReduceTest {
    fn plan(&self) -> StepPlan {
        let mut shown = self.container(0);
        if let Some(program) = shown.command.get_mut(1) {
            *program = "PROGRAM".into();
        }
        StepPlan {
            id: StepId::of::<AllReduceReceipt>(),
            title: "All-reduce".into(),
            will: "Starts a container of the image on each machine for about half a minute and lets its PyTorch add up numbers over the private link, as the model does all the time: that can be slow when the cable is not. A slow one is said with its cure and stops nothing.".into(),
            exactly: vec![as_command(&shown), PROGRAM.into()],
            undo: "Removes the containers, should any be left.".into(),
            privileged: false,
        }
    }

    /// What was found good in this run is not measured again, unless the wire was since. Beside a model
    /// server that runs, a measurement would disturb both.
    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let standing = on_all(&cx.machines, |_, s| Box::pin(owned::find(s, CONTAINER))).await?;
        for (machine, state) in cx.machines.iter().zip(&standing) {
            if state.as_ref().is_some_and(|s| owned::label(s).is_none()) {
                let what = "No all-reduce was measured.";
                return Err(owned::foreign(machine, CONTAINER, what).into());
            }
        }
        if standing.iter().any(Option::is_some) {
            // Of a life that was killed.
            return Ok(StepCheck::Needed { before: json!({}) });
        }
        let mine = cx.receipts.get(&cx.step).cloned().unwrap_or_default();
        let earlier = stored::<AllReduceReceipt>(&mine).ok().filter(|earlier| {
            let good = earlier.report.as_ref().map(|r| r.verdict.state) == Some(LinkState::Good);
            good && wire(cx).is_none_or(|w| w.at <= earlier.at)
        });
        if let Some(earlier) = earlier {
            return Ok(StepCheck::AlreadyDone {
                found: sentence(&earlier),
                receipt: mine,
            });
        }
        for machine in &cx.machines {
            if owned::find(machine, SERVER)
                .await?
                .is_some_and(|s| s.running)
            {
                return Ok(StepCheck::AlreadyDone {
                    found: "The model server uses the link, so no all-reduce is measured now."
                        .into(),
                    receipt: mine,
                });
            }
        }
        Ok(StepCheck::Needed { before: json!({}) })
    }

    /// Cancelled or failed, it removes the containers before it ends. A killed app leaves containers that
    /// end by themselves; resuming or undoing removes them.
    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        let ImageReceipt(image) = cx.receipt()?;
        self.clear(cx).await?;
        let end = self.run(cx, &self.containers(&image.id)).await;
        let cleared = self.clear(cx).await;
        let left = cleared.clone().err().and_then(StepError::into_problem);
        if let (Err(_), Some(problem)) = (&end, left) {
            cx.log(
                problem.machine.as_deref(),
                format!("Not removed yet: {problem}"),
            );
        }
        let end = end?;
        cleared?;
        Ok(value(&self.receipt(cx, end)?))
    }

    async fn verify(&self, _: &StepContext, receipt: &Value) -> Result<String, StepError> {
        Ok(sentence(&stored::<AllReduceReceipt>(receipt)?))
    }

    async fn undo(
        &self,
        cx: &StepContext,
        _: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        self.clear(cx).await?;
        Ok("Measuring changed nothing, and no container of it is left.".into())
    }
}

#[cfg(test)]
mod tests;
