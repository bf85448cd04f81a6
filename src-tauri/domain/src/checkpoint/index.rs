//! `model.safetensors.index.json`: which file holds which tensor.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::checkpoint::CheckpointError;

/// The file's name in every sharded checkpoint.
pub const FILE: &str = "model.safetensors.index.json";

/// Tensor name to file name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// The map.
    pub weight_map: BTreeMap<String, String>,
    /// `metadata.total_size`, where it is given.
    pub total_size: Option<u64>,
}

/// Reads an index.
pub fn parse(text: &[u8]) -> Result<Index, CheckpointError> {
    #[derive(serde::Deserialize)]
    struct Raw {
        #[serde(default)]
        metadata: Option<Value>,
        weight_map: BTreeMap<String, String>,
    }
    let raw: Raw = serde_json::from_slice(text).map_err(|e| CheckpointError::Json {
        file: FILE.into(),
        why: format!("is not an index ({e})"),
    })?;
    let total_size = raw
        .metadata
        .as_ref()
        .and_then(|m| m.get("total_size"))
        .and_then(|n| n.as_u64().or_else(|| n.as_f64().map(|f| f as u64)));
    Ok(Index {
        weight_map: raw.weight_map,
        total_size,
    })
}

/// The layer that a tensor belongs to, under any of the prefixes that the releases use.
pub fn layer(tensor: &str) -> Option<u32> {
    let rest = tensor
        .strip_prefix("model.language_model.layers.")
        .or_else(|| tensor.strip_prefix("model.layers."))
        .or_else(|| tensor.strip_prefix("layers."))?;
    rest.split('.').next()?.parse().ok()
}

impl Index {
    /// The tensors of layer `first` and above, with their files.
    pub fn from_layer(&self, first: u32) -> impl Iterator<Item = (&str, &str)> {
        self.weight_map
            .iter()
            .filter(move |(name, _)| layer(name).is_some_and(|n| n >= first))
            .map(|(name, file)| (name.as_str(), file.as_str()))
    }
}

/// The text of the index with `added` tensors mapped to `file`. What else the index says is kept.
pub fn extended<'a>(
    text: &[u8],
    file: &str,
    added: impl IntoIterator<Item = (&'a str, u64)>,
) -> Result<String, CheckpointError> {
    let no = |why: &str| CheckpointError::Json {
        file: FILE.into(),
        why: why.into(),
    };
    let mut value: Value =
        serde_json::from_slice(text).map_err(|e| no(&format!("is not JSON ({e})")))?;
    let before = parse(text)?.total_size;
    let map = value
        .get_mut("weight_map")
        .and_then(Value::as_object_mut)
        .ok_or_else(|| no("has no weight_map"))?;
    let mut bytes = 0;
    for (name, size) in added {
        map.insert(name.to_owned(), Value::String(file.to_owned()));
        bytes += size;
    }
    map.sort_keys();
    if let Some(before) = before {
        value["metadata"]["total_size"] = json!(before + bytes);
    }
    super::config::pretty(&value)
}

/// The text of an index in which one file holds all of `tensors`.
pub fn single<'a>(
    file: &str,
    tensors: impl IntoIterator<Item = (&'a str, u64)>,
) -> Result<String, CheckpointError> {
    extended(
        br#"{"metadata":{"total_size":0},"weight_map":{}}"#,
        file,
        tensors,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_under_every_prefix() {
        assert_eq!(layer("model.layers.45.eh_proj.weight"), Some(45));
        assert_eq!(
            layer("model.language_model.layers.3.moe.gate.weight"),
            Some(3)
        );
        assert_eq!(
            layer("model.vision_model.transformer.resblocks.46.ln_1.bias"),
            None
        );
        assert_eq!(layer("lm_head.weight"), None);
    }

    #[test]
    fn an_extended_index_knows_the_new_file_and_size() {
        let text = br#"{"metadata":{"total_size":10,"more":1},"weight_map":{"b":"1","a":"1"}}"#;
        let out = extended(text, "new", [("model.layers.45.x", 6)]).unwrap();
        let index = parse(out.as_bytes()).unwrap();
        assert_eq!(index.total_size, Some(16));
        assert_eq!(index.weight_map["model.layers.45.x"], "new");
        assert_eq!(index.from_layer(45).count(), 1);
        assert!(
            out.contains("\"more\": 1"),
            "what else stands in the metadata is kept: {out}"
        );
    }
}
