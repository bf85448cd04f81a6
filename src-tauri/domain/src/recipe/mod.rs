//! The procedures Tandem knows, and what a person may choose in them.

use serde::{Deserialize, Serialize};

use crate::network::NetworkPlan;

/// What the set-up of a pair (or of one machine) is to do. Stored with the run; holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct SetupRequest {
    /// The machines' ids, the head first.
    pub machines: Vec<String>,
    /// The addresses on the private link; `None` for a single machine.
    pub network: Option<NetworkPlan>,
    /// For example `https://huggingface.co`.
    pub hub_endpoint: String,
    /// The repository that is served.
    pub repo: String,
    /// Its branch, tag or commit.
    pub revision: String,
    /// The repository with the MTP layers in BF16.
    pub source_repo: String,
    /// Its branch, tag or commit.
    pub source_revision: String,
    /// The container image.
    pub image: String,
    /// The port of the API on the head's loopback.
    pub api_port: u16,
    /// The port at which the two ranks meet, on the private link.
    pub master_port: u16,
    /// The name that requests use.
    pub served_model_name: String,
    /// Tokens of context.
    pub max_model_len: u32,
    /// Share of the memory that vLLM may take, 0 to 1.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub gpu_memory_utilization: f64,
    /// Whether it ends in a server with MTP.
    pub mtp: bool,
    /// Tokens drafted at a time (num_speculative_tokens).
    pub speculative_tokens: u32,
    /// How long the server may take until it answers.
    pub ready_timeout_s: u32,
}
