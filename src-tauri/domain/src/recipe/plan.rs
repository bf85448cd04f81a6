//! A launch plan: recipe, variant, choices and machines resolved into what the steps read.

use serde::{Deserialize, Serialize};

use super::{Capabilities, Drafting, EngineKind, ImageRef, Memory, RecipeId, Variant, VariantId};
use crate::artifact::{Artifact, ArtifactRole};
use crate::graft::mtp_method::MtpMethod;
use crate::network::NetworkPlan;
use crate::node::{FetchLimits, FetchReceipt, RepoFiles, Repositories};

/// What the steps of a set-up read. It is checked, and stored with the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// The recipe it was made from.
    pub recipe: RecipeId,
    /// The recipe's name for people.
    pub title: String,
    /// The program that serves.
    pub engine: EngineKind,
    /// The container image.
    pub image: ImageRef,
    /// For example `https://huggingface.co`.
    pub hub_endpoint: String,
    /// The machines' number. Rank 0 is the head.
    pub ranks: usize,
    /// The addresses on the private link; `None` for one machine.
    pub network: Option<NetworkPlan>,
    /// What is served, and what else is needed for it.
    pub artifacts: Vec<Artifact>,
    /// The name that requests use.
    pub served_name: String,
    /// Tokens of context.
    pub context: u32,
    /// Share of the memory that the engine may take, 0 to 1.
    pub memory_share: f64,
    /// Seconds until a start counts as failed.
    pub ready_timeout_s: u32,
    /// The port of the API on the head's loopback.
    pub api_port: u16,
    /// The port at which the ranks meet, on the private link.
    pub master_port: u16,
    /// The engine's own arguments, the same for every rank.
    pub args: Vec<String>,
    /// More environment for the containers.
    pub env: Vec<(String, String)>,
    /// What of the recipe is left out, since the engine of this image does nothing with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What the model can do.
    pub can: Capabilities,
    /// What was measured of its memory.
    pub memory: Memory,
    /// The variants to launch, each proved before the next. The last one stays.
    pub variants: Vec<Variant>,
    /// Where MTP layers come from, if a variant may need them.
    pub graft: Option<GraftPlan>,
    /// How much of the line the download may take, and when.
    pub download: FetchLimits,
}

/// See [`LaunchPlan::left_out`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// `--flag`, or `env:NAME`.
    pub item: String,
    /// As the recipe has it.
    pub given: String,
    /// Why, as a sentence.
    pub why: String,
}

/// See [`LaunchPlan::graft`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraftPlan {
    /// The release that has the layers.
    pub donor: Artifact,
    /// How the layers are served; `None` lets the step choose by what image and revision tell.
    pub way: Option<MtpMethod>,
    /// Bytes of the layers.
    pub layer_bytes: u64,
    /// A repository with a draft made of these layers.
    pub published_draft: Option<String>,
}

impl LaunchPlan {
    /// The artifact that is served.
    ///
    /// # Panics
    ///
    /// Never for a plan that was resolved: a recipe without one does not pass its check.
    pub fn served(&self) -> &Artifact {
        let served = self
            .artifacts
            .iter()
            .find(|a| a.role == ArtifactRole::Served);
        served.expect("a resolved plan serves an artifact")
    }

    /// What is fetched: all artifacts but a donor, the served one first.
    pub fn repositories(&self) -> Repositories {
        Repositories {
            first: self.served().into(),
            others: self.beside().map(RepoFiles::from).collect(),
        }
    }

    /// What is fetched beside the served artifact, in the order of [`LaunchPlan::repositories`].
    fn beside(&self) -> impl Iterator<Item = &Artifact> {
        self.artifacts
            .iter()
            .filter(|a| matches!(a.role, ArtifactRole::Draft | ArtifactRole::Tokenizer))
    }

    /// Where the artifact of a role lies on a machine, absolute; `None` where the plan has none.
    pub fn snapshot_of<'a>(
        &self,
        role: ArtifactRole,
        fetched: &'a FetchReceipt,
    ) -> Option<&'a str> {
        let mut others = self.beside().zip(&fetched.others);
        let found = others.find(|(artifact, _)| artifact.role == role);
        found.map(|(_, there)| there.snapshot.as_str())
    }

    /// The variant that stays.
    pub fn last(&self) -> Option<&Variant> {
        self.variants.last()
    }

    /// A variant of this plan by its name.
    pub fn variant(&self, id: &VariantId) -> Option<&Variant> {
        self.variants.iter().find(|v| v.id == *id)
    }

    /// The variants that are launched after this one and take its place.
    pub fn after(&self, id: &VariantId) -> impl Iterator<Item = &Variant> {
        let at = self.variants.iter().position(|v| v.id == *id);
        self.variants
            .iter()
            .skip(at.map_or(self.variants.len(), |n| n + 1))
    }

    /// Whether anything may cross a private link: known before anything was looked at.
    pub fn is_linked(&self) -> bool {
        self.ranks > 1 && self.network.iter().any(|n| !n.rails.is_empty())
    }
}

impl Variant {
    /// Its label with the number of speculative tokens, such as `MTP, 3 tokens`.
    pub fn full_label(&self) -> String {
        match self.drafting.as_ref().map(|d| d.tokens) {
            None => self.label.clone(),
            Some(1) => format!("{}, 1 token", self.label),
            Some(n) => format!("{}, {n} tokens", self.label),
        }
    }

    /// Speculative tokens at a time.
    pub fn speculative_tokens(&self) -> Option<u32> {
        self.drafting.as_ref().map(|d: &Drafting| d.tokens)
    }
}
