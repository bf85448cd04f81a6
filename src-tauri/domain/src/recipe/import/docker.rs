//! `docker run`: what it asks of the container, and the words for the engine.

use super::assemble::ImportParts;
use super::refused;
use super::report::ImportFate;
use super::serve::{of_shell, take_serve};
use crate::problem::Problem;
use ImportFate::{Kept, Missing, Recomputed, Refused};

/// Options that take no value.
const FLAGS: &[&str] = &[
    "rm",
    "it",
    "ti",
    "i",
    "t",
    "d",
    "dit",
    "itd",
    "td",
    "id",
    "detach",
    "interactive",
    "tty",
    "privileged",
    "init",
    "read-only",
    "P",
    "publish-all",
    "no-healthcheck",
    "oom-kill-disable",
    "sig-proxy",
    "q",
    "quiet",
];

/// Takes the words of `docker run …`.
pub(super) fn take(words: &[String], found: &mut ImportParts) -> Result<(), Problem> {
    let rest = match words {
        [_, container, run, rest @ ..] if container == "container" && run == "run" => rest,
        [_, run, rest @ ..] if run == "run" => rest,
        _ => {
            return Err(refused(
                "Of Docker’s commands only `docker run` serves a model.",
            ));
        }
    };
    let mut entrypoint = None;
    let mut rest = rest;
    let image = loop {
        let [word, after @ ..] = rest else {
            return Err(refused("The command names no image."));
        };
        let Some(option) = word.strip_prefix('-').filter(|o| !o.is_empty()) else {
            rest = after;
            break word.clone();
        };
        let (name, joined) = split_option(option);
        if FLAGS.contains(&name.as_str()) && joined.is_none_or(|v| ["true", "false"].contains(&v)) {
            rest = after;
            note(&name, joined.unwrap_or_default(), found);
            continue;
        }
        let (value, after) = match (joined, after) {
            (Some(value), _) => (value.to_owned(), after),
            (None, [value, after @ ..]) => (value.clone(), after),
            (None, []) => return Err(refused(format!("The value of `{word}` is missing."))),
        };
        rest = after;
        match name.as_str() {
            "e" | "env" => env(&value, found),
            "entrypoint" => entrypoint = Some(value),
            _ => note(&name, &value, found),
        }
    };
    found.image = Some(image.clone());
    let mut command = rest.to_vec();
    match entrypoint.as_deref() {
        None => {}
        Some("") => found.report.note(
            Recomputed,
            "--entrypoint",
            "",
            "Tandem names the engine’s program itself.",
        ),
        // An interactive shell, into which the command is typed.
        Some(shell) if is_shell(shell) && command.is_empty() => {
            found.report.note(
                Recomputed,
                "--entrypoint",
                shell,
                "Tandem names the engine’s program itself.",
            );
            return Ok(());
        }
        Some(program) => command.insert(0, program.to_owned()),
    }
    if command.is_empty() {
        return Ok(());
    }
    if let Some(inner) = of_shell(&command, found)? {
        command = inner;
        take_serve(&command, None, found);
        return Ok(());
    }
    let own = entrypoint.is_none().then_some(image);
    take_serve(&command, own.as_deref(), found);
    Ok(())
}

fn is_shell(program: &str) -> bool {
    ["bash", "sh"].contains(&program.rsplit('/').next().unwrap_or(program))
}

/// The name of an option and the value that is joined to it: `--gpus=all`, `-p8000:8000`.
fn split_option(option: &str) -> (String, Option<&str>) {
    if let Some(long) = option.strip_prefix('-') {
        return match long.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value)),
            None => (long.to_owned(), None),
        };
    }
    let first = option.chars().next().map_or(1, char::len_utf8);
    match option.split_at(first) {
        _ if FLAGS.contains(&option) => (option.to_owned(), None),
        (name @ ("e" | "v" | "p" | "u" | "w" | "h" | "m" | "l"), value) if !value.is_empty() => (
            name.to_owned(),
            Some(value.strip_prefix('=').unwrap_or(value)),
        ),
        _ => (option.to_owned(), None),
    }
}

fn env(pair: &str, found: &mut ImportParts) {
    match pair.split_once('=') {
        Some((name, value)) => found.env.push((name.to_owned(), value.to_owned())),
        // Docker takes the value from whoever types the command.
        None => found.env.push((pair.to_owned(), format!("${{{pair}}}"))),
    }
}

/// What becomes of one option.
fn note(name: &str, value: &str, found: &mut ImportParts) {
    let (fate, why) = match name {
        "rm" | "it" | "ti" | "i" | "t" | "d" | "dit" | "itd" | "td" | "id" | "detach"
        | "interactive" | "tty" | "init" | "name" | "restart" | "q" | "quiet" | "sig-proxy"
        | "pull" | "platform" | "hostname" | "h" | "log-driver" | "log-opt" | "label" | "l"
        | "pids-limit" | "no-healthcheck" | "stop-timeout" | "cidfile" => {
            (Recomputed, "Tandem starts its containers in one way.")
        }
        "gpus" | "runtime" | "network" | "net" | "ipc" | "shm-size" | "ulimit" | "p"
        | "publish" | "P" | "publish-all" | "memory" | "m" | "memory-swap" | "cpus"
        | "read-only" | "w" | "workdir" => (Recomputed, "The container gets what serving takes."),
        "cap-drop" if value.eq_ignore_ascii_case("all") => {
            (Recomputed, "Every container of Tandem’s drops them.")
        }
        "cap-add" if ["IPC_LOCK", "DAC_OVERRIDE"].contains(&value) => {
            (Recomputed, "The container gets what serving takes.")
        }
        "device" if value.starts_with("/dev/infiniband") => {
            (Recomputed, "The container gets the devices of the link.")
        }
        "security-opt" if value.starts_with("no-new-privileges") => {
            (Recomputed, "Every container of Tandem’s has it.")
        }
        "privileged" if value != "false" => (
            Refused,
            "The container gets the devices of the link and no more.",
        ),
        "privileged" => (Kept, ""),
        "cap-add" | "cap-drop" | "device" | "security-opt" | "pid" | "uts" | "userns"
        | "cgroupns" | "group-add" | "user" | "u" | "oom-kill-disable" | "oom-score-adj"
        | "add-host" | "dns" | "cpuset-cpus" | "ip" => (
            Refused,
            "The container gets the devices of the link and no more.",
        ),
        "v" | "volume" | "mount" => return mount(name, value, found),
        "env-file" | "label-file" => (Missing, "It reads a file that nobody was shown."),
        _ => (
            Missing,
            "Tandem does not know this option, so it cannot tell what is missing without it.",
        ),
    };
    found.report.note(fate, option(name), value, why);
}

fn option(name: &str) -> String {
    let short = name.chars().count() == 1 || ["it", "ti", "dit", "itd", "td", "id"].contains(&name);
    let dashes = if short { "-" } else { "--" };
    format!("{dashes}{name}")
}

/// A folder of the machine inside the container. Caches are Tandem's own matter; anything else is not given.
fn mount(name: &str, value: &str, found: &mut ImportParts) {
    let target = match name {
        "mount" => {
            let parts = value.split(',');
            let of = |key: &str| parts.clone().find_map(|p| p.strip_prefix(key));
            of("target=")
                .or_else(|| of("dst="))
                .or_else(|| of("destination="))
                .unwrap_or_default()
                .to_owned()
        }
        _ => value.split(':').nth(1).unwrap_or_default().to_owned(),
    };
    let ends = [
        "/.cache/huggingface",
        "/.cache/huggingface/hub",
        "/.cache/vllm",
        "/.cache/flashinfer",
        "/.triton",
        "/.cache/triton",
        "/.cache/torch",
        "/.cache",
    ];
    let clear = !value.contains("docker.sock") && !target.contains("..");
    let is_hub = target.contains("/.cache/huggingface/") || target == "/dev/shm";
    let (fate, why) = match clear && (ends.iter().any(|e| target.ends_with(e)) || is_hub) {
        true => (
            Recomputed,
            "Only the folders of what is served are given, and none can be written.",
        ),
        false => (
            Missing,
            "It would give a folder of the machine to the container.",
        ),
    };
    found.report.note(fate, option(name), value, why);
}
