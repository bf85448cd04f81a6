//! What vLLM's log says of why it ended.

use crate::engine::causes::{Cause, CauseId};
use crate::problem::Code;

/// Causes of their own.
pub(super) const CAUSES: &[Cause] = &[
    Cause {
        id: CauseId("memory-short"),
        texts: &[
            "is less than desired GPU memory utilization",
            "No available memory for the cache blocks",
        ],
        through: &[],
        consequence: false,
        code: Code::MemoryShort,
        cause: "Too little memory was free when it started.",
        fix: "Stop what else uses the machine's memory, wait a minute for it to come back, or choose a smaller share of memory.",
        source: "vLLM, vllm/v1/worker/utils.py and vllm/v1/core/kv_cache_utils.py; printed by three Sparks",
    },
    Cause {
        id: CauseId("cache-short"),
        texts: &["KV cache is needed, which is larger than the available KV cache memory"],
        through: &[],
        consequence: false,
        code: Code::MemoryShort,
        cause: "The memory left for the KV cache does not hold one request of the chosen context length.",
        fix: "Choose a shorter context, or a larger share of memory.",
        source: "vLLM, vllm/v1/core/kv_cache_utils.py",
    },
    Cause {
        id: CauseId("cache-over-memory"),
        texts: &["CUDA out of memory"],
        through: &["in initialize_kv_cache", "in init_kv_cache"],
        consequence: false,
        code: Code::MemoryShort,
        cause: "The KV cache is larger than the memory that was free.",
        fix: "Take `--kv-cache-memory-bytes` out under Choices, or choose a smaller share of memory.",
        source: "PyTorch, from vLLM's worker/gpu_model_runner.py and worker/gpu/attn_utils.py: printed by vLLM 0.26 and 0.33",
    },
    Cause {
        id: CauseId("model-unknown"),
        texts: &[
            "but Transformers does not recognize",
            "are not supported for now",
        ],
        through: &[],
        consequence: false,
        code: Code::ServerDied,
        cause: "The image does not know this model.",
        fix: "Choose the image of the recipe, or one with a newer vLLM.",
        source: "transformers, models/auto/configuration_auto.py; vLLM, vllm/model_executor/models/registry.py",
    },
    Cause {
        id: CauseId("checkpoint-missing"),
        texts: &[
            "Repo id must be in the form",
            "LocalEntryNotFoundError",
            "Invalid repository ID or local directory specified",
            "Weight files referenced in index but missing",
        ],
        through: &[],
        consequence: false,
        code: Code::CheckpointIncomplete,
        cause: "The checkpoint is not where the container looks for it.",
        fix: "Undo the launch, verify the weights on both machines, then resume.",
        source: "huggingface_hub, utils/_validators.py and errors.py; vLLM, vllm/model_executor/model_loader/weight_utils.py",
    },
    Cause {
        id: CauseId("argument-unknown"),
        texts: &["unrecognized arguments", "error: argument"],
        through: &[],
        consequence: false,
        code: Code::BadInput,
        cause: "This vLLM does not know one of the arguments.",
        fix: "Take the argument out under Choices.",
        source: "Python, argparse.py",
    },
    Cause {
        id: CauseId("context-over-model"),
        texts: &["is greater than the derived max_model_len"],
        through: &[],
        consequence: false,
        code: Code::BadInput,
        cause: "The context is longer than the model's configuration allows.",
        fix: "Choose a shorter context under Choices.",
        source: "vLLM, vllm/config/model.py",
    },
    Cause {
        id: CauseId("batch-under-context"),
        texts: &["is smaller than max_model_len"],
        through: &[],
        consequence: false,
        code: Code::BadInput,
        cause: "Fewer tokens may be computed at once than the context has, and prompts do not come in pieces.",
        fix: "Choose a shorter context, or take `--max-num-batched-tokens` out under Choices.",
        source: "vLLM, vllm/config/scheduler.py",
    },
    Cause {
        id: CauseId("gpus-too-few"),
        texts: &["is larger than the number of available GPUs"],
        through: &[],
        consequence: false,
        code: Code::BadInput,
        cause: "The model is split over more GPUs than this machine has.",
        fix: "Choose both machines, or a variant for one.",
        source: "vLLM, vllm/config/parallel.py",
    },
    Cause {
        id: CauseId("cache-of-ranks-differs"),
        texts: &["The KV cache specs for the same layer are different across workers"],
        through: &[],
        consequence: false,
        code: Code::BadInput,
        cause: "This vLLM cannot split this model's KV cache over the machines in the chosen type.",
        fix: "Take `--kv-cache-dtype` out under Choices, then try again.",
        source: "vLLM, vllm/v1/core/kv_cache_utils.py",
    },
];

/// What it says when something else made it wait or ended a part of it.
pub(super) const CONSEQUENCES: &[Cause] = &[
    Cause {
        id: CauseId("too-slow"),
        texts: &["Waited 600s", "Timed out waiting for engine core processes"],
        through: &[],
        consequence: true,
        code: Code::ServerNotReady,
        cause: "Loading took longer than allowed.",
        fix: "Allow more time under Choices, then try again.",
        source: "vLLM, vllm/v1/engine/core_client.py: VLLM_ENGINE_READY_TIMEOUT_S",
    },
    Cause {
        id: CauseId("part-ended"),
        texts: &[
            "Engine core initialization failed",
            "WorkerProc initialization failed",
            "EngineDeadError",
            "Worker failed with error",
            "RPC call to",
        ],
        through: &[],
        consequence: true,
        code: Code::ServerDied,
        cause: "A part of the server ended or stopped to answer, and the log does not say why.",
        fix: "Look whether the other machine still runs and had memory left, then try again.",
        source: "vLLM, vllm/v1/engine/utils.py, vllm/v1/executor/multiproc_executor.py and vllm/v1/engine/exceptions.py",
    },
    Cause {
        id: CauseId("part-silent"),
        texts: &["TimeoutError"],
        through: &["shm_broadcast.py"],
        consequence: true,
        code: Code::ServerDied,
        cause: "A part of the server stopped to answer, and the log does not say why.",
        fix: "Look whether the other machine still runs and had memory left, then try again.",
        source: "vLLM, vllm/distributed/device_communicators/shm_broadcast.py: printed by vLLM 0.26 and 0.33 after rank 1 was killed",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::causes;

    #[test]
    fn the_quiet_cause_wins_over_the_loud_consequence() {
        let head = vec![
            "RuntimeError: NCCL error: remote process exited or there was a network error"
                .to_owned(),
        ];
        let worker = vec!["ValueError: Free memory on device cuda:0 (50.45/121.63 GiB) on startup is less than desired GPU memory utilization (0.88, 107.03 GiB).".to_owned()];
        let problem = causes::explain(
            &[CAUSES, causes::CAUSES, CONSEQUENCES, causes::CONSEQUENCES],
            &[("spark-a".into(), head), ("spark-b".into(), worker)],
            "exit 1",
        );
        assert_eq!(problem.code, Code::MemoryShort);
        assert_eq!(
            problem.machine.as_deref(),
            Some("spark-b"),
            "the machine that ran short is named"
        );
    }
}
