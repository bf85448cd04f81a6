//! What a container is given to exchange data with the other machine over the private link.
//!
//! The model server and the all-reduce that is measured before it get the same from here, so that what
//! the one shows holds for the other.

use sha2::{Digest, Sha256};

use crate::container::{ContainerSpec, LABEL};
use crate::network::NetworkPlan;

/// Shared memory of a container, in which the processes of a rank pass tensors on: what vLLM's guide gives with
/// `--shm-size` where it does not give the machine's own
/// (<https://docs.vllm.ai/en/stable/deployment/docker.html>). With one rank a machine nothing is shared beyond the
/// container. It is a limit and takes nothing.
const SHM_BYTES: u64 = 16 << 30;

/// A container that may use the GPUs and, where it is one of several, the RDMA devices of its machine.
/// The caller names everything else.
///
/// Without `/dev/infiniband` NCCL falls to TCP: about 16 Gb/s where the same link carries 187 Gb/s with it.
/// RDMA locks the memory it sends from, so it needs `IPC_LOCK` and no limit on locked memory; NVIDIA's guide
/// gives its own containers the same
/// (<https://docs.nvidia.com/nim/vision-language-models/latest/deploy-on-dgx-spark.html>). `DAC_OVERRIDE` lets its
/// root read a checkpoint that only its owner may read; what is mounted cannot be written to all the same.
pub fn container(several: bool) -> ContainerSpec {
    let if_several = |what: &str| several.then(|| what.to_owned());
    let capabilities = [Some("DAC_OVERRIDE".to_owned()), if_several("IPC_LOCK")];
    ContainerSpec {
        devices: if_several("/dev/infiniband").into_iter().collect(),
        gpus: true,
        host_network: true,
        shm_bytes: Some(SHM_BYTES),
        rdma_limits: true,
        capabilities: capabilities.into_iter().flatten().collect(),
        ..ContainerSpec::default()
    }
}

/// The environment that keeps a rank's collectives on the private link; empty without one.
///
/// What each variable means stands in <https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html>.
pub fn environment(plan: Option<&NetworkPlan>, rank: usize) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| env.push((name.to_owned(), value.to_owned()));
    let rails = plan.map_or(&[][..], |plan| &plan.rails);
    let ends: Vec<_> = rails.iter().filter_map(|r| r.ends.get(rank)).collect();
    let Some(first) = ends.first() else {
        return env;
    };
    // The ranks meet over TCP before they use RDMA. Left alone they take the interface of the default route,
    // which is the way to the internet. NVIDIA's guide sets the same:
    // https://github.com/NVIDIA/dgx-spark-playbooks (nvidia/nccl/README.md).
    for name in [
        "NCCL_SOCKET_IFNAME",
        "GLOO_SOCKET_IFNAME",
        "TP_SOCKET_IFNAME",
    ] {
        set(name, &first.interface);
    }
    let devices: Vec<&str> = ends.iter().filter_map(|end| end.rdma.as_deref()).collect();
    if devices.len() == ends.len() {
        // One port of a Spark is two devices, each with half of the lanes: one alone carries 109 Gb/s, both
        // carry 196 Gb/s. https://github.com/christopherowen/dgx-spark-networking (docs/nccl.md)
        set("NCCL_IB_HCA", &devices.join(","));
        // Makes a missing RDMA device an error instead of a silent fall to 16 Gb/s.
        set("NCCL_NET", "IB");
        // The index of the RoCE v2 address differs between machines and moves with the number of addresses;
        // a wrong one ends the worker after a minute. NCCL finds the address by family and version itself,
        // from 2.21 on.
        set("NCCL_IB_ADDR_FAMILY", "AF_INET");
        set("NCCL_IB_ROCE_VERSION_NUM", "2");
    }
    // All published recipes for two Sparks set these four, for instance
    // https://github.com/MiaAI-Lab/Dual-DGX-Spark-Step-3.7-Flash-NVFP4 and
    // https://github.com/eugr/spark-vllm-docker. A rail may talk to the other one.
    set("NCCL_CROSS_NIC", "1");
    // The threads of NCCL need not stay on the cores that are near the adapter: a Spark has one memory.
    set("NCCL_IGNORE_CPU_AFFINITY", "1");
    // NVLink SHARP needs an NVLink switch, which a Spark does not have.
    set("NCCL_NVLS_ENABLE", "0");
    // NCCL's own allocator by CUDA's virtual memory: not used, as in these recipes.
    set("NCCL_CUMEM_ENABLE", "0");
    env
}

/// Why a launch over the private link has this environment.
pub const EXPLAINED: &[(&str, &str)] = &[
    ("env:NCCL_SOCKET_IFNAME", MEET),
    ("env:GLOO_SOCKET_IFNAME", MEET),
    ("env:TP_SOCKET_IFNAME", MEET),
    (
        "env:NCCL_IB_HCA",
        "Both halves of the port: one alone carries half.",
    ),
    (
        "env:NCCL_NET",
        "A missing RDMA device is an error instead of a silent fall to TCP.",
    ),
    ("env:NCCL_IB_ADDR_FAMILY", FINDS),
    ("env:NCCL_IB_ROCE_VERSION_NUM", FINDS),
    ("env:NCCL_CROSS_NIC", "A rail may talk to the other one."),
    (
        "env:NCCL_IGNORE_CPU_AFFINITY",
        "A Spark has one memory, so its threads need not stay near the adapter.",
    ),
    (
        "env:NCCL_NVLS_ENABLE",
        "NVLink SHARP needs a switch that a Spark does not have.",
    ),
    (
        "env:NCCL_CUMEM_ENABLE",
        "As in all published launches for two Sparks.",
    ),
];

const MEET: &str =
    "The ranks meet over the private link; left alone they take the way to the internet.";
const FINDS: &str =
    "NCCL finds the address of RoCE v2 by its kind, since its index differs between machines.";

/// The address of a rank on the first rail.
pub fn address(plan: Option<&NetworkPlan>, rank: usize) -> Option<String> {
    Some(plan?.rails.first()?.ends.get(rank)?.address.clone())
}

/// Makes a launch's containers those of one image, whatever its tag means by then, and labels each with the
/// launch's identity, which it gives back: the same launch has the same identity, so that a server that runs
/// already is recognised.
pub fn label(specs: &mut [ContainerSpec], image_id: &str) -> String {
    for spec in specs.iter_mut() {
        spec.image = image_id.to_owned();
    }
    let identity = identity(specs, image_id);
    for spec in specs {
        spec.labels.push((LABEL.to_owned(), identity.clone()));
    }
    identity
}

/// What tells one set of containers from another: the same choices on the same image have the same.
fn identity(specs: &[ContainerSpec], image_id: &str) -> String {
    let json = serde_json::to_vec(&(specs, image_id)).expect("a specification is plain data");
    let hash = Sha256::digest(json);
    hash.iter().take(8).map(|b| format!("{b:02x}")).collect()
}
