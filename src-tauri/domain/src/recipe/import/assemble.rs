//! Parts that every form has, made into a recipe.

use super::confirm::ImportedRecipe;
use super::names::{is_image, is_moving, slug};
use super::report::{ImportFate, NOT_SHOWN, Report, told};
use super::{ImportFormat, refused};
use crate::artifact::{Artifact, ArtifactRole, Selection};
use crate::engine::vllm::adopt::{self, Adopted, Repo, Target};
use crate::engine::vllm::flags::Releases;
use crate::foreign_text::visible;
use crate::problem::Problem;
use crate::recipe::{
    Capabilities, Defaults, EngineKind, Evidence, ImageRef, Memory, Nodes, Reasoning, Recipe,
    SCHEMA, Split, Variant,
};
use ImportFate::{Changed, Kept, Missing, Recomputed, Refused};

/// The most machines that Tandem serves over.
const MOST_MACHINES: u32 = 2;

/// Tokens of context where nothing says how many.
const CONTEXT: u32 = 32_768;

/// Share of the memory where nothing says how much.
const MEMORY_SHARE: f64 = 0.85;

/// What was found in a text, before it is a recipe.
pub(super) struct ImportParts {
    pub format: ImportFormat,
    pub title: String,
    pub image: Option<String>,
    /// The engine's version, where the text says it.
    pub version: Option<String>,
    /// The program, where it is not vLLM.
    pub other_engine: Option<String>,
    /// The fewest and the most machines, where the text says it.
    pub least: Option<u32>,
    pub most: Option<u32>,
    /// The words behind the command that serves.
    pub words: Vec<String>,
    /// Arguments of another way to serve it: drafting that is offered and not on.
    pub drafting: Vec<String>,
    pub env: Vec<(String, String)>,
    /// The model that the text names beside the command.
    pub model: Option<Repo>,
    /// Tokens of context that the model has, where the text says it.
    pub context: Option<u32>,
    /// Revisions of repositories by their names.
    pub revisions: Vec<(String, String)>,
    pub evidence: Vec<Evidence>,
    pub report: Report,
}

impl ImportParts {
    pub(super) fn new(format: ImportFormat, title: impl Into<String>) -> Self {
        Self {
            format,
            title: visible(&title.into(), 120),
            image: None,
            version: None,
            other_engine: None,
            least: None,
            most: None,
            words: Vec::new(),
            drafting: Vec::new(),
            env: Vec::new(),
            model: None,
            context: None,
            revisions: Vec::new(),
            evidence: Vec::new(),
            report: Report::default(),
        }
    }

    /// Makes the recipe, and the report whole.
    pub(super) fn finish(mut self) -> Result<ImportedRecipe, Problem> {
        if let Some(engine) = self.other_engine.take() {
            return Ok(self.for_reference(&engine));
        }
        let image = self.image();
        let target = self.target(image.as_deref());
        let mut adopted = adopt::adopt(&target, &self.words, &mut self.report);
        if !self.drafting.is_empty() {
            let also = adopt::adopt(&target, &self.drafting, &mut self.report);
            adopted.drafting = also.drafting;
            adopted.draft = also.draft;
            adopted.drafting_args = also.drafting_args;
            adopted.drafting_args.extend(also.args);
        }
        let model = self.model(&adopted)?;
        let env = self.environment(&target);
        let nodes = self.nodes(&adopted);
        let settings = self.settings(&adopted, &model);
        let mut artifacts = vec![self.artifact(ArtifactRole::Served, &model)];
        let others = [
            (ArtifactRole::Draft, &adopted.draft),
            (ArtifactRole::Tokenizer, &adopted.tokenizer),
        ];
        for (role, repo) in others {
            artifacts.extend(repo.iter().map(|repo| self.artifact(role, repo)));
        }
        for (name, revision) in &self.revisions {
            if !artifacts.iter().any(|a| a.repo == *name) {
                let why = "The command does not name it.";
                self.report
                    .note(Refused, "repository", format!("{name} at {revision}"), why);
            }
        }
        let recipe = Recipe {
            schema: SCHEMA,
            id: format!("imported-{}", slug(&self.title)).into(),
            title: self.title.clone(),
            proposed: false,
            reference: None,
            custom_build: None,
            least_release: None,
            gated: None,
            needs: Vec::new(),
            engine: EngineKind::Vllm,
            image: ImageRef {
                name: image.clone().unwrap_or_default(),
                about: None,
            },
            nodes,
            artifacts,
            settings,
            variants: variants(&adopted),
            args: adopted.args,
            env: env.into_iter().collect(),
            can: Capabilities {
                tools: adopted.tools,
                reasoning: adopted.reasoning.then(Reasoning::default),
                trust_remote_code: adopted
                    .trust_remote_code
                    .then(|| "The imported recipe asks for it.".to_owned()),
                ..Capabilities::default()
            },
            memory: Memory::default(),
            quirks: Vec::new(),
            evidence: self.evidence,
            figures: Vec::new(),
            differs: Vec::new(),
            dropped: Vec::new(),
        };
        if image.is_some()
            && let Some(fault) = crate::recipe::faults(&recipe).into_iter().next()
        {
            let cause = fault.cause.unwrap_or(fault.message);
            return Err(refused(cause));
        }
        let report = self.report.0;
        Ok(ImportedRecipe::new(
            self.format,
            self.title,
            Some(recipe),
            report,
        ))
    }

    /// An engine that Tandem does not serve with: everything is shown, nothing is taken.
    fn for_reference(mut self, engine: &str) -> ImportedRecipe {
        let why =
            "Tandem does not import recipes of this engine; its command is shown for reference.";
        self.report.note(Missing, "engine", engine, why);
        if let Some(image) = &self.image {
            self.report
                .note(Refused, "image", image, "It belongs to that engine.");
        }
        if !self.words.is_empty() {
            let words = told(&self.words);
            self.report
                .note(Refused, "command", words, "It belongs to that engine.");
        }
        for (name, value) in &self.env {
            let given = env_told(name, value);
            self.report.note(
                Refused,
                format!("env {name}"),
                given,
                "It belongs to that engine.",
            );
        }
        ImportedRecipe::new(self.format, self.title, None, self.report.0)
    }

    fn image(&mut self) -> Option<String> {
        let Some(image) = self.image.clone() else {
            let why = "No image with the engine is named.";
            self.report.note(Missing, "image", "", why);
            return None;
        };
        if !is_image(&image) {
            self.report
                .note(Missing, "image", image, "It is no name of an image.");
            return None;
        }
        let (fate, why) = match image.split_once('@') {
            Some((_, digest)) if digest.starts_with("sha256:") => (Kept, ""),
            Some(_) => (Missing, "Its digest is none."),
            None if !image.contains('/') => (
                Missing,
                "It was built on its author’s machine and lies in no registry; choose an image that does.",
            ),
            None if is_moving(&image) => (
                Recomputed,
                "The tag moves; what it means at the first pull is kept for both machines.",
            ),
            None => (Kept, ""),
        };
        self.report.note(fate, "image", image.clone(), why);
        (fate != Missing).then_some(image)
    }

    fn target(&self, image: Option<&str>) -> Target {
        let tag = image.and_then(|i| i.rsplit_once(':')).map(|(_, tag)| tag);
        let version = self.version.as_deref().and_then(Releases::of);
        let upstream = image.is_some_and(adopt::is_upstream);
        let of_tag = tag.filter(|_| upstream).and_then(Releases::of);
        Target {
            releases: of_tag.or(version).unwrap_or(Releases::any()),
            upstream,
        }
    }

    fn model(&mut self, adopted: &Adopted) -> Result<Repo, Problem> {
        match (&adopted.model, self.model.take()) {
            (Some(served), Some(named)) if served.name != named.name => {
                let why = format!("The command serves {}, and that counts.", served.name);
                self.report.note(Changed, "model", named.name, why);
                Ok(served.clone())
            }
            (Some(served), Some(named)) if served.revision == "main" => Ok(Repo {
                revision: named.revision,
                ..served.clone()
            }),
            (Some(served), _) => Ok(served.clone()),
            (None, Some(named)) => {
                self.report.kept("model", named.name.clone());
                Ok(named)
            }
            (None, None) => Err(refused(
                "It names no model that is a repository of the Hub.",
            )),
        }
    }

    fn artifact(&self, role: ArtifactRole, repo: &Repo) -> Artifact {
        let pinned = self.revisions.iter().find(|(name, _)| *name == repo.name);
        let revision = match pinned {
            Some((_, revision)) if repo.revision == "main" => revision.clone(),
            _ => repo.revision.clone(),
        };
        Artifact {
            role,
            repo: repo.name.clone(),
            revision,
            files: Selection::default(),
        }
    }

    fn environment(&mut self, target: &Target) -> Vec<(String, String)> {
        let mut kept: Vec<(String, String)> = Vec::new();
        for (name, value) in std::mem::take(&mut self.env) {
            let (fate, why) = adopt::variable(target, &name, &value);
            let given = env_told(&name, &value);
            self.report
                .note(fate, format!("env {}", visible(&name, 80)), given, why);
            if fate == Kept {
                kept.retain(|(n, _)| *n != name);
                kept.push((name, value));
            }
        }
        kept
    }

    fn nodes(&mut self, adopted: &Adopted) -> Nodes {
        let tensor = adopted.tensor.unwrap_or(1);
        let total = adopted
            .machines
            .unwrap_or_else(|| tensor.saturating_mul(adopted.pipeline.unwrap_or(1)))
            .max(1);
        let (least, most) = match (self.least, self.most) {
            (None, None) => (total, total),
            (least, most) => {
                let least = least.unwrap_or(1).max(1);
                // What is divided over three machines or more does not fit on two.
                let least = if total > MOST_MACHINES && most.is_none_or(|m| m >= total) {
                    least.max(total)
                } else {
                    least
                };
                (least, most.unwrap_or(MOST_MACHINES).max(least))
            }
        };
        if least > MOST_MACHINES {
            let why = format!("It needs {least} machines; Tandem serves over one or two.");
            self.report
                .note(Missing, "machines", least.to_string(), why);
        } else {
            let given = if least == most {
                least.to_string()
            } else {
                format!("{least} to {most}")
            };
            let now = most.min(MOST_MACHINES);
            match now == most {
                true => self.report.kept("machines", given),
                false => self.report.note(
                    Changed,
                    "machines",
                    given,
                    "Tandem serves over one or two machines.",
                ),
            }
        }
        Nodes {
            least,
            most: if least > MOST_MACHINES {
                least
            } else {
                most.min(MOST_MACHINES)
            },
            split: Split::Tensor,
        }
    }

    fn settings(&mut self, adopted: &Adopted, model: &Repo) -> Defaults {
        let context = adopted.context.unwrap_or_else(|| {
            let tokens = self.context.unwrap_or(CONTEXT).clamp(256, 1_048_576);
            let why = match self.context {
                Some(_) => "It is what the recipe says of the model.",
                None => "No number is given; it can be changed for each launch.",
            };
            self.report
                .becomes(Recomputed, "context", "", tokens.to_string(), why);
            tokens
        });
        let memory_share = adopted.memory_share.unwrap_or_else(|| {
            let why =
                "No share is given, and the engine’s own leaves a Spark too little for the system.";
            self.report.becomes(
                Recomputed,
                "memory share",
                "",
                MEMORY_SHARE.to_string(),
                why,
            );
            MEMORY_SHARE
        });
        Defaults {
            served_name: adopted
                .served_name
                .clone()
                .unwrap_or_else(|| model.name.clone()),
            context,
            memory_share,
            ready_timeout_s: 1800,
        }
    }
}

fn variants(adopted: &Adopted) -> Vec<Variant> {
    let plain = Variant {
        id: "plain".into(),
        label: "Plain".into(),
        ..Variant::default()
    };
    if adopted.drafting.is_none() && adopted.drafting_args.is_empty() {
        return vec![plain];
    }
    let drafting = Variant {
        id: "drafting".into(),
        label: "Drafting".into(),
        what: Some("Several tokens are drafted at a time, as the recipe asks for.".into()),
        drafting: adopted.drafting.clone(),
        args: adopted.drafting_args.clone(),
        ..Variant::default()
    };
    vec![plain, drafting]
}

/// The value of a variable as it is shown. A login is not.
fn env_told(name: &str, value: &str) -> String {
    match adopt::is_secret(name) {
        true => NOT_SHOWN.into(),
        false => visible(value, 200),
    }
}
