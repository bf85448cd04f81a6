use serde_json::json;

use super::*;

/// (full, sliding, state) layers.
fn counted(config: &Value) -> (u32, u32, u32) {
    let read = Attention::read(config, false).expect("the file says everything");
    (read.full.count, read.sliding.count, read.state_layers)
}

fn layers(count: u32, more: Value) -> Value {
    let mut config = json!({
        "num_hidden_layers": count, "num_key_value_heads": 2, "num_attention_heads": 32,
        "hidden_size": 4096, "head_dim": 256,
    });
    let into = config.as_object_mut().expect("an object");
    into.extend(more.as_object().expect("an object").clone());
    config
}

#[test]
fn layers_with_a_state_keep_no_tokens() {
    let kinds: Vec<&str> = (0..60)
        .map(|l| match l % 4 {
            3 => "full_attention",
            _ => "linear_attention",
        })
        .collect();
    let listed = layers(
        60,
        json!({"layer_types": kinds, "full_attention_interval": 4}),
    );
    assert_eq!(counted(&json!({"text_config": listed})), (15, 0, 45));
    let every = layers(60, json!({"full_attention_interval": 4}));
    assert_eq!(counted(&every), (15, 0, 45));
    let pattern = layers(8, json!({"hybrid_override_pattern": "M-M*-ME*"}));
    assert_eq!(counted(&pattern), (2, 0, 3));
    let typed = layers(8, json!({"attn_type_list": [0, 0, 0, 1, 0, 0, 0, 1]}));
    assert_eq!(counted(&typed), (2, 0, 6));
    let numbered = layers(
        4,
        json!({"kv_lora_rank": 512, "qk_rope_head_dim": 64,
            "linear_attn_config": {"full_attn_layers": [4], "kda_layers": [1, 2, 3]}}),
    );
    assert_eq!(counted(&numbered), (1, 0, 3));
    let period = layers(16, json!({"attn_layer_period": 8, "attn_layer_offset": 4}));
    assert_eq!(counted(&period), (2, 0, 14));
    let blocks = layers(3, json!({"layers_block_type": ["mamba", "hybrid", "moe"]}));
    assert_eq!(counted(&blocks), (1, 0, 1));
}

#[test]
fn a_window_counts_where_it_is() {
    let six = layers(
        12,
        json!({"sliding_window": 1024, "sliding_window_pattern": 6}),
    );
    assert_eq!(counted(&six), (2, 10, 0));
    let late = layers(
        12,
        json!({"sliding_window": 1024, "use_sliding_window": true, "max_window_layers": 8}),
    );
    assert_eq!(counted(&late), (8, 4, 0));
    let off = layers(
        12,
        json!({"sliding_window": 1024, "use_sliding_window": false}),
    );
    assert_eq!(counted(&off), (12, 0, 0));
    let null = layers(
        2,
        json!({"sliding_window": null, "layer_types": ["sliding_attention", "full_attention"]}),
    );
    assert_eq!(counted(&null), (2, 0, 0));
    let chunks = layers(
        4,
        json!({"attention_chunk_size": 8192, "no_rope_layers": [1, 1, 1, 0]}),
    );
    assert_eq!(counted(&chunks), (1, 3, 0));
    let unplaced = layers(12, json!({"sliding_window": 1024}));
    assert_eq!(counted(&unplaced), (12, 0, 0));
    let read = Attention::read(&unplaced, false).expect("read");
    assert!(read.says(4096).contains("all are counted in full"));
}

#[test]
fn a_latent_is_kept_whole_on_every_machine() {
    let config = json!({
        "hidden_size": 2048, "num_attention_heads": 20, "num_hidden_layers": 47, "num_key_value_heads": 20,
        "kv_lora_rank": 512, "qk_rope_head_dim": 64, "head_dim": 256, "v_head_dim": 256,
    });
    let read = Attention::read(&config, false).expect("read");
    let keeps = PerToken::Latent {
        numbers: 576,
        index_bytes: 0,
    };
    assert_eq!(read.full, Layers { count: 47, keeps });
    let ask = |ranks| Ask {
        ranks,
        kv_element: 2,
        ..super::super::tests::ask()
    };
    assert_eq!(read.request(1000, &ask(1)), 47 * 576 * 2 * 1000);
    assert_eq!(read.request(1000, &ask(2)), read.request(1000, &ask(1)));
}

#[test]
fn sparse_attention_keeps_its_index_beside_the_latent() {
    let config = layers(
        61,
        json!({"kv_lora_rank": 512, "qk_rope_head_dim": 64, "index_head_dim": 128}),
    );
    let keeps = PerToken::Latent {
        numbers: 576,
        index_bytes: 132,
    };
    assert_eq!(
        Attention::read(&config, false).expect("read").full.keeps,
        keeps
    );
}

#[test]
fn a_head_without_a_width_is_the_hidden_size_over_the_heads() {
    let config = json!({
        "hidden_size": 8192, "num_attention_heads": 64, "num_hidden_layers": 80, "num_key_value_heads": 8,
    });
    let read = Attention::read(&config, false).expect("read");
    assert_eq!(
        read.full.keeps,
        PerToken::Heads {
            heads: 8,
            numbers: 256
        }
    );
}

#[test]
fn heads_may_differ_where_the_window_is() {
    let config = layers(
        4,
        json!({"sliding_window": 128, "hybrid_layer_pattern": [0, 1, 1, 0], "v_head_dim": 128,
            "swa_num_key_value_heads": 8, "swa_head_dim": 64, "swa_v_head_dim": 32}),
    );
    let read = Attention::read(&config, false).expect("read");
    assert_eq!(
        read.full,
        Layers {
            count: 2,
            keeps: PerToken::Heads {
                heads: 2,
                numbers: 384
            }
        }
    );
    assert_eq!(
        read.sliding,
        Layers {
            count: 2,
            keeps: PerToken::Heads {
                heads: 8,
                numbers: 96
            }
        }
    );
}

#[test]
fn layers_that_use_the_keys_of_others_and_null_parts() {
    let shared = layers(10, json!({"num_kv_shared_layers": 4, "text_config": null}));
    assert_eq!(counted(&shared), (6, 0, 0));
}

#[test]
fn layers_that_draft_are_as_the_list_says_or_full() {
    let config = layers(
        2,
        json!({"mtp_num_hidden_layers": 2, "sliding_window": 512,
        "layer_types": ["full_attention", "sliding_attention", "sliding_attention"]}),
    );
    let read = Attention::read(&config, true).expect("read");
    assert_eq!((read.full.count, read.sliding.count), (2, 2));
}

#[test]
fn what_is_not_known_is_said() {
    let why = |config: &Value| Attention::read(config, false).expect_err("not known");
    let kind = layers(1, json!({"layer_types": ["compressed_attention"]}));
    assert_eq!(
        why(&kind),
        "Tandem does not know layers of the kind `compressed_attention`"
    );
    assert!(why(&layers(1, json!({"compress_ratios": [0, 4]}))).contains("compress_ratios"));
    assert!(why(&layers(2, json!({"layer_types": ["full_attention"]}))).contains("shorter"));
    assert!(why(&layers(1, json!({"mamba_d_state": 16}))).contains("which layers"));
    assert!(why(&layers(1, json!({"num_key_value_heads": [2, 4]}))).contains("layer to layer"));
    assert!(why(&layers(9_999_999, json!({}))).contains("no model has"));
    assert!(why(&json!({})).contains("how many layers"));
    assert!(why(&json!({"num_hidden_layers": 2})).contains("heads"));
}

#[test]
fn the_largest_numbers_that_are_read_do_not_wrap() {
    let config = json!({
        "num_hidden_layers": MOST, "num_key_value_heads": MOST, "num_attention_heads": MOST, "head_dim": MOST,
        "sliding_window": u32::MAX, "sliding_window_pattern": 2,
    });
    let read = Attention::read(&config, false).expect("read");
    assert_eq!(
        read.request(u32::MAX, &super::super::tests::ask()),
        u64::MAX
    );
}
