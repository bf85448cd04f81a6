//! Why a container that computes did not start, from the logs of all ranks.
//!
//! The loudest lines are the consequences; the cause is printed once, on one machine. So the causes are looked
//! for in every log, table by table, in the order in which one would explain another: those of the engine and
//! of a recipe's quirks, then what CUDA, sockets and RDMA say. A consequence counts only where no rank has an exception
//! of its own. What no table knows is told in the exception's own words, of the rank that failed first.

use std::time::Duration;

use super::exceptions::{self, Exception};
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
    /// Where the exception must have come through, for texts that other programs say of other things: a part of a
    /// file's path, or `in` with a function. Empty where the texts are enough.
    pub through: &'static [&'static str],
    /// Whether it is only what the end of something else leads to.
    pub consequence: bool,
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
        through: &[],
        consequence: false,
        code: Code::MemoryShort,
        cause: "The memory of an earlier server had not come back yet, or something else holds it.",
        fix: "Wait a minute, then try again.",
        source: "CUDA by PyTorch; printed by a Spark whose earlier container had just ended",
    },
    Cause {
        id: CauseId("driver-does-not-fit"),
        texts: &[
            "Error 803",
            "Error 804",
            "CUDA driver version is insufficient for CUDA runtime version",
            "the provided PTX was compiled with an unsupported toolchain",
        ],
        through: &[],
        consequence: false,
        code: Code::MachineUnfit,
        cause: "The GPU driver of the machine and the CUDA of the image do not fit together.",
        fix: "Install DGX OS's updates and restart the machine, or choose an image with an older CUDA.",
        source: "CUDA, cudaErrorSystemDriverMismatch, cudaErrorCompatNotSupportedOnDevice, cudaErrorInsufficientDriver, cudaErrorUnsupportedPtxVersion",
    },
    Cause {
        id: CauseId("gpu-code-missing"),
        texts: &["no kernel image is available for execution on the device"],
        through: &[],
        consequence: false,
        code: Code::MachineUnfit,
        cause: "The image has no code for the GPU of this machine.",
        fix: "Choose the image of the recipe, or one that is built for the GB10 (compute capability 12.1).",
        source: "CUDA, cudaErrorNoKernelImageForDevice",
    },
    Cause {
        id: CauseId("gpu-missing"),
        texts: &[
            "No CUDA GPUs are available",
            "no CUDA-capable device is detected",
        ],
        through: &[],
        consequence: false,
        code: Code::MachineUnfit,
        cause: "The container sees no GPU.",
        fix: "Run `sudo nvidia-ctk runtime configure --runtime=docker`, restart Docker, then try again.",
        source: "PyTorch, torch/cuda/__init__.py; CUDA, cudaErrorNoDevice",
    },
    Cause {
        id: CauseId("image-of-another-processor"),
        texts: &["exec format error"],
        through: &[],
        consequence: false,
        code: Code::MachineUnfit,
        cause: "The image is for another processor.",
        fix: "Choose an image for arm64, which `docker image inspect` names as its architecture.",
        source: "Linux, ENOEXEC; printed by runc",
    },
    Cause {
        id: CauseId("weights-damaged"),
        texts: &[
            "SafetensorError",
            "MetadataIncompleteBuffer",
            "HeaderTooLarge",
            "InvalidHeaderDeserialization",
        ],
        through: &[],
        consequence: false,
        code: Code::CheckpointIncomplete,
        cause: "A file of the weights is cut off or damaged.",
        fix: "Check the weights on this machine under Models, On the disks, and repair them, then try again.",
        source: "safetensors, safetensors/src/tensor.rs",
    },
    Cause {
        id: CauseId("port-of-its-own-taken"),
        texts: &["ZMQError: Address already in use"],
        through: &[],
        consequence: false,
        code: Code::PortTaken,
        cause: "A port that the server had chosen for itself was taken before it could use it.",
        fix: "Try again: it chooses another one.",
        source: "libzmq by pyzmq; vLLM 0.25 and 0.26 choose one port for two of their processes",
    },
    Cause {
        id: CauseId("address-not-in-container"),
        texts: &["Cannot assign requested address"],
        through: &[],
        consequence: false,
        code: Code::LinkFails,
        cause: "The address of the private link does not exist in the container: it is not on the machine's network, or the address is gone.",
        fix: "Use the system's Docker engine, not a rootless one, and run the network step again.",
        source: "Linux, EADDRNOTAVAIL; libzmq by pyzmq",
    },
    Cause {
        id: CauseId("port-held"),
        texts: &[
            "code: -98",
            "EADDRINUSE",
            "[Errno 98]",
            "Address already in use",
        ],
        through: &[],
        consequence: false,
        code: Code::PortTaken,
        cause: "A port that the server needs is held by something else.",
        fix: "Stop what holds the port, or choose another one.",
        source: "PyTorch, torch/csrc/distributed/c10d/socket.cpp; Python, asyncio",
    },
    Cause {
        id: CauseId("interface-missing"),
        texts: &["no socket interface found"],
        through: &[],
        consequence: false,
        code: Code::LinkFails,
        cause: "The interface of the private link is missing on one machine.",
        fix: "Check the cable and run the network step again.",
        source: "NCCL, src/bootstrap.cc: NCCL_SOCKET_IFNAME names no interface",
    },
    Cause {
        id: CauseId("rdma-missing"),
        texts: &["Failed to initialize any NET plugin"],
        through: &[],
        consequence: false,
        code: Code::LinkFails,
        cause: "NCCL was told to use RDMA, and the container has no RDMA device.",
        fix: "Check that `/dev/infiniband` exists on both machines, then try again.",
        source: "NCCL, src/plugin/net.cc",
    },
    Cause {
        id: CauseId("nccl-misused"),
        texts: &["NCCL error: invalid usage", "ncclInvalidUsage"],
        through: &[],
        consequence: false,
        code: Code::LinkFails,
        cause: "NCCL cannot use what it was told to: an interface or an RDMA device that its settings name is missing, or both ranks were given one GPU.",
        fix: "Run the network step again, then try again; the log's lines with `NCCL WARN` say more.",
        source: "NCCL, src/bootstrap.cc, src/plugin/net.cc and src/init.cc; printed by vLLM 0.26 and 0.33 over two GPUs",
    },
    Cause {
        id: CauseId("rail-address-missing"),
        texts: &["failed with 61 No data available"],
        through: &[],
        consequence: false,
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
        through: &[],
        consequence: false,
        code: Code::LinkFails,
        cause: "RDMA could not register memory. Kernel 7.0.0-1019-nvidia does this on several machines.",
        fix: "Start the machines with kernel 6.17, then try again.",
        source: "NCCL, src/misc/ibvwrap.cc; https://github.com/eugr/spark-vllm-docker/issues/389",
    },
    Cause {
        id: RANKS_DID_NOT_MEET,
        texts: &[
            "clients joined",
            "client socket has timed out",
            "client socket has failed to connect to any network address",
        ],
        through: &[],
        consequence: false,
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
        "remote process exited or there was a network error",
        "ncclRemoteError",
        "Connection closed by peer",
        "Connection reset by peer",
        "Broken pipe",
        "Failed to recv, got 0 bytes",
        "DistNetworkError",
        "DistStoreError",
    ],
    through: &[],
    consequence: true,
    code: Code::LinkFails,
    cause: "The ranks could not talk to each other.",
    fix: "Run the network step again and look at the log.",
    source: "PyTorch, torch/csrc/distributed/c10d/NCCLUtils.hpp and TCPStore.cpp; Gloo, gloo/transport/tcp/pair.cc",
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
        Problem::new(self.cause.code, NOT_STARTED)
            .cause(self.cause.cause)
            .fix(self.cause.fix)
            .retry(Retry::Now)
            .on(self.machine.to_owned())
            .detail(self.line.trim())
            .detail(ended)
    }
}

const NOT_STARTED: &str = "The model server did not start.";

/// Finds the first cause of these tables in the logs. `logs` has each machine's name and its last lines, head
/// first. A consequence is found only where no log has an exception that none of the tables knows.
pub fn find<'a>(
    tables: &[&'static [Cause]],
    logs: &'a [(String, Vec<String>)],
) -> Option<FoundCause<'a>> {
    let all = || tables.iter().flat_map(|table| table.iter());
    let own = all()
        .filter(|c| !c.consequence)
        .find_map(|cause| shown(cause, logs));
    own.or_else(|| {
        let unexplained = logs.iter().any(|(_, log)| unknown(tables, log).is_some());
        let mut consequences = all().filter(|c| c.consequence && !unexplained);
        consequences.find_map(|cause| shown(cause, logs))
    })
}

/// Whether the logs say why a server that still runs does not get ready. What only the end of something leads to says
/// nothing of that.
pub fn is_told(tables: &[&'static [Cause]], logs: &[(String, Vec<String>)]) -> bool {
    logs.iter().any(|(_, log)| unknown(tables, log).is_some())
        || find(tables, logs).is_some_and(|found| !found.cause.consequence)
}

/// The line that shows a cause, of the first log that has one.
fn shown<'a>(cause: &'static Cause, logs: &'a [(String, Vec<String>)]) -> Option<FoundCause<'a>> {
    logs.iter().find_map(|(machine, log)| {
        let shows = |(at, text): &(usize, &String)| {
            let line = exceptions::line(text);
            line.counts() && says(cause, line.words) && came_through(cause, log, *at)
        };
        let (_, line) = log.iter().enumerate().find(shows)?;
        Some(FoundCause {
            cause,
            machine,
            line,
        })
    })
}

fn says(cause: &Cause, words: &str) -> bool {
    is_any(cause.texts, words)
}

fn came_through(cause: &Cause, log: &[String], at: usize) -> bool {
    cause.through.is_empty()
        || exceptions::frames(log, at).any(|frame| is_any(cause.through, frame))
}

fn is_any(texts: &[&str], words: &str) -> bool {
    texts.iter().any(|text| words.contains(text))
}

/// The first exception of a log that no consequence explains.
fn unknown(tables: &[&'static [Cause]], log: &[String]) -> Option<Exception> {
    let follows = |e: &Exception| {
        let mut causes = tables.iter().flat_map(|t| t.iter());
        causes.any(|cause| {
            cause.consequence && says(cause, &e.text) && came_through(cause, log, e.at)
        })
    };
    let mut found = exceptions::exceptions(log).into_iter();
    found.find(|e| !follows(e))
}

/// Ranks that wait for each other in vain, with what each printed last. No log says so before its own time is up.
pub fn did_not_meet(logs: &[(String, Vec<String>)], waited: Duration) -> Problem {
    let cause = CAUSES.iter().find(|c| c.id == RANKS_DID_NOT_MEET);
    let (cause, fix) = cause.map_or(("", ""), |c| (c.cause, c.fix));
    let problem = Problem::new(Code::LinkFails, NOT_STARTED)
        .cause(format!(
            "{cause} They waited for each other for {} s.",
            waited.as_secs()
        ))
        .fix(fix)
        .retry(Retry::Now);
    last_lines(problem, logs)
}

/// A problem with the last line of each log.
fn last_lines(problem: Problem, logs: &[(String, Vec<String>)]) -> Problem {
    logs.iter().fold(problem, |problem, (machine, log)| {
        let last = log.iter().rev().find(|l| !l.trim().is_empty());
        match last {
            Some(line) => problem.detail(format!("{machine}: {}", line.trim())),
            None => problem,
        }
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
    let unknown: Vec<(&str, Exception)> = logs
        .iter()
        .filter_map(|(machine, log)| Some((machine.as_str(), unknown(tables, log)?)))
        .collect();
    // Without a time the head comes first.
    let first = unknown.iter().min_by_key(|(_, e)| e.time.as_deref());
    let problem = Problem::new(Code::ServerDied, NOT_STARTED);
    match first {
        Some((machine, exception)) => {
            let problem = problem
                .cause(format!(
                    "{ended}. The first error, on `{machine}`, is none that Tandem knows: {}",
                    exception.text
                ))
                .fix("Read the log; copy the report if you want to ask about it.")
                .retry(Retry::Now)
                .on((*machine).to_owned());
            unknown.iter().fold(problem, |problem, (machine, e)| {
                problem.detail(format!("{machine}: {}", e.text))
            })
        }
        None => {
            let problem = problem
                .cause(format!(
                    "{ended}; its log gives no reason that Tandem knows."
                ))
                .fix("Read the log below; copy the report if you want to ask about it.")
                .retry(Retry::Now);
            last_lines(problem, logs)
        }
    }
}

#[cfg(test)]
#[path = "causes_tests.rs"]
mod tests;
