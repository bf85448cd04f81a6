//! What is known about the machines together.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tandem_domain::ids::MachineId;
use tandem_domain::network::cabling;
use tandem_domain::network::health::{self, Finding};
use tandem_domain::problem::Problem;
use tandem_domain::run::{RunState, StepId};
use tandem_domain::step::all_reduce::AllReduceReceipt;
use tandem_domain::step::link_test::LinkTestReceipt;

use super::workspace::Workspace;
use super::{App, stored};
use crate::wire::PairView;

/// The runs that are looked through for a measurement. An older one says little about the cable of today.
const RUNS: usize = 20;

impl App {
    /// Findings, cable and the last measurement, from the facts as they were read last.
    pub async fn pair(&self) -> Result<PairView, Problem> {
        let workspace = self.workspace().await;
        let machines = workspace.machines().await?;
        let (seen, facts): (Vec<u32>, Vec<_>) = (0..)
            .zip(&machines)
            .filter_map(|(at, m)| Some((at, m.facts.as_ref()?)))
            .unzip();
        let ids: Vec<MachineId> = machines.iter().map(|m| m.id.clone()).collect();
        Ok(PairView {
            findings: placed(health::findings(&facts), &seen),
            cabling: cabling::cabling(&facts),
            link: self
                .last_measured(&workspace, &ids)
                .await?
                .map(|r| r.report),
        })
    }

    /// What the latest measurement between just these machines left. A run in between may have found the
    /// server at work and measured nothing.
    pub(super) async fn last_measured(
        &self,
        workspace: &Workspace,
        machines: &[MachineId],
    ) -> Result<Option<LinkTestReceipt>, Problem> {
        for run in stored(workspace.store.runs().await)?.into_iter().take(RUNS) {
            let params = stored(workspace.store.run_params(&run.id).await)?;
            if !params.is_some_and(|p| between(&p, machines)) {
                continue;
            }
            // A run whose history cannot be read is said where runs are shown; it measured nothing here.
            let Ok(state) = self.run_state(workspace, &run.id).await else {
                continue;
            };
            if let Some(receipt) = measured(&state) {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }
}

/// The findings with the places of all machines; `seen` holds those of the machines that were looked at.
fn placed(findings: Vec<Finding>, seen: &[u32]) -> Vec<Finding> {
    let of_all = |at: u32| seen.get(at as usize).copied();
    let findings = findings.into_iter().map(|finding| Finding {
        machine: finding.machine.and_then(of_all),
        ..finding
    });
    findings.collect()
}

/// Whether a run was for just these machines, in whatever order.
fn between(params: &Value, machines: &[MachineId]) -> bool {
    let Some(of_run) = params["machines"].as_array() else {
        return false;
    };
    of_run.len() == machines.len()
        && machines
            .iter()
            .all(|id| of_run.iter().any(|of_run| of_run.as_str() == Some(&id.0)))
}

/// What the step that measures the link left, if it stands.
fn measured(state: &RunState) -> Option<LinkTestReceipt> {
    let mut receipt: LinkTestReceipt = left(state, &StepId::of::<LinkTestReceipt>())?;
    // The all-reduce over the same wire knows the wire's figures too, and tells more of it.
    let over_it = left::<AllReduceReceipt>(state, &StepId::of::<AllReduceReceipt>());
    let later = over_it
        .and_then(|c| c.report)
        .filter(|r| r.at >= receipt.report.at);
    if let Some(report) = later {
        receipt.report = report;
    }
    Some(receipt)
}

/// What a step left, if it stands.
fn left<T: DeserializeOwned>(state: &RunState, step: &StepId) -> Option<T> {
    let step = state.step(step);
    let receipt = step.receipt.filter(|_| step.status.is_done())?;
    serde_json::from_value(receipt).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tandem_domain::machine::Facts;
    use tandem_domain::network::verdict::Method;
    use tandem_domain::run::{Event, RunEvent};

    use super::*;

    fn state(events: &[Event]) -> RunState {
        let of = events
            .iter()
            .map(|e| (StepId::of::<LinkTestReceipt>(), e.clone()));
        state_of(of.collect())
    }

    fn state_of(events: Vec<(StepId, Event)>) -> RunState {
        let all: Vec<RunEvent> = events
            .into_iter()
            .zip(1..)
            .map(|((step, event), seq)| RunEvent {
                seq,
                at: 0,
                step: Some(step),
                event,
            })
            .collect();
        RunState::fold(&all)
    }

    /// A report of this time, by its method.
    fn report(at: i64, method: &str) -> Value {
        json!({
            "measured": [{"method": method, "rail": null, "from": 0, "gbps": 196.0}],
            "verdict": {
                "state": "good", "gbps": 196.0, "method": method, "expected_low": 184.0,
                "expected_high": 200.0, "says": "As it should be.", "cure": "",
            },
            "simulated": false, "at": at,
        })
    }

    #[test]
    fn an_all_reduce_tells_more_of_the_wire_unless_that_was_measured_since() {
        for (wire_at, method) in [(7, Method::AllReduce), (9, Method::Rdma)] {
            let wire = json!({"report": report(wire_at, "rdma")});
            let over_it = json!({
                "report": report(8, "all-reduce"), "all_reduce": null, "simulated": false, "at": 8,
            });
            let already = |receipt: &Value| Event::AlreadyDone {
                found: String::new(),
                receipt: receipt.to_string(),
            };
            let state = state_of(vec![
                (StepId::of::<LinkTestReceipt>(), already(&wire)),
                (StepId::of::<AllReduceReceipt>(), already(&over_it)),
            ]);
            let told = measured(&state).expect("a report").report;
            assert_eq!(
                told.verdict.method, method,
                "the wire was measured at {wire_at}"
            );
        }
    }

    #[test]
    fn a_measurement_counts_while_it_stands() {
        let receipt = json!({"report": report(7, "rdma")}).to_string();
        let applying = Event::Applying {
            before: "null".into(),
        };
        let mut events = vec![applying, Event::Applied { receipt }];
        assert!(measured(&state(&events)).is_none(), "not verified yet");
        events.push(Event::Verified {
            seen: "196 Gb/s".into(),
        });
        let report = measured(&state(&events)).expect("a report").report;
        assert_eq!((report.at, report.verdict.gbps), (7, 196.0));
        assert!(measured(&RunState::default()).is_none());
    }

    #[test]
    fn a_measurement_is_of_these_machines() {
        let params = json!({"machines": ["a", "b"]});
        let are = |ids: &[&str]| {
            let ids: Vec<MachineId> = ids.iter().map(|id| (*id).into()).collect();
            between(&params, &ids)
        };
        assert!(are(&["b", "a"]));
        assert!(!are(&["a", "c"]) && !are(&["a"]) && !are(&["a", "b", "c"]));
        assert!(!between(&json!({}), &["a".into(), "b".into()]));
    }

    #[test]
    fn a_finding_is_about_its_machine_though_another_was_never_looked_at() {
        // A kernel without room for RDMA is a state of one machine.
        let stuck = Facts {
            kernel: "7.0.0-1019-nvidia".into(),
            cma_total: Some(0),
            ..Facts::default()
        };
        let found = health::findings(&[&stuck]);
        assert!(
            found.iter().any(|f| f.machine == Some(0)),
            "something is found: {found:?}"
        );
        let placed = placed(found, &[1]);
        assert!(
            placed.iter().all(|f| f.machine != Some(0)),
            "the first machine was never looked at: {placed:?}"
        );
        assert!(placed.iter().any(|f| f.machine == Some(1)), "{placed:?}");
    }
}
