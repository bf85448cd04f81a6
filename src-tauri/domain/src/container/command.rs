//! A container as one would type it.

use crate::container::ContainerSpec;
use crate::shell::{as_words, quote};

/// The container as one would type it, for people to read.
pub fn as_command(spec: &ContainerSpec) -> String {
    let mut words = vec![
        "docker run -d".to_owned(),
        format!("--name {}", quote(&spec.name)),
    ];
    if spec.gpus {
        words.push("--gpus all".into());
    }
    if spec.host_network {
        words.push("--network host".into());
    }
    if spec.host_ipc {
        words.push("--ipc host".into());
    }
    if spec.rdma_limits {
        words.push("--ulimit memlock=-1 --ulimit stack=67108864".into());
    }
    words.extend(
        spec.devices
            .iter()
            .map(|d| format!("--device {}", quote(d))),
    );
    words.extend(spec.capabilities.iter().map(|c| format!("--cap-add {c}")));
    words.extend(spec.mounts.iter().map(|m| {
        let ro = if m.read_only { ":ro" } else { "" };
        format!("-v {}", quote(&format!("{}:{}{ro}", m.source, m.target)))
    }));
    words.extend(
        spec.env
            .iter()
            .map(|(name, value)| format!("-e {}={}", quote(name), quote(value))),
    );
    // Docker takes one word there; the others come before the command's own.
    let mut entry = spec.entrypoint.iter().flatten();
    words.extend(
        entry
            .next()
            .map(|program| format!("--entrypoint {}", quote(program))),
    );
    words.push(quote(&spec.image));
    let rest: Vec<&String> = entry.chain(&spec.command).collect();
    if !rest.is_empty() {
        words.push(as_words(rest));
    }
    words.join(" ")
}
