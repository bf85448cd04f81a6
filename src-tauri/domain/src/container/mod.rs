//! What is started on the machines: container specifications and what became of them.

use serde::{Deserialize, Serialize};

pub mod command;
pub mod fabric;
pub mod firewall;

/// A container to be started. Least privilege: only what is named here is given.
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
    /// `--ipc host`.
    pub host_ipc: bool,
    /// Unlimited memlock and 64 MiB of stack, as RDMA needs.
    pub rdma_limits: bool,
    /// Capabilities added, e.g. `IPC_LOCK`.
    pub capabilities: Vec<String>,
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

/// The label that says a container is Tandem's; its value is the hash of the specification.
pub const LABEL: &str = "dev.tandem.spec";

/// The name of the container that serves on each machine. One server a machine.
pub const SERVER: &str = "tandem-vllm";
