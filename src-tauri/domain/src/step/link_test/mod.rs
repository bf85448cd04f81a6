//! Step `prove`: what the private link carries, each rail alone and all together, in both directions.
//!
//! A slow link is no reason not to serve: the step ends well, says the number and its meaning, and
//! leaves the cure in the log. Only a link that carries nothing at all stops the set-up.

use async_trait::async_trait;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::container::SERVER;
use crate::machine::Facts;
use crate::network::NetworkPlan;
use crate::network::verdict::{LinkReport, LinkState, Measured, Method, Verdict, judge};
use crate::ports::MachineServices;
use crate::problem::{Code, Problem, Retry};
use crate::run::{ProgressPart, ReadOnly, Receipt, StepCheck, StepError, StepId, StepPlan};
use crate::step::facts::facts_of;
use crate::step::ids;
use crate::step::machines::{failed_on, on_all};
use crate::step::services::{Services, StepContext};
use crate::step::stored::{stored, value};

mod mark;
mod measure;
#[cfg(test)]
mod tests;

use mark::mark;
use measure::{LinkEnd, MeasureError};

/// The first of the ports at which the ends of `ib_write_bw` meet; each measurement has its own.
const FIRST_PORT: u16 = 18_600;

/// See the module.
pub(crate) struct LinkTest {
    /// The addresses.
    pub plan: NetworkPlan,
    /// Why it is measured.
    pub why: MeasureReason,
}

/// Why the link is measured.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "a run has one of it, and it is not moved about"
)]
pub(crate) enum MeasureReason {
    /// Somebody asked for a number. Nothing that was measured in another run will do.
    Asked,
    /// The set-up comes by. What another run has found lately will do, if nothing has changed since.
    InPassing(Option<LinkTestReceipt>),
}

/// What the step leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkTestReceipt {
    /// What was measured and what it means.
    pub report: LinkReport,
    /// Of each machine, what would change if it were started again or a plug were drawn. Empty where that
    /// is not known.
    #[serde(default)]
    pub mark: Vec<String>,
}

impl Receipt for LinkTestReceipt {
    const STEP: &'static str = ids::LINK_TEST;
}

/// What is measured at one time: one rail, or all of them.
#[derive(Debug, Clone, Copy)]
struct Round {
    rail: Option<usize>,
    from: usize,
}

impl LinkTest {
    /// Each rail alone, then all together, one direction after the other.
    fn rounds(&self) -> Vec<Round> {
        let rails = self.plan.rails.len();
        let alone = (0..rails).map(Some);
        let rails: Vec<Option<usize>> = alone.chain((rails > 1).then_some(None)).collect();
        let both = rails
            .into_iter()
            .flat_map(|rail| [0, 1].map(|from| Round { rail, from }));
        both.collect()
    }

    fn end<'a>(
        &self,
        machines: &'a [MachineServices],
        facts: &[Facts],
        rail: usize,
        at: usize,
    ) -> Option<LinkEnd<'a>> {
        let planned = self.plan.rails.get(rail)?.ends.get(at)?;
        let known = facts.get(at).map(|f| f.interfaces.iter());
        let known = known.and_then(|mut all| all.find(|i| i.name == planned.interface));
        Some(LinkEnd {
            machine: &*machines.get(at)?.shell,
            address: planned.address.clone(),
            device: known
                .and_then(|i| i.rdma.clone())
                .or_else(|| planned.rdma.clone()),
            gid: known.and_then(|i| i.gid),
        })
    }

    /// How the link can be measured on these machines.
    async fn method(&self, cx: &StepContext, facts: &[Facts]) -> Result<Method, StepError> {
        for (at, machine) in cx.machines.iter().enumerate() {
            let devices = (0..self.plan.rails.len()).all(|rail| {
                self.end(&cx.machines, facts, rail, at)
                    .is_some_and(|end| end.device.is_some())
            });
            if !devices {
                cx.log(
                    Some(&machine.name),
                    "No RDMA device is on every rail, so TCP is measured.",
                );
                return Ok(Method::Tcp);
            }
            let tool = measure::has_tool(&*machine.shell).await;
            if !tool.map_err(failed_on(machine))? {
                cx.log(
                    Some(&machine.name),
                    "`ib_write_bw` is not there, so TCP is measured.",
                );
                return Ok(Method::Tcp);
            }
        }
        Ok(Method::Rdma)
    }

    /// Refuses what was measured while the cable was drawn: it says nothing of the link.
    async fn not_drawn(&self, cx: &StepContext, before: &[String]) -> Result<(), StepError> {
        if before.is_empty() || mark(&cx.machines, &self.plan).await == before {
            return Ok(());
        }
        Err(Problem::new(
            Code::LinkFails,
            "The private link was not measured to the end.",
        )
        .cause("Somebody pulled the cable out, or a port lost its link, during the measurement.")
        .fix("Push the cable in until it clicks on both machines, then resume.")
        .retry(Retry::Now)
        .into())
    }

    /// Measures everything one way. Gives what was measured and whether a stand-in answered.
    async fn measure(
        &self,
        cx: &StepContext,
        facts: &[Facts],
        method: Method,
    ) -> Result<(Vec<Measured>, bool), StepError> {
        let rounds = self.rounds();
        let total = Some(rounds.len() as u64);
        let mut all: Vec<Measured> = Vec::new();
        let mut stand_in = false;
        let mut port = FIRST_PORT;
        for (done, round) in (0..).zip(&rounds) {
            let name = |i: usize| cx.machines.get(i).map_or("", |s| s.name.as_str());
            let what = match round.rail {
                Some(rail) => format!("rail {} to `{}`", rail + 1, name(1 - round.from)),
                None => format!("both rails to `{}`", name(1 - round.from)),
            };
            cx.progress(ProgressPart {
                machine: name(round.from).to_owned(),
                done,
                total,
                unit: "measurements".into(),
                rate: None,
                doing: what.clone(),
                held: None,
            });
            let rails: Vec<usize> = match round.rail {
                Some(rail) => vec![rail],
                None => (0..self.plan.rails.len()).collect(),
            };
            let each = rails.iter().zip(port..).filter_map(|(rail, port)| {
                let end = |at| self.end(&cx.machines, facts, *rail, at);
                let (from, to) = (end(round.from)?, end(1 - round.from)?);
                Some(async move {
                    match method {
                        Method::Rdma => measure::rdma(&from, &to, port, &*cx.clock)
                            .await
                            .map(|p| (p.gbps, p.simulated)),
                        _ => measure::tcp(&from, &to).await.map(|gbps| (gbps, false)),
                    }
                })
            });
            let ends = cx
                .unless_cancelled(async { Ok(join_all(each).await) })
                .await?;
            port += rails.len() as u16;
            let mut gbps = 0.0;
            for (rail, end) in rails.iter().zip(ends) {
                match end {
                    Ok((carried, simulated)) => {
                        gbps += carried;
                        stand_in |= simulated;
                    }
                    Err(MeasureError::Nothing(why)) => cx.log(
                        Some(name(round.from)),
                        format!("Nothing was measured over rail {}: {why}.", rail + 1),
                    ),
                    Err(MeasureError::Machine(machine, error)) => {
                        return Err(StepError::Machine { machine, error });
                    }
                }
            }
            cx.log(
                Some(name(round.from)),
                format!("{} over {what}.", gbps_text(gbps)),
            );
            all.push(Measured {
                method,
                rail: round.rail.map(|r| r as u32),
                from: Some(round.from as u32),
                gbps,
            });
            // With no rail carrying anything there is nothing to measure together.
            let alone = rounds.iter().filter(|r| r.rail.is_some()).count();
            if all.len() == alone && all.iter().all(|m| m.gbps == 0.0) {
                break;
            }
        }
        Ok((all, stand_in))
    }
}

/// Whether a model server runs on one of the machines.
async fn served(cx: &StepContext) -> bool {
    for machine in &cx.machines {
        // A Docker that does not answer serves nothing, and is another step's matter.
        let server = machine.containers.inspect(SERVER).await;
        if server.is_ok_and(|s| s.is_some_and(|s| s.running)) {
            return true;
        }
    }
    false
}

pub(crate) fn gbps_text(gbps: f64) -> String {
    if gbps >= 100.0 {
        format!("{gbps:.0} Gb/s")
    } else {
        format!("{gbps:.1} Gb/s")
    }
}

/// The verdict in words, with the number.
pub(crate) fn sentence(report: &LinkReport) -> String {
    let Verdict {
        gbps,
        expected_low,
        expected_high,
        says,
        ..
    } = &report.verdict;
    let by = match report.verdict.method {
        Method::Rdma => "by RDMA",
        Method::Tcp => "by TCP",
        Method::AllReduce => "in an all-reduce",
    };
    let simulated = if report.simulated { "Simulated: " } else { "" };
    format!(
        "{simulated}{says} {} {by}, where {expected_low:.0} to {expected_high:.0} is expected.",
        gbps_text(*gbps)
    )
}

#[async_trait]
impl ReadOnly<Services> for LinkTest {
    fn plan(&self) -> StepPlan {
        let rails = self.plan.rails.first().and_then(|r| r.ends.first());
        let device = rails.and_then(|e| e.rdma.as_deref()).unwrap_or("DEVICE");
        StepPlan {
            id: StepId::of::<LinkTestReceipt>(),
            title: "Bandwidth".into(),
            will: "Measures what the private link carries, for about half a minute: each rail alone, then all together, in both directions. A slow link is said with its cure and stops nothing.".into(),
            exactly: vec![
                format!("ib_write_bw -d {device} -D 5 -F --report_gbits   # between the private addresses"),
                "tandem-node bandwidth   # over TCP, where there is no RDMA".into(),
            ],
            undo: "Changes nothing.".into(),
            privileged: false,
        }
    }

    /// A link that was found good in this run is not measured again, but a slow one is: it may have been
    /// cured meanwhile. Beside a model server that runs, a measurement would disturb both, so only somebody
    /// who asks for it gets one.
    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let mine = cx.receipts.get(&cx.step).cloned().unwrap_or_default();
        let good = |r: &LinkTestReceipt| r.report.verdict.state == LinkState::Good;
        let here = stored::<LinkTestReceipt>(&mine).ok();
        if let Some(receipt) = here.filter(good) {
            return Ok(StepCheck::AlreadyDone {
                found: sentence(&receipt.report),
                receipt: mine,
            });
        }
        let serves = served(cx).await;
        match &self.why {
            MeasureReason::Asked if serves => cx.log(
                None,
                "The model server uses the link too, so the figure may come out lower than the link is.",
            ),
            MeasureReason::Asked => {}
            MeasureReason::InPassing(_) if serves => {
                return Ok(StepCheck::AlreadyDone {
                    found: "The model server uses the link, so it is not measured now.".into(),
                    receipt: mine,
                });
            }
            MeasureReason::InPassing(earlier) => {
                if let Some(earlier) = earlier.as_ref().filter(|r| good(r) && !r.mark.is_empty())
                    && mark(&cx.machines, &self.plan).await == earlier.mark
                {
                    return Ok(StepCheck::AlreadyDone {
                        found: format!(
                            "Measured before, and no plug was drawn since: {}",
                            sentence(&earlier.report)
                        ),
                        receipt: value(earlier),
                    });
                }
            }
        }
        Ok(StepCheck::Needed { before: json!({}) })
    }

    async fn find_out(&self, cx: &StepContext) -> Result<Value, StepError> {
        let facts = cx
            .unless_cancelled(on_all(&cx.machines, |_, s| Box::pin(facts_of(s))))
            .await?;
        // Taken first, so that a plug that is drawn in the middle makes the mark another.
        let mark = mark::mark(&cx.machines, &self.plan).await;
        let method = cx.unless_cancelled(self.method(cx, &facts)).await?;
        let (mut measured, mut stand_in) = self.measure(cx, &facts, method).await?;
        self.not_drawn(cx, &mark).await?;
        let silent = |all: &[Measured]| all.iter().all(|m| m.gbps == 0.0);
        if method == Method::Rdma && silent(&measured) {
            cx.log(None, "RDMA carried nothing, so TCP is measured.");
            (measured, stand_in) = self.measure(cx, &facts, Method::Tcp).await?;
            self.not_drawn(cx, &mark).await?;
        }
        let verdict = judge(&measured, None).filter(|_| !silent(&measured));
        let verdict = verdict.ok_or_else(|| {
            Problem::new(Code::LinkFails, "The private link carries nothing.")
                .cause("Neither RDMA nor TCP moved a byte from one machine to the other.")
                .fix("Check that the cable sits in both machines, then resume.")
                .retry(Retry::Now)
        })?;
        if verdict.state != LinkState::Good {
            cx.log(None, format!("Warning: {} {}", verdict.says, verdict.cure));
        }
        Ok(value(&LinkTestReceipt {
            report: LinkReport {
                measured,
                verdict,
                simulated: stand_in || facts.iter().any(|f| f.simulated),
                at: cx.clock.now_ms(),
                all_reduce: None,
            },
            mark,
        }))
    }

    async fn verify(&self, _: &StepContext, receipt: &Value) -> Result<String, StepError> {
        let receipt: LinkTestReceipt = stored(receipt)?;
        let cure = &receipt.report.verdict.cure;
        Ok(format!("{} {cure}", sentence(&receipt.report))
            .trim_end()
            .to_owned())
    }
}
