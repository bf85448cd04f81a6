#!/usr/bin/env python3
"""Makes a tiny Step-3.7 that the real vLLM serves: checkpoint.py OUT TEXT

Writes two repositories below OUT as the lab's Hub wants them: `lab/Step-3.7-tiny-BF16` with the MTP layers,
and `lab/Step-3.7-tiny` as the first NVFP4 release was: without them, its per-layer lists cut. TEXT is what
the tokenizer is made from. `configuration_step3p7.py` is not written here.

The weights of attention and experts are noise too small to matter, and the head says for each token which
one follows. So the model speaks in fixed sentences while everything in the engine runs as it would. Each MTP
layer has a head of its own that is right for a share of the tokens.
"""

import hashlib
import json
import pathlib
import random
import sys

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

LAYERS, MTP = 24, 3
HIDDEN, INTER, EXPERT, SHARED, EXPERTS = 128, 256, 64, 64, 4
FULL_HEADS, SLIDING_HEADS, GROUPS, HEAD = 4, 6, 2, 32
VISION = 32
CONTEXT = 8192
# The share of tokens that each MTP layer knows the next one of.
RIGHT = (0.85, 0.75, 0.65)

SPECIAL = ["<|begin_of_sentence|>", "<|end_of_sentence|>", "<|EOT|>", "<|im_start|>", "<|im_end|>", "<im_start>",
           "<im_end>", "<im_patch>", "<patch_start>", "<patch_end>", "<patch_newline>"]
VISIBLE = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
THOUGHT = "The person wants a short answer . I look at what was asked , think about one good sentence and write it down plainly"
ANSWER = "Two small machines share this model : each holds half of every layer ; both meet over their cable for all words you read here !"
TEMPLATE = """\
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}\
{% if part.type in ('image', 'image_url') %}<im_patch>{% elif part.type == 'text' %}{{ part.text }}{% endif %}\
{% endfor %}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is not defined or enable_thinking %}<think>
{% endif %}{% endif %}"""


def tokenizer(text):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=2400, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    # Often enough that every word of the sentences is a token of its own.
    made.train_from_iterator([text] + [f" {THOUGHT} {ANSWER}\n"] * 200, trainer)
    made.add_tokens([AddedToken(t, special=False, normalized=False) for t in VISIBLE])
    return made


def followers(made, size, dice):
    """Which token follows which: the sentences, then a loop of words without end, and chance elsewhere."""
    def words(sentence):
        ids = [made.encode(" " + word).ids for word in sentence.split()]
        assert all(len(i) == 1 for i in ids), "each word is one token"
        return [i[0] for i in ids]

    line, end = made.encode("\n").ids[0], made.token_to_id("<|im_end|>")
    say = [line, *words(THOUGHT), made.token_to_id("</think>"), *words(ANSWER), end]
    assert len(set(say)) == len(say), "no token comes twice, or the sentences would run in circles"
    plain = [i for t, i in sorted(made.get_vocab().items()) if t.startswith("Ġ") and t[1:].isalpha() and len(t) > 3]
    loop = [i for i in plain if i not in say]
    dice.shuffle(loop)
    loop = loop[:150]
    follows = dict(zip(say, say[1:])) | dict(zip([end, *loop], [*loop, loop[0]]))
    # One to one: a token that many others led to would win against the right one.
    left = [t for t in range(size) if t not in follows]
    to = [t for t in left if len(SPECIAL) <= t < made.get_vocab_size()]
    dice.shuffle(to)
    return follows | dict(zip(left, to))


def text_config(size, ids):
    kinds = ["full_attention" if n % 4 == 0 and n < LAYERS else "sliding_attention" for n in range(LAYERS + MTP)]
    full = [k == "full_attention" for k in kinds]
    return {
        "architectures": ["Step3p5ForCausalLM"], "model_type": "step3p5", "torch_dtype": "bfloat16",
        "hidden_size": HIDDEN, "intermediate_size": INTER, "num_hidden_layers": LAYERS, "num_nextn_predict_layers": MTP,
        "max_seq_len": CONTEXT, "max_position_embeddings": CONTEXT, "vocab_size": size, "tie_word_embeddings": False,
        "num_attention_heads": FULL_HEADS, "num_attention_groups": GROUPS, "head_dim": HEAD, "use_qk_norm": True,
        "attention_other_setting": {"attention_type": "sliding_attention", "num_attention_heads": SLIDING_HEADS,
                                    "num_attention_groups": GROUPS, "head_dim": HEAD},
        "use_moe": True, "moe_layers_enum": ",".join(map(str, range(1, LAYERS))), "moe_num_experts": EXPERTS,
        "moe_top_k": 2, "moe_intermediate_size": EXPERT, "share_expert_dim": SHARED, "moe_layer_offset": 0,
        "moe_every_n_layer": 1, "norm_expert_weight": True, "use_moe_router_bias": True, "need_fp32_gate": True,
        # The real model's are sigmoid, and 7 in the last layers of swiglu_limits; a processor has no kernel for either.
        "moe_router_activation": "softmax", "moe_router_scaling_factor": 3.0,
        "swiglu_limits": [0.0] * (LAYERS + MTP),
        "swiglu_limits_shared": [16.0 if n == LAYERS - 1 else 0.0 for n in range(LAYERS + MTP)],
        "use_head_wise_attn_gate": True, "sliding_window": 512, "att_impl_type": "GQA", "layer_types": kinds,
        "rope_theta": [5e6 if f else 1e4 for f in full], "partial_rotary_factors": [0.5 if f else 1.0 for f in full],
        "rope_scaling": {"rope_type": "llama3", "factor": 2.0, "original_max_position_embeddings": CONTEXT // 2,
                         "low_freq_factor": 1.0, "high_freq_factor": 32.0},
        "yarn_only_types": ["full_attention"], "rms_norm_eps": 1e-5, **ids,
    }


def config(text, image_token, ids):
    return {
        "architectures": ["Step3p7ForConditionalGeneration"], "model_type": "step3p7", "torch_dtype": "bfloat16",
        "auto_map": {"AutoConfig": "configuration_step3p7.Step3p7Config"}, "image_token_id": image_token,
        "image_token_len": 169, "patch_token_len": 81, "understand_projector_stride": 2, "projector_bias": False,
        "tie_word_embeddings": False,
        "vision_config": {"model_type": "perception_encoder", "image_size": 728, "patch_size": 14, "width": VISION,
                          "layers": 1, "heads": 2, "mlp_ratio": 6.0, "use_cls_token": False, "ls_init_value": 0.1,
                          "use_ln_pre": True, "use_ln_post": False, "use_abs_posemb": True, "use_rope2d": True,
                          "hidden_act": "quick_gelu", "output_dim": None, "pool_type": "none"},
        "text_config": text, **ids,
    }


class Weights(dict):
    """Tensors by name, all from one seed."""

    def __init__(self):
        super().__init__()
        self.chance = torch.Generator().manual_seed(37)

    def noise(self, name, *shape, size=0.05):
        self[name] = (torch.randn(*shape, generator=self.chance) * size).to(torch.bfloat16)

    def flat(self, name, *shape, value=0.0, kind=torch.bfloat16):
        self[name] = torch.full(shape, value, dtype=kind)

    def ffn(self, name, inner):
        self.noise(f"{name}gate_proj.weight", inner, HIDDEN)
        self.noise(f"{name}up_proj.weight", inner, HIDDEN)
        self.noise(f"{name}down_proj.weight", HIDDEN, inner, size=0.002)

    def layer(self, n, kind):
        p = f"model.layers.{n}."
        heads = FULL_HEADS if kind == "full_attention" else SLIDING_HEADS
        for norm in ("input_layernorm", "post_attention_layernorm"):
            self.flat(f"{p}{norm}.weight", HIDDEN)
        for part, rows in (("q", heads * HEAD), ("k", GROUPS * HEAD), ("v", GROUPS * HEAD), ("g", heads)):
            self.noise(f"{p}self_attn.{part}_proj.weight", rows, HIDDEN)
        self.noise(f"{p}self_attn.o_proj.weight", HIDDEN, heads * HEAD, size=0.002)
        for part in "qk":
            self.flat(f"{p}self_attn.{part}_norm.weight", HEAD)
        if not 1 <= n < LAYERS:
            self.ffn(f"{p}mlp.", INTER)
            return
        self.noise(f"{p}moe.gate.weight", EXPERTS, HIDDEN)
        self.flat(f"{p}moe.router_bias", EXPERTS, kind=torch.float32)
        self.noise(f"{p}moe.gate_proj.weight", EXPERTS, EXPERT, HIDDEN)
        self.noise(f"{p}moe.up_proj.weight", EXPERTS, EXPERT, HIDDEN)
        self.noise(f"{p}moe.down_proj.weight", EXPERTS, HIDDEN, EXPERT, size=0.002)
        self.ffn(f"{p}share_expert.", SHARED)

    def vision(self):
        p, q, inner = "vision_model.", "vision_model.transformer.resblocks.0.", VISION * 6
        for name, *shape in (
            (p + "conv1.weight", VISION, 3, 14, 14), (p + "positional_embedding", 52 * 52, VISION),
            (q + "attn.in_proj_weight", 3 * VISION, VISION), (q + "attn.in_proj_bias", 3 * VISION),
            (q + "attn.out_proj.weight", VISION, VISION), (q + "attn.out_proj.bias", VISION),
            (q + "mlp.c_fc.weight", inner, VISION), (q + "mlp.c_fc.bias", inner),
            (q + "mlp.c_proj.weight", VISION, inner), (q + "mlp.c_proj.bias", VISION),
            (q + "ls_1.gamma", VISION), (q + "ls_2.gamma", VISION),
            (p + "vit_downsampler1.weight", 2 * VISION, VISION, 3, 3), (p + "vit_downsampler1.bias", 2 * VISION),
            (p + "vit_downsampler2.weight", 4 * VISION, 2 * VISION, 3, 3), (p + "vit_downsampler2.bias", 4 * VISION),
            ("vit_large_projector.weight", HIDDEN, 4 * VISION),
        ):
            self.noise(name, *shape)
        for norm in (p + "ln_pre", q + "ln_1", q + "ln_2"):
            self.flat(norm + ".weight", VISION, value=1.0)
            self.flat(norm + ".bias", VISION)


def head(tokens, follows, right, dice, chance):
    """A head under which the right token stands out for a share of the tokens, and some other for the rest."""
    size = tokens.shape[0]
    rows = torch.randn(size, HIDDEN, generator=chance) * 0.01
    for token, after in follows.items():
        if dice.random() > right:
            after = dice.randrange(size)
        rows[after] += 1.5 * tokens[token] / tokens[token].norm()
    return rows.to(torch.bfloat16)


def weights(follows, size, kinds, dice):
    w = Weights()
    tokens = torch.randn(size, HIDDEN, generator=w.chance)
    w["model.embed_tokens.weight"] = tokens.to(torch.bfloat16)
    for n in range(LAYERS):
        w.layer(n, kinds[n])
    w.flat("model.norm.weight", HIDDEN)
    w["lm_head.weight"] = head(tokens, follows, 1.0, dice, w.chance)
    w.vision()
    for n, right in zip(range(LAYERS, LAYERS + MTP), RIGHT):
        p = f"model.layers.{n}."
        w.layer(n, kinds[n])
        for norm in ("enorm", "hnorm", "transformer.shared_head.norm"):
            w.flat(f"{p}{norm}.weight", HIDDEN)
        # Of the two halves, token and state, the head needs the token only.
        w[f"{p}eh_proj.weight"] = torch.cat([torch.eye(HIDDEN), torch.zeros(HIDDEN, HIDDEN)], 1).to(torch.bfloat16)
        w[f"{p}transformer.shared_head.output.weight"] = head(tokens, follows, right, dice, w.chance)
    return w


def write(out, repo, tensors, configuration, files, shards):
    commit = hashlib.sha1((repo + json.dumps(configuration)).encode()).hexdigest()
    folder = out / repo / commit
    folder.mkdir(parents=True)
    refs = out / repo / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit)
    names, places = list(tensors), {}
    share = -(-len(names) // shards)
    for n in range(shards):
        file = f"model-{n + 1:05}-of-{shards:05}.safetensors"
        part = names[n * share:(n + 1) * share]
        save_file({name: tensors[name].contiguous() for name in part}, folder / file, metadata={"format": "pt"})
        places |= {name: file for name in part}
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    files = files | {"config.json": configuration, "model.safetensors.index.json": index}
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        (folder / name).write_text(text)
    print(f"{repo}: {len(tensors)} tensors, {total / 1e6:.1f} MB")


def main(out, text):
    dice = random.Random(37)
    made = tokenizer(text)
    size = -(-made.get_vocab_size() // 64) * 64
    id_of = made.token_to_id
    ids = {"bos_token_id": id_of(SPECIAL[0]), "eos_token_id": [id_of(SPECIAL[1]), id_of("<|im_end|>")]}
    text_part = text_config(size, ids)
    whole = config(text_part, id_of("<im_patch>"), ids)
    tensors = weights(followers(made, size, dice), size, text_part["layer_types"], dice)
    files = {
        "tokenizer.json": made.to_str(),
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[0],
                                  "eos_token": "<|im_end|>", "pad_token": SPECIAL[1], "model_max_length": CONTEXT,
                                  "clean_up_tokenization_spaces": False},
        "generation_config.json": {**ids, "do_sample": True, "temperature": 0.5, "top_p": 0.9},
        "chat_template.jinja": TEMPLATE,
    }
    write(out, "lab/Step-3.7-tiny-BF16", tensors, whole, files, 3)
    cut = {k: v[:LAYERS] if isinstance(v, list) and len(v) == LAYERS + MTP else v for k, v in text_part.items()}
    is_mtp = tuple(f"model.layers.{n}." for n in range(LAYERS, LAYERS + MTP))
    without = {k: v for k, v in tensors.items() if not k.startswith(is_mtp)}
    write(out, "lab/Step-3.7-tiny", without, {**whole, "text_config": cut}, files, 2)


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).read_text())
