//! The structure of Step-3.7-Flash: its layers, its tensors, their shapes.
//!
//! Layer counts, names and the pattern of attention are the real ones; widths are an argument, so
//! that the same structure can be a few megabytes or the true size.

/// Decoder layers.
pub const LAYERS: usize = 45;
/// MTP layers, numbered on after the decoder's.
pub const MTP_LAYERS: usize = 3;
/// The first layers, which have a dense FFN in place of experts.
pub const DENSE_LAYERS: usize = 3;

/// Widths of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widths {
    /// `hidden_size`
    pub hidden: usize,
    /// `intermediate_size`
    pub inter: usize,
    /// `moe_intermediate_size`
    pub expert: usize,
    /// `share_expert_dim`
    pub shared: usize,
    /// `moe_num_experts`
    pub experts: usize,
    /// `num_attention_heads` of the layers with full attention
    pub full_heads: usize,
    /// `num_attention_heads` of the layers with a sliding window
    pub sliding_heads: usize,
    /// `num_attention_groups`
    pub groups: usize,
    /// `head_dim`
    pub head_dim: usize,
    /// `vocab_size`
    pub vocab: usize,
    /// `vision_config.width`
    pub vision: usize,
    /// `vision_config.layers`
    pub vision_layers: usize,
}

impl Widths {
    /// A few megabytes in all.
    pub const TINY: Self = Self {
        hidden: 64,
        inter: 128,
        expert: 32,
        shared: 32,
        experts: 4,
        full_heads: 4,
        sliding_heads: 6,
        groups: 2,
        head_dim: 16,
        vocab: 320,
        vision: 32,
        vision_layers: 2,
    };
}

/// Element types that occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `BF16`
    Bf16,
    /// `F32`
    F32,
    /// `U8`, two FP4 numbers in one byte
    U8,
    /// `F8_E4M3`
    F8,
}

impl Kind {
    /// As the safetensors header names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
            Self::U8 => "U8",
            Self::F8 => "F8_E4M3",
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
            Self::U8 | Self::F8 => 1,
        }
    }
}

/// One tensor without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name in the checkpoint.
    pub name: String,
    /// Its element type.
    pub kind: Kind,
    /// Its dimensions.
    pub shape: Vec<usize>,
}

impl Tensor {
    /// Bytes of its content.
    pub fn bytes(&self) -> u64 {
        self.shape.iter().map(|d| *d as u64).product::<u64>() * self.kind.bytes()
    }
}

/// Whether a layer has full attention.
pub fn full_attention(layer: usize) -> bool {
    layer < LAYERS && layer.is_multiple_of(4)
}

/// Which release's names and element types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// `model.layers.N…`, all BF16.
    Bf16,
    /// `model.language_model.layers.N…`, routed experts in FP4.
    Nvfp4,
}

struct List {
    out: Vec<Tensor>,
}

impl List {
    fn add(&mut self, name: impl Into<String>, kind: Kind, shape: &[usize]) {
        self.out.push(Tensor {
            name: name.into(),
            kind,
            shape: shape.to_vec(),
        });
    }

    fn bf16(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.add(name, Kind::Bf16, shape);
    }

    fn attention(&mut self, p: &str, w: &Widths, heads: usize) {
        let (h, d) = (w.hidden, w.head_dim);
        self.bf16(format!("{p}input_layernorm.weight"), &[h]);
        self.bf16(format!("{p}post_attention_layernorm.weight"), &[h]);
        self.bf16(format!("{p}self_attn.q_proj.weight"), &[heads * d, h]);
        self.bf16(format!("{p}self_attn.k_proj.weight"), &[w.groups * d, h]);
        self.bf16(format!("{p}self_attn.v_proj.weight"), &[w.groups * d, h]);
        self.bf16(format!("{p}self_attn.g_proj.weight"), &[heads, h]);
        self.bf16(format!("{p}self_attn.o_proj.weight"), &[h, heads * d]);
        self.bf16(format!("{p}self_attn.q_norm.weight"), &[d]);
        self.bf16(format!("{p}self_attn.k_norm.weight"), &[d]);
    }

    fn ffn(&mut self, p: &str, hidden: usize, inter: usize) {
        self.bf16(format!("{p}gate_proj.weight"), &[inter, hidden]);
        self.bf16(format!("{p}up_proj.weight"), &[inter, hidden]);
        self.bf16(format!("{p}down_proj.weight"), &[hidden, inter]);
    }

    fn experts(&mut self, p: &str, w: &Widths, release: Release) {
        let (e, x, h) = (w.experts, w.expert, w.hidden);
        for (name, rows, columns) in [("gate_proj", x, h), ("up_proj", x, h), ("down_proj", h, x)] {
            let name = format!("{p}moe.{name}");
            match release {
                Release::Bf16 => self.bf16(format!("{name}.weight"), &[e, rows, columns]),
                Release::Nvfp4 => {
                    self.add(format!("{name}.weight"), Kind::U8, &[e, rows, columns / 2]);
                    self.add(
                        format!("{name}.weight_scale"),
                        Kind::F8,
                        &[e, rows, columns / 16],
                    );
                    self.add(format!("{name}.weight_scale_2"), Kind::F32, &[e]);
                    self.add(format!("{name}.input_scale"), Kind::F32, &[e]);
                }
            }
        }
    }
}

/// The decoder and the vision part, in the order of layers; without the MTP layers.
pub fn body(w: &Widths, release: Release) -> Vec<Tensor> {
    let (text, vision) = match release {
        Release::Bf16 => ("model.", ""),
        Release::Nvfp4 => ("model.language_model.", "model."),
    };
    let mut list = List { out: Vec::new() };
    vision_part(&mut list, vision, w);
    list.bf16(format!("{text}embed_tokens.weight"), &[w.vocab, w.hidden]);
    for layer in 0..LAYERS {
        let p = format!("{text}layers.{layer}.");
        let heads = if full_attention(layer) {
            w.full_heads
        } else {
            w.sliding_heads
        };
        list.attention(&p, w, heads);
        if release == Release::Nvfp4 {
            list.add(format!("{p}self_attn.k_proj.k_scale"), Kind::F32, &[]);
            list.add(format!("{p}self_attn.v_proj.v_scale"), Kind::F32, &[]);
        }
        if layer < DENSE_LAYERS {
            list.ffn(&format!("{p}mlp."), w.hidden, w.inter);
        } else {
            list.bf16(format!("{p}moe.gate.weight"), &[w.experts, w.hidden]);
            list.add(format!("{p}moe.router_bias"), Kind::F32, &[w.experts]);
            list.experts(&p, w, release);
            list.ffn(&format!("{p}share_expert."), w.hidden, w.shared);
        }
    }
    list.bf16(format!("{text}norm.weight"), &[w.hidden]);
    list.bf16("lm_head.weight", &[w.vocab, w.hidden]);
    list.out
}

fn vision_part(list: &mut List, prefix: &str, w: &Widths) {
    let v = w.vision;
    let hidden = v * 6;
    let p = format!("{prefix}vision_model.");
    list.bf16(format!("{p}conv1.weight"), &[v, 3, 14, 14]);
    list.bf16(format!("{p}ln_pre.weight"), &[v]);
    list.bf16(format!("{p}ln_pre.bias"), &[v]);
    list.bf16(format!("{p}positional_embedding"), &[52 * 52, v]);
    for block in 0..w.vision_layers {
        let q = format!("{p}transformer.resblocks.{block}.");
        list.bf16(format!("{q}attn.in_proj_weight"), &[3 * v, v]);
        list.bf16(format!("{q}attn.in_proj_bias"), &[3 * v]);
        list.bf16(format!("{q}attn.out_proj.weight"), &[v, v]);
        list.bf16(format!("{q}attn.out_proj.bias"), &[v]);
        list.bf16(format!("{q}mlp.c_fc.weight"), &[hidden, v]);
        list.bf16(format!("{q}mlp.c_fc.bias"), &[hidden]);
        list.bf16(format!("{q}mlp.c_proj.weight"), &[v, hidden]);
        list.bf16(format!("{q}mlp.c_proj.bias"), &[v]);
        for norm in ["ln_1", "ln_2"] {
            list.bf16(format!("{q}{norm}.weight"), &[v]);
            list.bf16(format!("{q}{norm}.bias"), &[v]);
        }
        list.bf16(format!("{q}ls_1.gamma"), &[v]);
        list.bf16(format!("{q}ls_2.gamma"), &[v]);
    }
    for (name, factor) in [("vit_downsampler1", 2), ("vit_downsampler2", 4)] {
        list.bf16(
            format!("{p}{name}.weight"),
            &[factor * v, factor / 2 * v, 3, 3],
        );
        list.bf16(format!("{p}{name}.bias"), &[factor * v]);
    }
    list.bf16(
        format!("{prefix}vit_large_projector.weight"),
        &[w.hidden, 4 * v],
    );
}

/// The 51 tensors of the MTP layers. They carry these bare names in every release.
pub fn mtp(w: &Widths) -> Vec<Tensor> {
    let mut list = List { out: Vec::new() };
    for layer in LAYERS..LAYERS + MTP_LAYERS {
        let p = format!("model.layers.{layer}.");
        list.bf16(format!("{p}eh_proj.weight"), &[w.hidden, 2 * w.hidden]);
        list.bf16(format!("{p}enorm.weight"), &[w.hidden]);
        list.bf16(format!("{p}hnorm.weight"), &[w.hidden]);
        list.attention(&p, w, w.sliding_heads);
        list.ffn(&format!("{p}mlp."), w.hidden, w.inter);
        list.bf16(
            format!("{p}transformer.shared_head.norm.weight"),
            &[w.hidden],
        );
        list.bf16(
            format!("{p}transformer.shared_head.output.weight"),
            &[w.vocab, w.hidden],
        );
    }
    list.out
}

#[cfg(test)]
mod tests {
    use super::{Release, Widths, body, mtp};

    #[test]
    fn the_real_widths_give_the_real_size_of_the_mtp_layers() {
        let real = Widths {
            hidden: 4096,
            inter: 11264,
            full_heads: 64,
            sliding_heads: 96,
            groups: 8,
            head_dim: 128,
            vocab: 128_896,
            ..Widths::TINY
        };
        let tensors = mtp(&real);
        assert_eq!(tensors.len(), 51, "17 for each of three layers");
        let bytes: u64 = tensors.iter().map(super::Tensor::bytes).sum();
        assert_eq!(bytes / 1_000_000, 4856, "4.856 GB in BF16, as published");
    }

    #[test]
    fn the_releases_differ_in_prefix_and_experts() {
        let bf16 = body(&Widths::TINY, Release::Bf16);
        let nvfp4 = body(&Widths::TINY, Release::Nvfp4);
        assert!(
            bf16.iter()
                .any(|t| t.name == "model.layers.44.moe.down_proj.weight")
        );
        assert!(bf16.iter().all(|t| !t.name.contains("language_model")));
        let packed = nvfp4
            .iter()
            .find(|t| t.name == "model.language_model.layers.3.moe.gate_proj.weight")
            .expect("fused experts");
        assert_eq!(packed.shape, [4, 32, 32], "two numbers share a byte");
        assert!(nvfp4.iter().all(|t| !t.name.starts_with("model.layers.")));
    }
}
