//! What a log says when the MTP layers of a checkpoint are not what the server expects.

use crate::engine::causes::{Cause, CauseId};
use crate::problem::Code;

/// Where vLLM loads the layers.
const MTP_LOADER: &[&str] = &["step3p5_mtp.py", "step3p7_mtp.py"];

const fn head_quantized(texts: &'static [&'static str], through: &'static [&'static str]) -> Cause {
    Cause {
        id: CauseId("head-quantized"),
        texts,
        through,
        consequence: false,
        code: Code::MtpMissing,
        cause: "This vLLM builds the BF16 MTP head as if it were quantized (before vLLM PR 48883).",
        fix: "Choose a draft of its own as the way to MTP under Choices, or an image with vLLM 0.27.0 or newer.",
        source: "https://github.com/vllm-project/vllm/issues/44836, mended by https://github.com/vllm-project/vllm/pull/48883",
    }
}

/// Counted only where a launch has such layers: other programs say some of these words of other things.
pub const CAUSES: &[Cause] = &[
    Cause {
        id: CauseId("scales-missing"),
        texts: &[
            "_zero_point are not in the checkpoint",
            ".attn.k_scale are not in the checkpoint",
            ".attn.v_scale are not in the checkpoint",
            ".attn.q_scale are not in the checkpoint",
        ],
        through: &[],
        consequence: false,
        code: Code::MtpMissing,
        cause: "This vLLM asks for scales of a quantized KV cache in the MTP layers, which MXFP4 checkpoints lack.",
        fix: "Choose a draft of its own as the way to MTP under Choices.",
        source: "vLLM, vllm/model_executor/models/step3p5_mtp.py; seen with an MXFP4 checkpoint on two Sparks",
    },
    Cause {
        id: CauseId("mtp-missing"),
        texts: &["are not in the checkpoint and will falsely use random initialization"],
        through: &[],
        consequence: false,
        code: Code::MtpMissing,
        cause: "The checkpoint has no MTP tensors.",
        fix: "Run the graft, or choose a revision that has the MTP layers.",
        source: "vLLM, vllm/model_executor/models/step3p5_mtp.py",
    },
    head_quantized(&["must match the size of tensor b"], MTP_LOADER),
    // The sizes of Step-3.7, which tell it where the log has no traceback.
    head_quantized(
        &["The size of tensor a (2048) must match the size of tensor b (4096)"],
        &[],
    ),
    Cause {
        id: CauseId("layers-quantized"),
        texts: &["AssertionError"],
        through: MTP_LOADER,
        consequence: false,
        code: Code::MtpMissing,
        cause: "The checkpoint's list of what is not quantized does not name the MTP layers, so this vLLM takes their BF16 tensors for quantized ones.",
        fix: "Run the graft again; it extends the list in each file in which a vLLM looks for it.",
        source: "Python, from vLLM's step3p5_mtp.py and parameter.py: printed by vLLM 0.26 and 0.33 for lists without the layers",
    },
    Cause {
        id: CauseId("tokens-do-not-fit"),
        texts: &["must be divisible by n_predict"],
        through: &[],
        consequence: false,
        code: Code::BadInput,
        cause: "The number of speculative tokens does not fit the three MTP layers.",
        fix: "Use 1, 2 or 3 speculative tokens.",
        source: "vLLM, vllm/config/speculative.py",
    },
    Cause {
        id: CauseId("lists-short"),
        texts: &["list index out of range"],
        through: MTP_LOADER,
        consequence: false,
        code: Code::MtpMissing,
        cause: "The checkpoint's per-layer lists are cut short, so the MTP layers have no entries.",
        fix: "Run the graft again; it extends the lists.",
        source: "Python, from vLLM's step3p5_mtp.py: printed by vLLM 0.32 for a checkpoint with lists for 45 layers",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::causes::explain;

    #[test]
    fn what_a_loader_asks_for_too_much_is_told_from_tensors_that_are_not_there() {
        let said = |parameter: &str| {
            let line = format!(
                "RuntimeError: Some parameters like {parameter} are not in the checkpoint and will falsely use random initialization"
            );
            explain(&[CAUSES], &[("a".into(), vec![line])], "exit 1").fix
        };
        let scales = said("model.layers.45.mtp_block.self_attn.attn.k_zero_point");
        assert_eq!(
            scales,
            said("model.layers.46.mtp_block.self_attn.attn.v_scale")
        );
        let missing = said("model.layers.45.shared_head.head.weight");
        assert_ne!(scales, missing);
    }
}
