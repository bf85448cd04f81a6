//! What is started on the machines: container specifications and what became of them.

use serde::{Deserialize, Serialize};

pub mod command;
pub mod fabric;
pub mod firewall;

/// A container to be started. Least privilege: only what is named here is given. Every container is kept from
/// gaining privileges, to [`PIDS`] processes and threads, and to [`LOG_FILES`] log files of [`LOG_SIZE`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// The image, by tag or digest.
    pub image: String,
    /// Replaces the image's entry point; `None` keeps it.
    pub entrypoint: Option<Vec<String>>,
    /// The arguments.
    pub command: Vec<String>,
    /// Environment, in order.
    pub env: Vec<(String, String)>,
    /// Folders of the machine seen inside.
    pub mounts: Vec<Mount>,
    /// Devices, e.g. `/dev/infiniband`, given if they exist on the machine.
    pub devices: Vec<String>,
    /// Whether all GPUs are given.
    pub gpus: bool,
    /// `--network host`.
    pub host_network: bool,
    /// Bytes of shared memory of its own, `--shm-size`; Docker's 64 MiB without.
    pub shm_bytes: Option<u64>,
    /// Unlimited memlock and 64 MiB of stack, as RDMA needs.
    pub rdma_limits: bool,
    /// The capabilities it has, e.g. `IPC_LOCK`. All others are taken away.
    pub capabilities: Vec<String>,
    /// The variable in which it is given its server's API key. Whoever starts it makes the key up, so that it is
    /// in no plan, no journal and no log.
    pub key_variable: Option<String>,
    /// Labels; ours carries the run.
    pub labels: Vec<(String, String)>,
}

/// See [`ContainerSpec::mounts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// On the machine, absolute.
    pub source: String,
    /// In the container.
    pub target: String,
    /// Whether it cannot be written from inside.
    pub read_only: bool,
}

/// A container as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    /// Its id.
    pub id: String,
    /// The image's id.
    pub image_id: String,
    /// Whether its process runs.
    pub running: bool,
    /// How it ended, where it did.
    pub exit_code: Option<i64>,
    /// Whether the kernel ended it for memory.
    pub oom_killed: bool,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

/// Processes and threads of a container at most: vLLM's compile workers and their threads take some hundred.
pub const PIDS: i64 = 4096;

/// Size of one log file, in Docker's words.
pub const LOG_SIZE: &str = "50m";

/// Log files of a container; the oldest goes.
pub const LOG_FILES: &str = "3";

/// The label that says in which variable a container holds its server's API key.
pub const KEY_LABEL: &str = "dev.tandem.key";

/// The label that says a container is Tandem's; its value is the hash of the specification.
pub const LABEL: &str = "dev.tandem.spec";

/// The name of the container that serves on each machine. One server a machine.
pub const SERVER: &str = "tandem-vllm";
