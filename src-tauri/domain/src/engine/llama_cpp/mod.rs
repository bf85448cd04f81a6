//! The server of llama.cpp. It serves GGUF files on one machine. Its `/metrics` counts prompts and answers
//! (`llamacpp:tokens_predicted_total` and others) and no drafts.

mod causes;
mod launch;
mod phases;
mod settings;

use super::causes::Cause;
use super::setting::Setting;
use super::{Engine, OnDisk, Phase};
use crate::container::ContainerSpec;
use crate::engine::metrics::{Metrics, ServerLoad};
use crate::fit::Ask;
use crate::problem::Problem;
use crate::recipe::plan::LaunchPlan;
use crate::recipe::{Recipe, Variant};

/// What it keeps beside weights and KV cache where a recipe has no figure: what the publishers of its GGUF files give
/// for a model of 200 billion parameters:
/// https://huggingface.co/stepfun-ai/Step-3.7-Flash-GGUF
const WORKING_MIB: u64 = 6676;

/// See the module.
pub struct LlamaCppEngine;

impl Engine for LlamaCppEngine {
    fn title(&self) -> &'static str {
        "llama.cpp"
    }

    fn container(
        &self,
        plan: &LaunchPlan,
        variant: &Variant,
        _rank: usize,
        found: &OnDisk<'_>,
    ) -> Result<ContainerSpec, Problem> {
        launch::container(plan, variant, found)
    }

    fn explained(&self) -> &'static [(&'static str, &'static str)] {
        launch::EXPLAINED
    }

    fn open_ports(&self, _plan: &LaunchPlan) -> Vec<u16> {
        Vec::new()
    }

    fn shown(&self, plan: &LaunchPlan, variant: &Variant) -> String {
        launch::shown(plan, variant)
    }

    fn phase(&self, line: &str) -> Option<Phase> {
        phases::read(line)
    }

    fn causes(&self) -> &'static [Cause] {
        causes::CAUSES
    }

    fn load(&self, metrics: &Metrics) -> ServerLoad {
        ServerLoad {
            running: metrics.sum("llamacpp:requests_processing"),
            waiting: metrics.sum("llamacpp:requests_deferred"),
            prompt_tokens: metrics.sum("llamacpp:prompt_tokens_total"),
            generated_tokens: metrics.sum("llamacpp:tokens_predicted_total"),
            finished: None,
        }
    }

    fn memory(&self, plan: &LaunchPlan, weights: u64, grafted: u64) -> Ask {
        let memory = &plan.memory;
        Ask {
            engine: self.title(),
            ranks: 1,
            weights,
            grafted,
            working: memory.working_mib.unwrap_or(WORKING_MIB) << 20,
            working_source: match (&memory.source, memory.working_mib) {
                (Some(source), Some(_)) => source.clone(),
                _ => "as published for another model".into(),
            },
            context: plan.context,
            share: plan.memory_share,
            // Without `-ctk` and `-ctv` the cache is in F16.
            kv_element: 2,
            batched_tokens: 2048,
        }
    }

    fn settings(&self, recipe: &Recipe) -> Vec<Setting> {
        settings::of(recipe)
    }
}
