//! What vLLM does with the memory it is given.

use crate::fit::Ask;
use crate::recipe::plan::LaunchPlan;

/// What vLLM keeps beside weights and KV cache on each machine where a recipe has no figure of its own:
/// activations at their peak, CUDA's own, NCCL's buffers, CUDA graphs. As in the built-in recipe of the model
/// it was measured with.
const WORKING_MIB: u64 = 6925;

/// See [`Engine::memory`](crate::engine::Engine::memory).
pub(super) fn ask(plan: &LaunchPlan, weights: u64, grafted: u64) -> Ask {
    let memory = &plan.memory;
    Ask {
        engine: "vLLM",
        ranks: plan.ranks as u32,
        weights,
        grafted,
        working: memory.working_mib.unwrap_or(WORKING_MIB) << 20,
        working_source: match (&memory.source, memory.working_mib) {
            (Some(source), Some(_)) => source.clone(),
            _ => "as measured with another model".into(),
        },
        context: plan.context,
        share: plan.memory_share,
        kv_element: kv_element(&plan.args),
        batched_tokens: batched_tokens(&plan.args),
    }
}

/// What the arguments of `vllm serve` say of an option, in either of its two forms.
fn argument<'a>(args: &'a [String], option: &str) -> Option<&'a str> {
    let joined = args
        .iter()
        .find_map(|a| a.strip_prefix(option)?.strip_prefix('='));
    let after = args.iter().position(|a| a == option);
    joined.or_else(|| after.and_then(|i| args.get(i + 1)).map(String::as_str))
}

/// Bytes of one number in the KV cache, by `--kv-cache-dtype`. `auto` is the model's own type, BF16 for all recipes here
/// (`CacheConfig` in vllm/config/cache.py).
fn kv_element(args: &[String]) -> u32 {
    match argument(args, "--kv-cache-dtype") {
        Some(kind) if kind.starts_with("fp8") => 1,
        _ => 2,
    }
}

/// Tokens computed at once, by `--max-num-batched-tokens`; otherwise what vLLM takes for a server on a GPU of 70 GiB and
/// more, which a Spark is to it (`get_batch_defaults` in vllm/engine/arg_utils.py).
fn batched_tokens(args: &[String]) -> u32 {
    argument(args, "--max-num-batched-tokens")
        .and_then(|n| n.parse().ok())
        .unwrap_or(8192)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_in_both_forms() {
        let args = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        assert_eq!(kv_element(&args("--kv-cache-dtype fp8_e4m3")), 1);
        assert_eq!(kv_element(&args("--kv-cache-dtype=auto")), 2);
        assert_eq!(batched_tokens(&args("--max-num-batched-tokens=4096")), 4096);
        assert_eq!(batched_tokens(&args("--max-num-seqs 8")), 8192);
    }
}
