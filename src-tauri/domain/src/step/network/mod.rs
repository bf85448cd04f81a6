//! Step `network`: the private link's addresses, on both machines or on neither.
//!
//! The order keeps everybody's way in open. netplan reads all files in a scratch folder first; each
//! machine is told to put its ports back by itself unless it hears otherwise; the addresses are
//! looked for on the wire; then both are changed, the link is tried, and only a new connection over
//! the network one manages them by calls the putting back off. Where NetworkManager had a profile of
//! its own on a port, it is found by the device and made active again by undo.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::machine::Facts;
use crate::network::faults::faults;
use crate::network::{NetworkPlan, netplan};
use crate::problem::{Code, Problem};
use crate::run::{Step, StepCheck, StepError, StepId, StepPlan};
use crate::step::facts::FactsReceipt;
use crate::step::ids;
use crate::step::machines::on_all;
use crate::step::services::{Services, StepContext};
use crate::step::stored::{stored, value};

mod apply;
mod ports;
mod restore;
mod switch;
#[cfg(test)]
mod switch_script;
#[cfg(test)]
mod tests;

use ports::PortsBefore;

/// What the step leaves.
#[derive(Debug, Default, Serialize, Deserialize)]
struct NetworkReceipt {
    /// The content of Tandem's netplan file on each machine. A run of an earlier Tandem did not note it.
    #[serde(default)]
    files: Vec<String>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct AddressLink {
    plan: NetworkPlan,
    names: Vec<String>,
    delay: Duration,
}

impl AddressLink {
    /// The step for these addresses. The names are those of the machines, for the words.
    pub fn new(plan: NetworkPlan, names: Vec<String>) -> Self {
        Self {
            plan,
            names,
            delay: Duration::from_secs(90),
        }
    }

    /// The same with another time after which a machine that hears nothing puts its ports back.
    #[must_use]
    pub fn putting_back_after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// What happens on one machine, verbatim.
    fn exactly(&self, position: usize, name: &str) -> Vec<String> {
        let ends: Vec<_> = self.ends(position).collect();
        let mut probes = String::new();
        for (end, _, _) in &ends {
            let (port, address) = (&end.interface, &end.address);
            probes.push_str(&format!(
                "ping -c 1 -W 1 -I {port} {address}\nip neigh show to {address} dev {port}\n"
            ));
        }
        let mut pings = String::new();
        for (end, other, _) in &ends {
            let size = self.plan.mtu.saturating_sub(28);
            let (port, address) = (&end.interface, &other.address);
            pings.push_str(&format!(
                "ping -M do -c 3 -i 0.2 -w 20 -s {size} -I {port} {address}\n"
            ));
        }
        let unit = switch::UNIT_FILE;
        let timer = switch::timer(self.delay);
        vec![
            format!(
                "{name}: {}\n{}",
                netplan::FILE,
                netplan::render(&self.plan, position)
            ),
            format!(
                "{name}: first, with nothing changed yet\nsudo netplan generate --root-dir SCRATCH   # a copy of /etc/netplan with that file"
            ),
            format!(
                "{name}: then, so that it puts everything back by itself after {} s or at its next start\n\
                 {unit}\n{}sudo systemctl enable {}\nsudo {} {}",
                self.delay.as_secs(),
                switch::unit(),
                unit.rsplit('/').next().unwrap_or_default(),
                timer.program,
                crate::shell::as_words(&timer.args)
            ),
            format!("{name}: whether an address is taken\n{}", probes.trim_end()),
            format!(
                "{name}: the change\nsudo netplan generate\nsudo netplan apply\n{}",
                pings.trim_end()
            ),
            format!(
                "{name}: where NetworkManager holds on to a port with a profile of its own\nsudo nmcli connection down uuid UUID"
            ),
            format!(
                "{name}: over a new connection, so that the change stays\nsudo rm {0}/armed-RUN\nsudo rm -rf {0} {unit}",
                switch::FOLDER
            ),
        ]
    }

    fn undo_words(&self) -> String {
        let each = self.names.iter().enumerate().map(|(i, name)| {
            format!(
                "On {name}: {} as it was or away, `netplan apply`, where NetworkManager runs `nmcli connection reload`, then addresses, MTU and NetworkManager's profile of {} as they were.",
                netplan::FILE,
                self.port_names(i).join(" and ")
            )
        });
        each.collect::<Vec<_>>().join(" ")
    }

    /// Refuses a plan that what this run has seen of the machines speaks against. The plan may be older
    /// than that: a network may have come that it collides with, or the machine be reached by the port.
    fn still_stands(&self, cx: &StepContext) -> Result<(), StepError> {
        // Without that look nothing newer is known than what the plan was made from.
        let Some(seen) = cx.receipts.get(&StepId::of::<FactsReceipt>()) else {
            return Ok(());
        };
        let FactsReceipt(facts) = stored(seen)?;
        let facts: Vec<&Facts> = facts.iter().collect();
        match faults(&self.plan, &facts).into_iter().next() {
            Some(fault) => Err(fault.into()),
            None => Ok(()),
        }
    }

    /// Everything that changes a machine; whatever fails in it is taken back by the caller.
    async fn change(&self, cx: &StepContext, before: &[PortsBefore]) -> Result<(), StepError> {
        let was = |i: usize| {
            before.get(i).ok_or_else(|| {
                StepError::from(Problem::new(
                    Code::PlanStale,
                    "The step was begun with other machines.",
                ))
            })
        };
        on_all(&cx.machines, |i, s| {
            Box::pin(async move { switch::arm(s, &cx.run, was(i)?, self.delay).await })
        })
        .await?;
        on_all(&cx.machines, |i, s| {
            Box::pin(async move { self.not_taken(i, s, was(i)?).await })
        })
        .await?;
        cx.safe_point()?;
        on_all(&cx.machines, |i, s| Box::pin(self.write_and_apply(i, s))).await?;
        on_all(&cx.machines, |i, s| {
            Box::pin(async move { self.let_go(cx, i, s, was(i)?).await })
        })
        .await?;
        on_all(&cx.machines, |i, s| Box::pin(self.ping(i, s, 20))).await?;
        // A connection that was there before may live on where no new one can be made.
        for machine in &cx.machines {
            machine.shell.reconnect().await;
        }
        let run = &cx.run;
        on_all(&cx.machines, |_, s| Box::pin(switch::still_armed(s, run))).await?;
        on_all(&cx.machines, |_, s| Box::pin(switch::confirm(s, run))).await?;
        Ok(())
    }
}

#[async_trait]
impl Step<Services> for AddressLink {
    fn plan(&self) -> StepPlan {
        let each = self.names.iter().enumerate();
        let mut will = "Gives the rails of the cable addresses of their own. The network you reach the machines by is not touched, and a machine that loses you puts everything back by itself.".to_owned();
        if let Some(adopted) = &self.plan.adopted {
            will = format!("{adopted} {will}");
        }
        StepPlan {
            id: StepId::from(ids::NETWORK),
            title: "Private link".into(),
            will,
            exactly: each.flat_map(|(i, name)| self.exactly(i, name)).collect(),
            undo: self.undo_words(),
            privileged: true,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        on_all(&cx.machines, |_, s| {
            Box::pin(switch::wait_healed(cx, s, self.delay))
        })
        .await?;
        let ports = on_all(&cx.machines, |i, s| Box::pin(self.ports(i, s))).await?;
        let planned = ports.iter().enumerate().all(|(i, p)| self.as_planned(i, p));
        if planned {
            let answers = on_all(&cx.machines, |i, s| Box::pin(self.ping(i, s, 5))).await;
            if answers.is_ok() {
                return Ok(StepCheck::AlreadyDone {
                    found: "The link has its addresses, and full-size packets cross it.".into(),
                    receipt: json!({}),
                });
            }
        }
        self.still_stands(cx)?;
        let now = &ports;
        on_all(&cx.machines, |i, s| {
            Box::pin(async move { Self::no_foreign_file(s, &now[i]).await })
        })
        .await?;
        let before = on_all(&cx.machines, |i, s| {
            Box::pin(async move {
                Ok(PortsBefore {
                    file: ports::file_of(s).await?,
                    mode: ports::mode_of(s).await?,
                    ports: now[i].clone(),
                })
            })
        })
        .await?;
        Ok(StepCheck::Needed {
            before: value(&before),
        })
    }

    async fn apply(&self, cx: &StepContext, before: &Value) -> Result<Value, StepError> {
        let before: Vec<PortsBefore> = stored(before)?;
        cx.safe_point()?;
        on_all(&cx.machines, |_, s| Box::pin(switch::alone(cx, s))).await?;
        on_all(&cx.machines, |i, s| Box::pin(self.try_out(i, s))).await?;
        if let Err(error) = self.change(cx, &before).await {
            // Both machines or neither. One that cannot be reached now does it by itself.
            if let Some(problem) = restore::restore_all(cx, &before)
                .await
                .err()
                .and_then(StepError::into_problem)
            {
                let machine = problem.machine.clone();
                cx.log(
                    machine.as_deref(),
                    format!(
                        "Not put back yet, the machine does it by itself within {} s or at its next start: {problem}",
                        self.delay.as_secs()
                    ),
                );
            }
            return Err(error);
        }
        // All is decided; what is left of the switch does nothing, and undo takes it away too.
        if let Err(StepError::Problem(problem)) =
            on_all(&cx.machines, |_, s| Box::pin(switch::disarm(s, &cx.run))).await
        {
            let machine = problem.machine.clone();
            cx.log(machine.as_deref(), format!("Not tidied up: {problem}"));
        }
        let left = (0..cx.machines.len()).map(|i| netplan::render(&self.plan, i));
        Ok(value(&NetworkReceipt {
            files: left.collect(),
        }))
    }

    async fn verify(&self, cx: &StepContext, _: &Value) -> Result<String, StepError> {
        // A link needs a moment after it was addressed; ping itself waits for it.
        on_all(&cx.machines, |i, s| Box::pin(self.ping(i, s, 20))).await?;
        Ok(format!(
            "Packets of {} bytes cross {} both ways.",
            self.plan.mtu,
            if self.plan.rails.len() == 1 {
                "the rail"
            } else {
                "both rails"
            }
        ))
    }

    async fn undo(
        &self,
        cx: &StepContext,
        before: &Value,
        receipt: Option<&Value>,
    ) -> Result<String, StepError> {
        let before: Vec<PortsBefore> = stored(before)?;
        let left: NetworkReceipt = receipt.map(stored).transpose()?.unwrap_or_default();
        on_all(&cx.machines, |_, s| Box::pin(switch::alone(cx, s))).await?;
        let (before_it, left) = (&before, &left);
        on_all(&cx.machines, |i, s| {
            Box::pin(restore::as_left(s, before_it.get(i), left.files.get(i)))
        })
        .await?;
        let mut said = vec!["The ports are as they were.".to_owned()];
        said.extend(restore::restore_all(cx, &before).await?);
        Ok(said.join(" "))
    }
}
