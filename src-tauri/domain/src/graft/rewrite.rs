//! What `config.json` and `hf_quant_config.json` must say once the MTP layers are there.

use serde_json::{Value, json};

use crate::checkpoint::CheckpointError;
use crate::checkpoint::config::{FILE, Text, layers, text};
use crate::graft::GraftError;

fn text_mut(config: &mut Value) -> &mut Value {
    if config.get("text_config").is_some() {
        &mut config["text_config"]
    } else {
        config
    }
}

/// The per-layer lists that have no entries for the MTP layers.
pub fn truncated_lists(config: &Value, layers: Text) -> Vec<String> {
    let whole = (layers.hidden_layers + layers.mtp_layers) as usize;
    text(config)
        .as_object()
        .map(|map| {
            map.iter()
                .filter(|(_, value)| {
                    value.as_array().is_some_and(|list| {
                        list.len() == layers.hidden_layers as usize && list.len() < whole
                    })
                })
                .map(|(key, _)| key.clone())
                .collect()
        })
        .unwrap_or_default()
}

/// The checkpoint's configuration with the MTP layers in it: per-layer lists go on as the source's
/// do, the number of layers is the source's, and quantization leaves the layers alone.
pub fn extended(target: &Value, source: &Value) -> Result<Value, GraftError> {
    let layers = layers(source)?;
    same_model(target, source)?;
    let whole = (layers.hidden_layers + layers.mtp_layers) as usize;
    let mut out = target.clone();
    let from = text(source);
    let to = text_mut(&mut out);
    if let (Some(from), Some(to)) = (from.as_object(), to.as_object_mut()) {
        for (key, value) in from {
            let (Some(long), Some(short)) = (
                value.as_array(),
                to.get_mut(key).and_then(Value::as_array_mut),
            ) else {
                continue;
            };
            let is_per_layer = long.len() == whole && short.len() >= layers.hidden_layers as usize;
            if is_per_layer && short.len() < whole {
                short.extend(long[short.len()..].iter().cloned());
            }
        }
        to.insert("num_nextn_predict_layers".into(), json!(layers.mtp_layers));
    }
    let left = truncated_lists(&out, layers);
    if let Some(key) = left.first() {
        return Err(GraftError::Mismatch {
            what: key.clone(),
            target: format!("{} entries", layers.hidden_layers),
            source_value: format!("no list of {whole} entries"),
        });
    }
    exclude(&mut out, layers);
    Ok(out)
}

/// The configuration of a draft that is a checkpoint of its own: the source's, in which nothing is
/// quantized. An error unless its layers fit the checkpoint to be served and their lists are whole.
pub fn of_draft(target: &Value, source: &Value) -> Result<Value, GraftError> {
    let layers = layers(source)?;
    same_model(target, source)?;
    if let Some(key) = truncated_lists(source, layers).first() {
        return Err(GraftError::Checkpoint(CheckpointError::Json {
            file: FILE.into(),
            why: format!("of the source has no entries for the MTP layers in {key}"),
        }));
    }
    let mut out = source.clone();
    // A release in another precision may be the source too; its layers are BF16 all the same.
    for place in ["", "/text_config"] {
        if let Some(part) = out.pointer_mut(place).and_then(Value::as_object_mut) {
            part.shift_remove("quantization_config");
        }
    }
    Ok(out)
}

/// The numbers that must agree for one release's tensors to fit the other's model.
fn same_model(target: &Value, source: &Value) -> Result<(), GraftError> {
    for key in [
        "num_hidden_layers",
        "hidden_size",
        "intermediate_size",
        "num_attention_groups",
        "head_dim",
        "vocab_size",
    ] {
        let (a, b) = (text(target).get(key), text(source).get(key));
        if a.is_some() && b.is_some() && a != b {
            return Err(GraftError::Mismatch {
                what: key.into(),
                target: a.map(Value::to_string).unwrap_or_default(),
                source_value: b.map(Value::to_string).unwrap_or_default(),
            });
        }
    }
    Ok(())
}

/// Extends every list of modules that quantization leaves alone; says whether anything changed.
///
/// The releases name the list differently, and it stands either in `quantization_config` of the
/// configuration or under `quantization` of ModelOpt's own file. An entry is a pattern for one
/// layer: `model.layers.4*` would also take in the layers 40 to 44 of the decoder.
pub fn exclude(config: &mut Value, layers: Text) -> bool {
    let mut changed = false;
    for place in [
        "/quantization_config",
        "/text_config/quantization_config",
        "/quantization",
        "/quantization_config/quantization",
    ] {
        let Some(part) = config.pointer_mut(place).and_then(Value::as_object_mut) else {
            continue;
        };
        let lists = ["ignore", "exclude_modules", "modules_to_not_convert"];
        if !lists.iter().any(|key| part.contains_key(*key)) && !part.contains_key("quantization") {
            let key = match (place, part.get("quant_method").and_then(Value::as_str)) {
                ("/quantization", _) => "exclude_modules",
                (_, Some("fp8")) => "modules_to_not_convert",
                _ => "ignore",
            };
            part.insert(key.into(), json!([]));
        }
        for key in lists {
            let Some(list) = part.get_mut(key).and_then(Value::as_array_mut) else {
                continue;
            };
            let regular = list
                .iter()
                .filter_map(Value::as_str)
                .any(|entry| entry.starts_with("re:"));
            for layer in layers.hidden_layers..layers.hidden_layers + layers.mtp_layers {
                let probe = format!("model.layers.{layer}.eh_proj");
                let covered = list
                    .iter()
                    .filter_map(Value::as_str)
                    .any(|entry| covers(entry, &probe));
                if !covered {
                    list.push(Value::String(if regular {
                        format!("re:^model\\.layers\\.{layer}\\..*")
                    } else {
                        format!("model.layers.{layer}*")
                    }));
                    changed = true;
                }
            }
        }
    }
    changed
}

/// Whether a pattern takes in a module. Of regular expressions only our own form is understood;
/// an entry too many does no harm.
fn covers(entry: &str, module: &str) -> bool {
    if let Some(expression) = entry.strip_prefix("re:") {
        let prefix = expression
            .trim_start_matches('^')
            .replace("\\.", ".")
            .trim_end_matches(".*")
            .to_owned();
        return module.starts_with(&prefix) && prefix.starts_with("model.layers.");
    }
    match entry.split_once('*') {
        Some((prefix, "")) => !prefix.is_empty() && module.starts_with(prefix),
        _ => module
            .strip_prefix(entry)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs() -> (Value, Value) {
        let source = json!({"model_type": "step3p7", "text_config": {
            "num_hidden_layers": 45, "num_nextn_predict_layers": 3, "hidden_size": 64,
            "layer_types": (0..48).map(|i| if i % 4 == 0 {"full"} else {"sliding"}).collect::<Vec<_>>(),
            "rope_theta": vec![1e4; 48], "eos_token_id": [1, 2, 3],
        }});
        let mut target = source.clone();
        for key in ["layer_types", "rope_theta"] {
            target["text_config"][key]
                .as_array_mut()
                .unwrap()
                .truncate(45);
        }
        target["quantization_config"] = json!({"quant_method": "modelopt",
            "ignore": ["lm_head", "model.vision_model*", "model.language_model.layers.4.self_attn*"]});
        (target, source)
    }

    #[test]
    fn lists_go_on_as_the_source_does_and_the_rest_stays() {
        let (target, source) = configs();
        let layers = layers(&source).unwrap();
        assert_eq!(truncated_lists(&target, layers).len(), 2);
        let out = extended(&target, &source).unwrap();
        assert_eq!(
            out["text_config"]["layer_types"],
            source["text_config"]["layer_types"]
        );
        assert_eq!(
            out["text_config"]["eos_token_id"],
            json!([1, 2, 3]),
            "not per layer"
        );
        assert_eq!(
            out["quantization_config"]["ignore"].as_array().unwrap()[3..],
            [
                json!("model.layers.45*"),
                json!("model.layers.46*"),
                json!("model.layers.47*")
            ]
        );
        assert_eq!(
            extended(&out, &source).unwrap(),
            out,
            "what is extended already stays as it is"
        );
    }

    #[test]
    fn no_pattern_of_ours_reaches_a_layer_of_the_decoder() {
        let (target, source) = configs();
        let out = extended(&target, &source).unwrap();
        for entry in out["quantization_config"]["ignore"].as_array().unwrap() {
            let entry = entry.as_str().unwrap();
            for layer in 0..45 {
                assert!(
                    !covers(entry, &format!("model.layers.{layer}.moe.gate_proj")),
                    "{entry} takes in layer {layer}"
                );
            }
        }
    }

    #[test]
    fn each_style_of_list_is_kept() {
        let layers = Text {
            hidden_layers: 45,
            mtp_layers: 1,
        };
        let mut own = json!({"quantization": {"exclude_modules": ["lm_head"]}});
        assert!(exclude(&mut own, layers));
        assert_eq!(
            own["quantization"]["exclude_modules"][1],
            "model.layers.45*"
        );
        let mut regular = json!({"quantization_config": {"ignore": ["re:.*lm_head"]}});
        assert!(exclude(&mut regular, layers));
        assert_eq!(
            regular["quantization_config"]["ignore"][1],
            "re:^model\\.layers\\.45\\..*"
        );
        assert!(!exclude(&mut regular, layers), "a second time adds nothing");
        let mut none = json!({"quantization_config": {"quant_method": "fp8"}});
        assert!(exclude(&mut none, layers));
        assert_eq!(
            none["quantization_config"]["modules_to_not_convert"][0],
            "model.layers.45*"
        );
        let mut plain = json!({"model_type": "x"});
        assert!(!exclude(&mut plain, layers), "nothing is quantized");
    }

    #[test]
    fn a_drafts_configuration_is_the_sources_without_quantization() {
        let (target, mut source) = configs();
        let plain = of_draft(&target, &source).unwrap();
        assert_eq!(plain, source, "nothing was quantized there");
        source["quantization_config"] = json!({"quant_method": "fp8"});
        source["text_config"]["quantization_config"] = json!({"quant_method": "fp8"});
        let draft = of_draft(&target, &source).unwrap();
        assert_eq!(draft, plain);
        let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&draft), keys(&plain), "in the order they had");
        let mut cut = source.clone();
        cut["text_config"]["layer_types"]
            .as_array_mut()
            .unwrap()
            .truncate(45);
        assert!(of_draft(&target, &cut).is_err(), "its lists are cut");
        source["text_config"]["vocab_size"] = json!(9);
        let mut other = target;
        other["text_config"]["vocab_size"] = json!(8);
        assert!(of_draft(&other, &source).is_err(), "another model");
    }

    #[test]
    fn releases_of_two_models_are_refused() {
        let (target, mut source) = configs();
        source["text_config"]["hidden_size"] = json!(128);
        assert!(matches!(
            extended(&target, &source),
            Err(GraftError::Mismatch { .. })
        ));
    }
}
