//! Files of sparkrun (version 2) and of spark-vllm-docker (version 1), and those that mix both.

use std::collections::BTreeMap;

use super::assemble::ImportParts;
use super::confirm::ImportedRecipe;
use super::fill::fill;
use super::report::ImportFate;
use super::serve::{ServeLine, serve_line};
use super::words;
use super::yaml::Node;
use super::{ImportFormat, refused};
use crate::engine::vllm::adopt::{self, repo_of};
use crate::problem::Problem;
use crate::recipe::Evidence;
use ImportFate::{Kept, Missing, Recomputed, Refused};

/// Reads one of these files. They are told apart by their fields, for the number of the version says little.
pub(super) fn import(root: &Node) -> Result<ImportedRecipe, Problem> {
    let newer = [
        "runtime",
        "metadata",
        "min_nodes",
        "max_nodes",
        "executor_config",
        "distribution_config",
    ];
    let format = match newer.iter().any(|key| root.get(key).is_some()) {
        true => ImportFormat::Sparkrun,
        false => ImportFormat::Eugr,
    };
    let model = root.text_of("model").unwrap_or_default();
    let title = root
        .text_of("name")
        .or_else(|| model.rsplit('/').next())
        .unwrap_or("recipe");
    let mut found = ImportParts::new(format, title);
    engine(root, &mut found)?;
    found.image = root.text_of("container").map(str::to_owned);
    found.version = root
        .text_of("runtime_version")
        .or_else(|| root.at(&["metadata", "vllm_version"])?.text())
        .map(str::to_owned);
    found.model = repo_of(model);
    if let (Some(revision), Some(model)) = (root.text_of("model_revision"), &mut found.model) {
        if crate::repository::is_revision(revision) {
            model.revision = revision.to_owned();
        } else {
            found.report.note(
                Missing,
                "model_revision",
                revision,
                "It is no branch, tag or commit.",
            );
        }
    }
    for (key, node) in root.entries() {
        field(key, node, &mut found);
    }
    evidence(root, &mut found);
    for (name, value) in root.get("env").map_or(&[][..], Node::entries) {
        match value {
            Node::Text(value) => found.env.push((name.clone(), value.clone())),
            Node::Null => found.env.push((name.clone(), String::new())),
            _ => found.report.note(
                Missing,
                format!("env {name}"),
                value.shown(),
                "Its value is no text.",
            ),
        }
    }
    command(root, model, &mut found)?;
    machines(root, &mut found);
    found.finish()
}

/// Which program it is for.
fn engine(root: &Node, found: &mut ImportParts) -> Result<(), Problem> {
    match root.text_of("runtime") {
        None => {}
        Some(runtime) if runtime.starts_with("vllm") || runtime == "eugr-vllm" => {
            found.report.note(
                Recomputed,
                "runtime",
                runtime,
                "Tandem starts the engine on each machine itself.",
            );
        }
        Some(runtime) if root.get("command").is_some() => {
            found.other_engine = Some(runtime.to_owned());
        }
        Some(runtime) => {
            return Err(refused(format!(
                "It is for the engine `{runtime}` and has no command; Tandem does not serve with that engine."
            )));
        }
    }
    Ok(())
}

/// What becomes of one field of the file.
fn field(key: &str, node: &Node, found: &mut ImportParts) {
    let empty = matches!(node, Node::Null) || node.shown().is_empty();
    let shown = node.shown();
    let mut note = |fate, why: &str| found.report.note(fate, key, shown.clone(), why);
    match key {
        // Read elsewhere, with lines of their own.
        "model" | "model_revision" | "runtime" | "container" | "command" | "env" | "defaults"
        | "min_nodes" | "max_nodes" | "cluster_only" | "solo_only" | "mode" => {}
        _ if empty => {}
        "recipe_version" | "sparkrun_version" | "runtime_version" | "name" | "description"
        | "version" => {
            note(Kept, "");
        }
        "metadata" => {
            for (name, value) in node.entries() {
                let shown = crate::foreign_text::visible(&value.shown(), 400);
                found.report.kept(format!("metadata.{name}"), shown);
            }
        }
        "benchmark" => note(Refused, "Tandem measures in its own way."),
        "mods" => mods(node, found),
        "build_args" => note(
            Missing,
            "The image would be built with these; an image has to be there already.",
        ),
        "builder" if shown == "docker-pull" => note(
            Recomputed,
            "The image is pulled once and copied over the link.",
        ),
        "builder" | "builder_config" => {
            note(Missing, "It would build an image from somebody’s sources.");
        }
        "pull_image" => note(
            Recomputed,
            "The image is pulled once and copied over the link.",
        ),
        "pre_exec" => note(
            Missing,
            "These commands would run in every container before it serves.",
        ),
        "post_exec" => note(
            Missing,
            "These commands would run in the container once it serves.",
        ),
        "post_commands" => note(Missing, "These commands would run on your own computer."),
        "stop_after_post" => note(Refused, "There is nothing that it would stop after."),
        "executor_config" => executor(node, found),
        "distribution_config" => distribution(node, found),
        _ => note(
            Missing,
            "Tandem does not know this field, so it cannot tell what is missing without it.",
        ),
    }
}

/// Changes to the engine by scripts. A few of them have a counterpart.
fn mods(node: &Node, found: &mut ImportParts) {
    for item in node.items() {
        let shown = item.shown();
        let (fate, why) = match shown.trim_end_matches('/').rsplit('/').next() {
            Some("drop-caches") => (
                Refused,
                "Tandem empties the page cache before a launch itself.",
            ),
            Some("install-ray") => (Refused, "The ranks start by themselves, without Ray."),
            _ => (
                Missing,
                "It is a script that would change the engine in every container.",
            ),
        };
        found.report.note(fate, "mods", shown, why);
    }
}

/// What was asked of the container.
fn executor(node: &Node, found: &mut ImportParts) {
    for (key, value) in node.entries() {
        let shown = value.shown();
        let on = !["false", ""].contains(&shown.as_str());
        let (fate, why) = match key.as_str() {
            "auto_remove" | "restart_policy" | "gpus" | "gpu_access_mode" | "ipc" | "shm_size"
            | "network" | "ulimit" | "labels" | "memory_limit" => {
                (Recomputed, "The container gets what serving takes.")
            }
            "entrypoint" if !on => (Recomputed, "Tandem names the engine’s program itself."),
            "entrypoint" => (Missing, "It would start another program than the engine."),
            "privileged" if on => (
                Refused,
                "The container gets the devices of the link and no more.",
            ),
            "privileged" => (Kept, ""),
            "user" => (
                Refused,
                "The container runs as the image says, with almost no capabilities.",
            ),
            "cap_add" | "devices" | "security_opt" => (
                Refused,
                "The container gets the devices of the link and no more.",
            ),
            _ => (
                Missing,
                "Tandem does not know this field, so it cannot tell what is missing without it.",
            ),
        };
        found
            .report
            .note(fate, format!("executor_config.{key}"), shown, why);
    }
}

/// Which repositories are fetched, and at which revision.
fn distribution(node: &Node, found: &mut ImportParts) {
    for (key, value) in node.entries() {
        let entries = value.get("entries").map_or(&[][..], Node::items);
        if key != "models" {
            let why = "Images come from one registry and are copied over the link.";
            found.report.note(
                Missing,
                format!("distribution_config.{key}"),
                value.shown(),
                why,
            );
            continue;
        }
        for entry in entries {
            let name = entry.text_of("name").unwrap_or_default();
            let own = found
                .model
                .as_ref()
                .map(|m| m.name.clone())
                .unwrap_or_default();
            let name = if name == "{model}" {
                own
            } else {
                name.to_owned()
            };
            let revision = entry.text_of("revision").unwrap_or("main").to_owned();
            match repo_of(&name).is_some() && crate::repository::is_revision(&revision) {
                true => {
                    found.report.kept(
                        "distribution_config.models",
                        format!("{name} at {revision}"),
                    );
                    found.revisions.push((name, revision));
                }
                false => {
                    let why = "It names no repository of the Hub at a revision.";
                    found
                        .report
                        .note(Missing, "distribution_config.models", entry.shown(), why);
                }
            }
        }
    }
}

/// The words behind the command that serves.
fn command(root: &Node, model: &str, found: &mut ImportParts) -> Result<(), Problem> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (key, node) in root.get("defaults").map_or(&[][..], Node::entries) {
        if let Node::Text(text) = node {
            values.insert(key.clone(), text.clone());
        }
    }
    let Some(text) = root.text_of("command") else {
        if root.get("command").is_some() {
            return Err(refused("Its command is no text."));
        }
        let settings = values.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        found.words = adopt::from_settings(settings);
        found.report.note(
            Kept,
            "defaults",
            "",
            "There is no command; the settings are its arguments.",
        );
        return Ok(());
    };
    let commands = words::split(text)
        .map_err(|e| refused(format!("Line {} of its command: {}", e.line, e.why)))?;
    let mut known = values.clone();
    for (key, value) in [
        ("model", Some(model)),
        ("model_revision", root.text_of("model_revision")),
    ] {
        if let Some(value) = value {
            known
                .entry(key.to_owned())
                .or_insert_with(|| value.to_owned());
        }
    }
    let mut used = String::new();
    let line = serve_line(&commands, found)?;
    let ServeLine {
        words: template,
        env,
    } = line;
    let mut filled_words = Vec::new();
    for word in &template {
        used.push_str(&word.shown());
        let filled = fill(word, &known).map_err(refused)?;
        if let Some(remark) = filled.remark {
            let now = filled.words.join(" ");
            found
                .report
                .becomes(ImportFate::Changed, "command", word.shown(), now, remark);
        }
        filled_words.extend(filled.words);
    }
    for (name, value) in env {
        let value = fill(&value, &known).map_err(refused)?.words.join(" ");
        found.env.push((name, value));
    }
    for (key, value) in &values {
        if !used.contains(&format!("{{{key}}}")) {
            found.report.note(
                Refused,
                format!("defaults.{key}"),
                value.clone(),
                "The command does not use it.",
            );
        }
    }
    if found.other_engine.is_some() {
        found.words = filled_words;
        return Ok(());
    }
    match adopt::after_serve(&filled_words) {
        Some(words) => found.words = words.to_vec(),
        None => {
            let program = filled_words.first().map_or("", String::as_str);
            found.other_engine = Some(program.to_owned());
            found.words = filled_words;
        }
    }
    Ok(())
}

/// How many machines the file says.
fn machines(root: &Node, found: &mut ImportParts) {
    let number = |key| root.number_of(key);
    let mode = root.text_of("mode").unwrap_or_default();
    let (cluster, solo) = (
        root.says("cluster_only") || mode == "cluster",
        root.says("solo_only") || mode == "solo",
    );
    let total = adopt::machines_of(&found.words);
    let least = number("min_nodes");
    let most = number("max_nodes");
    let (least, most) = match (least, most) {
        _ if solo => (Some(1), Some(1)),
        (None, None) if cluster => (Some(total.max(2)), Some(total.max(2))),
        (None, None) if found.format == ImportFormat::Eugr => (Some(1), Some(total.max(1))),
        (least, most) => (Some(least.unwrap_or(1)), most),
    };
    found.least = least;
    found.most = most;
}

/// Who wrote it, as the file says.
fn evidence(root: &Node, found: &mut ImportParts) {
    let of = |key| root.at(&["metadata", key]).and_then(Node::text);
    let Some(who) = of("maintainer") else {
        return;
    };
    found.evidence.push(Evidence {
        who: crate::foreign_text::visible(who, 120),
        address: of("source")
            .filter(|a| a.starts_with("https://"))
            .unwrap_or_default()
            .to_owned(),
        what: "Published by others, not seen by us.".into(),
    });
}
