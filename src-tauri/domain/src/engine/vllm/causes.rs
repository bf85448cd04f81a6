//! Why a server did not start, from the logs of all ranks.
//!
//! The loudest lines are the consequences; the cause is printed once, on one machine. So the causes
//! are looked for in every log, in the order in which one would explain another.

use crate::problem::{Code, Problem, Retry};

/// Which cause of the table it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseId {
    /// Too little memory was free.
    MemoryShort,
    /// The KV cache does not hold one request.
    CacheShort,
    /// An earlier server still held the memory.
    MemoryHeld,
    /// The MTP layers lack scales of a quantized KV cache.
    ScalesMissing,
    /// The checkpoint has no MTP tensors.
    MtpMissing,
    /// The MTP head is built as if it were quantized.
    HeadQuantized,
    /// The number of drafted tokens does not fit the layers.
    TokensDoNotFit,
    /// The checkpoint's per-layer lists are cut short.
    ListsShort,
    /// The image does not know the model.
    ModelUnknown,
    /// The checkpoint is not where the container looks.
    CheckpointMissing,
    /// A port is held by something else.
    PortHeld,
    /// The interface of the private link is missing.
    InterfaceMissing,
    /// The address of one rail is missing.
    RailAddressMissing,
    /// RDMA could not register memory.
    RdmaMemory,
    /// The two ranks did not meet.
    RanksDidNotMeet,
    /// An argument is not known.
    ArgumentUnknown,
    /// Loading took longer than allowed.
    TooSlow,
    /// The ranks could not talk to each other, for no reason that is said.
    RanksSilent,
}

struct Cause {
    id: CauseId,
    /// Any of these texts in a line.
    texts: &'static [&'static str],
    code: Code,
    cause: &'static str,
    fix: &'static str,
}

const CAUSES: &[Cause] = &[
    Cause {
        id: CauseId::MemoryShort,
        texts: &[
            "is less than desired GPU memory utilization",
            "No available memory for the cache blocks",
        ],
        code: Code::MemoryShort,
        cause: "Too little memory was free when it started.",
        fix: "Stop what else uses the machine's memory, wait a minute for it to come back, or choose a smaller share of memory.",
    },
    Cause {
        id: CauseId::CacheShort,
        texts: &["KV cache is needed, which is larger than the available KV cache memory"],
        code: Code::MemoryShort,
        cause: "The memory left for the KV cache does not hold one request of the chosen context length.",
        fix: "Choose a shorter context, or a larger share of memory.",
    },
    Cause {
        id: CauseId::MemoryHeld,
        texts: &["CUDA error: out of memory", "CUDA out of memory"],
        code: Code::MemoryShort,
        cause: "The memory of an earlier server had not come back yet, or something else holds it.",
        fix: "Wait a minute, then try again.",
    },
    Cause {
        id: CauseId::ScalesMissing,
        texts: &[
            "_zero_point are not in the checkpoint",
            ".attn.k_scale are not in the checkpoint",
            ".attn.v_scale are not in the checkpoint",
            ".attn.q_scale are not in the checkpoint",
        ],
        code: Code::MtpMissing,
        cause: "This vLLM asks for scales of a quantized KV cache in the MTP layers, which MXFP4 checkpoints lack.",
        fix: "Choose a draft of its own as the way to MTP under Choices.",
    },
    Cause {
        id: CauseId::MtpMissing,
        texts: &["are not in the checkpoint and will falsely use random initialization"],
        code: Code::MtpMissing,
        cause: "The checkpoint has no MTP tensors.",
        fix: "Run the graft, or choose a revision that has the MTP layers.",
    },
    Cause {
        id: CauseId::HeadQuantized,
        texts: &["The size of tensor a (2048) must match the size of tensor b (4096)"],
        code: Code::MtpMissing,
        cause: "This vLLM builds the BF16 MTP head as if it were quantized (before vLLM PR 48883).",
        fix: "Choose a draft of its own as the way to MTP under Choices, or an image with vLLM 0.27.0 or newer.",
    },
    Cause {
        id: CauseId::TokensDoNotFit,
        texts: &["must be divisible by n_predict"],
        code: Code::BadInput,
        cause: "The number of speculative tokens does not fit the three MTP layers.",
        fix: "Use 1, 2 or 3 speculative tokens.",
    },
    Cause {
        id: CauseId::ListsShort,
        texts: &["list index out of range"],
        code: Code::MtpMissing,
        cause: "The checkpoint's per-layer lists are cut short, so the MTP layers have no entries.",
        fix: "Run the graft again; it extends the lists.",
    },
    Cause {
        id: CauseId::ModelUnknown,
        texts: &[
            "but Transformers does not recognize",
            "are not supported for now",
        ],
        code: Code::ServerDied,
        cause: "The image does not know this model.",
        fix: "Use the image `vllm/vllm-openai:stepfun37`, or vLLM 0.23 or newer.",
    },
    Cause {
        id: CauseId::CheckpointMissing,
        texts: &["Repo id must be in the form", "LocalEntryNotFoundError"],
        code: Code::CheckpointIncomplete,
        cause: "The checkpoint is not where the container looks for it.",
        fix: "Undo the launch, verify the weights on both machines, then resume.",
    },
    Cause {
        id: CauseId::PortHeld,
        texts: &[
            "code: -98",
            "EADDRINUSE",
            "[Errno 98]",
            "Address already in use",
        ],
        code: Code::PortTaken,
        cause: "A port that the server needs is held by something else.",
        fix: "Stop what holds the port, or choose another one.",
    },
    Cause {
        id: CauseId::InterfaceMissing,
        texts: &["no socket interface found"],
        code: Code::LinkFails,
        cause: "The interface of the private link is missing on one machine.",
        fix: "Check the cable and run the network step again.",
    },
    Cause {
        id: CauseId::RailAddressMissing,
        texts: &["failed with 61 No data available"],
        code: Code::LinkFails,
        cause: "RDMA could not open a connection: the address of one rail is missing on one machine.",
        fix: "Run the network step again.",
    },
    Cause {
        id: CauseId::RdmaMemory,
        texts: &[
            "ibv_reg_mr_iova2 failed with error Cannot allocate memory",
            "ibv_create_cq failed with error Cannot allocate memory",
        ],
        code: Code::LinkFails,
        cause: "RDMA could not register memory. Kernel 7.0.0-1019-nvidia does this on several machines.",
        fix: "Start the machines with kernel 6.17, then try again.",
    },
    Cause {
        id: CauseId::RanksDidNotMeet,
        texts: &["clients joined", "client socket has timed out"],
        code: Code::LinkFails,
        cause: "The two ranks did not meet over the private link.",
        fix: "Check that the private link answers on both machines and that no firewall blocks it.",
    },
    Cause {
        id: CauseId::ArgumentUnknown,
        texts: &["unrecognized arguments", "error: argument"],
        code: Code::BadInput,
        cause: "This vLLM does not know one of the arguments.",
        fix: "Take the argument out under Choices.",
    },
    Cause {
        id: CauseId::TooSlow,
        texts: &["Waited 600s", "Timed out waiting for engine core processes"],
        code: Code::ServerNotReady,
        cause: "Loading took longer than allowed.",
        fix: "Allow more time under Choices, then try again.",
    },
    Cause {
        id: CauseId::RanksSilent,
        texts: &[
            "NCCL error",
            "NCCL WARN",
            "DistNetworkError",
            "DistStoreError",
        ],
        code: Code::LinkFails,
        cause: "The ranks could not talk to each other.",
        fix: "Run the network step again and look at the log.",
    },
];

/// A cause that was found, with the line that shows it.
pub struct FoundCause<'a> {
    /// Which.
    pub id: CauseId,
    cause: &'static Cause,
    machine: &'a str,
    line: &'a str,
}

impl FoundCause<'_> {
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

/// Finds the first cause of the table in the logs. `logs` has the machine's name and its last lines, head
/// first.
pub fn find(logs: &[(String, Vec<String>)]) -> Option<FoundCause<'_>> {
    CAUSES.iter().find_map(|cause| {
        logs.iter().find_map(|(machine, lines)| {
            let shows = |line: &&String| cause.texts.iter().any(|text| line.contains(text));
            lines.iter().find(shows).map(|line| FoundCause {
                id: cause.id,
                cause,
                machine,
                line,
            })
        })
    })
}

/// Explains why a server ended, whether or not its cause is known. See [`find`] for the logs.
pub fn explain(logs: &[(String, Vec<String>)], ended: &str) -> Problem {
    if let Some(found) = find(logs) {
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
    fn the_quiet_cause_wins_over_the_loud_consequence() {
        let head = vec![
            "RuntimeError: NCCL error: remote process exited or there was a network error"
                .to_owned(),
        ];
        let worker = vec!["ValueError: Free memory on device cuda:0 (50.45/121.63 GiB) on startup is less than desired GPU memory utilization (0.88, 107.03 GiB).".to_owned()];
        let problem = explain(
            &[("spark-a".into(), head), ("spark-b".into(), worker)],
            "exit 1",
        );
        assert_eq!(problem.code, Code::MemoryShort);
        assert_eq!(
            problem.machine.as_deref(),
            Some("spark-b"),
            "the machine that ran short is named"
        );
    }

    #[test]
    fn what_a_loader_asks_for_too_much_is_told_from_tensors_that_are_not_there() {
        let said = |parameter: &str| {
            let line = format!(
                "RuntimeError: Some parameters like {parameter} are not in the checkpoint and will falsely use random initialization"
            );
            explain(&[("a".into(), vec![line])], "exit 1").fix
        };
        let scales = said("model.layers.45.mtp_block.self_attn.attn.k_zero_point");
        assert_eq!(
            scales,
            said("model.layers.46.mtp_block.self_attn.attn.v_scale")
        );
        let missing = said("model.layers.45.shared_head.head.weight");
        assert_ne!(scales, missing);
    }

    #[test]
    fn an_unknown_end_says_so() {
        let problem = explain(
            &[("a".into(), vec!["ERROR boom".into()])],
            "It ended with 1",
        );
        assert_eq!(problem.code, Code::ServerDied);
        assert_eq!(problem.details, vec!["a: ERROR boom"]);
    }
}
