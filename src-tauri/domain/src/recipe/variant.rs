//! A way to serve a recipe, and what it changes in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::published::{Difference, PublishedLaunch};
use super::{Arg, ImageRef, Recipe, VariantId, words};
use crate::artifact::Artifact;

/// A way to serve a recipe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name within the recipe.
    pub id: VariantId,
    /// Its name for people.
    pub label: String,
    /// What it is, in a sentence.
    #[serde(default)]
    pub what: Option<String>,
    /// How it drafts tokens.
    #[serde(default)]
    pub drafting: Option<Drafting>,
    /// Arguments beside those of the recipe. An option that the recipe gives too takes its place.
    #[serde(default)]
    pub args: Vec<Arg>,
    /// Options of the recipe that it goes without, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Environment beside that of the recipe.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Settings in place of the recipe's.
    #[serde(default, skip_serializing_if = "ChangedDefaults::is_none")]
    pub settings: ChangedDefaults,
    /// The image in place of the recipe's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRef>,
    /// Artifacts in place of the recipe's with the same role, or beside them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// The launches that others published and that it carries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub launches: Vec<PublishedLaunch>,
    /// Where ours has other words than all of these launches, or words that they lack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Difference>,
    /// What all of these launches have and ours has not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Difference>,
    /// The whole command after the image, of a recipe that is shown for reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The words of `docker run` before the image, of a recipe that is shown for reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub docker: Vec<String>,
}

/// Settings that a variant changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ChangedDefaults {
    /// The name that requests use.
    pub served_name: Option<String>,
    /// Tokens of context.
    pub context: Option<u32>,
    /// Share of the memory that the engine may take, 0 to 1.
    pub memory_share: Option<f64>,
}

impl ChangedDefaults {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// How several tokens are drafted at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Drafting {
    /// The engine's name of the method.
    pub method: String,
    /// Speculative tokens at a time.
    pub tokens: u32,
    /// The most that can be chosen.
    pub most: u32,
    /// The folder of the served checkpoint that holds the draft, where it is one of its folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// What else the engine is told of the drafting, by its own names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, serde_json::Value>,
}

/// Whether a word names an option: `--port`, `-c`, `--port=1`; a negative number does not.
pub fn is_option(word: &str) -> bool {
    let after = word.trim_start_matches('-');
    after.len() < word.len() && after.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// The name of an option without its value.
pub fn option_name(word: &str) -> &str {
    word.split_once('=').map_or(word, |(name, _)| name)
}

impl Variant {
    /// These arguments as the variant has them: without what it goes without, and with its own in place of those of
    /// the same name, at the end.
    pub fn over(&self, args: &[String]) -> Vec<String> {
        let own: Vec<&String> = words(&self.args).collect();
        let named = own.iter().filter(|w| is_option(w)).map(|w| option_name(w));
        let out: Vec<&str> = named
            .chain(self.without.iter().map(String::as_str))
            .collect();
        let mut kept = Vec::new();
        let mut keeps = true;
        for word in args {
            if is_option(word) {
                keeps = !out.contains(&option_name(word));
            }
            if keeps {
                kept.push(word.clone());
            }
        }
        kept.extend(own.into_iter().cloned());
        kept
    }

    /// What a launch needs of it. Image, environment, artifacts and settings stand in the launch plan by then.
    pub fn resolved(&self) -> Self {
        Self {
            id: self.id.clone(),
            label: self.label.clone(),
            what: self.what.clone(),
            drafting: self.drafting.clone(),
            args: self.args.clone(),
            without: self.without.clone(),
            ..Self::default()
        }
    }
}

impl Recipe {
    /// The recipe with the image, environment, artifacts and settings of one of its variants; as it is where it
    /// has no such variant.
    pub fn in_variant(&self, id: &VariantId) -> Self {
        let mut own = self.clone();
        let Some(variant) = self.variant(id) else {
            return own;
        };
        if let Some(image) = &variant.image {
            own.image = image.clone();
        }
        own.env.extend(variant.env.clone());
        for artifact in &variant.artifacts {
            own.artifacts.retain(|a| a.role != artifact.role);
        }
        own.artifacts.extend(variant.artifacts.iter().cloned());
        let changed = &variant.settings;
        if let Some(name) = &changed.served_name {
            own.settings.served_name.clone_from(name);
        }
        own.settings.context = changed.context.unwrap_or(own.settings.context);
        own.settings.memory_share = changed.memory_share.unwrap_or(own.settings.memory_share);
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg(words: &[&str]) -> Arg {
        Arg {
            words: words.iter().map(|w| (*w).to_owned()).collect(),
            why: None,
        }
    }

    #[test]
    fn an_argument_of_the_variant_takes_the_place_of_the_recipes() {
        let args: Vec<String> = ["--a", "1", "--b=2", "--c", "--d", "-1", "x"]
            .map(str::to_owned)
            .into();
        let variant = Variant {
            args: vec![arg(&["--b", "3"]), arg(&["--e"])],
            without: vec!["--c".into()],
            ..Variant::default()
        };
        assert_eq!(
            variant.over(&args),
            ["--a", "1", "--d", "-1", "x", "--b", "3", "--e"]
        );
        assert_eq!(Variant::default().over(&args), args);
    }
}
