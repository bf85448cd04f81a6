//! Engines whose commands are shown for reference and that Tandem does not launch.

use super::causes::Cause;
use super::setting::Setting;
use super::{Engine, OnDisk, Phase};
use crate::container::ContainerSpec;
use crate::fit::Ask;
use crate::problem::{Code, Problem};
use crate::recipe::plan::LaunchPlan;
use crate::recipe::{Recipe, Variant};

/// An engine by its name for people.
pub(super) struct ShownEngine(pub(super) &'static str);

impl Engine for ShownEngine {
    fn title(&self) -> &'static str {
        self.0
    }

    fn container(
        &self,
        plan: &LaunchPlan,
        _variant: &Variant,
        _rank: usize,
        _found: &OnDisk<'_>,
    ) -> Result<ContainerSpec, Problem> {
        Err(
            Problem::new(Code::BadInput, "The model server was not started.")
                .cause(format!(
                    "{} is served by {}, which Tandem shows and does not launch.",
                    plan.title, self.0
                ))
                .fix("Choose another recipe."),
        )
    }

    fn open_ports(&self, _plan: &LaunchPlan) -> Vec<u16> {
        Vec::new()
    }

    fn shown(&self, _plan: &LaunchPlan, _variant: &Variant) -> String {
        String::new()
    }

    fn phase(&self, _line: &str) -> Option<Phase> {
        None
    }

    fn causes(&self) -> &'static [Cause] {
        &[]
    }

    fn memory(&self, plan: &LaunchPlan, weights: u64, grafted: u64) -> Ask {
        Ask {
            engine: self.0,
            ranks: plan.ranks as u32,
            weights,
            grafted,
            working: 0,
            working_source: "as nobody measured".into(),
            context: plan.context,
            share: plan.memory_share,
            kv_element: 2,
            batched_tokens: 8192,
        }
    }

    fn settings(&self, _recipe: &Recipe) -> Vec<Setting> {
        Vec::new()
    }
}
