//! `config.json` and its companions, with the keys of the real release.

use serde_json::{Value, json};

use super::shape::{DENSE_LAYERS, LAYERS, MTP_LAYERS, Widths, full_attention};

/// Whether the per-layer lists know of the MTP layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lists {
    /// 48 entries.
    Whole,
    /// 45 entries.
    Truncated,
}

impl Lists {
    /// Entries of each list.
    pub fn len(self) -> usize {
        match self {
            Self::Whole => LAYERS + MTP_LAYERS,
            Self::Truncated => LAYERS,
        }
    }

    /// Never: there is always a layer.
    pub fn is_empty(self) -> bool {
        false
    }
}

/// `config.json`. `quantization` is put at its end where there is one.
pub fn config(w: &Widths, lists: Lists, quantization: Option<Value>) -> Value {
    let mut config = json!({
        "architectures": ["Step3p7ForConditionalGeneration"],
        "model_type": "step3p7",
        "auto_map": {
            "AutoConfig": "configuration_step3p7.Step3p7Config",
        },
        "torch_dtype": "bfloat16",
        "image_token_id": super::texts::IMAGE_TOKEN,
        "image_token_len": 169,
        "patch_token_len": 81,
        "understand_projector_stride": 2,
        "projector_bias": false,
        "tie_word_embeddings": false,
        "vision_config": {
            "model_type": "perception_encoder",
            "image_size": 728,
            "patch_size": 14,
            "width": w.vision,
            "layers": w.vision_layers,
            "heads": 2,
            "mlp_ratio": 6.0,
            "use_cls_token": false,
            "ls_init_value": 0.1,
            "use_ln_pre": true,
            "use_ln_post": false,
            "use_abs_posemb": true,
            "use_rope2d": true,
            "hidden_act": "quick_gelu",
            "output_dim": null,
            "pool_type": "none",
        },
        "text_config": text_config(w, lists),
        "eos_token_id": super::texts::END_TOKENS,
        "bos_token_id": 0,
    });
    if let (Some(map), Some(quantization)) = (config.as_object_mut(), quantization) {
        map.insert("quantization_config".to_owned(), quantization);
    }
    config
}

fn text_config(w: &Widths, lists: Lists) -> Value {
    let layers = 0..lists.len();
    let full: Vec<bool> = layers.clone().map(full_attention).collect();
    let of = |yes: Value, no: Value| -> Vec<Value> {
        full.iter()
            .map(|f| if *f { yes.clone() } else { no.clone() })
            .collect()
    };
    let last_two = |limit: f64| -> Vec<f64> {
        layers
            .clone()
            .map(|l| {
                if l == LAYERS - 2 || l == LAYERS - 1 {
                    limit
                } else {
                    0.0
                }
            })
            .collect()
    };
    let moe: Vec<String> = (DENSE_LAYERS..LAYERS).map(|l| l.to_string()).collect();
    json!({
        "architectures": ["Step3p5ForCausalLM"],
        "model_type": "step3p5",
        "hidden_size": w.hidden,
        "intermediate_size": w.inter,
        "num_hidden_layers": LAYERS,
        "max_seq_len": 262_144,
        "max_position_embeddings": 262_144,
        "vocab_size": w.vocab,
        "torch_dtype": "bfloat16",
        "use_qk_norm": true,
        "num_attention_heads": w.full_heads,
        "num_attention_groups": w.groups,
        "head_dim": w.head_dim,
        "attention_other_setting": {
            "attention_type": "sliding_attention",
            "num_attention_heads": w.sliding_heads,
            "num_attention_groups": w.groups,
            "head_dim": w.head_dim,
        },
        "use_moe": true,
        "moe_layers_enum": moe.join(","),
        "moe_num_experts": w.experts,
        "moe_top_k": 2,
        "moe_intermediate_size": w.expert,
        "share_expert_dim": w.shared,
        "moe_layer_offset": 0,
        "moe_every_n_layer": 1,
        "moe_router_activation": "sigmoid",
        "moe_router_scaling_factor": 3.0,
        "norm_expert_weight": true,
        "use_moe_router_bias": true,
        "need_fp32_gate": true,
        "use_head_wise_attn_gate": true,
        "sliding_window": 512,
        "att_impl_type": "GQA",
        "num_nextn_predict_layers": MTP_LAYERS,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 2.0,
            "original_max_position_embeddings": 131_072,
            "low_freq_factor": 1.0,
            "high_freq_factor": 32.0,
        },
        "yarn_only_types": ["full_attention"],
        "layer_types": of(json!("full_attention"), json!("sliding_attention")),
        "rope_theta": of(json!(5_000_000.0), json!(10_000.0)),
        "partial_rotary_factors": of(json!(0.5), json!(1.0)),
        "swiglu_limits": last_two(7.0),
        "swiglu_limits_shared": last_two(16.0),
        "rms_norm_eps": 1e-5,
        "eos_token_id": super::texts::END_TOKENS,
        "bos_token_id": 0,
        "tie_word_embeddings": false,
    })
}

/// The layers that ModelOpt left in BF16, as patterns.
fn kept_in_bf16(mtp: bool) -> Vec<String> {
    let mut list = vec![
        "lm_head".to_owned(),
        "model.vision_model*".to_owned(),
        "model.vit_large_projector".to_owned(),
    ];
    for layer in 0..LAYERS {
        let p = format!("model.language_model.layers.{layer}");
        list.push(format!("{p}.self_attn*"));
        if layer < DENSE_LAYERS {
            list.push(format!("{p}.mlp*"));
        } else {
            list.push(format!("{p}.moe.gate"));
            list.push(format!("{p}.share_expert*"));
        }
    }
    if mtp {
        list.extend((LAYERS..LAYERS + MTP_LAYERS).map(|l| format!("model.layers.{l}*")));
    }
    list
}

/// `quantization_config` of `config.json`.
pub fn quantization(mtp: bool) -> Value {
    json!({
        "config_groups": {
            "group_0": {
                "input_activations": {"dynamic": false, "num_bits": 4, "type": "float", "group_size": 16},
                "weights": {"dynamic": false, "num_bits": 4, "type": "float", "group_size": 16},
                "targets": ["Linear"],
            }
        },
        "ignore": kept_in_bf16(mtp),
        "quant_algo": "NVFP4",
        "kv_cache_scheme": {"dynamic": false, "num_bits": 8, "type": "float"},
        "producer": {"name": "modelopt", "version": "0.45.0"},
        "quant_method": "modelopt",
    })
}

/// `hf_quant_config.json`.
pub fn hf_quant_config(mtp: bool) -> Value {
    json!({
        "producer": {"name": "modelopt", "version": "0.45.0"},
        "quantization": {
            "quant_algo": "NVFP4",
            "kv_cache_quant_algo": "FP8",
            "group_size": 16,
            "exclude_modules": kept_in_bf16(mtp),
        },
    })
}
