//! The small files beside the weights: tokenizer, template, configuration class, card.

use serde_json::{Value, json};

/// Tokens of their own, from the first id on.
const SPECIAL: [&str; 11] = [
    "<|begin_of_sentence|>",
    "<|end_of_sentence|>",
    "<|EOT|>",
    "<|im_start|>",
    "<|im_end|>",
    "<im_start>",
    "<im_end>",
    "<im_patch>",
    "<patch_start>",
    "<patch_end>",
    "<patch_newline>",
];
/// Tokens of their own that stay visible in text.
const VISIBLE: [&str; 6] = [
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
];

/// Id of `<im_patch>`.
pub const IMAGE_TOKEN: u32 = 7;
/// Ids that end a text.
pub const END_TOKENS: [u32; 2] = [1, 4];

/// The character that stands for a byte in byte-level BPE: printable ones stand for themselves, the
/// others follow from U+0100 on.
fn byte_character(byte: u8) -> char {
    let printable = |b: u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|b| !printable(*b)).count() as u32;
    char::from_u32(0x100 + rank).expect("an assigned code point below U+0200")
}

/// A valid byte-level tokenizer without merges: one token a byte, and the special ones.
pub fn tokenizer() -> Value {
    let added: Vec<Value> = SPECIAL
        .iter()
        .map(|t| (t, true))
        .chain(VISIBLE.iter().map(|t| (t, false)))
        .enumerate()
        .map(|(id, (content, special))| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": special,
            })
        })
        .collect();
    let mut vocab = serde_json::Map::new();
    for (id, token) in SPECIAL.iter().chain(VISIBLE.iter()).enumerate() {
        vocab.insert((*token).to_owned(), json!(id));
    }
    let first = vocab.len();
    for byte in 0..=255u8 {
        vocab.insert(
            byte_character(byte).to_string(),
            json!(first + usize::from(byte)),
        );
    }
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": null,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": vocab, "merges": [],
        },
    })
}

/// `tokenizer_config.json`.
pub fn tokenizer_config() -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[4],
        "pad_token": SPECIAL[1],
        "model_max_length": 262_144,
        "clean_up_tokenization_spaces": false,
    })
}

/// `generation_config.json`, with the vendor's sampling.
pub fn generation_config() -> Value {
    json!({
        "bos_token_id": 0,
        "eos_token_id": END_TOKENS,
        "do_sample": true,
        "temperature": 0.5,
        "top_p": 0.9,
    })
}

/// `chat_template.jinja`: opens the thinking unless it is switched off.
pub const CHAT_TEMPLATE: &str = "\
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}\
{% for item in message.content %}{% if item.type in ('image', 'image_url') %}<im_patch>\
{% elif item.type == 'text' %}{{ item.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is not defined or enable_thinking %}<think>
{% endif %}{% endif %}";

/// `configuration_step3p7.py` in the form that keeps what the checkpoint says about its MTP layers.
pub const CONFIGURATION_WHOLE: &str = r#"# The configuration of a rehearsal's checkpoint.
from transformers.configuration_utils import PretrainedConfig

PER_LAYER = ("layer_types", "rope_theta", "partial_rotary_factors", "swiglu_limits", "swiglu_limits_shared")


class Step3p7VisionConfig(PretrainedConfig):
    model_type = "perception_encoder"


class Step3p7TextConfig(PretrainedConfig):
    model_type = "step3p5"
    architectures = ["Step3p5ForCausalLM"]

    def __init__(self, **values):
        values.pop("model_type", None)
        per_layer = {name: values.pop(name) for name in PER_LAYER if name in values}
        rope_scaling = values.pop("rope_scaling", None)
        for name in ("num_hidden_layers", "num_attention_heads", "hidden_size", "vocab_size"):
            if name in values:
                setattr(self, name, values[name])
        super().__init__(**values)
        # The entries beyond num_hidden_layers belong to the MTP layers and stay.
        for name, entries in per_layer.items():
            setattr(self, name, entries)
        self.rope_scaling = rope_scaling


class Step3p7Config(PretrainedConfig):
    model_type = "step3p7"

    def __init__(self, vision_config=None, text_config=None, **values):
        self.vision_config = Step3p7VisionConfig(**(vision_config or {}))
        self.text_config = Step3p7TextConfig(**(text_config or {}))
        self.hidden_size = getattr(self.text_config, "hidden_size", None)
        self.max_position_embeddings = getattr(self.text_config, "max_position_embeddings", None)
        super().__init__(**values)
"#;

/// The same file in the form that cuts every per-layer list back to the decoder's layers.
pub fn configuration_truncating() -> String {
    CONFIGURATION_WHOLE.replace(
        "        # The entries beyond num_hidden_layers belong to the MTP layers and stay.
        for name, entries in per_layer.items():
            setattr(self, name, entries)
",
        "        # Every list is cut to the layers of the decoder.
        for name, entries in per_layer.items():
            setattr(self, name, entries[: self.num_hidden_layers])
",
    )
}

/// `README.md`.
pub fn card(repo: &str) -> String {
    format!(
        "---\nlicense: apache-2.0\nlibrary_name: transformers\n---\n# {repo} (rehearsal)\n\n\
         A tiny checkpoint with the structure of the real one and made-up weights.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::{
        CONFIGURATION_WHOLE, IMAGE_TOKEN, byte_character, configuration_truncating, tokenizer,
    };

    #[test]
    fn every_byte_has_a_character_of_its_own() {
        let all: std::collections::BTreeSet<char> = (0..=255u8).map(byte_character).collect();
        assert_eq!(all.len(), 256);
        assert_eq!(
            byte_character(b' '),
            'Ġ',
            "as byte-level tokenizers write a space"
        );
    }

    #[test]
    fn the_image_token_is_where_the_config_says() {
        let tokenizer = tokenizer();
        assert_eq!(tokenizer["model"]["vocab"]["<im_patch>"], IMAGE_TOKEN);
        assert_eq!(
            tokenizer["model"]["vocab"]
                .as_object()
                .map(serde_json::Map::len),
            Some(273)
        );
    }

    #[test]
    fn the_two_forms_differ() {
        assert_ne!(configuration_truncating(), CONFIGURATION_WHOLE);
        assert!(configuration_truncating().contains("[: self.num_hidden_layers]"));
    }
}
