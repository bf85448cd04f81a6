//! What the log of llama.cpp's server says of why it ended.

use crate::engine::causes::{Cause, CauseId};
use crate::problem::Code;

/// Causes of their own.
pub(super) const CAUSES: &[Cause] = &[
    Cause {
        id: CauseId("llama-memory-short"),
        texts: &[
            "cudaMalloc failed: out of memory",
            "unable to allocate CUDA0 buffer",
            "failed to allocate compute buffers",
        ],
        through: &[],
        consequence: false,
        code: Code::MemoryShort,
        cause: "Weights, KV cache and buffers do not fit the memory that was free.",
        fix: "Stop what else uses the machine's memory, choose a shorter context, or a smaller quantisation.",
        source: "llama.cpp, ggml/src/ggml-cuda/ggml-cuda.cu and src/llama-model.cpp; printed in issue 20431 of ggml-org/llama.cpp",
    },
    Cause {
        id: CauseId("llama-model-unknown"),
        texts: &["unknown model architecture"],
        through: &[],
        consequence: false,
        code: Code::ServerDied,
        cause: "The build of llama.cpp in the image does not know this model.",
        fix: "Choose the image of the recipe, or a newer one.",
        source: "llama.cpp, src/llama-model.cpp; printed in issue 28050 of ggml-org/llama.cpp",
    },
    Cause {
        id: CauseId("llama-weights-cut"),
        texts: &["model is corrupted or incomplete"],
        through: &[],
        consequence: false,
        code: Code::CheckpointIncomplete,
        cause: "A GGUF file is shorter than its header says.",
        fix: "Check the weights on that machine and repair them, then try again.",
        source: "llama.cpp, src/llama-model-loader.cpp",
    },
    Cause {
        id: CauseId("llama-part-missing"),
        texts: &["failed to load GGUF split", "invalid split file name"],
        through: &[],
        consequence: false,
        code: Code::CheckpointIncomplete,
        cause: "A part of the GGUF file is missing or has another name.",
        fix: "Check the weights on that machine and repair them, then try again.",
        source: "llama.cpp, src/llama-model-loader.cpp",
    },
    Cause {
        id: CauseId("llama-arguments"),
        texts: &["error: invalid argument:", "error while handling argument"],
        through: &[],
        consequence: false,
        code: Code::BadInput,
        cause: "The build of llama.cpp in the image does not take one of the arguments.",
        fix: "Take it out under Choices, or choose the image of the recipe.",
        source: "llama.cpp, common/arg.cpp",
    },
    Cause {
        id: CauseId("llama-port-taken"),
        texts: &["couldn't bind HTTP server socket"],
        through: &[],
        consequence: false,
        code: Code::PortTaken,
        cause: "Another program has the port of the API.",
        fix: "Stop that program, or choose another port.",
        source: "llama.cpp, tools/server/server-http.cpp",
    },
];

#[cfg(test)]
mod tests {
    use crate::engine::causes::{self, find};
    use crate::engine::{Engine, llama_cpp::LlamaCppEngine};

    fn cause(log: &str) -> Option<&'static str> {
        let engine = &LlamaCppEngine;
        let tables = [
            engine.causes(),
            causes::CAUSES,
            engine.consequences(),
            causes::CONSEQUENCES,
        ];
        let logs = [(
            "spark-a".to_owned(),
            log.lines().map(str::to_owned).collect(),
        )];
        find(&tables, &logs).map(|f| f.id().0)
    }

    /// Lines as they were printed in issues 20431 and 28050 of ggml-org/llama.cpp.
    #[test]
    fn what_ended_a_start_is_found_in_both_forms_of_the_log() {
        assert_eq!(
            cause(
                "load_tensors: loading model tensors, this can take a while... (mmap = true, direct_io = false)\n\
                 ggml_backend_cuda_buffer_type_alloc_buffer: allocating 144817.04 MiB on device 0: cudaMalloc failed: out of memory\n\
                 alloc_tensor_range: failed to allocate CUDA0 buffer of size 151851674624\n\
                 llama_model_load: error loading model: unable to allocate CUDA0 buffer"
            ),
            Some("llama-memory-short")
        );
        assert_eq!(
            cause(
                "0.00.151.204 E llama_model_load: error loading model: unknown model architecture: ''\n\
                 0.00.151.211 E llama_model_load_from_file_impl: failed to load model\n\
                 0.00.174.927 E srv  llama_server: exiting due to model loading error"
            ),
            Some("llama-model-unknown")
        );
        assert_eq!(cause("srv  update_slots: all slots are idle"), None);
    }
}
