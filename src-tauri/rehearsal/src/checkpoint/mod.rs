//! Tiny checkpoints with the true structure of Step-3.7-Flash, laid out as the [`hub`](crate::hub)
//! serves them: `OWNER/NAME/COMMIT/files`, and `OWNER/NAME/refs/BRANCH` with a commit inside.
//!
//! Three revisions, as they stand in the world:
//! - the BF16 release, with the MTP layers in its last shards;
//! - the first NVFP4 release, without them, its per-layer lists cut to 45 and a
//!   `configuration_step3p7.py` that cuts them too;
//! - the NVFP4 release that carries them in `model-mtp-bf16.safetensors`.

pub mod config;
pub(crate) mod of_recipes;
pub mod shape;
pub mod synthetic;
pub mod texts;
pub mod write;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use config::Lists;
use shape::{Release, Tensor, Widths};
use write::Written;

/// The repository with everything in BF16.
pub const BF16_REPO: &str = "stepfun-ai/Step-3.7-Flash";
/// Its only commit here.
pub const BF16_COMMIT: &str = "a1c9d24e6f0b83751e5b7a90c2d4f6183705b9ce";
/// The repository that is served.
pub const NVFP4_REPO: &str = "stepfun-ai/Step-3.7-Flash-NVFP4";
/// The revision with MTP layers; `main` points to it.
pub const NVFP4_COMMIT: &str = "4275532ffd9a9496ff36b7a2dc4a9db1048da438";
/// The revision before it, without.
pub const NVFP4_OLD_COMMIT: &str = "0b5e7c1d94f2a8603b6d15c7e2f9480a7d3c61be";
/// The file in which the newer revision carries its MTP layers.
pub const MTP_FILE: &str = "model-mtp-bf16.safetensors";
/// Sizes and hashes of a revision's weights, kept so that a large file is not hashed again.
pub const HASHES: &str = ".hashes.json";

/// One revision to be written.
pub(crate) struct FakeRevision<'a> {
    pub(crate) repo: &'a str,
    pub(crate) commit: &'a str,
    pub(crate) widths: Widths,
    pub(crate) lists: Lists,
    /// Whether the quantization's exceptions name the MTP layers; `None` where nothing is quantized.
    pub(crate) quantized: Option<bool>,
    pub(crate) truncating: bool,
    /// File names with what goes into them.
    pub(crate) files: Vec<(String, Vec<Tensor>)>,
}

/// Names shards as the Hub's are named.
pub(crate) fn numbered(shards: Vec<Vec<Tensor>>) -> Vec<(String, Vec<Tensor>)> {
    let n = shards.len();
    shards
        .into_iter()
        .enumerate()
        .map(|(i, tensors)| (format!("model-{:05}-of-{n:05}.safetensors", i + 1), tensors))
        .collect()
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("JSON values can be written");
    text.push(b'\n');
    text
}

/// Writes a revision: its weights with their index, the files that every checkpoint has, and these beside them.
/// All of it goes into a folder beside and is moved into place; a finished one is left alone.
pub(crate) fn write_revision(
    repos: &Path,
    (repo, commit): (&str, &str),
    weights: &[(String, Vec<Tensor>)],
    more: &[(&str, Vec<u8>)],
) -> io::Result<()> {
    let folder = repos.join(repo).join(commit);
    if folder.join(HASHES).exists() {
        return Ok(());
    }
    let draft = folder.with_extension("draft");
    if draft.exists() {
        std::fs::remove_dir_all(&draft)?;
    }
    std::fs::create_dir_all(&draft)?;
    let mut hashes: BTreeMap<String, Value> = BTreeMap::new();
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    let mut total = 0;
    for (name, tensors) in weights {
        for t in tensors {
            map.insert(t.name.clone(), name.clone());
            total += t.bytes();
        }
        let Written { bytes, sha256 } = write::shard(&draft.join(name), tensors.clone())?;
        hashes.insert(name.clone(), json!({"size": bytes, "sha256": sha256}));
    }
    let index = json!({"metadata": {"total_size": total}, "weight_map": map});
    let put = |name: &str, content: &[u8]| std::fs::write(draft.join(name), content);
    put("model.safetensors.index.json", &pretty(&index))?;
    put("tokenizer.json", &pretty(&texts::tokenizer()))?;
    put("tokenizer_config.json", &pretty(&texts::tokenizer_config()))?;
    put("README.md", texts::card(repo).as_bytes())?;
    for (name, content) in more {
        put(name, content)?;
    }
    put(HASHES, &pretty(&json!(hashes)))?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::rename(&draft, &folder)
}

impl FakeRevision<'_> {
    /// Writes it, unless it is there already.
    pub(crate) fn write(self, repos: &Path) -> io::Result<()> {
        let config = config::config(
            &self.widths,
            self.lists,
            self.quantized.map(config::quantization),
        );
        let python = if self.truncating {
            texts::configuration_truncating()
        } else {
            texts::CONFIGURATION_WHOLE.to_owned()
        };
        let mut more = vec![
            ("config.json", pretty(&config)),
            ("configuration_step3p7.py", python.into_bytes()),
            (
                "generation_config.json",
                pretty(&texts::generation_config()),
            ),
            ("chat_template.jinja", texts::CHAT_TEMPLATE.into()),
            (
                ".gitattributes",
                b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n".to_vec(),
            ),
        ];
        if let Some(mtp) = self.quantized {
            let quantization = pretty(&config::hf_quant_config(mtp));
            more.push(("hf_quant_config.json", quantization));
        }
        write_revision(repos, (self.repo, self.commit), &self.files, &more)
    }
}

/// Points a branch of a repository to a commit.
pub fn point(repos: &Path, repo: &str, branch: &str, commit: &str) -> io::Result<()> {
    let refs = repos.join(repo).join("refs");
    std::fs::create_dir_all(&refs)?;
    std::fs::write(refs.join(branch), commit)
}

/// The BF16 release's shards: the body dealt out, layer 45 in the last but one, 46 and 47 in the last.
pub(crate) fn bf16_files(w: &Widths, shards: usize) -> Vec<(String, Vec<Tensor>)> {
    let mut files = write::deal(shape::body(w, Release::Bf16), shards);
    let last = files.len() - 1;
    for t in shape::mtp(w) {
        let first_layer = t.name.starts_with("model.layers.45.");
        files[last - usize::from(first_layer && last > 0)].push(t);
    }
    numbered(files)
}

/// Writes the three revisions below `repos`, and what the other built-in recipes serve, unless they are there
/// already.
pub fn write_all(repos: &Path) -> io::Result<()> {
    let w = Widths::TINY;
    FakeRevision {
        repo: BF16_REPO,
        commit: BF16_COMMIT,
        widths: w,
        lists: Lists::Whole,
        quantized: None,
        truncating: false,
        files: bf16_files(&w, 6),
    }
    .write(repos)?;
    let body = || numbered(write::deal(shape::body(&w, Release::Nvfp4), 4));
    FakeRevision {
        repo: NVFP4_REPO,
        commit: NVFP4_OLD_COMMIT,
        widths: w,
        lists: Lists::Truncated,
        quantized: Some(false),
        truncating: true,
        files: body(),
    }
    .write(repos)?;
    let mut files = body();
    files.push((MTP_FILE.to_owned(), shape::mtp(&w)));
    FakeRevision {
        repo: NVFP4_REPO,
        commit: NVFP4_COMMIT,
        widths: w,
        lists: Lists::Whole,
        quantized: Some(true),
        truncating: false,
        files,
    }
    .write(repos)?;
    point(repos, BF16_REPO, "main", BF16_COMMIT)?;
    point(repos, NVFP4_REPO, "main", NVFP4_COMMIT)?;
    // The old state under a name of its own, for a run that wants the graft.
    point(repos, NVFP4_REPO, "before-mtp", NVFP4_OLD_COMMIT)?;
    of_recipes::write_recipes(repos)
}

#[cfg(test)]
mod tests {
    use super::{BF16_COMMIT, BF16_REPO, NVFP4_COMMIT, NVFP4_OLD_COMMIT, NVFP4_REPO, write_all};
    use serde_json::Value;

    #[test]
    fn the_three_revisions_are_as_in_the_world_and_written_once() {
        let dir = tempfile::tempdir().expect("folder");
        write_all(dir.path()).expect("written");
        let json = |repo: &str, commit: &str, file: &str| -> Value {
            let path = dir.path().join(repo).join(commit).join(file);
            serde_json::from_slice(&std::fs::read(path).expect("file")).expect("JSON")
        };
        let lists = |repo, commit| {
            json(repo, commit, "config.json")["text_config"]["layer_types"]
                .as_array()
                .map(Vec::len)
        };
        assert_eq!(lists(BF16_REPO, BF16_COMMIT), Some(48));
        assert_eq!(lists(NVFP4_REPO, NVFP4_OLD_COMMIT), Some(45));
        assert_eq!(lists(NVFP4_REPO, NVFP4_COMMIT), Some(48));
        let mtp = |repo, commit| {
            let index = json(repo, commit, "model.safetensors.index.json");
            let map = index["weight_map"].as_object().expect("map").clone();
            map.keys()
                .filter(|k| {
                    ["45.", "46.", "47."]
                        .iter()
                        .any(|l| k.starts_with(&format!("model.layers.{l}")))
                })
                .count()
        };
        assert_eq!(mtp(BF16_REPO, BF16_COMMIT), 51);
        assert_eq!(mtp(NVFP4_REPO, NVFP4_OLD_COMMIT), 0);
        assert_eq!(mtp(NVFP4_REPO, NVFP4_COMMIT), 51);
        let config = dir
            .path()
            .join(NVFP4_REPO)
            .join(NVFP4_COMMIT)
            .join("config.json");
        let before = std::fs::metadata(&config)
            .and_then(|m| m.modified())
            .expect("time");
        write_all(dir.path()).expect("again");
        let after = std::fs::metadata(&config)
            .and_then(|m| m.modified())
            .expect("time");
        assert_eq!(before, after, "a second call touches nothing");
    }
}
