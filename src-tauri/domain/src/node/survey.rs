//! What a fetch would find: asked before anything is fetched, and changes nothing.

use serde::{Deserialize, Serialize};

use super::{FileFault, Repositories};

/// See [`super::NodeWork::Survey`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyRequest {
    /// For example `https://huggingface.co`.
    pub endpoint: String,
    /// What a fetch would bring.
    #[serde(flatten)]
    pub repositories: Repositories,
    /// As in [`super::FetchRequest::hf_home`].
    #[serde(default)]
    pub hf_home: Option<String>,
    /// Ranges asked for at once while the line is measured; 0 measures nothing.
    #[serde(default)]
    pub probe: u16,
}

/// What is there, what is missing and how fast it would come, of all repositories together. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Survey {
    /// The commit that the first revision means.
    pub commit: String,
    /// Selected files.
    pub files: u32,
    /// Bytes of these.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub bytes: u64,
    /// Bytes of the files with tensors among them.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub weights: u64,
    /// Bytes of blobs that are here in full. Their sizes are right; their hashes were not looked at.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub here: u64,
    /// Bytes of unfinished blobs that a fetch goes on from.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub partial: u64,
    /// Bytes that are still to be fetched.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub missing: u64,
    /// Files of the snapshot that are not the cache's own, or that another program left unfinished, with
    /// what that means.
    pub foreign: Vec<FileFault>,
    /// Free bytes on the disk of the cache.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub free: u64,
    /// Bytes per second that came from the Hub just now; `None` if it was not measured.
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub rate: Option<f64>,
    /// `config.json` of the first revision as text, for the arithmetic of memory.
    pub config: Option<String>,
    /// Whether the index names the MTP layers; `None` where there is no index or no config to tell.
    pub mtp_built_in: Option<bool>,
}
