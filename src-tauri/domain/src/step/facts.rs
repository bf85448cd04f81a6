//! Step `look`: the facts of the machines, and whether they can serve at all.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::machine::identity::{cloned, same_machine};
use crate::machine::{DockerAccess, Facts};
use crate::network::health::{NO_RDMA_NODES, rdma_cure};
use crate::node::PROGRAM;
use crate::ports::{Command, MachineServices};
use crate::problem::{Code, Problem, bytes};
use crate::run::{ReadOnly, Receipt, StepCheck, StepError, StepId, StepPlan};
use crate::step::ids;
use crate::step::machines::{must, on_all};
use crate::step::services::{Services, StepContext};
use crate::step::stored::value;

/// See the module.
pub struct ReadFacts {
    /// Whether a server is to run there, so that Docker must be fit too.
    pub serves: bool,
}

/// The facts of the machines, head first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FactsReceipt(pub Vec<Facts>);

impl Receipt for FactsReceipt {
    const STEP: &'static str = ids::FACTS;
}

/// Asks the node program for a machine's facts.
pub async fn facts_of(machine: &MachineServices) -> Result<Facts, StepError> {
    let command = Command::new(PROGRAM, ["facts"]);
    let output = must(
        machine,
        &command,
        Code::NodeProgram,
        "The machine's facts were not read.",
    )
    .await?;
    serde_json::from_slice(&output.stdout).map_err(|e| {
        Problem::new(
            Code::NodeProgram,
            "Tandem did not understand the machine's facts.",
        )
        .cause(format!("{e}."))
        .fix("Resume; the node program is copied again if it is not the right one.")
        .on(machine.name.clone())
        .into()
    })
}

/// The problem of one machine given as two.
pub(crate) fn same_twice(a: &str, b: &str) -> Problem {
    Problem::new(
        Code::SameMachineTwice,
        "Both addresses lead to one machine.",
    )
    .cause(format!("`{a}` and `{b}` have the same machine id."))
    .fix("Remove one of the two and add the other Spark.")
}

/// Everything about the machines that stands against serving on them.
pub fn unfit(names: &[&str], facts: &[Facts]) -> Vec<Problem> {
    let mut all = unfit_to_join(names, facts);
    for (name, f) in names.iter().zip(facts) {
        if f.docker == DockerAccess::Missing || f.docker == DockerAccess::NotRunning {
            let error = if f.docker == DockerAccess::Missing {
                crate::ports::ContainerError::Missing
            } else {
                crate::ports::ContainerError::NotRunning {
                    detail: "The engine is not started".into(),
                }
            };
            all.push(error.problem(name, &f.user));
        }
    }
    all
}

/// Everything about the machines that stands against a link between them.
pub fn unfit_to_join(names: &[&str], facts: &[Facts]) -> Vec<Problem> {
    let mut all = Vec::new();
    if let [a, b] = facts
        && same_machine(a, b)
    {
        all.push(if cloned(a, b) {
            Problem::new(
                Code::SameMachineTwice,
                "Two machines have one machine id.",
            )
            .cause(format!(
                "`{}` and `{}` are two by their network adapters; one was made as a copy of the other's disk.",
                names[0], names[1]
            ))
            .fix_with(
                "Give one of them a new id, restart it and add it again.",
                "sudo rm /etc/machine-id && sudo systemd-machine-id-setup",
            )
        } else {
            same_twice(names[0], names[1])
        });
    }
    for (name, f) in names.iter().zip(facts) {
        // 0 kB is the mark of the kernel whose RDMA registration fails on several machines.
        if f.cma_total == Some(0) && f.kernel.starts_with("7.0.0-1019") {
            all.push(
                Problem::new(Code::MachineUnfit, "This kernel often cannot use the private link.")
                    .cause(format!("Kernel {} reserves no contiguous memory (CmaTotal is 0 kB), and RDMA then fails.", f.kernel))
                    .fix("Start the machine with kernel 6.17, or add `kho=off` to the kernel's command line.")
                    .severity(crate::problem::Severity::Warning)
                    .on(*name),
            );
        }
    }
    for (name, f) in names.iter().zip(facts) {
        if facts.len() > 1 && f.lacks_rdma_nodes() {
            all.push(
                Problem::new(Code::MachineUnfit, "This machine has no `/dev/infiniband`.")
                    .cause(NO_RDMA_NODES)
                    .fix(rdma_cure(f))
                    .severity(crate::problem::Severity::Warning)
                    .on(*name),
            );
        }
    }
    if let [a, b] = facts
        && a.memory_total.abs_diff(b.memory_total) > a.memory_total / 10
    {
        all.push(
            Problem::new(
                Code::MachineUnfit,
                "The two machines have different amounts of memory.",
            )
            .cause(format!(
                "{} and {}.",
                bytes(a.memory_total),
                bytes(b.memory_total)
            ))
            .fix("Pair machines of the same size.")
            .severity(crate::problem::Severity::Warning),
        );
    }
    all
}

#[async_trait]
impl ReadOnly<Services> for ReadFacts {
    fn plan(&self) -> StepPlan {
        StepPlan {
            id: StepId::from(ids::FACTS),
            title: "Facts".into(),
            will: "Looks at the machines: memory, disk, Docker, ports, versions.".into(),
            exactly: vec![format!("{PROGRAM} facts")],
            undo: "Changes nothing.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let facts = on_all(&cx.machines, |_, s| Box::pin(facts_of(s))).await?;
        let names: Vec<&str> = cx.machines.iter().map(|s| s.name.as_str()).collect();
        let against = match self.serves {
            true => unfit(&names, &facts),
            false => unfit_to_join(&names, &facts),
        };
        for problem in against {
            if problem.severity == crate::problem::Severity::Warning {
                cx.log(problem.machine.as_deref(), problem.to_string());
            } else {
                return Err(problem.into());
            }
        }
        let memory: Vec<String> = facts.iter().map(|f| bytes(f.memory_total)).collect();
        let disk: Vec<String> = facts.iter().map(|f| bytes(f.disk_free)).collect();
        Ok(StepCheck::AlreadyDone {
            found: format!(
                "{} {} of memory and {} of free disk.",
                if facts.len() == 1 {
                    "The machine has"
                } else {
                    "The machines have"
                },
                memory.join(" and "),
                disk.join(" and ")
            ),
            receipt: value(&FactsReceipt(facts)),
        })
    }
}
