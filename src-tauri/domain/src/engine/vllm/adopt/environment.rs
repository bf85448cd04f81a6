//! Variables that somebody wrote for the container of the engine.

use super::Target;
use crate::engine::vllm::flags;
use crate::foreign_text::is_unseen;
use crate::recipe::import::report::ImportFate;

/// What each launch sets by the machines and the link.
const OF_THE_LINK: &[&str] = &[
    "NCCL_SOCKET_IFNAME",
    "GLOO_SOCKET_IFNAME",
    "TP_SOCKET_IFNAME",
    "UCX_NET_DEVICES",
    "OMPI_MCA_btl_tcp_if_include",
    "MN_IF_NAME",
    "NCCL_IB_HCA",
    "NCCL_IB_GID_INDEX",
    "NCCL_IB_DISABLE",
    "NCCL_NET",
    "NCCL_CROSS_NIC",
    "NCCL_CUMEM_ENABLE",
    "NCCL_IGNORE_CPU_AFFINITY",
    "NCCL_NVLS_ENABLE",
    "NCCL_IB_ADDR_FAMILY",
    "NCCL_IB_ROCE_VERSION_NUM",
    "VLLM_HOST_IP",
    "MASTER_ADDR",
    "MASTER_PORT",
    "HEAD_IP",
    "NODE_RANK",
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "ETH_IF",
    "IB_IF",
];

/// What each launch sets for every container.
const OF_THE_LAUNCH: &[&str] = &[
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "TRANSFORMERS_CACHE",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_HUB_ENABLE_HF_TRANSFER",
    "HF_HUB_DISABLE_XET",
    "HF_XET_HIGH_PERFORMANCE",
    "HF_TOKEN_PATH",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_MODULES_CACHE",
    "VLLM_ENGINE_READY_TIMEOUT_S",
    "VLLM_NO_USAGE_STATS",
    "DO_NOT_TRACK",
    "NVIDIA_VISIBLE_DEVICES",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
];

/// What makes programs load other code, or find other programs, than the image was built with.
const OF_THE_LOADER: &[&str] = &[
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONINSPECT",
    "PYTHONUSERBASE",
    "BASH_ENV",
    "ENV",
    "SHELLOPTS",
    "IFS",
    "PS4",
    "PROMPT_COMMAND",
    "VLLM_PLUGINS",
    "NODE_OPTIONS",
    "PERL5LIB",
    "PERL5OPT",
    "RUBYOPT",
    "HOME",
    "SHELL",
    "EDITOR",
    "PAGER",
    "CUDA_INJECTION64_PATH",
];

/// What becomes of a variable, and why; the reason is empty where it is kept without a remark.
pub fn variable(target: &Target, name: &str, value: &str) -> (ImportFate, String) {
    let is_name = crate::recipe::import::words::is_variable(name);
    let upper = name.to_ascii_uppercase();
    let begins = |heads: &[&str]| heads.iter().any(|h| upper.starts_with(h));
    let no = |fate, why: &str| (fate, why.to_owned());
    if !is_name || value.chars().any(is_unseen) {
        return no(
            ImportFate::Missing,
            "Its name or its value is none that a variable can have.",
        );
    }
    if is_secret(name) {
        return no(
            ImportFate::Refused,
            "It is a secret. Tandem keeps its own and gives the container none.",
        );
    }
    if OF_THE_LINK.contains(&name) || begins(&["RAY_", "NCCL_SOCKET", "GLOO_"]) {
        return no(
            ImportFate::Recomputed,
            "It follows from the machines and their link.",
        );
    }
    if OF_THE_LAUNCH.contains(&name) {
        return no(ImportFate::Recomputed, "Each launch sets it.");
    }
    if OF_THE_LOADER.contains(&upper.as_str())
        || begins(&[
            "LD_",
            "DYLD_",
            "GIT_",
            "PIP_",
            "UV_",
            "DOCKER_",
            "BASH_FUNC_",
        ])
        || upper.ends_with("_PROXY")
    {
        return no(
            ImportFate::Missing,
            "It makes programs load or reach something else than the image was built with.",
        );
    }
    if value.contains('$') || value.contains('`') {
        return no(
            ImportFate::Missing,
            "Its value asks for something that only a shell knows.",
        );
    }
    if is_address_of_somebody(value) {
        return no(
            ImportFate::Refused,
            "It is an address in its author’s network.",
        );
    }
    match flags::against_variable(&target.releases, name) {
        Some(why) if target.upstream && !target.releases.is_any() => (ImportFate::Refused, why),
        Some(why) => (
            ImportFate::Kept,
            format!("{why} An image with changes of its own may."),
        ),
        None => no(ImportFate::Kept, ""),
    }
}

/// Whether a variable holds a login, by its name.
pub fn is_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let words = [
        "TOKEN",
        "KEY",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "APIKEY",
        "CREDENTIAL",
        "CREDENTIALS",
    ];
    upper.split('_').any(|part| words.contains(&part))
}

/// Whether an address of a private network is part of it.
fn is_address_of_somebody(value: &str) -> bool {
    let parts = value.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    parts
        .filter_map(|part| part.parse::<std::net::Ipv4Addr>().ok())
        .any(|address| address.is_private() || address.is_link_local())
}
