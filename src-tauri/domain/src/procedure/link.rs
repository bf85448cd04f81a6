//! The procedures of the cable alone: the link addressed and measured, and the same after a restart of both
//! machines. No Docker, no image and no weights; a set-up that follows finds these steps done.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::MachineId;
use crate::machine::{Facts, SetupMachine};
use crate::network::{NetworkPlan, plan};
use crate::problem::{Code, Problem, Severity};
use crate::run::{Plan, StepPlan};
use crate::step::restart::{Patient, RestartBoth};
use crate::step::services::DynStep;
use crate::step::{facts, key, link_test, network, program};

/// The link addressed and measured.
pub const LINK: (&str, u32) = ("link", 1);

/// Both machines restarted, then the link measured.
pub const RESTART: (&str, u32) = ("restart", 1);

/// What a run for the cable alone is to do. Stored with the run; holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct LinkRequest {
    /// The ids of the two machines, the head first.
    pub machines: Vec<MachineId>,
    /// The addresses on the private link.
    pub network: NetworkPlan,
    /// Whether both machines are restarted before.
    pub restart: bool,
}

impl LinkRequest {
    /// The link as the machines show it; an error where there is none to address.
    pub fn proposed(
        ids: Vec<MachineId>,
        machines: &[SetupMachine],
        restart: bool,
    ) -> Result<Self, Problem> {
        let [a, b] = machines else {
            return Err(no_pair(machines.len()));
        };
        Ok(Self {
            machines: ids,
            network: plan::propose(&a.facts, &b.facts)?,
            restart,
        })
    }

    /// The procedure that carries it out.
    pub fn procedure(&self) -> (&'static str, u32) {
        if self.restart { RESTART } else { LINK }
    }

    /// Everything that stands against it; empty if nothing does.
    pub fn faults(&self, machines: &[SetupMachine]) -> Vec<Problem> {
        if machines.len() != 2 {
            return vec![no_pair(machines.len())];
        }
        let names: Vec<&str> = machines.iter().map(|m| m.name.as_str()).collect();
        let facts: Vec<Facts> = machines.iter().map(|m| m.facts.clone()).collect();
        let mut all = plan::faults(&self.network, &facts.iter().collect::<Vec<_>>());
        all.extend(
            facts::unfit_to_join(&names, &facts)
                .into_iter()
                .filter(|p| p.severity != Severity::Warning),
        );
        all
    }
}

fn no_pair(count: usize) -> Problem {
    let problem = Problem::new(Code::BadInput, "A link takes two machines.");
    match count {
        0 | 1 => problem
            .cause("Only one is here.")
            .fix("Add the second Spark."),
        more => problem
            .cause(format!(
                "{more} machines were chosen, in a ring or at a switch; Tandem addresses the one cable between two."
            ))
            .fix("Choose two of them, joined by one cable."),
    }
}

/// The steps, in order. `public_key` is the line of Tandem's own SSH key, which a restart is survived by.
pub fn link_steps(
    request: &LinkRequest,
    machines: &[SetupMachine],
    public_key: &str,
) -> Vec<Arc<DynStep>> {
    let names: Vec<String> = machines.iter().map(|m| m.name.clone()).collect();
    let network = request.network.clone();
    let key = key::InstallKey {
        public_key: public_key.to_owned(),
    };
    let mut steps: Vec<Arc<DynStep>> = if request.restart {
        let restart = RestartBoth::new(network.clone());
        vec![
            // A run that was cut off in the restart finds machines that do not answer yet.
            Arc::new(Patient(key)),
            Arc::new(Patient(program::SendProgram)),
            Arc::new(restart),
        ]
    } else {
        vec![Arc::new(key), Arc::new(program::SendProgram)]
    };
    steps.push(Arc::new(facts::ReadFacts { serves: false }));
    // After a restart too: addresses that somebody gave by hand do not survive one.
    steps.push(Arc::new(network::AddressLink::new(network.clone(), names)));
    steps.push(Arc::new(link_test::LinkTest {
        plan: network,
        why: link_test::MeasureReason::Asked,
    }));
    steps
}

/// The run as it is shown before it begins, stored with it and compared on a resume.
pub fn link_plan(request: &LinkRequest, machines: &[SetupMachine], public_key: &str) -> Plan {
    let steps: Vec<StepPlan> = link_steps(request, machines, public_key)
        .iter()
        .map(|s| s.plan())
        .collect();
    let names: Vec<&str> = machines.iter().map(|m| m.name.as_str()).collect();
    let names = names.join(" and ");
    let mut cautions = Vec::new();
    if request.restart {
        cautions.push(format!(
            "Whatever runs on {names} stops: a model server, downloads, other people's programs. What was saved to disk stays."
        ));
    }
    if machines.iter().any(|m| m.facts.simulated) {
        cautions.push(
            "This is a rehearsal: the machines and the cable between them are stand-ins."
                .to_owned(),
        );
    }
    let (procedure, procedure_version) = request.procedure();
    Plan {
        procedure: procedure.into(),
        procedure_version,
        summary: if request.restart {
            format!("Restart {names} and measure the link.")
        } else {
            format!("Address and measure the link between {names}.")
        },
        cautions,
        steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::DockerAccess;
    use crate::network::{Rail, RailEnd};

    fn machine(name: &str, mac: &str) -> SetupMachine {
        let facts = Facts {
            hostname: name.into(),
            machine_id: mac.into(),
            docker: DockerAccess::Missing,
            ..Facts::default()
        };
        SetupMachine {
            name: name.into(),
            user: "nvidia".into(),
            facts,
        }
    }

    fn request(restart: bool) -> LinkRequest {
        let end = |address: &str| RailEnd {
            interface: "enp1s0f1np1".into(),
            address: address.into(),
            rdma: None,
        };
        LinkRequest {
            machines: vec!["a".into(), "b".into()],
            network: NetworkPlan {
                rails: vec![Rail {
                    prefix: 24,
                    ends: vec![end("192.168.100.10"), end("192.168.100.11")],
                }],
                mtu: 9000,
                adopted: None,
            },
            restart,
        }
    }

    fn ids(plan: &Plan) -> Vec<&str> {
        plan.steps.iter().map(|s| s.id.0.as_str()).collect()
    }

    #[test]
    fn the_cable_needs_no_docker_no_image_and_no_weights() {
        let both = [machine("spark-a", "a"), machine("spark-b", "b")];
        let plan = link_plan(&request(false), &both, "ssh-ed25519 KEY");
        assert_eq!(ids(&plan), ["key", "program", "look", "network", "prove"]);
        assert_eq!((plan.procedure.as_str(), plan.procedure_version), LINK);
        assert!(
            plan.summary.contains("spark-a and spark-b"),
            "{}",
            plan.summary
        );
        let against = request(false).faults(&both);
        assert!(
            against
                .iter()
                .all(|p| p.code != Code::DockerMissing && p.code != Code::DockerNotRunning),
            "a machine without Docker can be linked: {against:?}"
        );
    }

    #[test]
    fn a_restart_comes_after_the_key_and_says_what_stops() {
        let both = [machine("spark-a", "a"), machine("spark-b", "b")];
        let plan = link_plan(&request(true), &both, "ssh-ed25519 KEY");
        assert_eq!(
            ids(&plan),
            ["key", "program", "restart", "look", "network", "prove"]
        );
        assert_eq!((plan.procedure.as_str(), plan.procedure_version), RESTART);
        assert!(
            plan.cautions[0].contains("a model server"),
            "{:?}",
            plan.cautions
        );
        let restart = &plan.steps[2];
        assert!(restart.privileged, "it needs root");
        assert!(
            restart
                .exactly
                .iter()
                .any(|l| l.contains("systemctl reboot --no-block")),
            "{:?}",
            restart.exactly
        );
    }

    #[test]
    fn one_machine_has_no_link() {
        let one = [machine("spark-a", "a")];
        assert_eq!(request(false).faults(&one).len(), 1);
        let refused = LinkRequest::proposed(vec!["a".into()], &one, false).unwrap_err();
        assert!(refused.fix.is_some(), "{refused}");
    }
}
