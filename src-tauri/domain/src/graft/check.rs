//! Whether an MTP tensor is what the configuration asks for.

use serde_json::Value;

use super::GraftError;
use crate::checkpoint::config::text;
use crate::checkpoint::safetensors::Tensor;

/// Checks dtype and shape of one MTP tensor against the configuration of its release.
///
/// A tensor whose name is not known passes: a later release may add one, and the server decides
/// what it loads.
pub fn check(tensor: &Tensor, config: &Value) -> Result<(), GraftError> {
    if let Some(shape) = expected(&tensor.name, config) {
        let dtype = if tensor.name.ends_with("router_bias") {
            "F32"
        } else {
            "BF16"
        };
        if tensor.dtype != dtype || tensor.shape != shape {
            return Err(GraftError::Shape {
                tensor: tensor.name.clone(),
                found: tensor.kind(),
                expected: format!("{dtype} {shape:?}"),
            });
        }
    }
    Ok(())
}

/// The shape a tensor of an MTP layer must have, where the configuration says enough.
fn expected(name: &str, config: &Value) -> Option<Vec<u64>> {
    let part = text(config);
    let number = |key: &str| part.get(key).and_then(Value::as_u64);
    let hidden = number("hidden_size")?;
    if super::plan::EMBEDDINGS.contains(&name) {
        return Some(vec![number("vocab_size")?, hidden]);
    }
    let layer = crate::checkpoint::index::layer(name)? as usize;
    // Layers with a sliding window have widths of their own.
    let sliding = part
        .get("layer_types")
        .and_then(Value::as_array)
        .and_then(|list| list.get(layer))
        .and_then(Value::as_str)
        .is_some_and(|kind| kind == "sliding_attention");
    let of_attention = |key: &str| {
        sliding
            .then(|| part.pointer(&format!("/attention_other_setting/{key}")))
            .flatten()
            .and_then(Value::as_u64)
            .or_else(|| number(key))
    };
    let heads = || of_attention("num_attention_heads");
    let groups = || of_attention("num_attention_groups").or_else(|| number("num_key_value_heads"));
    let head = || of_attention("head_dim");
    let rest = name.split_once("layers.")?.1.split_once('.')?.1;
    Some(match rest {
        "eh_proj.weight" => vec![hidden, 2 * hidden],
        "enorm.weight"
        | "hnorm.weight"
        | "input_layernorm.weight"
        | "post_attention_layernorm.weight"
        | "transformer.shared_head.norm.weight" => vec![hidden],
        "transformer.shared_head.output.weight" => vec![number("vocab_size")?, hidden],
        "self_attn.q_proj.weight" => vec![heads()? * head()?, hidden],
        "self_attn.k_proj.weight" | "self_attn.v_proj.weight" => vec![groups()? * head()?, hidden],
        "self_attn.o_proj.weight" => vec![hidden, heads()? * head()?],
        "self_attn.g_proj.weight" => vec![heads()?, hidden],
        "self_attn.q_norm.weight" | "self_attn.k_norm.weight" => vec![head()?],
        "mlp.gate_proj.weight" | "mlp.up_proj.weight" => vec![number("intermediate_size")?, hidden],
        "mlp.down_proj.weight" => vec![hidden, number("intermediate_size")?],
        "moe.gate.weight" => vec![number("moe_num_experts")?, hidden],
        "moe.router_bias" => vec![number("moe_num_experts")?],
        "moe.gate_proj.weight" | "moe.up_proj.weight" => {
            vec![
                number("moe_num_experts")?,
                number("moe_intermediate_size")?,
                hidden,
            ]
        }
        "moe.down_proj.weight" => {
            vec![
                number("moe_num_experts")?,
                hidden,
                number("moe_intermediate_size")?,
            ]
        }
        "share_expert.gate_proj.weight" | "share_expert.up_proj.weight" => {
            vec![number("share_expert_dim")?, hidden]
        }
        "share_expert.down_proj.weight" => vec![hidden, number("share_expert_dim")?],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published configuration and the tensor list that goes with it; see the fixtures' heads.
    fn fixtures() -> (Value, Vec<Tensor>) {
        let strip = |text: &str| -> String {
            text.lines()
                .filter(|line| !line.starts_with("#%"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        let config = serde_json::from_str(&strip(include_str!(
            "../../tests/fixtures/step37/config.bf16.json"
        )))
        .unwrap();
        let tensors = strip(include_str!("../../tests/fixtures/step37/mtp-tensors.txt"))
            .lines()
            .map(|line| {
                let mut parts = line.splitn(3, ' ').map(str::trim);
                let name = parts.next().unwrap().to_owned();
                let rest = line[name.len()..].trim();
                let (dtype, shape) = rest.split_once(' ').unwrap();
                let shape: Vec<u64> = serde_json::from_str(shape).unwrap();
                Tensor {
                    begin: 0,
                    end: 2 * shape.iter().product::<u64>(),
                    name,
                    dtype: dtype.to_owned(),
                    shape,
                }
            })
            .collect();
        (config, tensors)
    }

    #[test]
    fn the_published_tensors_fit_the_published_configuration() {
        let (config, tensors) = fixtures();
        assert_eq!(tensors.len(), 51);
        for tensor in &tensors {
            assert!(
                expected(&tensor.name, &config).is_some(),
                "{} is known",
                tensor.name
            );
            check(tensor, &config).unwrap();
        }
        let bytes: u64 = tensors.iter().map(Tensor::bytes).sum();
        assert_eq!(bytes / 1_000_000, 4856, "4.856 GB in all");
    }

    #[test]
    fn a_tensor_of_another_width_or_dtype_is_refused() {
        let (config, mut tensors) = fixtures();
        tensors.push(Tensor {
            begin: 0,
            end: 2 * 128_896 * 4096,
            name: "model.embed_tokens.weight".into(),
            dtype: "BF16".into(),
            shape: vec![128_896, 4096],
        });
        assert_eq!(check(&tensors[51], &config), Ok(()), "a draft's embedding");
        for tensor in &tensors {
            let mut other = tensor.clone();
            other.dtype = "U8".into();
            assert!(check(&other, &config).is_err(), "{} as bytes", tensor.name);
            let mut other = tensor.clone();
            other.shape[0] += 1;
            assert!(check(&other, &config).is_err(), "{} longer", tensor.name);
        }
    }
}
