//! What must be true of a checkpoint before its MTP layers can draft.

use serde_json::Value;

use super::args::Args;
use super::log::Failure;
use super::model::Model;
use crate::checkpoint::shape::mtp;

/// Tokens that the model was trained to predict ahead.
fn n_predict(model: &Model) -> u64 {
    model.text("num_nextn_predict_layers") as u64
}

/// What drafts, and how far ahead.
pub(crate) struct Drafting {
    /// Tokens at a time.
    pub(crate) tokens: u64,
    /// The checkpoint with the MTP layers, where it is not the served one.
    apart: Option<Model>,
}

impl Drafting {
    /// Reads the headers of a draft that is a checkpoint of its own.
    pub(crate) fn open(&mut self) -> Result<(), Failure> {
        self.apart.as_mut().map_or(Ok(()), Model::look)
    }

    /// The same on two machines if their drafts are.
    pub(crate) fn fingerprint(&self) -> &str {
        self.apart.as_ref().map_or("", |draft| &draft.fingerprint)
    }

    /// Where the draft is.
    pub(crate) fn place(&self, model: &Model) -> String {
        let draft = self.apart.as_ref().unwrap_or(model);
        draft.folder.to_string_lossy().into_owned()
    }

    /// Loads the draft, or fails with the words of the real one; gives back its files.
    pub(crate) fn load(&self, model: &Model) -> Result<usize, Failure> {
        let draft = self.apart.as_ref().unwrap_or(model);
        if draft.is_plain() {
            return Ok(draft.files.len());
        }
        load(draft)?;
        let embedding = "model.embed_tokens.weight";
        if self.apart.is_some() && !draft.tensors.contains_key(embedding) {
            return Err(missing(embedding));
        }
        Ok(draft.files.len())
    }
}

/// Reads `--speculative-config`, or `None` without drafting.
pub(crate) fn drafted(args: &Args, model: &Model) -> Result<Option<Drafting>, Failure> {
    let Some(config) = args.speculative() else {
        return Ok(None);
    };
    let invalid = |why: &str| {
        Failure::Config(format!(
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for SpeculativeConfig\n  Value error, {why} [type=value_error]"
        ))
    };
    let method = config["method"].as_str().unwrap_or("mtp");
    if method != "mtp" && method != "step3p5_mtp" {
        return Err(invalid(&format!(
            "Unsupported speculative method: '{method}'"
        )));
    }
    let apart = match &config["model"] {
        Value::Null => None,
        Value::String(path) if *path == args.model => None,
        Value::String(path) => Some(Model::draft(path)?),
        _ => return Err(invalid("Input should be a valid string")),
    };
    let n = n_predict(apart.as_ref().unwrap_or(model));
    if n == 0 {
        return Err(invalid(
            "num_speculative_tokens was provided but without speculative model.",
        ));
    }
    let k = match &config["num_speculative_tokens"] {
        Value::Null => n,
        value => value.as_u64().filter(|k| *k > 0).ok_or_else(|| {
            invalid(&format!(
                "Expected num_speculative_tokens to be greater than zero ({value})."
            ))
        })?,
    };
    if k > n && k % n != 0 {
        return Err(invalid(&format!(
            "num_speculative_tokens:{k} must be divisible by n_predict={n}"
        )));
    }
    Ok(Some(Drafting { tokens: k, apart }))
}

/// Whether what the object holds in the end are cut lists: the last word on them decides.
fn cut_by_code(python: &str) -> bool {
    python
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .rfind(|line| {
            line.starts_with("self.layer_types =")
                || line.starts_with("setattr(self, name, entries")
                || line.starts_with("layer_types=")
        })
        .is_some_and(|line| line.contains("[:"))
}

/// `*` matches anything; everything else is meant as it is written.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((front, rest)) => name.strip_prefix(front).is_some_and(|tail| {
            rest.is_empty()
                || (0..=tail.len()).any(|i| tail.is_char_boundary(i) && matches(rest, &tail[i..]))
        }),
    }
}

fn patterns(list: &Value) -> Vec<&str> {
    list.as_array()
        .map(|l| l.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

fn missing(parameter: &str) -> Failure {
    Failure::Worker(format!(
        "RuntimeError: Some parameters like {parameter} are not in the checkpoint and will falsely use random initialization"
    ))
}

/// Loads the MTP layers of a checkpoint.
fn load(model: &Model) -> Result<(), Failure> {
    let layers = model.text("num_hidden_layers");
    let n = n_predict(model) as usize;
    let python =
        std::fs::read_to_string(model.folder.join("configuration_step3p7.py")).unwrap_or_default();
    let lists = [
        "layer_types",
        "partial_rotary_factors",
        "swiglu_limits",
        "swiglu_limits_shared",
        "rope_theta",
    ];
    let short = lists.iter().any(|name| {
        let list = &model.config["text_config"][name];
        list.as_array()
            .is_some_and(|entries| entries.len() < layers + n)
    });
    if short || cut_by_code(&python) {
        return Err(Failure::Worker(
            "  File \"/usr/local/lib/python3.12/dist-packages/vllm/model_executor/models/step3p5_mtp.py\", line 72, in __init__\nIndexError: list index out of range".into(),
        ));
    }
    let widths = model.widths();
    let expected = mtp(&widths);
    if let Some(tensor) = expected
        .iter()
        .find(|t| !model.tensors.contains_key(&t.name))
    {
        return Err(missing(&parameter(&tensor.name)));
    }
    for tensor in &expected {
        let (_, shape) = &model.tensors[&tensor.name];
        if *shape != tensor.shape {
            let (a, b) = (tensor.shape.last(), shape.last());
            return Err(mismatch(a.copied().unwrap_or(0), b.copied().unwrap_or(0)));
        }
    }
    if model.quantized() {
        exceptions(model, layers, n)?;
    }
    Ok(())
}

/// The parameter inside vLLM that a tensor of the checkpoint fills.
fn parameter(name: &str) -> String {
    let outside = ["enorm", "hnorm", "eh_proj", "shared_head"]
        .iter()
        .any(|part| name.contains(part));
    let name = name
        .replace(".transformer.", ".")
        .replace("shared_head.output", "shared_head.head");
    if outside {
        return name;
    }
    let mut parts: Vec<&str> = name.splitn(4, '.').collect();
    parts.insert(3, "mtp_block");
    parts.join(".")
}

fn mismatch(a: usize, b: usize) -> Failure {
    Failure::Worker(format!(
        "RuntimeError: The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension 1"
    ))
}

/// The MTP layers are BF16 beside packed ones: every list of exceptions must name them, and none
/// may name packed layers too.
fn exceptions(model: &Model, layers: usize, n: usize) -> Result<(), Failure> {
    let beside: Option<Value> = std::fs::read(model.folder.join("hf_quant_config.json"))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    let config = &model.config["quantization_config"];
    let mut all = vec![patterns(&config["ignore"])];
    all[0].extend(patterns(&config["exclude_modules"]));
    if let Some(beside) = &beside {
        all.push(patterns(&beside["quantization"]["exclude_modules"]));
    }
    let hidden = model.text("hidden_size");
    for list in all {
        let names = |module: &str| list.iter().any(|p| matches(p, module));
        for layer in layers..layers + n {
            for module in [
                "eh_proj",
                "transformer.shared_head.output",
                "mlp.gate_proj",
                "self_attn.q_proj",
            ] {
                if !names(&format!("model.layers.{layer}.{module}")) {
                    return Err(mismatch(hidden / 2, hidden));
                }
            }
        }
        let packed = (3..layers).any(|l| names(&format!("model.layers.{l}.moe.gate_proj")));
        if packed {
            return Err(mismatch(hidden, hidden / 2));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{cut_by_code, matches, parameter};
    use crate::checkpoint::texts::{CONFIGURATION_WHOLE, configuration_truncating};

    #[test]
    fn the_two_forms_of_the_configuration_are_told_apart() {
        assert!(!cut_by_code(CONFIGURATION_WHOLE));
        assert!(cut_by_code(&configuration_truncating()));
        let restored =
            "self.layer_types = list(types)[:n]\nsuper().__init__()\nself.layer_types = types\n";
        assert!(!cut_by_code(restored), "put back after a check");
    }

    #[test]
    fn patterns_mean_what_they_mean_to_vllm() {
        assert!(matches("model.layers.45*", "model.layers.45.mlp.gate_proj"));
        assert!(
            matches("model.layers.4*", "model.layers.40.moe.gate_proj"),
            "the trap"
        );
        assert!(matches("*.self_attn*", "model.layers.1.self_attn.q_proj"));
        assert!(!matches("lm_head", "lm_head2"));
    }

    #[test]
    fn tensors_have_their_names_inside() {
        assert_eq!(
            parameter("model.layers.45.transformer.shared_head.output.weight"),
            "model.layers.45.shared_head.head.weight"
        );
        assert_eq!(
            parameter("model.layers.45.self_attn.q_proj.weight"),
            "model.layers.45.mtp_block.self_attn.q_proj.weight"
        );
    }
}
