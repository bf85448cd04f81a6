//! What a person changed in a recipe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::SettingId;

/// A value that was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum SettingValue {
    /// A whole number or a share.
    Number(#[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))] f64),
    /// A text, or the name of an option.
    Text(String),
    /// Words, one an argument.
    Words(Vec<String>),
}

/// The settings that a person changed; what is not here is as the recipe has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Choices(pub BTreeMap<SettingId, SettingValue>);

impl Choices {
    /// The chosen value of a setting.
    pub fn get(&self, id: &str) -> Option<&SettingValue> {
        self.0.get(&SettingId(id.to_owned()))
    }

    /// Chooses a value.
    pub fn set(&mut self, id: &str, value: SettingValue) {
        self.0.insert(SettingId(id.to_owned()), value);
    }

    /// With this value chosen.
    pub fn with(mut self, id: &str, value: impl Into<SettingValue>) -> Self {
        self.set(id, value.into());
        self
    }
}

impl From<f64> for SettingValue {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for SettingValue {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<&str> for SettingValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<String>> for SettingValue {
    fn from(words: Vec<String>) -> Self {
        Self::Words(words)
    }
}
