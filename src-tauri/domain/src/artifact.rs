//! What must be on the disks before a model can be served: files of a repository at a revision.

use serde::{Deserialize, Serialize};

/// Files of one repository of the Hub, and what they are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// What it is for.
    pub role: ArtifactRole,
    /// As on the Hub: `owner/name`.
    pub repo: String,
    /// A branch, tag or commit.
    pub revision: String,
    /// Which of its files.
    #[serde(default)]
    pub files: Selection,
}

/// What an artifact is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactRole {
    /// It is served.
    Served,
    /// It drafts tokens for what is served.
    Draft,
    /// Layers are taken from it; it is not fetched as a whole.
    Donor,
    /// Its tokenizer is used.
    Tokenizer,
}

/// Which files of a repository are meant. A pattern is a path in which `*` stands for any characters and `?`
/// for one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// Those that one of these patterns fits.
    Only(Vec<String>),
    /// All but those that one of these patterns fits.
    AllBut(Vec<String>),
}
