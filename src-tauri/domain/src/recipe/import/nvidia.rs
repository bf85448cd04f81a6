//! `recipe.yaml` of NVIDIA's recipes, schemas 3 and 4.

use super::assemble::ImportParts;
use super::command::serving;
use super::confirm::ImportedRecipe;
use super::report::ImportFate;
use super::serve::{ServeLine, serve_line};
use super::words;
use super::yaml::Node;
use super::{ImportFormat, docker, refused};
use crate::engine::vllm::adopt::{differ_in_rank_alone, repo_of};
use crate::problem::Problem;
use crate::recipe::Evidence;
use ImportFate::{Kept, Missing, Recomputed, Refused};

/// Reads such a file.
pub(super) fn import(root: &Node) -> Result<ImportedRecipe, Problem> {
    let text = |key| root.text_of(key);
    match text("schema_version") {
        Some("3" | "4") => {}
        other => {
            let other = other.unwrap_or("none");
            return Err(refused(format!(
                "Its schema is {other}; Tandem reads 3 and 4."
            )));
        }
    }
    let title = text("title").or(text("model")).unwrap_or("recipe");
    let mut found = ImportParts::new(ImportFormat::Nvidia, title);
    found.version = text("backend_version").map(str::to_owned);
    found.image = root
        .at(&["runtime", "image"])
        .and_then(Node::text)
        .map(str::to_owned);
    found.evidence.push(Evidence {
        who: "NVIDIA".into(),
        address: "https://github.com/NVIDIA/local-ai-inference-recipes".into(),
        what: "Published by others, not seen by us.".into(),
    });
    for key in ["target", "draft"] {
        let address = root.at(&["checkpoint", key]).and_then(Node::text);
        if let Some(repo) = address.and_then(repo_of) {
            if key == "target" {
                found.model = Some(repo);
            } else {
                found.report.kept("checkpoint.draft", repo.name);
            }
        }
    }
    fields(root, &mut found);
    let backend = text("backend").unwrap_or_default();
    if backend == "vllm"
        && let Some(setup) = root.at(&["runtime", "setup_command"]).and_then(Node::text)
    {
        setting_up(setup, &mut found)?;
    }
    let head = root
        .at(&["serve", "command"])
        .and_then(Node::text)
        .unwrap_or_default();
    if backend != "vllm" {
        // It is shown as it stands, for it may be written for another shell.
        found.other_engine = Some(backend.to_owned());
        found.words = head.split_whitespace().map(str::to_owned).collect();
        return found.finish();
    }
    let line = line_of(head, &mut found)?;
    serving(line, &mut found)?;
    for other in root
        .at(&["serve", "additional_commands"])
        .map_or(&[][..], Node::items)
    {
        additional(other, &mut found)?;
    }
    found.finish()
}

/// A command of the file as words.
fn line_of(text: &str, found: &mut ImportParts) -> Result<ServeLine, Problem> {
    let commands = words::split(text)
        .map_err(|e| refused(format!("Line {} of its command: {}", e.line, e.why)))?;
    serve_line(&commands, found)
}

/// The command that starts the container: its options, and what stands around it.
fn setting_up(text: &str, found: &mut ImportParts) -> Result<(), Problem> {
    let line = match words::split(text) {
        Ok(commands) => serve_line(&commands, found)
            .map_err(|_| "It starts no container, and would change the machine.".to_owned()),
        Err(not) => Err(format!("Line {}: {}", not.line, not.why)),
    };
    let line = match line {
        Ok(line) => line,
        Err(why) => {
            let given = text.lines().next().unwrap_or_default();
            found
                .report
                .note(Missing, "runtime.setup_command", given, why);
            return Ok(());
        }
    };
    let words: Vec<String> = line.words.iter().map(words::Word::shown).collect();
    let image = found.image.take();
    docker::take(&words, found)?;
    if let (Some(named), Some(started)) = (&image, &found.image)
        && named != started
    {
        found.report.note(
            Missing,
            "image",
            started.clone(),
            "The command starts another image than the recipe names.",
        );
    }
    found.image = image.or(found.image.take());
    Ok(())
}

/// Another command than the head's: a worker's is compared with it.
fn additional(node: &Node, found: &mut ImportParts) -> Result<(), Problem> {
    let text = node.text_of("command").unwrap_or_default();
    let target = node.text_of("target").unwrap_or_default();
    let item = format!(
        "serve.{}",
        node.text_of("id").unwrap_or("additional_commands")
    );
    if target != "workers" {
        let why = "Serving does not need it here.";
        found.report.note(
            Refused,
            item,
            node.get("command").map(Node::shown).unwrap_or_default(),
            why,
        );
        return Ok(());
    }
    let line = line_of(text, found)?;
    let head = found.words.clone();
    let words: Vec<String> = line.words.iter().map(words::Word::shown).collect();
    let worker = crate::engine::vllm::adopt::after_serve(&words).unwrap_or(&words);
    let env_differs = line.env.iter().any(|(name, value)| {
        let pair = (name.clone(), value.shown());
        !found.env.contains(&pair)
    });
    if env_differs || !differ_in_rank_alone(&head, worker) {
        return Err(refused(
            "The commands of head and worker differ in more than the rank.",
        ));
    }
    found.report.note(
        Recomputed,
        item,
        "",
        "It is the head’s command with another rank; each machine gets its own.",
    );
    Ok(())
}

fn fields(root: &Node, found: &mut ImportParts) {
    let nodes = root
        .at(&["topology", "node_count"])
        .and_then(Node::text)
        .and_then(|n| n.parse().ok());
    let hardware = root.text_of("hardware").unwrap_or_default();
    let counted = hardware.strip_prefix("dgx-spark").map(|rest| {
        let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(1)
    });
    match counted {
        Some(of_name) => {
            let count = nodes.unwrap_or(of_name);
            found.least = Some(count);
            found.most = Some(count);
            found.report.kept("hardware", hardware);
        }
        None => found.report.note(
            Missing,
            "hardware",
            hardware,
            "It is for other hardware and is shown for reference.",
        ),
    }
    let execution = root
        .at(&["platform", "execution"])
        .and_then(Node::text)
        .unwrap_or("container");
    if execution != "container" {
        let why = "It runs without a container, which Tandem does not do.";
        found
            .report
            .note(Missing, "platform.execution", execution, why);
    }
    let os = root
        .at(&["platform", "os"])
        .and_then(Node::text)
        .unwrap_or("linux");
    if os != "linux" {
        let why = "It is for another system and is shown for reference.";
        found.report.note(Missing, "platform.os", os, why);
    }
    for (key, node) in root.entries() {
        let shown = node.shown();
        let mut note = |fate, why: &str| found.report.note(fate, key.as_str(), shown.clone(), why);
        match key.as_str() {
            // Read elsewhere, with lines of their own.
            "hardware" | "platform" | "runtime" | "serve" | "schema_version" | "title" => {}
            _ if *node == Node::Null => {}
            "backend"
            | "backend_version"
            | "backend_min_version"
            | "model"
            | "checkpoint"
            | "precision"
            | "status"
            | "variant"
            | "spec_dec"
            | "mtp"
            | "min_vidmem_gb"
            | "validation"
            | "topology"
            | "concurrency"
            | "sampling"
            | "limitations"
            | "notes"
            | "security" => note(Kept, ""),
            "prerequisites" => note(
                Refused,
                "It is for a person to read; nothing of it is done.",
            ),
            "clients" | "launch" => note(Refused, "Serving does not need it here."),
            _ => note(
                Missing,
                "Tandem does not know this field, so it cannot tell what is missing without it.",
            ),
        }
    }
}
