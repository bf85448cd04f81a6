//! A container as one would type it.

use crate::container::ContainerSpec;

/// The container as one would type it, for people to read.
pub fn as_command(spec: &ContainerSpec) -> String {
    let mut words = vec!["docker run -d".to_owned(), format!("--name {}", spec.name)];
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
    words.extend(spec.devices.iter().map(|d| format!("--device {d}")));
    words.extend(spec.capabilities.iter().map(|c| format!("--cap-add {c}")));
    words.extend(spec.mounts.iter().map(|m| {
        format!(
            "-v {}:{}{}",
            m.source,
            m.target,
            if m.read_only { ":ro" } else { "" }
        )
    }));
    words.extend(
        spec.env
            .iter()
            .map(|(name, value)| format!("-e {name}={value}")),
    );
    if let Some(entry) = &spec.entrypoint {
        words.push(format!("--entrypoint '{}'", entry.join(" ")));
    }
    words.push(spec.image.clone());
    words.push(as_words(&spec.command));
    words.join(" ")
}

/// Arguments as one would type them.
pub fn as_words(args: &[String]) -> String {
    let quoted = args.iter().map(|arg| {
        if arg.contains(['{', ' ', '"']) {
            format!("'{arg}'")
        } else {
            arg.clone()
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
