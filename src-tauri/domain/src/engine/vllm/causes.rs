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
        code: Code::MemoryShort,
        cause: "Too little memory was free when it started.",
        fix: "Stop what else uses the machine's memory, wait a minute for it to come back, or choose a smaller share of memory.",
        source: "vLLM, vllm/v1/worker/utils.py and vllm/v1/core/kv_cache_utils.py; printed by three Sparks",
    },
    Cause {
        id: CauseId("cache-short"),
        texts: &["KV cache is needed, which is larger than the available KV cache memory"],
        code: Code::MemoryShort,
        cause: "The memory left for the KV cache does not hold one request of the chosen context length.",
        fix: "Choose a shorter context, or a larger share of memory.",
        source: "vLLM, vllm/v1/core/kv_cache_utils.py",
    },
    Cause {
        id: CauseId("model-unknown"),
        texts: &[
            "but Transformers does not recognize",
            "are not supported for now",
        ],
        code: Code::ServerDied,
        cause: "The image does not know this model.",
        fix: "Choose the image of the recipe, or one with a newer vLLM.",
        source: "transformers, models/auto/configuration_auto.py; vLLM, vllm/model_executor/models/registry.py",
    },
    Cause {
        id: CauseId("checkpoint-missing"),
        texts: &["Repo id must be in the form", "LocalEntryNotFoundError"],
        code: Code::CheckpointIncomplete,
        cause: "The checkpoint is not where the container looks for it.",
        fix: "Undo the launch, verify the weights on both machines, then resume.",
        source: "huggingface_hub, utils/_validators.py and errors.py",
    },
    Cause {
        id: CauseId("argument-unknown"),
        texts: &["unrecognized arguments", "error: argument"],
        code: Code::BadInput,
        cause: "This vLLM does not know one of the arguments.",
        fix: "Take the argument out under Choices.",
        source: "Python, argparse.py",
    },
];

/// What it says when something else made it wait.
pub(super) const CONSEQUENCES: &[Cause] = &[Cause {
    id: CauseId("too-slow"),
    texts: &["Waited 600s", "Timed out waiting for engine core processes"],
    code: Code::ServerNotReady,
    cause: "Loading took longer than allowed.",
    fix: "Allow more time under Choices, then try again.",
    source: "vLLM, vllm/v1/engine/core_client.py: VLLM_ENGINE_READY_TIMEOUT_S",
}];

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
