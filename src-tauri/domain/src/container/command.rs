//! A container as one would type it.

use crate::container::{ContainerSpec, LOG_FILES, LOG_SIZE, PIDS};
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
    if let Some(bytes) = spec.shm_bytes {
        words.push(format!("--shm-size {bytes}"));
    }
    if spec.rdma_limits {
        words.push("--ulimit memlock=-1 --ulimit stack=67108864".into());
    }
    words.extend(
        spec.devices
            .iter()
            .map(|d| format!("--device {}", quote(d))),
    );
    words.push("--cap-drop ALL".into());
    words.extend(spec.capabilities.iter().map(|c| format!("--cap-add {c}")));
    words.push("--security-opt no-new-privileges".into());
    words.push(format!("--pids-limit {PIDS}"));
    words.push(format!(
        "--log-driver json-file --log-opt max-size={LOG_SIZE} --log-opt max-file={LOG_FILES}"
    ));
    words.extend(spec.mounts.iter().map(|m| {
        let ro = if m.read_only { ":ro" } else { "" };
        format!("-v {}", quote(&format!("{}:{}{ro}", m.source, m.target)))
    }));
    words.extend(
        spec.env
            .iter()
            .map(|(name, value)| format!("-e {}={}", quote(name), quote(value))),
    );
    // Without a value Docker takes it from the environment, so the key is not shown.
    words.extend(spec.key_variable.iter().map(|name| format!("-e {name}")));
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
