//! Why a container that computes did not start, from the logs of all ranks.
//!
//! The loudest lines are the consequences; the cause is printed once, on one machine. So the causes are looked
//! for in every log, table by table, in the order in which one would explain another: those of the engine and
//! of a recipe's quirks, then what CUDA, sockets and RDMA say, and consequences last.

use crate::problem::{Code, Problem, Retry};

/// The name of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CauseId(pub &'static str);

/// The two ranks did not meet.
pub const RANKS_DID_NOT_MEET: CauseId = CauseId("ranks-did-not-meet");
/// The ranks could not talk to each other, for no reason that is said.
pub const RANKS_SILENT: CauseId = CauseId("ranks-silent");

/// A cause that a log can show.
#[derive(Debug)]
pub struct Cause {
    /// Its name.
    pub id: CauseId,
    /// Any of these texts in a line shows it.
    pub texts: &'static [&'static str],
    /// What it is to the window.
    pub code: Code,
    /// The cause, in a sentence.
    pub cause: &'static str,
    /// What to do, in a sentence.
    pub fix: &'static str,
    /// Which program prints the texts, and where that was read or seen.
    pub source: &'static str,
}

/// What CUDA, sockets, RDMA and NCCL say, whatever the engine is.
pub const CAUSES: &[Cause] = &[
    Cause {
        id: CauseId("memory-held"),
        texts: &["CUDA error: out of memory", "CUDA out of memory"],
        code: Code::MemoryShort,
        cause: "The memory of an earlier server had not come back yet, or something else holds it.",
        fix: "Wait a minute, then try again.",
        source: "CUDA by PyTorch; printed by a Spark whose earlier container had just ended",
    },
    Cause {
        id: CauseId("port-held"),
        texts: &[
            "code: -98",
            "EADDRINUSE",
            "[Errno 98]",
            "Address already in use",
        ],
        code: Code::PortTaken,
        cause: "A port that the server needs is held by something else.",
        fix: "Stop what holds the port, or choose another one.",
        source: "PyTorch, torch/csrc/distributed/c10d/socket.cpp; Python, asyncio",
    },
    Cause {
        id: CauseId("interface-missing"),
        texts: &["no socket interface found"],
        code: Code::LinkFails,
        cause: "The interface of the private link is missing on one machine.",
        fix: "Check the cable and run the network step again.",
        source: "NCCL, src/bootstrap.cc: NCCL_SOCKET_IFNAME names no interface",
    },
    Cause {
        id: CauseId("rail-address-missing"),
        texts: &["failed with 61 No data available"],
        code: Code::LinkFails,
        cause: "RDMA could not open a connection: the address of one rail is missing on one machine.",
        fix: "Run the network step again.",
        source: "NCCL, src/misc/ibvwrap.cc: ibv_modify_qp with a GID that the port does not have",
    },
    Cause {
        id: CauseId("rdma-memory"),
        texts: &[
            "ibv_reg_mr_iova2 failed with error Cannot allocate memory",
            "ibv_create_cq failed with error Cannot allocate memory",
        ],
        code: Code::LinkFails,
        cause: "RDMA could not register memory. Kernel 7.0.0-1019-nvidia does this on several machines.",
        fix: "Start the machines with kernel 6.17, then try again.",
        source: "NCCL, src/misc/ibvwrap.cc; https://github.com/eugr/spark-vllm-docker/issues/389",
    },
    Cause {
        id: RANKS_DID_NOT_MEET,
        texts: &["clients joined", "client socket has timed out"],
        code: Code::LinkFails,
        cause: "The two ranks did not meet over the private link.",
        fix: "Check that the private link answers on both machines and that no firewall blocks it.",
        source: "PyTorch, torch/csrc/distributed/c10d/TCPStore.cpp and socket.cpp",
    },
];

/// What they say when something else has ended the other rank.
pub const CONSEQUENCES: &[Cause] = &[Cause {
    id: RANKS_SILENT,
    texts: &[
        "NCCL error",
        "NCCL WARN",
        "DistNetworkError",
        "DistStoreError",
    ],
    code: Code::LinkFails,
    cause: "The ranks could not talk to each other.",
    fix: "Run the network step again and look at the log.",
    source: "PyTorch, torch/csrc/distributed/c10d/NCCLUtils.hpp; NCCL, WARN in src/include/debug.h",
}];

/// A cause that was found, with the line that shows it.
pub struct FoundCause<'a> {
    cause: &'static Cause,
    machine: &'a str,
    line: &'a str,
}

impl FoundCause<'_> {
    /// Its name.
    pub fn id(&self) -> CauseId {
        self.cause.id
    }

    /// The cause in words.
    pub fn problem(&self, ended: &str) -> Problem {
        Problem::new(self.cause.code, "The model server did not start.")
            .cause(self.cause.cause)
            .fix(self.cause.fix)
            .retry(Retry::Now)
            .on(self.machine.to_owned())
            .detail(self.line.trim())
            .detail(ended)
    }
}

/// Finds the first cause of these tables in the logs. `logs` has each machine's name and its last lines, head
/// first.
pub fn find<'a>(
    tables: &[&'static [Cause]],
    logs: &'a [(String, Vec<String>)],
) -> Option<FoundCause<'a>> {
    let mut causes = tables.iter().flat_map(|table| table.iter());
    causes.find_map(|cause| {
        logs.iter().find_map(|(machine, lines)| {
            let shows = |line: &&String| cause.texts.iter().any(|text| line.contains(text));
            lines.iter().find(shows).map(|line| FoundCause {
                cause,
                machine,
                line,
            })
        })
    })
}

/// Explains why a server ended, whether or not its cause is known. See [`find`] for tables and logs.
pub fn explain(
    tables: &[&'static [Cause]],
    logs: &[(String, Vec<String>)],
    ended: &str,
) -> Problem {
    if let Some(found) = find(tables, logs) {
        return found.problem(ended);
    }
    let mut problem = Problem::new(Code::ServerDied, "The model server did not start.")
        .cause(format!(
            "{ended}; its log gives no reason that Tandem knows."
        ))
        .fix("Read the log below; copy the report if you want to ask about it.")
        .retry(Retry::Now);
    for (machine, lines) in logs {
        let errors = lines
            .iter()
            .filter(|l| l.contains("ERROR") || l.contains("Error:"));
        for line in errors.take(3) {
            problem = problem.detail(format!("{machine}: {}", line.trim()));
        }
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_end_says_so() {
        let logs = [("a".into(), vec!["ERROR boom".into()])];
        let problem = explain(&[CAUSES, CONSEQUENCES], &logs, "It ended with 1");
        assert_eq!(problem.code, Code::ServerDied);
        assert_eq!(problem.details, vec!["a: ERROR boom"]);
    }
}
