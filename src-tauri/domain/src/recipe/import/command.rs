//! Commands as people paste them.

use super::assemble::ImportParts;
use super::confirm::ImportedRecipe;
use super::serve::{ServeLine, serve_line, take_serve};
use super::words::{self, Word};
use super::{ImportFormat, docker, refused};
use crate::engine::vllm::adopt;
use crate::foreign_text::visible;
use crate::problem::Problem;

/// Reads a pasted text.
pub(super) fn import(text: &str) -> Result<ImportedRecipe, Problem> {
    let commands = words::split(&without_fences(text))
        .map_err(|e| refused(format!("Line {}: {} Nothing of it was run.", e.line, e.why)))?;
    let mut found = ImportParts::new(ImportFormat::Command, "");
    let line = serve_line(&commands, &mut found)?;
    serving(line, &mut found)?;
    let known = found.image.is_some() || is_engine(&found.words);
    if found.other_engine.is_some() && !known {
        return Err(refused("It holds no command that serves a model."));
    }
    name(&mut found);
    found.finish()
}

/// Takes the command that serves into what was found, whether in a container or not.
pub(super) fn serving(line: ServeLine, found: &mut ImportParts) -> Result<(), Problem> {
    let words: Vec<String> = line.words.iter().map(Word::shown).collect();
    if words.first().is_some_and(|w| w == "docker") {
        return docker::take(&words, found);
    }
    for (name, value) in &line.env {
        found.env.push((name.clone(), value.shown()));
    }
    take_serve(&words, None, found);
    Ok(())
}

/// Programs and modules that serve models, other than vLLM.
const ENGINES: &[&str] = &[
    "sglang",
    "llama-server",
    "llama-cli",
    "llama_cpp",
    "trtllm-serve",
    "tensorrt_llm",
    "lmdeploy",
    "ollama",
    "tabbyapi",
    "text-generation-launcher",
    "mlx_lm",
    "exllamav3",
];

fn is_engine(words: &[String]) -> bool {
    words.iter().take(3).any(|word| {
        let name = word.rsplit('/').next().unwrap_or(word);
        ENGINES.iter().any(|engine| name.starts_with(engine))
    })
}

/// A title: the model's name.
fn name(found: &mut ImportParts) {
    let (model, _) = crate::engine::vllm::flags::read(&found.words);
    let model = model.or_else(|| {
        let at = found.words.iter().position(|w| w == "--model")?;
        found.words.get(at + 1).cloned()
    });
    let model = model.unwrap_or_default();
    let repo = adopt::repo_of(&model).map(|r| r.name);
    let title = repo.unwrap_or(model);
    let title = title.rsplit('/').next().unwrap_or_default();
    found.title = visible(
        if title.is_empty() {
            "Pasted command"
        } else {
            title
        },
        120,
    );
}

/// Without the fences of a code block that was copied along.
fn without_fences(text: &str) -> String {
    let lines = text.lines().map(|line| {
        if line.trim_start().starts_with("```") {
            ""
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
