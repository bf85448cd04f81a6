//! A recipe is what can be served, as data: an engine, an image, what must be on the disks, settings,
//! arguments, and the variants in which it can be served.
//!
//! A built-in recipe is a TOML file in `builtin/`; nothing else in Tandem names its model. What a person
//! changes are [`Choices`]. Recipe, choices and machines together are resolved into a
//! [`LaunchPlan`](plan::LaunchPlan), which is all that the steps read.

pub mod catalog;
mod check;
mod choices;
pub mod compare;
pub mod import;
pub mod kept;
pub mod listing;
pub mod plan;
pub mod published;
mod variant;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::artifact::{Artifact, ArtifactRole};

use published::{Difference, Figure, Reference, UnmetNeed};

pub use check::faults;
pub use choices::{Choices, SettingValue};
pub use variant::{ChangedDefaults, Drafting, Variant, is_option, option_name};

pub use crate::ids::{RecipeId, SettingId, VariantId};

/// The version of the schema that this Tandem reads.
pub const SCHEMA: u32 = 1;

/// What stands in an argument for the folder of the served checkpoint as the engine sees it.
pub const MODEL_FOLDER: &str = "{model}";

/// What can be served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The schema's version: [`SCHEMA`].
    pub schema: u32,
    /// Its name here.
    pub id: RecipeId,
    /// Its name for people.
    pub title: String,
    /// Whether it is proposed where nothing was chosen.
    #[serde(default)]
    pub proposed: bool,
    /// Why it is shown and never launched, where that is so.
    #[serde(default)]
    pub reference: Option<Reference>,
    /// The program that serves it.
    pub engine: EngineKind,
    /// The container image with that program.
    pub image: ImageRef,
    /// What the image has that no release of the engine has, or who built it, in a sentence.
    #[serde(default)]
    pub custom_build: Option<String>,
    /// The first release of the engine that can serve it, such as `0.21`.
    #[serde(default)]
    pub least_release: Option<String>,
    /// The machines it can be served over.
    pub nodes: Nodes,
    /// The page on which its licence is accepted, where the Hub asks for that before it gives the files.
    #[serde(default)]
    pub gated: Option<String>,
    /// What a launch needs and Tandem does not bring.
    #[serde(default)]
    pub needs: Vec<UnmetNeed>,
    /// What must be on the disks. Exactly one is served.
    pub artifacts: Vec<Artifact>,
    /// Settings that every engine has.
    pub settings: Defaults,
    /// The engine's own arguments, the same on every machine, in order.
    #[serde(default)]
    pub args: Vec<Arg>,
    /// Environment of the containers.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What the served model can do.
    #[serde(default)]
    pub can: Capabilities,
    /// What was measured of its memory.
    #[serde(default)]
    pub memory: Memory,
    /// The ways to serve it. Each is proved before the one after it.
    pub variants: Vec<Variant>,
    /// What is special about it and needs code.
    #[serde(default)]
    pub quirks: Vec<Quirk>,
    /// Who saw it run.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// What others measured.
    #[serde(default)]
    pub figures: Vec<Figure>,
    /// Where ours has other words than all published launches of it, or words that they lack.
    #[serde(default)]
    pub differs: Vec<Difference>,
    /// What all published launches of it have and ours has not.
    #[serde(default)]
    pub dropped: Vec<Difference>,
}

/// A program that serves models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// vLLM.
    #[default]
    Vllm,
    /// llama.cpp's server.
    LlamaCpp,
    /// SGLang: its commands are shown, and it is not launched.
    Sglang,
    /// A script over Transformers: shown, and not launched.
    Transformers,
}

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ImageRef {
    /// As for `docker pull`.
    pub name: String,
    /// Its rough size for people, such as `10 GB`.
    #[serde(default)]
    pub about: Option<String>,
}

/// The machines a recipe can be served over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// The fewest.
    pub least: u32,
    /// The most.
    pub most: u32,
    /// How the model is divided between them.
    #[serde(default)]
    pub split: Split,
}

/// How a model is divided between machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Every layer is cut: tensor parallelism.
    #[default]
    Tensor,
}

/// Values of the settings that a person may change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// The name that requests use.
    pub served_name: String,
    /// Tokens of context.
    pub context: u32,
    /// Share of the memory that the engine may take, 0 to 1.
    pub memory_share: f64,
    /// Seconds until a start counts as failed.
    #[serde(default = "half_an_hour")]
    pub ready_timeout_s: u32,
}

fn half_an_hour() -> u32 {
    1800
}

/// Arguments of the engine that belong together, such as an option and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Arg {
    /// The words, one an argument. No shell ever sees them.
    pub words: Vec<String>,
    /// Why the recipe gives them.
    #[serde(default)]
    pub why: Option<String>,
}

/// The words of several arguments, in order.
pub fn words<'a>(args: impl IntoIterator<Item = &'a Arg>) -> impl Iterator<Item = &'a String> {
    args.into_iter().flat_map(|arg| &arg.words)
}

/// What a served model can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Capabilities {
    /// Whether it takes pictures.
    pub pictures: bool,
    /// Whether it calls tools.
    pub tools: bool,
    /// Whether it reasons before it answers.
    pub reasoning: Option<Reasoning>,
    /// Why its own code must run in the container. Without a reason it does not run.
    pub trust_remote_code: Option<String>,
}

/// How reasoning is switched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Reasoning {
    /// The argument of the chat template that switches it, such as `enable_thinking`.
    pub switch: Option<String>,
    /// How much it may reason, from little to much: values of `reasoning_effort`. None where it has no levels.
    pub levels: Vec<String>,
}

/// What was measured of a recipe's memory on each machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// MiB that the engine keeps beside weights and KV cache; the engine's own figure where nothing was measured.
    pub working_mib: Option<u64>,
    /// Where the figure comes from, as the end of a sentence.
    pub source: Option<String>,
    /// GiB of weights on one machine.
    pub weights_gib: Option<u32>,
}

/// What is special about a recipe and needs code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Quirk {
    /// The MTP layers may have to come from another release: the artifact with the role `donor`.
    GraftMtp {
        /// Bytes of these layers.
        layer_bytes: u64,
        /// A repository with a draft made of these layers.
        #[serde(default)]
        published_draft: Option<String>,
    },
}

/// Who saw a recipe run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Who.
    pub who: String,
    /// The address of the report.
    #[serde(rename = "where")]
    pub address: String,
    /// What was seen.
    pub what: String,
}

impl Recipe {
    /// Reads a recipe from TOML. The error names the line.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The artifact that is served. Recipes without one do not pass [`faults`].
    pub fn served(&self) -> Option<&Artifact> {
        self.artifacts
            .iter()
            .find(|a| a.role == ArtifactRole::Served)
    }

    /// Whether it can be served over so many machines; never where it is shown for reference.
    pub fn fits(&self, machines: usize) -> bool {
        self.reference.is_none()
            && u32::try_from(machines)
                .is_ok_and(|n| (self.nodes.least..=self.nodes.most).contains(&n))
    }

    /// The last variant, which the ones before it lead to.
    pub fn best(&self) -> Option<&Variant> {
        self.variants.last()
    }

    /// The artifact that MTP layers may come from.
    pub fn donor(&self) -> Option<&Artifact> {
        self.artifacts
            .iter()
            .find(|a| a.role == ArtifactRole::Donor)
    }

    /// The quirk that grafts MTP layers, if the recipe has it.
    pub fn graft(&self) -> Option<&Quirk> {
        let is_graft = |q: &&Quirk| matches!(q, Quirk::GraftMtp { .. });
        self.quirks.iter().find(is_graft)
    }

    /// A variant by its name.
    pub fn variant(&self, id: &VariantId) -> Option<&Variant> {
        self.variants.iter().find(|v| v.id == *id)
    }
}
