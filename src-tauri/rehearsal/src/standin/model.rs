//! Reads the checkpoint as strictly as vLLM does: configuration, index, every file's header.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::args::Args;
use super::log::Failure;
use crate::checkpoint::of_recipes::MODEL_TYPE;
use crate::checkpoint::shape::{Release, Widths, body};

/// A checkpoint that can be served.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) folder: PathBuf,
    pub(crate) config: Value,
    /// Files with weights, in order.
    pub(crate) files: Vec<String>,
    /// Every tensor's type and shape.
    pub(crate) tensors: HashMap<String, (Dtype, Vec<usize>)>,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// The same on two machines if their checkpoints are.
    pub(crate) fingerprint: String,
}

fn config_error(text: impl Into<String>) -> Failure {
    Failure::Config(text.into())
}

fn worker_error(text: impl Into<String>) -> Failure {
    Failure::Worker(text.into())
}

/// The folder for what was given as the model: itself, or a snapshot in the Hugging Face cache.
fn locate(args: &Args) -> Result<PathBuf, Failure> {
    let path = Path::new(&args.model);
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    let is_repo = !args.model.starts_with(['/', '.', '~']) && args.model.matches('/').count() == 1;
    if !is_repo {
        return Err(config_error(format!(
            "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '{}'. Use `repo_type` argument if needed.",
            args.model
        )));
    }
    let home = std::env::var_os("HF_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/huggingface")
        });
    let repo = home
        .join("hub")
        .join(format!("models--{}", args.model.replace('/', "--")));
    let revision = args.value("--revision").unwrap_or("main");
    let commit = std::fs::read_to_string(repo.join("refs").join(revision))
        .unwrap_or_else(|_| revision.to_owned());
    let snapshot = repo.join("snapshots").join(commit.trim());
    if snapshot.is_dir() {
        return Ok(snapshot);
    }
    Err(config_error(
        "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified revision on the local disk and outgoing traffic has been disabled. To enable repo look-ups and downloads online, set 'HF_HUB_OFFLINE=0' as environment variable.",
    ))
}

fn json(folder: &Path, name: &str) -> Result<Option<Value>, Failure> {
    let Ok(text) = std::fs::read(folder.join(name)) else {
        return Ok(None);
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        config_error(format!(
            "OSError: It looks like the config file at '{}' is not a valid JSON file. ({error})",
            folder.join(name).display()
        ))
    })
}

impl Model {
    /// What needs only the configuration; it happens before the engine starts.
    pub(crate) fn configure(args: &Args) -> Result<Self, Failure> {
        let folder = locate(args)?;
        let missing = |name: &str| {
            config_error(format!(
                "OSError: {} does not appear to have a file named {name}. Checkout 'https://huggingface.co/{}/tree/main' for available files.",
                args.model, args.model
            ))
        };
        let config = json(&folder, "config.json")?.ok_or_else(|| missing("config.json"))?;
        let kind = config["model_type"].as_str().unwrap_or_default();
        if kind == "step3p7" && !args.flag("--trust-remote-code") {
            return Err(config_error(
                "ValueError: The checkpoint you are trying to load has model type `step3p7` but Transformers does not recognize this architecture. This could be because of an issue with the checkpoint, or because your version of Transformers is out of date.",
            ));
        }
        let plain = kind == MODEL_TYPE;
        if kind != "step3p7" && !plain {
            return Err(config_error(format!(
                "ValueError: Model architectures {} are not supported for now. Supported architectures: dict_keys(['Step3p7ForConditionalGeneration'])",
                config["architectures"]
            )));
        }
        let code = (!plain).then_some("configuration_step3p7.py");
        let needed = ["tokenizer.json", "tokenizer_config.json"];
        for name in code.into_iter().chain(needed) {
            if !folder.join(name).is_file() {
                return Err(missing(name));
            }
        }
        let most = config["text_config"]["max_position_embeddings"]
            .as_u64()
            .unwrap_or(0);
        let asked = args.number("--max-model-len", most);
        if asked > most {
            return Err(config_error(format!(
                "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, User-specified max_model_len ({asked}) is greater than the derived max_model_len (max_position_embeddings={most}.0 or model_max_length=None in model's config.json)."
            )));
        }
        if let (Some(asked), None) = (
            args.value("--quantization"),
            config.get("quantization_config"),
        ) {
            return Err(config_error(format!(
                "ValueError: Cannot find the config file for {asked}"
            )));
        }
        Ok(Self {
            folder,
            config,
            files: Vec::new(),
            tensors: HashMap::new(),
            bytes: 0,
            fingerprint: String::new(),
        })
    }

    /// A draft: a checkpoint with the MTP layers alone, of which only the configuration is read so far.
    pub(crate) fn draft(path: &str) -> Result<Self, Failure> {
        let folder = PathBuf::from(path);
        let missing = |name: &str| {
            config_error(format!(
                "OSError: {path} does not appear to have a file named {name}. Checkout 'https://huggingface.co/{path}/tree/main' for available files."
            ))
        };
        if !folder.is_dir() {
            return Err(config_error(format!(
                "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '{path}'. Use `repo_type` argument if needed."
            )));
        }
        let config = json(&folder, "config.json")?.ok_or_else(|| missing("config.json"))?;
        if config["model_type"] != "step3p7" {
            return Err(config_error(
                "NotImplementedError: Unsupported speculative method: 'mtp'",
            ));
        }
        let code = "configuration_step3p7.py";
        if !folder.join(code).is_file() {
            return Err(missing(code));
        }
        Ok(Self {
            folder,
            config,
            files: Vec::new(),
            tensors: HashMap::new(),
            bytes: 0,
            fingerprint: String::new(),
        })
    }

    /// The numbers of `text_config`.
    pub(crate) fn text(&self, name: &str) -> usize {
        self.config["text_config"][name].as_u64().unwrap_or(0) as usize
    }

    /// The widths that the configuration tells.
    pub(crate) fn widths(&self) -> Widths {
        let vision = |name: &str| self.config["vision_config"][name].as_u64().unwrap_or(0) as usize;
        let other = &self.config["text_config"]["attention_other_setting"];
        Widths {
            hidden: self.text("hidden_size"),
            inter: self.text("intermediate_size"),
            expert: self.text("moe_intermediate_size"),
            shared: self.text("share_expert_dim"),
            experts: self.text("moe_num_experts"),
            full_heads: self.text("num_attention_heads"),
            sliding_heads: other["num_attention_heads"].as_u64().unwrap_or(0) as usize,
            groups: self.text("num_attention_groups"),
            head_dim: self.text("head_dim"),
            vocab: self.text("vocab_size"),
            vision: vision("width"),
            vision_layers: vision("layers"),
        }
    }

    /// Whether its experts are packed.
    pub(crate) fn quantized(&self) -> bool {
        self.config.get("quantization_config").is_some()
    }

    /// Finds the weights and reads every header. It happens in the worker.
    pub(crate) fn open(&mut self) -> Result<(), Failure> {
        self.look()?;
        if self.is_plain() {
            return Ok(());
        }
        self.complete()
    }

    /// Whether it is one of the small checkpoints that have no architecture of their own.
    pub(crate) fn is_plain(&self) -> bool {
        self.config["model_type"] == MODEL_TYPE
    }

    /// The first architecture that the configuration names.
    pub(crate) fn architecture(&self) -> &str {
        let first = self.config["architectures"].get(0);
        first.and_then(Value::as_str).unwrap_or("unknown")
    }

    /// The same for a draft, which has no decoder.
    pub(crate) fn look(&mut self) -> Result<(), Failure> {
        let index = json(&self.folder, "model.safetensors.index.json")?;
        let map: BTreeMap<String, String> = index
            .and_then(|index| serde_json::from_value(index["weight_map"].clone()).ok())
            .unwrap_or_default();
        // Files that the index does not name are not read, and a file that is missing brings nothing.
        let named: BTreeSet<String> = map.values().cloned().collect();
        self.files = named
            .into_iter()
            .filter(|name| self.folder.join(name).is_file())
            .collect();
        if self.files.is_empty() {
            return Err(worker_error(format!(
                "RuntimeError: Cannot find any model weights with `{}`",
                self.folder.display()
            )));
        }
        let mut hash = Sha256::new();
        for name in self.files.clone() {
            let header = self.header(&name)?;
            hash.update(&header);
        }
        hash.update(self.config.to_string());
        self.fingerprint = hex::encode(&hash.finalize()[..8]);
        Ok(())
    }

    /// Reads one file's header, checks that the file is as long as it says, and notes its tensors.
    fn header(&mut self, name: &str) -> Result<Vec<u8>, Failure> {
        let path = self.folder.join(name);
        let broken = |why: &str| {
            worker_error(format!(
                "safetensors_rust.SafetensorError: Error while deserializing header: {why}"
            ))
        };
        let mut file = std::fs::File::open(&path)
            .map_err(|e| worker_error(format!("OSError: {e}: '{}'", path.display())))?;
        let size = file.metadata().map_or(0, |meta| meta.len());
        let mut prefix = [0; 8];
        file.read_exact(&mut prefix)
            .map_err(|_| broken("header too small"))?;
        let length = u64::from_le_bytes(prefix);
        if length > 100_000_000 || length + 8 > size {
            return Err(broken("header too large"));
        }
        let mut header = vec![0; 8 + length as usize];
        header[..8].copy_from_slice(&prefix);
        file.read_exact(&mut header[8..])
            .map_err(|_| broken("incomplete metadata, file not fully covered"))?;
        let metadata: safetensors::tensor::Metadata =
            serde_json::from_slice(&header[8..]).map_err(|error| broken(&error.to_string()))?;
        if metadata.data_len() as u64 + 8 + length != size {
            return Err(broken("incomplete metadata, file not fully covered"));
        }
        for (tensor, info) in metadata.tensors() {
            self.tensors
                .insert(tensor, (info.dtype, info.shape.clone()));
        }
        self.bytes += size;
        Ok(header)
    }

    /// Whether everything but the MTP layers is there.
    fn complete(&self) -> Result<(), Failure> {
        let release = if self.quantized() {
            Release::Nvfp4
        } else {
            Release::Bf16
        };
        let mut missing = Vec::new();
        for tensor in body(&self.widths(), release) {
            match self.tensors.get(&tensor.name) {
                None => missing.push(format!("'{}'", tensor.name)),
                Some((_, shape)) if *shape != tensor.shape => {
                    return Err(worker_error(format!(
                        "AssertionError: Attempted to load weight (torch.Size({shape:?})) into parameter (torch.Size({:?}))",
                        tensor.shape
                    )));
                }
                Some(_) => {}
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        missing.truncate(6);
        Err(worker_error(format!(
            "ValueError: Following weights were not initialized from checkpoint: {{{}}}",
            missing.join(", ")
        )))
    }
}
