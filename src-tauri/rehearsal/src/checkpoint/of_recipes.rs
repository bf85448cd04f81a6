//! A tiny checkpoint for every built-in recipe whose model has none of its own here: the files that every
//! checkpoint has, a few tensors, and a configuration that says what it is. The stand-in serves it without
//! asking for the tensors of a real architecture.

use std::io;
use std::path::Path;

use serde_json::json;
use sha1::{Digest, Sha1};
use tandem_domain::artifact::ArtifactRole;
use tandem_domain::recipe::{Recipe, catalog};

use super::shape::{Kind, Tensor};
use super::{BF16_REPO, NVFP4_REPO, numbered, point, pretty, write, write_revision};

/// The architecture of these checkpoints, as their configuration names it.
pub(crate) const MODEL_TYPE: &str = "tandem_rehearsal";

/// Writes a checkpoint for each artifact that a recipe or one of its variants fetches, unless it is there already. Repositories that
/// have a true structure of their own are left to those who write them.
pub(crate) fn write_recipes(repos: &Path) -> io::Result<()> {
    for recipe in catalog::launchable() {
        let of_variants = recipe.variants.iter().flat_map(|v| &v.artifacts);
        let fetched = recipe
            .artifacts
            .iter()
            .chain(of_variants)
            .filter(|a| a.role != ArtifactRole::Donor);
        for artifact in fetched {
            if ![BF16_REPO, NVFP4_REPO].contains(&artifact.repo.as_str()) {
                write_one(repos, recipe, &artifact.repo, &artifact.revision)?;
            }
        }
    }
    Ok(())
}

fn write_one(repos: &Path, recipe: &Recipe, repo: &str, revision: &str) -> io::Result<()> {
    let is_commit = revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit());
    let commit = match is_commit {
        true => revision.to_owned(),
        false => hex::encode(Sha1::digest(repo)),
    };
    let drafting = recipe.variants.iter().filter_map(|v| v.drafting.as_ref());
    let config = json!({
        "architectures": ["TandemRehearsalForCausalLM"],
        "model_type": MODEL_TYPE,
        "text_config": {
            "num_hidden_layers": LAYERS,
            "num_nextn_predict_layers": drafting.map(|d| d.most).max().unwrap_or(0),
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "hidden_size": HIDDEN,
            "vocab_size": VOCAB,
            "max_position_embeddings": recipe.settings.context.max(1 << 18),
        },
    });
    let weights = numbered(write::deal(tensors(), 2));
    let more = [("config.json", pretty(&config))];
    write_revision(repos, (repo, &commit), &weights, &more)?;
    if !is_commit {
        point(repos, repo, revision, &commit)?;
    }
    point(repos, repo, "main", &commit)
}

const LAYERS: usize = 2;
const HIDDEN: usize = 64;
const VOCAB: usize = 512;

fn tensors() -> Vec<Tensor> {
    let tensor = |name: String, shape: &[usize]| Tensor {
        name,
        kind: Kind::Bf16,
        shape: shape.to_vec(),
    };
    let mut all = vec![tensor("model.embed_tokens.weight".into(), &[VOCAB, HIDDEN])];
    for layer in 0..LAYERS {
        for part in ["self_attn.o_proj", "mlp.down_proj"] {
            let name = format!("model.layers.{layer}.{part}.weight");
            all.push(tensor(name, &[HIDDEN, HIDDEN]));
        }
    }
    all.push(tensor("lm_head.weight".into(), &[VOCAB, HIDDEN]));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_has_what_it_serves() {
        let dir = tempfile::tempdir().expect("folder");
        super::super::write_all(dir.path()).expect("written");
        for recipe in catalog::launchable() {
            let served = recipe.served().expect("a sound recipe");
            let repo = dir.path().join(&served.repo);
            let commit = std::fs::read_to_string(repo.join("refs").join(&served.revision));
            let commit = commit.unwrap_or_else(|_| served.revision.clone());
            assert!(
                repo.join(commit).join("config.json").is_file(),
                "{}",
                recipe.id
            );
        }
    }
}
