//! The containers of a launch before anything was fetched, with each folder where the cache will have it.

use crate::artifact::ArtifactRole;
use crate::container::ContainerSpec;
use crate::engine::{self, OnDisk};
use crate::graft::mtp_method::MtpMethod;
use crate::machine::Facts;
use crate::node::{GraftKind, GraftReceipt};
use crate::problem::Problem;
use crate::recipe::Variant;
use crate::recipe::plan::LaunchPlan;

/// The containers of a variant on machines with these facts, the head's first.
pub(super) fn containers(
    plan: &LaunchPlan,
    variant: &Variant,
    machines: &[Facts],
) -> Result<Vec<ContainerSpec>, Problem> {
    let of_rank = |(rank, facts): (usize, &Facts)| {
        let folder = |role| {
            let found = plan.artifacts.iter().find(|a| a.role == role);
            found.map(|a| snapshot(facts, &a.repo, &a.revision))
        };
        let served = folder(ArtifactRole::Served).unwrap_or_default();
        let draft = folder(ArtifactRole::Draft).filter(|_| variant.drafting.is_some());
        let tokenizer = folder(ArtifactRole::Tokenizer);
        let graft = graft(plan, variant, facts);
        let found = OnDisk {
            facts,
            snapshot: &served,
            draft: draft.as_deref(),
            tokenizer: tokenizer.as_deref(),
            graft: graft.as_ref(),
            shared_store: false,
        };
        engine::of(plan.engine).container(plan, variant, rank, &found)
    };
    machines.iter().enumerate().map(of_rank).collect()
}

/// The folder of a revision in the cache.
fn snapshot(facts: &Facts, repo: &str, revision: &str) -> String {
    let repo = repo.replace('/', "--");
    format!("{}/models--{repo}/snapshots/{revision}", facts.hub())
}

/// What a graft leaves on a machine, where the plan has one: by the way that was chosen, or the layers of the
/// revision itself.
fn graft(plan: &LaunchPlan, variant: &Variant, facts: &Facts) -> Option<GraftReceipt> {
    let graft = plan.graft.as_ref().filter(|_| variant.drafting.is_some())?;
    let served = plan.served();
    let beside = |what: &str| {
        let repo = served.repo.replace('/', "--");
        let revision: String = served.revision.chars().take(12).collect();
        format!("{}/tandem/{repo}/{revision}-{what}", facts.hf_home)
    };
    let (kind, path) = match graft.way {
        Some(MtpMethod::Overlay) => (GraftKind::Overlay, beside("mtp")),
        Some(MtpMethod::Draft) => (GraftKind::Draft, beside("draft")),
        Some(MtpMethod::BuiltIn) | None => (
            GraftKind::BuiltIn,
            snapshot(facts, &served.repo, &served.revision),
        ),
    };
    Some(GraftReceipt {
        kind,
        path,
        tensors: 0,
        tensor_bytes: 0,
        fetched: 0,
        written: Vec::new(),
        patch: None,
    })
}
