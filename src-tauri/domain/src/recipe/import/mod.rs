//! Recipes that others publish, read without running anything of them.
//!
//! A file or a pasted command becomes a recipe of Tandem's where it can, with a report of what became of every part of it.
//! What somebody else wrote is never launched before a person has seen it: see [`ImportedRecipe`].

pub mod address;
mod assemble;
mod axes;
mod command;
mod confirm;
mod docker;
pub mod export;
mod fill;
mod launcher;
mod names;
mod nvidia;
mod own;
pub mod report;
mod serve;
pub mod words;
mod yaml;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use confirm::{Confirmation, ImportOutcome, ImportedRecipe, told};
pub use report::{ImportFate, ImportLine};

use crate::foreign_text::visible;
use crate::problem::{Code, Problem};
use yaml::Node;

/// The form in which a recipe was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportFormat {
    /// A file of sparkrun, version 2.
    Sparkrun,
    /// A file of spark-vllm-docker, version 1.
    Eugr,
    /// A `recipe.yaml` of NVIDIA's recipes, schema 3 or 4.
    Nvidia,
    /// A file of the recipes of the vLLM project.
    Project,
    /// A command.
    Command,
    /// A recipe in Tandem's own form.
    Tandem,
}

impl ImportFormat {
    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Sparkrun => "sparkrun recipe",
            Self::Eugr => "spark-vllm-docker recipe",
            Self::Nvidia => "NVIDIA recipe",
            Self::Project => "recipe of the vLLM project",
            Self::Command => "command",
            Self::Tandem => "Tandem recipe",
        }
    }
}

/// Reads a text as a recipe. A problem where it is none, or none that Tandem could ever serve.
///
/// Nothing is run and nothing is fetched. The same text gives the same recipe and report.
pub fn import(text: &str) -> Result<ImportedRecipe, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match kind(text) {
        Kind::Toml => own(text),
        Kind::Yaml => file(text),
        Kind::Command => command::import(text),
    }
}

enum Kind {
    Toml,
    Yaml,
    Command,
}

/// What a text is, by its first line that says something.
fn kind(text: &str) -> Kind {
    let mut lines = text.lines().map(str::trim_end);
    let first = lines
        .find(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#'))
        .unwrap_or_default();
    let key = first.find(|c: char| !(c.is_ascii_alphanumeric() || "_-\"'".contains(c)));
    let rest = key.map_or("", |at| first[at..].trim_start());
    match first {
        _ if rest.starts_with('=') && rest[1..].starts_with(' ') => Kind::Toml,
        _ if first.starts_with(['{', '[', '!', '%', '&', '?', '-'])
            || rest == ":"
            || rest.starts_with(": ") =>
        {
            Kind::Yaml
        }
        _ => Kind::Command,
    }
}

/// A recipe in Tandem's own form is one that somebody else may have written, too.
fn own(text: &str) -> Result<ImportedRecipe, Problem> {
    let recipe = super::Recipe::parse(text).map_err(|e| refused(first_line(&e.to_string())))?;
    if let Some(fault) = super::faults(&recipe).into_iter().next() {
        return Err(fault);
    }
    Ok(own::import(recipe))
}

fn file(text: &str) -> Result<ImportedRecipe, Problem> {
    let document = yaml::read(text).map_err(refused)?;
    let root = &document.root;
    let has = |key: &str| root.get(key).is_some();
    let all = |keys: &[&str]| keys.iter().all(|key| has(key));
    let imported = if all(&["serve", "hardware", "backend"]) {
        nvidia::import(root)
    } else if root.at(&["model", "model_id"]).is_some() {
        axes::import(root)
    } else if root.text_of("model").is_some()
        && (has("container") || has("runtime") || has("command"))
        || all(&["container", "command"])
    {
        launcher::import(root)
    } else {
        Err(other_file(root))
    }?;
    Ok(imported.with_twice(&document.twice))
}

/// Files that lie beside recipes.
fn other_file(root: &Node) -> Problem {
    let has = |key: &str| root.get(key).is_some();
    let what = if has("registries") {
        "It lists registries of recipes and is no recipe itself."
    } else if has("recipe_sha256") || has("profiles") && has("harness") {
        "It holds figures that somebody measured and is no recipe itself."
    } else if has("framework") && has("args") {
        "It says how to measure and is no recipe itself."
    } else if has("deploy_type") || has("parallel_flag") {
        "It describes a way to divide a model between machines and names no model."
    } else if has("display_name") && has("builder") {
        "It describes a model and holds no command that serves it."
    } else if has("services") {
        "It is a compose file. Give the command of its service instead."
    } else {
        "It has the form of no recipe that Tandem knows."
    };
    refused(what)
}

/// The problem of an import that came to nothing.
fn refused(cause: impl AsRef<str>) -> Problem {
    Problem::new(Code::BadInput, "This cannot be imported as a recipe.")
        .cause(visible(cause.as_ref(), 600))
        .fix("Give a recipe of sparkrun, spark-vllm-docker, NVIDIA, the vLLM project or Tandem, or the command that serves.")
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
