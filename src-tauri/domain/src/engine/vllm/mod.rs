//! vLLM.

pub mod adopt;
mod by_release;
mod causes;
mod explained;
pub mod flags;
mod launch;
mod memory;
mod metrics;
mod phases;
mod refused;
mod settings;

#[cfg(test)]
mod launch_snapshot;

use super::causes::Cause;
use super::setting::Setting;
use super::{Engine, Meeting, OnDisk, Phase};
use crate::container::ContainerSpec;
use crate::engine::metrics::{Acceptance, Metrics, ServerLoad};
use crate::fit::Ask;
use crate::problem::Problem;
use crate::recipe::plan::LaunchPlan;
use crate::recipe::{Recipe, Variant};

/// See the module.
pub struct VllmEngine;

impl Engine for VllmEngine {
    fn title(&self) -> &'static str {
        "vLLM"
    }

    fn container(
        &self,
        plan: &LaunchPlan,
        variant: &Variant,
        rank: usize,
        found: &OnDisk<'_>,
    ) -> Result<ContainerSpec, Problem> {
        launch::container(plan, variant, rank, found)
    }

    fn explained(&self) -> &'static [(&'static str, &'static str)] {
        explained::EXPLAINED
    }

    fn leave_out(&self, plan: &mut LaunchPlan) {
        by_release::leave_out(plan);
    }

    fn refused(&self, plan: &LaunchPlan) -> Vec<Problem> {
        by_release::refused(plan)
    }

    fn answers_messages(&self) -> bool {
        true
    }

    fn open_ports(&self, plan: &LaunchPlan) -> Vec<u16> {
        launch::open_ports(plan)
    }

    fn shown(&self, plan: &LaunchPlan, variant: &Variant) -> String {
        launch::shown(plan, variant)
    }

    fn phase(&self, line: &str) -> Option<Phase> {
        phases::read(line)
    }

    fn meeting(&self, line: &str) -> Option<Meeting> {
        phases::meeting(line)
    }

    fn refused_window(&self, message: &str) -> Option<(u32, u32)> {
        refused::window(message)
    }

    fn causes(&self) -> &'static [Cause] {
        causes::CAUSES
    }

    fn consequences(&self) -> &'static [Cause] {
        causes::CONSEQUENCES
    }

    fn drafts(&self, log: &[String]) -> Option<bool> {
        let args = log.iter().find(|l| l.contains("non-default args"))?;
        Some(args.contains("speculative_config"))
    }

    fn acceptance(&self, before: &Metrics, after: &Metrics) -> Option<Acceptance> {
        metrics::acceptance(before, after)
    }

    fn load(&self, of: &Metrics) -> ServerLoad {
        metrics::load(of)
    }

    fn memory(&self, plan: &LaunchPlan, weights: u64, grafted: u64) -> Ask {
        memory::ask(plan, weights, grafted)
    }

    fn settings(&self, recipe: &Recipe) -> Vec<Setting> {
        settings::of(recipe)
    }
}
