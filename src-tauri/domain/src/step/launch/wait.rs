//! What a launch waits for: memory and ports before it, an answer after it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::LaunchServer;
use super::rendezvous::{PATIENCE, Rendezvous};
use crate::container::SERVER;
use crate::engine;
use crate::engine::causes::{self, Cause};
use crate::graft;
use crate::ports::{Command, MachineServices};
use crate::problem::{Code, Problem, Retry};
use crate::recipe::plan::LaunchPlan;
use crate::run::{ProgressPart, StepError};
use crate::step::follow::{ReadProgress, Then, ended, while_followed};
use crate::step::machines::failed_on;
use crate::step::services::StepContext;

impl LaunchServer {
    /// Waits until the memory of an earlier server has come back: its container's end is not yet that.
    pub(super) async fn memory_back(
        &self,
        cx: &StepContext,
        machine: &MachineServices,
    ) -> Result<(), StepError> {
        let mut before = 0;
        let mut still = 0;
        loop {
            let output = machine
                .shell
                .exec(&Command::new("cat", ["/proc/meminfo"]))
                .await;
            let text = output.map_err(failed_on(machine))?.text();
            let kb = |name: &str| {
                let line = text.lines().find(|l| l.starts_with(name))?;
                line.split_whitespace().nth(1)?.parse::<u64>().ok()
            };
            let (Some(total), Some(free)) = (kb("MemTotal:"), kb("MemAvailable:")) else {
                return Ok(());
            };
            if free as f64 >= total as f64 * self.launch.memory_share {
                return Ok(());
            }
            // It no longer grows: what is missing is held by something else, and vLLM says whether it matters.
            still = if free > before + 100_000 {
                0
            } else {
                still + 1
            };
            before = before.max(free);
            if still > 3 {
                return Ok(());
            }
            cx.clock.wait(Duration::from_millis(700)).await;
        }
    }

    pub(super) async fn ports_free(&self, machine: &MachineServices) -> Result<(), StepError> {
        let output = machine.shell.exec(&Command::new("ss", ["-ltnpH"])).await;
        let output = output.map_err(failed_on(machine))?;
        for port in [self.launch.api_port, self.launch.master_port] {
            let suffix = format!(":{port}");
            let text = output.text();
            let held = text.lines().find(|l| {
                l.split_whitespace()
                    .nth(3)
                    .is_some_and(|address| address.ends_with(&suffix))
            });
            if let Some(line) = held {
                let holder = line
                    .split("users:((\"")
                    .nth(1)
                    .and_then(|u| u.split('"').next());
                return Err(
                    Problem::new(Code::PortTaken, "The model server was not started.")
                        .cause(match holder {
                            Some(holder) => format!("Port {port} is held by `{holder}`."),
                            None => format!("Port {port} is held by another program."),
                        })
                        .fix_with(
                            "Stop that program, or choose another port under Choices.",
                            format!("sudo ss -ltnp 'sport = :{port}'"),
                        )
                        .retry(Retry::Now)
                        .on(machine.name.clone())
                        .into(),
                );
            }
        }
        Ok(())
    }

    /// Waits until the API lists the model, or a container has ended, or the ranks do not meet, or time is up.
    pub(super) async fn ready(&self, cx: &StepContext) -> Result<(), StepError> {
        let began = cx.clock.monotonic();
        let ranks = Mutex::new(Rendezvous::new(cx.machines.len(), began));
        let heard = &ranks;
        let read = |machine| -> ReadProgress<'_> {
            let machine: &MachineServices = machine;
            let rank = cx.machines.iter().position(|m| m.name == machine.name);
            Box::new(move |line| {
                let meeting = self.engine().meeting(line);
                let now = cx.clock.monotonic();
                let mut ranks = heard.lock().unwrap_or_else(PoisonError::into_inner);
                ranks.heard(rank.unwrap_or_default(), meeting, now);
                drop(ranks);
                let phase = self.engine().phase(line)?;
                let (done, total) = phase.done.unwrap_or((0, 0));
                Some(ProgressPart {
                    machine: machine.name.clone(),
                    done,
                    total: Some(total).filter(|t| *t > 0),
                    unit: phase.unit.into(),
                    rate: None,
                    doing: phase.doing,
                    held: None,
                })
            })
        };
        let poll = self.poll(cx, began, &ranks);
        while_followed(cx, SERVER, read, poll, Then::Leave).await
    }

    async fn poll(
        &self,
        cx: &StepContext,
        began: Duration,
        ranks: &Mutex<Rendezvous>,
    ) -> Result<(), StepError> {
        loop {
            if self.lists_model(cx).await {
                return Ok(());
            }
            let states = self.states(cx).await?;
            let ended = states
                .iter()
                .zip(&cx.machines)
                .find_map(|(state, machine)| ended(state.as_ref(), &machine.name));
            if let Some(ended) = ended {
                return Err(self.explain(cx, &ended).await.1.into());
            }
            let now = cx.clock.monotonic();
            let is_unmet = || {
                let ranks = ranks.lock().unwrap_or_else(PoisonError::into_inner);
                ranks.is_overdue(now)
            };
            if is_unmet() {
                return Err(self.unmet(cx).await.into());
            }
            let waited = now.saturating_sub(began);
            if waited.as_secs() >= u64::from(self.launch.ready_timeout_s) {
                let (known, problem) = self.explain(cx, "It still runs").await;
                return Err(match known {
                    true => problem.into(),
                    false => self.too_slow(&problem).into(),
                });
            }
            cx.clock.wait(Duration::from_millis(500)).await;
        }
    }

    fn too_slow(&self, of: &Problem) -> Problem {
        let mut problem = Problem::new(Code::ServerNotReady, "The model server is not ready yet.")
            .cause(format!(
                "It did not answer within {} s.",
                self.launch.ready_timeout_s
            ))
            .fix("Allow more time under Choices, then resume.")
            .retry(Retry::Now);
        problem.details.clone_from(&of.details);
        problem
    }

    async fn unmet(&self, cx: &StepContext) -> Problem {
        let logs = logs(&cx.machines).await;
        let tables = tables(&self.launch);
        match causes::is_told(&tables, &logs) {
            true => causes::explain(&tables, &logs, "It still runs"),
            false => causes::did_not_meet(&logs, PATIENCE),
        }
    }

    /// Whether the logs say why a server that still runs does not get ready, and what is told of one that ended.
    async fn explain(&self, cx: &StepContext, ended: &str) -> (bool, Problem) {
        let (logs, tables) = (logs(&cx.machines).await, tables(&self.launch));
        (
            causes::is_told(&tables, &logs),
            causes::explain(&tables, &logs, ended),
        )
    }
}

/// Why something ended that serves a launch, the likeliest first.
pub(super) fn tables(launch: &LaunchPlan) -> Vec<&'static [Cause]> {
    let engine = engine::of(launch.engine);
    let mut tables = vec![engine.causes()];
    tables.extend(launch.graft.as_ref().map(|_| graft::causes::CAUSES));
    tables.extend([causes::CAUSES, engine.consequences(), causes::CONSEQUENCES]);
    tables
}

/// The last lines of every rank, head first.
pub(super) async fn logs(machines: &[MachineServices]) -> Vec<(String, Vec<String>)> {
    let mut logs = Vec::new();
    for machine in machines {
        let lines = machine
            .containers
            .logs(SERVER, 400)
            .await
            .unwrap_or_default();
        logs.push((machine.name.clone(), lines));
    }
    logs
}
