//! What is served, as text for elsewhere: the recipe in Tandem's own form, and the containers of a launch as commands, as
//! a compose file and as a script.

use std::fmt::Write as _;

use serde_json::json;

use crate::container::command::as_command;
use crate::container::{ContainerSpec, LOG_FILES, LOG_SIZE, PIDS};
use crate::recipe::Recipe;

/// A container and the machine it is for, by its name.
pub type OnMachine<'a> = (&'a str, &'a ContainerSpec);

/// A recipe in Tandem's own form. It can be read again.
pub fn toml(recipe: &Recipe) -> String {
    toml::to_string_pretty(recipe).expect("a recipe is plain data")
}

/// `docker run` for each machine, to be pasted there.
pub fn docker_run(containers: &[OnMachine<'_>]) -> String {
    let mut out = String::new();
    for (machine, spec) in containers {
        let _ = writeln!(out, "# On {}:\n{}\n", one_line(machine), as_command(spec));
    }
    out
}

/// A script for one machine. Every word is quoted, so that the shell takes it as it is.
pub fn script(container: &OnMachine<'_>) -> String {
    let (machine, spec) = container;
    format!(
        "#!/bin/sh\n# For {}.\nset -eu\n{}\n",
        one_line(machine),
        as_command(spec)
    )
}

/// A compose file for one machine. Each text is written as JSON, which YAML reads as it stands, with `$` doubled, for
/// Compose would put a variable there.
pub fn compose(container: &OnMachine<'_>) -> String {
    let (machine, spec) = container;
    let text = |text: &str| json!(text.replace('$', "$$")).to_string();
    let list = |all: &[String]| {
        let all: Vec<String> = all.iter().map(|one| text(one)).collect();
        format!("[{}]", all.join(", "))
    };
    let mut out = format!(
        "# For {}.\nservices:\n  {}:\n",
        one_line(machine),
        text(&spec.name)
    );
    let mut line = |key: &str, value: String| {
        let _ = writeln!(out, "    {key}: {value}");
    };
    line("image", text(&spec.image));
    line("container_name", text(&spec.name));
    if let Some(entry) = &spec.entrypoint {
        line("entrypoint", list(entry));
    }
    line("command", list(&spec.command));
    let pairs = spec
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    // Without a value Compose takes it from the environment, so the key is not written down.
    let env: Vec<String> = pairs.chain(spec.key_variable.clone()).collect();
    line("environment", list(&env));
    let volumes: Vec<String> = spec
        .mounts
        .iter()
        .map(|m| {
            let [source, target] = [text(&m.source), text(&m.target)];
            format!(
                "{{type: bind, source: {source}, target: {target}, read_only: {}}}",
                m.read_only
            )
        })
        .collect();
    line("volumes", format!("[{}]", volumes.join(", ")));
    line("devices", list(&spec.devices));
    if spec.host_network {
        line("network_mode", "host".into());
    }
    if let Some(bytes) = spec.shm_bytes {
        line("shm_size", bytes.to_string());
    }
    if spec.rdma_limits {
        line("ulimits", "{memlock: -1, stack: 67108864}".into());
    }
    line("cap_drop", "[ALL]".into());
    line("cap_add", list(&spec.capabilities));
    line("security_opt", "[\"no-new-privileges\"]".into());
    line("pids_limit", PIDS.to_string());
    line(
        "logging",
        format!(
            "{{driver: json-file, options: {{max-size: {LOG_SIZE}, max-file: \"{LOG_FILES}\"}}}}"
        ),
    );
    if spec.gpus {
        line(
            "deploy",
            "{resources: {reservations: {devices: [{driver: nvidia, count: all, capabilities: [gpu]}]}}}".into(),
        );
    }
    out
}

/// A name in a comment: no line break ends it.
fn one_line(name: &str) -> String {
    crate::foreign_text::visible(name, 200)
}
