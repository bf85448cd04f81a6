//! What others published: their launches, how ours differs from them and why, and what they measured.

use serde::{Deserialize, Serialize};

use super::{Choices, RecipeId};

/// Why a recipe is shown for reference and is launched on no machine of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The hardware that it was published for, such as `8 GPUs of 141 GB`.
    pub hardware: String,
    /// Why it is not launched, in a sentence.
    pub why: String,
}

/// What a launch needs and Tandem does not bring. It stops the launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UnmetNeed {
    /// What is missing and what fails without it, in a sentence.
    pub why: String,
    /// What a person can do, in a sentence.
    pub fix: String,
    /// It is missing with this image alone; with every image where none is named.
    #[serde(default)]
    pub image: Option<String>,
}

impl UnmetNeed {
    /// Whether it is missing with this image.
    pub fn is_missing_with(&self, image: &str) -> bool {
        self.image.as_deref().is_none_or(|named| named == image)
    }
}

/// A launch that somebody published, which a variant carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishedLaunch {
    /// Its name. No other launch has it.
    pub id: RecipeId,
    /// Machines that serve it.
    #[serde(default = "one")]
    pub machines: usize,
    /// What it has otherwise than the variant.
    #[serde(default)]
    pub choices: Choices,
    /// Where ours has other words than it, or words that it lacks.
    #[serde(default)]
    pub differs: Vec<Difference>,
    /// What it has and ours has not.
    #[serde(default)]
    pub dropped: Vec<Difference>,
}

fn one() -> usize {
    1
}

/// A difference between a published launch and ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// An option such as `--port`, `env:NAME`, `docker:--option`, `docker:-v /inside`, `image`, `model` or `machine`.
    pub item: String,
    /// Why. Without one it is the reason that holds for every launch of the engine.
    #[serde(default)]
    pub why: Option<String>,
}

/// A figure that somebody published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// The figure.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub value: f64,
    /// Its unit, such as `tok/s`.
    pub unit: String,
    /// Under which conditions.
    pub under: String,
    /// The address of the report.
    pub source: String,
}
