//! Step `restart`: both machines restarted, each exactly once.
//!
//! Which start of the machine is to end is written down before anything happens, as the kernel's name for
//! it. So a run that was cut off anywhere knows which machine has been restarted already and restarts only
//! the other, or none. A step before it that finds a machine silent waits, for it may be on its way up.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::Facts;
use crate::network::NetworkPlan;
use crate::network::cabling::{CableState, cabling_after_restart};
use crate::ports::{Command, MachineError, MachineServices};
use crate::problem::{Code, Problem, Retry};
use crate::run::{ProgressPart, Step, StepCheck, StepError, StepId, StepPlan, Undo};
use crate::step::facts::facts_of;
use crate::step::ids;
use crate::step::machines::{failed_on, on_all};
use crate::step::services::{Services, StepContext};
use crate::step::stored::{stored, value};

#[cfg(test)]
mod tests;
mod wait_for_reboot;

pub(crate) use wait_for_reboot::Patient;

/// Where the kernel names the start it is in.
pub(crate) const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// How long a machine may take from the order until it can be worked on again; updates of the firmware are
/// made on the way.
const BACK: Duration = Duration::from_secs(600);
/// How long the ports may take after that.
const PORTS: Duration = Duration::from_secs(60);
/// Between two looks.
const REST: Duration = Duration::from_secs(1);
/// How long a machine that is on its way down or up may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct RestartBoth {
    plan: NetworkPlan,
}

/// What the step leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RestartReceipt {
    /// The start each machine is in now.
    boots: Vec<String>,
}

/// Whether a machine that says this may be on its way down or up. One that starts lets nobody in before
/// it is done, whatever key or password is shown.
fn on_its_way(error: &MachineError) -> bool {
    matches!(
        error,
        MachineError::Unreachable { .. }
            | MachineError::NotSsh { .. }
            | MachineError::Lost { .. }
            | MachineError::TimedOut { .. }
            | MachineError::KeyRefused { .. }
            | MachineError::WrongPassword { .. }
    )
}

/// The kernel's name for the start the machine is in.
async fn boot_of(machine: &MachineServices) -> Result<String, MachineError> {
    let cat = Command::new("cat", [BOOT_ID]).timeout(Some(ANSWER));
    let said = machine.shell.exec(&cat).await?;
    let id = said.text().trim().to_owned();
    if !said.ok() || id.is_empty() {
        // A machine that ends kills what it is asked in the middle.
        return Err(MachineError::Lost {
            during: format!("reading `{BOOT_ID}`"),
        });
    }
    Ok(id)
}

/// Whether the machine has been told to end already.
async fn stopping(machine: &MachineServices) -> Result<bool, MachineError> {
    let ask = Command::new("systemctl", ["is-system-running"]).timeout(Some(ANSWER));
    Ok(machine.shell.exec(&ask).await?.text().trim() == "stopping")
}

/// Tells a machine to restart, unless it is about to. Whether it does is seen afterwards.
async fn order(machine: &MachineServices) -> Result<(), StepError> {
    match stopping(machine).await {
        Ok(true) => return Ok(()),
        Err(e) if on_its_way(&e) => return Ok(()),
        Err(e) => return Err(failed_on(machine)(e.clone())),
        Ok(false) => {}
    }
    let reboot = Command::new("systemctl", ["reboot", "--no-block"]).sudo();
    match machine.shell.exec(&reboot).await {
        Ok(said) if !said.ok() => Err(Problem::new(
            Code::MachineUnfit,
            "The machine did not take the restart.",
        )
        .cause(format!(
            "`systemctl reboot` ended with {}: {}.",
            said.status,
            said.error_text().trim_end_matches('.')
        ))
        .fix("Restart it by hand, then resume; Tandem does not restart it again.")
        .on(machine.name.clone())
        .into()),
        // It may end faster than it answers.
        Err(e) if !on_its_way(&e) => Err(failed_on(machine)(e)),
        _ => Ok(()),
    }
}

/// Whether every port of the plan has its link and its address at this machine.
fn settled(plan: &NetworkPlan, position: usize, facts: &Facts) -> bool {
    plan.rails.iter().all(|rail| {
        rail.ends.get(position).is_some_and(|end| {
            let address = format!("{}/{}", end.address, rail.prefix);
            facts
                .interfaces
                .iter()
                .any(|i| i.name == end.interface && i.carrier && i.ipv4.contains(&address))
        })
    })
}

/// What the ports show after the restart: an error where there is no link to measure, else what is worth
/// saying.
fn cable(facts: &[Facts]) -> Result<Option<String>, Problem> {
    let Some(cabling) = cabling_after_restart(&facts.iter().collect::<Vec<_>>()) else {
        return Ok(None);
    };
    match cabling.state {
        CableState::Good | CableState::DifferentPorts | CableState::TwoCables => Ok(None),
        CableState::OneRail | CableState::Slow => {
            Ok(Some(format!("{} {}", cabling.seen, cabling.next)))
        }
        CableState::AdapterMissing
        | CableState::NoCable
        | CableState::OneEnd
        | CableState::NotAPair => Err(Problem::new(
            Code::LinkFails,
            "Both machines are back, but there is no link between them.",
        )
        .cause(cabling.seen)
        .fix(cabling.next)
        .retry(Retry::Now)),
    }
}

impl RestartBoth {
    /// The step for a link with these addresses.
    pub(crate) fn new(plan: NetworkPlan) -> Self {
        Self { plan }
    }

    /// The start a machine is in, waited for where it does not answer.
    async fn boot(cx: &StepContext, machine: &MachineServices) -> Result<String, StepError> {
        Self::other_boot(cx, machine, None).await
    }

    /// The start a machine is in once it is another than `old`.
    async fn other_boot(
        cx: &StepContext,
        machine: &MachineServices,
        old: Option<&str>,
    ) -> Result<String, StepError> {
        let began = cx.clock.monotonic();
        loop {
            let seen = boot_of(machine).await;
            let waited = cx.clock.monotonic().saturating_sub(began);
            let doing = match &seen {
                Ok(boot) if Some(boot.as_str()) != old => return Ok(boot.clone()),
                Ok(_) => "ending what runs",
                Err(e) if on_its_way(e) => "restarting",
                Err(e) => return Err(failed_on(machine)(e.clone())),
            };
            if waited > BACK {
                return Err(late(&machine.name, seen.err()).into());
            }
            if old.is_some() {
                cx.progress(ProgressPart {
                    machine: machine.name.clone(),
                    done: waited.as_secs(),
                    total: None,
                    unit: "s".into(),
                    rate: None,
                    doing: doing.into(),
                    held: None,
                });
            }
            if seen.is_err() {
                // What is left of the old connection would be waited for in vain.
                machine.shell.reconnect().await;
            }
            cx.clock.wait(REST).await;
        }
    }

    /// Waits until the ports are as they were meant to be, for links and addresses come after the start.
    /// Whether they did is for others to judge.
    async fn ports(
        &self,
        cx: &StepContext,
        at: usize,
        machine: &MachineServices,
    ) -> Result<(), StepError> {
        let began = cx.clock.monotonic();
        loop {
            let facts = facts_of(machine).await;
            let there = facts.is_ok_and(|f| settled(&self.plan, at, &f));
            if there || cx.clock.monotonic().saturating_sub(began) > PORTS {
                if !there {
                    cx.log(
                        Some(&machine.name),
                        "Not every port of the link has its address again.",
                    );
                }
                return Ok(());
            }
            cx.clock.wait(REST).await;
        }
    }
}

/// A machine that did not come back in time.
fn late(machine: &str, why: Option<MachineError>) -> Problem {
    let (message, cause) = match &why {
        Some(error) => (
            format!("`{machine}` did not come back after the restart."),
            format!("After {} minutes: {error}.", BACK.as_secs() / 60),
        ),
        None => (
            format!("`{machine}` did not restart."),
            format!(
                "It was told to, and after {} minutes it has not ended what runs on it.",
                BACK.as_secs() / 60
            ),
        ),
    };
    Problem::new(Code::Unreachable, message)
        .cause(cause)
        .fix("Look at the machine itself, and switch it off and on if it hangs. Then resume; Tandem does not restart it again.")
        .retry(Retry::Now)
        .on(machine)
}

#[async_trait]
impl Step<Services> for RestartBoth {
    fn plan(&self) -> StepPlan {
        StepPlan {
            id: StepId::from(ids::RESTART),
            title: "Restart".into(),
            will: "Restarts both machines at once and waits until they are back, for some minutes. Whatever runs on them stops.".into(),
            exactly: vec![
                "sudo systemctl reboot --no-block".into(),
                format!("cat {BOOT_ID}   # until it says another start than before"),
            ],
            undo: "A restart is not taken back. It changes nothing on the disks.".into(),
            privileged: true,
        }
    }

    fn undoes(&self) -> Undo {
        Undo::Nothing
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let mine = cx.receipts.get(&cx.step).cloned().unwrap_or_default();
        if stored::<RestartReceipt>(&mine).is_ok() {
            return Ok(StepCheck::AlreadyDone {
                found: "Both were restarted.".into(),
                receipt: mine,
            });
        }
        let boots = on_all(&cx.machines, |_, s| Box::pin(Self::boot(cx, s)));
        let boots = cx.unless_cancelled(boots).await?;
        Ok(StepCheck::Needed {
            before: value(&boots),
        })
    }

    /// A machine that is in another start than `before` says has been restarted, by an earlier try or by
    /// somebody else, and is left alone.
    async fn apply(&self, cx: &StepContext, before: &Value) -> Result<Value, StepError> {
        let before: Vec<String> = stored(before)?;
        let now = on_all(&cx.machines, |_, s| Box::pin(Self::boot(cx, s)));
        let now = cx.unless_cancelled(now).await?;
        let due: Vec<&MachineServices> = cx
            .machines
            .iter()
            .zip(now.iter().zip(&before))
            .filter(|(_, (now, before))| now == before)
            .map(|(machine, _)| machine)
            .collect();
        // Both or neither: who may not restart the one is told before the other is.
        for machine in &due {
            match may_restart(machine).await {
                Err(e) if !on_its_way(&e) => return Err(failed_on(machine)(e)),
                _ => {}
            }
        }
        cx.safe_point()?;
        let orders = due.into_iter().map(order);
        let orders: Vec<Result<(), StepError>> = futures::future::join_all(orders).await;
        orders.into_iter().collect::<Result<(), StepError>>()?;
        let boots = on_all(&cx.machines, |i, s| {
            let old = before.get(i).map(String::as_str);
            Box::pin(Self::other_boot(cx, s, old))
        });
        let boots = cx.unless_cancelled(boots).await?;
        cx.unless_cancelled(on_all(&cx.machines, |i, s| Box::pin(self.ports(cx, i, s))))
            .await?;
        Ok(value(&RestartReceipt { boots }))
    }

    async fn verify(&self, cx: &StepContext, _: &Value) -> Result<String, StepError> {
        let facts = on_all(&cx.machines, |_, s| Box::pin(facts_of(s))).await?;
        if let Some(worth_saying) = cable(&facts)? {
            cx.log(None, worth_saying);
        }
        Ok("Both machines are back from a new start.".into())
    }

    async fn undo(
        &self,
        _: &StepContext,
        _: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        Ok("A restart is not taken back.".into())
    }
}

/// Whether the user may become root there now.
async fn may_restart(machine: &MachineServices) -> Result<(), MachineError> {
    let nothing = Command::new("true", [""; 0]).sudo();
    machine.shell.exec(&nothing).await.map(drop)
}
