//! `config.json`: the part that describes the language model, and the numbers of its layers.

use serde_json::Value;

use crate::checkpoint::CheckpointError;

/// The model's configuration.
pub const FILE: &str = "config.json";
/// ModelOpt's own list of what it left alone.
pub const QUANT_FILE: &str = "hf_quant_config.json";

/// The numbers that place the MTP layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// `num_hidden_layers`: the first MTP layer has this number.
    pub hidden_layers: u32,
    /// `num_nextn_predict_layers`, 0 where it is not given.
    pub mtp_layers: u32,
}

/// Reads a JSON file of a checkpoint.
pub fn parse(file: &str, text: &[u8]) -> Result<Value, CheckpointError> {
    serde_json::from_slice(text).map_err(|e| CheckpointError::Json {
        file: file.into(),
        why: format!("is not JSON ({e})"),
    })
}

/// A value as Tandem writes it: two spaces, a line break at the end, keys in the order they had.
pub fn pretty(value: &Value) -> Result<String, CheckpointError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| CheckpointError::Json {
        file: FILE.into(),
        why: format!("cannot be written ({e})"),
    })?;
    text.push('\n');
    Ok(text)
}

/// The part that describes the language model: a part of its own, or the whole of a text-only one.
pub fn text(config: &Value) -> &Value {
    let thinker = config.get("thinker_config").unwrap_or(config);
    ["text_config", "llm_config", "language_config"]
        .iter()
        .find_map(|part| thinker.get(*part).filter(|v| v.is_object()))
        .unwrap_or(config)
}

/// Reads where the MTP layers begin and how many there are.
pub fn layers(config: &Value) -> Result<Text, CheckpointError> {
    let part = text(config);
    let number = |key: &str| part.get(key).and_then(Value::as_u64).map(|n| n as u32);
    Ok(Text {
        hidden_layers: number("num_hidden_layers").ok_or_else(|| CheckpointError::Json {
            file: FILE.into(),
            why: "does not say num_hidden_layers".into(),
        })?,
        mtp_layers: number("num_nextn_predict_layers").unwrap_or(0),
    })
}
