//! A set-up as it was stored before recipes were data. Such a run is undone by this, and not resumed.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::request::{Setup, SetupRequest};
use crate::artifact::{Artifact, ArtifactRole, Selection};
use crate::graft::mtp_method::MtpMethod;
use crate::ids::MachineId;
use crate::network::NetworkPlan;
use crate::node::FetchLimits;
use crate::recipe::plan::{GraftPlan, LaunchPlan};
use crate::recipe::{
    Capabilities, Choices, Drafting, EngineKind, ImageRef, Memory, RecipeId, Variant, VariantId,
};

/// Reads the choices of a stored set-up, those of an older version too.
pub(super) fn read(choices: serde_json::Value) -> Result<Setup, serde_json::Error> {
    if choices.get("launch").is_some() {
        serde_json::from_value(choices)
    } else {
        serde_json::from_value::<SetupV3>(choices).map(Setup::from)
    }
}

/// The choices of set-up version 3 and before.
#[derive(Debug, Clone, Deserialize)]
struct SetupV3 {
    machines: Vec<MachineId>,
    network: Option<NetworkPlan>,
    hub_endpoint: String,
    repo: String,
    revision: String,
    source_repo: String,
    source_revision: String,
    image: String,
    api_port: u16,
    master_port: u16,
    served_model_name: String,
    max_model_len: u32,
    gpu_memory_utilization: f64,
    mtp: bool,
    speculative_tokens: u32,
    #[serde(default)]
    mtp_way: Option<MtpMethod>,
    engine_args: Vec<String>,
    engine_env: Vec<String>,
    ready_timeout_s: u32,
    #[serde(default)]
    download: FetchLimits,
}

impl From<SetupV3> for Setup {
    fn from(old: SetupV3) -> Self {
        let artifact = |role, repo: String, revision: String| Artifact {
            role,
            repo,
            revision,
            files: Selection::default(),
        };
        let variant = |id: &str, label: &str, drafting| Variant {
            id: VariantId(id.into()),
            label: label.into(),
            drafting,
            ..Variant::default()
        };
        let mut variants = vec![variant("plain", "Plain", None)];
        if old.mtp {
            let drafting = Drafting {
                method: "mtp".into(),
                tokens: old.speculative_tokens,
                most: old.speculative_tokens,
                folder: None,
                more: BTreeMap::new(),
            };
            variants.push(variant("mtp", "MTP", Some(drafting)));
        }
        let last = if old.mtp { "mtp" } else { "plain" };
        let env = old.engine_env.iter().filter_map(|e| e.split_once('='));
        let launch = LaunchPlan {
            recipe: RecipeId("of-version-3".into()),
            title: old.served_model_name.clone(),
            engine: EngineKind::Vllm,
            image: ImageRef {
                name: old.image,
                about: None,
            },
            hub_endpoint: old.hub_endpoint.clone(),
            ranks: old.machines.len(),
            network: old.network.clone(),
            artifacts: vec![artifact(ArtifactRole::Served, old.repo, old.revision)],
            served_name: old.served_model_name,
            context: old.max_model_len,
            memory_share: old.gpu_memory_utilization,
            ready_timeout_s: old.ready_timeout_s,
            api_port: old.api_port,
            master_port: old.master_port,
            env: env.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            left_out: Vec::new(),
            args: old.engine_args,
            can: Capabilities::default(),
            memory: Memory::default(),
            variants,
            graft: old.mtp.then(|| GraftPlan {
                donor: artifact(ArtifactRole::Donor, old.source_repo, old.source_revision),
                way: old.mtp_way,
                layer_bytes: 0,
                published_draft: None,
            }),
            download: old.download.clone(),
        };
        Self {
            request: SetupRequest {
                machines: old.machines,
                network: old.network,
                hub_endpoint: old.hub_endpoint,
                recipe: launch.recipe.clone(),
                variant: VariantId(last.into()),
                choices: Choices::default(),
                download: old.download,
            },
            launch,
        }
    }
}
