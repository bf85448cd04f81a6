//! What a model's attention keeps of each token, read from `config.json`.
//!
//! Models say it in many ways. Where a file says it in none that is known here, the reader says so: a forecast that
//! guesses is worse than none.

use serde_json::Value;

use super::Ask;
use crate::checkpoint::config::text;

/// Layers, heads and widths above this are in no model; a file that says so is damaged.
const MOST: u64 = 1 << 17;

/// What a model's attention keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attention {
    /// The layers that keep every token.
    pub full: Layers,
    /// The layers that keep a window of tokens.
    pub sliding: Layers,
    /// Tokens of that window; 0 where no layer has one.
    pub window: u32,
    /// Layers that keep a state of one size, however long the context is.
    pub state_layers: u32,
    /// Whether the file names a window without saying which layers have it. All count as full then, so that the
    /// forecast asks for too much and never for too little.
    pub window_unplaced: bool,
}

/// Layers that keep the same of each token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// How many.
    pub count: u32,
    /// What each keeps of one token.
    pub keeps: PerToken,
}

/// What a layer keeps of one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerToken {
    /// A key and a value of each head. The heads are split over the machines.
    Heads {
        /// Key and value heads.
        heads: u32,
        /// Numbers of a key and of a value together.
        numbers: u32,
    },
    /// One latent from which keys and values are computed (MLA). Every machine keeps it whole.
    Latent {
        /// Numbers of the latent and of its rotary part.
        numbers: u32,
        /// Bytes of the key by which sparse attention chooses tokens; 0 without it.
        index_bytes: u32,
    },
}

impl PerToken {
    /// Bytes of one token on each machine.
    fn bytes(self, ask: &Ask) -> u64 {
        let element = u64::from(ask.kv_element);
        match self {
            Self::Heads { heads, numbers } => {
                u64::from(heads.div_ceil(ask.ranks.max(1))) * u64::from(numbers) * element
            }
            Self::Latent {
                numbers,
                index_bytes,
            } => u64::from(numbers) * element + u64::from(index_bytes),
        }
    }
}

/// What a layer does with the tokens before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LayerKind {
    Full,
    Sliding,
    State,
    /// It keeps nothing: an MLP alone, or a layer that uses the keys of another.
    Nothing,
}

impl Attention {
    /// Reads it. The error is what stands against a forecast, as the end of a sentence.
    pub fn read(config: &Value, drafting: bool) -> Result<Self, String> {
        let part = TextConfig(text(config));
        let layers = part
            .number(&["num_hidden_layers", "n_layer", "num_layers", "n_layers"])?
            .ok_or("it does not say how many layers the model has")?;
        let windowed = part.window()?;
        let (mut kinds, window_unplaced) = part.kinds(layers, windowed)?;
        let shared = part.number(&["num_kv_shared_layers"])?.unwrap_or(0);
        let own = layers.saturating_sub(shared) as usize;
        for kind in kinds.iter_mut().skip(own) {
            *kind = LayerKind::Nothing;
        }
        if drafting {
            let drafts = part.number(&[
                "num_nextn_predict_layers",
                "mtp_num_hidden_layers",
                "num_mtp_modules",
            ])?;
            for n in 0..drafts.unwrap_or(0) {
                kinds.push(
                    part.listed((layers + n) as usize)?
                        .unwrap_or(LayerKind::Full),
                );
            }
        }
        let count = |kind| kinds.iter().filter(|k| **k == kind).count() as u32;
        Ok(Self {
            full: Layers {
                count: count(LayerKind::Full),
                keeps: part.per_token(LayerKind::Full)?,
            },
            sliding: Layers {
                count: count(LayerKind::Sliding),
                keeps: part.per_token(LayerKind::Sliding)?,
            },
            window: windowed.unwrap_or(0),
            state_layers: count(LayerKind::State),
            window_unplaced,
        })
    }

    /// Bytes of KV cache that one request of `context` tokens takes on each machine.
    pub fn request(&self, context: u32, ask: &Ask) -> u64 {
        // A prompt comes in pieces, and a layer with a window keeps the window and the piece.
        let kept = context.min(self.window.saturating_add(ask.batched_tokens));
        let of = |layers: &Layers, tokens: u32| {
            u64::from(layers.count)
                .saturating_mul(layers.keeps.bytes(ask))
                .saturating_mul(u64::from(tokens))
        };
        of(&self.full, context).saturating_add(of(&self.sliding, kept))
    }

    /// What is kept of `context` tokens, in words.
    pub fn says(&self, context: u32) -> String {
        let mut parts = Vec::new();
        if self.full.count > 0 {
            parts.push(match self.full.keeps {
                PerToken::Heads { .. } => format!("{} layers keep all of it", self.full.count),
                PerToken::Latent { numbers, .. } => format!(
                    "{} layers keep a latent of {numbers} numbers a token, whole on every machine",
                    self.full.count
                ),
            });
        }
        if self.sliding.count > 0 {
            parts.push(format!(
                "{} keep {} tokens",
                self.sliding.count, self.window
            ));
        }
        if self.state_layers > 0 {
            parts.push(format!(
                "{} keep a state of one size, which is not counted",
                self.state_layers
            ));
        }
        let mut says = format!("one request of {context} tokens: {}", parts.join(", "));
        if self.window_unplaced {
            says.push_str(
                ". The configuration names a window and not the layers that have it, so all are counted in full",
            );
        }
        says
    }
}

/// The part of the configuration that describes the language model.
struct TextConfig<'a>(&'a Value);

impl TextConfig<'_> {
    /// The first of these keys that holds a number.
    fn number(&self, keys: &[&str]) -> Result<Option<u32>, String> {
        for key in keys {
            match self.0.get(*key) {
                Some(Value::Number(n)) => {
                    return match n.as_u64().filter(|n| *n <= MOST) {
                        Some(n) => Ok(Some(n as u32)),
                        None => Err(format!("its `{key}` is {n}, which no model has")),
                    };
                }
                Some(Value::Array(_)) => {
                    return Err(format!(
                        "its `{key}` differs from layer to layer, which Tandem does not reckon with"
                    ));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn array(&self, key: &str) -> Option<&Vec<Value>> {
        self.0.get(key)?.as_array()
    }

    /// Tokens of the window, where the model has one. `use_sliding_window: false` says that the number has no effect.
    fn window(&self) -> Result<Option<u32>, String> {
        if self.0.get("use_sliding_window") == Some(&Value::Bool(false)) {
            return Ok(None);
        }
        let keys = [
            "sliding_window",
            "sliding_window_size",
            "attention_chunk_size",
        ];
        Ok(self.wide_number(&keys)?.filter(|n| *n > 0))
    }

    /// A number of tokens, which may be larger than [`MOST`].
    fn wide_number(&self, keys: &[&str]) -> Result<Option<u32>, String> {
        let found = keys
            .iter()
            .find_map(|k| Some((k, self.0.get(*k)?.as_u64()?)));
        match found {
            Some((key, n)) => u32::try_from(n)
                .map(Some)
                .map_err(|_| format!("its `{key}` is {n}, which no model has")),
            None => Ok(None),
        }
    }

    /// What `layer_types` says of a layer, those that draft included.
    fn listed(&self, layer: usize) -> Result<Option<LayerKind>, String> {
        let lists = ["layer_types", "layers_block_type"];
        let Some(kind) = lists.iter().find_map(|l| self.array(l)?.get(layer)) else {
            return Ok(None);
        };
        // The names that transformers and the models' own code use.
        match kind.as_str().unwrap_or_default() {
            "full_attention" | "attention" | "hybrid" => Ok(Some(LayerKind::Full)),
            "sliding_attention" | "chunked_attention" | "local_attention" => {
                Ok(Some(match self.window()? {
                    Some(_) => LayerKind::Sliding,
                    None => LayerKind::Full,
                }))
            }
            "linear_attention" | "mamba" | "mamba2" | "conv" | "recurrent" => {
                Ok(Some(LayerKind::State))
            }
            "mlp" | "moe" => Ok(Some(LayerKind::Nothing)),
            other => Err(format!("Tandem does not know layers of the kind `{other}`")),
        }
    }

    /// The kind of each layer, and whether a window stays without its layers.
    fn kinds(&self, layers: u32, window: Option<u32>) -> Result<(Vec<LayerKind>, bool), String> {
        let all = 0..layers as usize;
        if self
            .array("layer_types")
            .or(self.array("layers_block_type"))
            .is_some()
        {
            let kinds = all.map(|l| {
                self.listed(l)?
                    .ok_or_else(|| "its list of layers is shorter than the model".to_owned())
            });
            return Ok((kinds.collect::<Result<_, _>>()?, false));
        }
        if let Some(stops) = self.foreign() {
            return Err(format!("Tandem does not reckon with `{stops}`"));
        }
        let every = |n: u32, then: LayerKind, otherwise: LayerKind| -> Vec<LayerKind> {
            let last = |l: usize| (l as u32 + 1).is_multiple_of(n.max(1));
            all.clone()
                .map(|l| if last(l) { then } else { otherwise })
                .collect()
        };
        let by = |full: &dyn Fn(usize) -> bool, otherwise: LayerKind| -> Vec<LayerKind> {
            all.clone()
                .map(|l| if full(l) { LayerKind::Full } else { otherwise })
                .collect()
        };
        if let Some(pattern) = self
            .0
            .get("hybrid_override_pattern")
            .and_then(Value::as_str)
        {
            let kinds = pattern.chars().map(|c| match c {
                '*' => Ok(LayerKind::Full),
                'M' => Ok(LayerKind::State),
                '-' | 'E' => Ok(LayerKind::Nothing),
                other => Err(format!("Tandem does not know layers of the kind `{other}`")),
            });
            return Ok((kinds.collect::<Result<_, _>>()?, false));
        }
        let is = |list: &[Value], l: usize, n: u64| list.get(l).and_then(Value::as_u64) == Some(n);
        if let Some(list) = self.array("attn_type_list") {
            return Ok((by(&|l| is(list, l, 1), LayerKind::State), false));
        }
        if let Some(list) = self
            .array("hybrid_layer_pattern")
            .filter(|_| window.is_some())
        {
            return Ok((by(&|l| is(list, l, 0), LayerKind::Sliding), false));
        }
        if let Some(list) = self.array("no_rope_layers").filter(|_| window.is_some()) {
            return Ok((by(&|l| is(list, l, 0), LayerKind::Sliding), false));
        }
        // Numbers of layers there begin with 1.
        let linear = self.0.get("linear_attn_config");
        if let Some(full) = linear.and_then(|c| c.get("full_attn_layers")?.as_array()) {
            let has = |l: usize| full.iter().any(|n| n.as_u64() == Some(l as u64 + 1));
            return Ok((by(&has, LayerKind::State), false));
        }
        if let Some(n) = self.number(&["full_attention_interval"])? {
            return Ok((every(n, LayerKind::Full, LayerKind::State), false));
        }
        if let Some(period) = self.number(&["attn_layer_period"])? {
            let offset = self.number(&["attn_layer_offset"])?.unwrap_or(0);
            let full = |l: usize| l as u32 % period.max(1) == offset;
            return Ok((by(&full, LayerKind::State), false));
        }
        if let Some(stops) = self.states_without_layers() {
            return Err(format!(
                "it has `{stops}` and does not say which layers that is"
            ));
        }
        let Some(_) = window else {
            return Ok((vec![LayerKind::Full; layers as usize], false));
        };
        if let Some(n) = self.number(&["sliding_window_pattern"])?.filter(|n| *n > 1) {
            return Ok((every(n, LayerKind::Full, LayerKind::Sliding), false));
        }
        let used = self.0.get("use_sliding_window") == Some(&Value::Bool(true));
        if let Some(first) = self.number(&["max_window_layers"])?.filter(|_| used) {
            return Ok((by(&|l| (l as u32) < first, LayerKind::Sliding), false));
        }
        Ok((vec![LayerKind::Full; layers as usize], true))
    }

    /// A key of a structure whose cache is reckoned in none of these ways.
    fn foreign(&self) -> Option<&'static str> {
        ["compress_ratios", "block_configs", "block_types", "ssm_cfg"]
            .into_iter()
            .find(|k| self.0.get(*k).is_some_and(|v| !v.is_null()))
    }

    /// A key of layers that keep a state, where nothing says which they are.
    fn states_without_layers(&self) -> Option<&'static str> {
        [
            "linear_num_value_heads",
            "mamba_d_state",
            "ssm_state_size",
            "state_size",
        ]
        .into_iter()
        .find(|k| self.0.get(*k).is_some_and(|v| !v.is_null()))
    }

    /// What a layer of this kind keeps of a token. Some models have other heads where the window is, or where it is not.
    fn per_token(&self, kind: LayerKind) -> Result<PerToken, String> {
        if let Some(latent) = self.number(&["kv_lora_rank"])?.filter(|n| *n > 0) {
            let rotary = self.number(&["qk_rope_head_dim"])?.unwrap_or(0);
            // As bytes, one scale of 4 bytes for each 128 (vLLM, vllm/v1/attention/backends/mla/indexer.py).
            let index = self.number(&["index_head_dim"])?.unwrap_or(0);
            return Ok(PerToken::Latent {
                numbers: latent + rotary,
                index_bytes: index + index.div_ceil(128) * 4,
            });
        }
        let own = |key: &str| match kind {
            LayerKind::Sliding => format!("swa_{key}"),
            _ => format!("global_{key}"),
        };
        let first = |key: &str, keys: &[&str]| -> Result<Option<u32>, String> {
            match self.number(&[&own(key)])? {
                Some(n) => Ok(Some(n)),
                None => self.number(keys),
            }
        };
        let query_heads = self.number(&["num_attention_heads", "n_head", "n_heads"])?;
        let heads = match kind {
            LayerKind::Sliding => self.number(&["swa_num_key_value_heads"])?,
            _ => self.number(&["num_global_key_value_heads"])?,
        };
        let heads = match heads {
            Some(n) => Some(n),
            None => self.number(&[
                "num_attention_groups",
                "num_key_value_heads",
                "num_kv_heads",
                "n_head_kv",
            ])?,
        };
        let heads = heads
            .or(query_heads)
            .ok_or("it does not say how many key and value heads a layer has")?;
        let hidden = self.number(&["hidden_size", "n_embd", "d_model"])?;
        let key = match first("head_dim", &["head_dim"])? {
            Some(n) => n,
            None => match (hidden, query_heads) {
                (Some(hidden), Some(queries)) if queries > 0 => hidden / queries,
                _ => return Err("it does not say how wide a head is".into()),
            },
        };
        let value = first("v_head_dim", &["v_head_dim"])?.unwrap_or(key);
        Ok(PerToken::Heads {
            heads,
            numbers: key + value,
        })
    }
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
