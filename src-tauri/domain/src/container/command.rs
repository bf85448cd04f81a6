//! A container as one would type it.

use crate::container::{ContainerSpec, LOG_FILES, LOG_SIZE, PIDS};
use crate::shell::{as_words, quote};

/// The container as one would type it, for people to read.
pub fn as_command(spec: &ContainerSpec) -> String {
    let mut words = vec!["docker run -d".to_owned()];
    words.extend(options(spec).iter().map(|w| assigned(w)));
    words.extend(
        spec.env
            .iter()
            .map(|(name, value)| format!("-e {}={}", quote(name), quote(value))),
    );
    words.extend(given_at_start(spec).iter().map(|w| quote(w)));
    words.push(quote(&spec.image));
    let rest = after_image(spec);
    if !rest.is_empty() {
        words.push(as_words(rest));
    }
    words.join(" ")
}

/// A word of our own, in which `a=b` needs no quotes beside those of its parts.
fn assigned(word: &str) -> String {
    match word.split_once('=') {
        Some((name, value)) => format!("{}={}", quote(name), quote(value)),
        None => quote(word),
    }
}

/// The options of `docker run -d`, one word each, without the environment and what [`given_at_start`] says.
pub fn options(spec: &ContainerSpec) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    option("--name", spec.name.clone());
    if spec.gpus {
        option("--gpus", "all".into());
    }
    if spec.host_network {
        option("--network", "host".into());
    }
    if let Some(bytes) = spec.shm_bytes {
        option("--shm-size", bytes.to_string());
    }
    if spec.rdma_limits {
        option("--ulimit", "memlock=-1".into());
        option("--ulimit", "stack=67108864".into());
    }
    for device in &spec.devices {
        option("--device", device.clone());
    }
    option("--cap-drop", "ALL".into());
    for capability in &spec.capabilities {
        option("--cap-add", capability.clone());
    }
    option("--security-opt", "no-new-privileges".into());
    option("--pids-limit", PIDS.to_string());
    option("--log-driver", "json-file".into());
    option("--log-opt", format!("max-size={LOG_SIZE}"));
    option("--log-opt", format!("max-file={LOG_FILES}"));
    for m in &spec.mounts {
        let ro = if m.read_only { ":ro" } else { "" };
        option("-v", format!("{}:{}{ro}", m.source, m.target));
    }
    words
}

/// The variable of the API key, whose value is in no plan: Docker takes it from its own environment. And the program
/// in place of the image's own.
pub fn given_at_start(spec: &ContainerSpec) -> Vec<String> {
    let key = spec.key_variable.iter().flat_map(|name| ["-e", name]);
    // Docker takes one word there; the others come before the command's own.
    let program = spec.entrypoint.iter().flatten().take(1);
    let program = program.flat_map(|program| ["--entrypoint", program]);
    key.chain(program).map(str::to_owned).collect()
}

/// The words after the image.
pub fn after_image(spec: &ContainerSpec) -> Vec<String> {
    let entry = spec.entrypoint.iter().flatten().skip(1);
    entry.chain(&spec.command).cloned().collect()
}

/// Why each container has these options, and what published commands have in their place.
pub const EXPLAINED: &[(&str, &str)] = &[
    (
        "docker:--name",
        "One server a machine, under one name, so that another launch finds it.",
    ),
    (
        "docker:--gpus",
        "A Spark has one GPU, and the server gets it.",
    ),
    (
        "docker:--network",
        "The server listens on loopback and on the private link, which a bridge of Docker's does not reach.",
    ),
    (
        "docker:--shm-size",
        "The processes of one rank pass tensors on in shared memory of their own.",
    ),
    ("docker:--ulimit", "RDMA locks the memory it sends from."),
    ("docker:--device", "RDMA over both rails of the cable."),
    (
        "docker:--cap-drop",
        "Least privilege: every capability is taken away.",
    ),
    (
        "docker:--cap-add",
        "What the server needs alone: to read weights that only their owner may read, and to lock memory for RDMA.",
    ),
    ("docker:--security-opt", "Nothing inside gains privileges."),
    (
        "docker:--pids-limit",
        "A fault inside cannot fill the machine with processes.",
    ),
    (
        "docker:--log-driver",
        "The log is read by Tandem, and its files are limited.",
    ),
    ("docker:--log-opt", "A log does not fill the disk."),
    (
        "docker:-v",
        "Only the folder of what is served is mounted, read-only, at the cache's own place.",
    ),
    (
        "docker:-e",
        "The API asks for a key, which is made up at each start and stands in no plan and no log.",
    ),
    (
        "docker:--entrypoint",
        "The program is named, so that images with another entry point work too.",
    ),
    (
        "docker:--ipc",
        "Each container has shared memory of its own; the machine's is not given to it.",
    ),
    (
        "docker:--restart",
        "A server that ended is diagnosed and started by Tandem; Docker would start one rank without the other, and hide why it ended.",
    ),
    (
        "docker:-p",
        "With the machine's network no port is published, and the API stays on loopback.",
    ),
    (
        "docker:--privileged",
        "Least privilege: only what is named is given.",
    ),
    (
        "docker:--runtime",
        "`--gpus all` asks for the same runtime.",
    ),
    (
        "docker:-v /models",
        "The weights lie in the machine's Hugging Face cache; only the folder of what is served is mounted, read-only, at the cache's own place.",
    ),
    (
        "docker:-v /model",
        "The weights lie in the machine's Hugging Face cache; only the folder of what is served is mounted, read-only, at the cache's own place.",
    ),
];
