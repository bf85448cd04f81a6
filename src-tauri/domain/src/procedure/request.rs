//! What a person asks of the set-up, and the same resolved into what is stored with the run.

use serde::{Deserialize, Serialize};

use crate::engine::setting::Setting;
use crate::ids::MachineId;
use crate::launch::{self, LaunchInput, Resolved};
use crate::machine::SetupMachine;
use crate::network::{NetworkPlan, plan};
use crate::node::FetchLimits;
use crate::problem::Problem;
use crate::recipe::plan::LaunchPlan;
use crate::recipe::{Choices, Recipe, RecipeId, VariantId};

/// What the set-up of a pair (or of one machine) is asked to do. Holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct SetupRequest {
    /// The machines' ids, the head first.
    pub machines: Vec<MachineId>,
    /// The addresses on the private link; `None` for a single machine.
    pub network: Option<NetworkPlan>,
    /// For example `https://huggingface.co`.
    pub hub_endpoint: String,
    /// What is served.
    pub recipe: RecipeId,
    /// The variant that it ends in.
    pub variant: VariantId,
    /// What was changed in it.
    #[serde(default)]
    pub choices: Choices,
    /// How much of the line the download may take, and when.
    #[serde(default)]
    pub download: FetchLimits,
}

/// A set-up as it is stored with its run: what was asked for, and the launch plan that came of it. A later
/// version of the recipe changes nothing in a run that was planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// What was asked for.
    #[serde(flatten)]
    pub request: SetupRequest,
    /// What the steps read.
    pub launch: LaunchPlan,
}

/// A set-up before it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// What would be stored.
    pub setup: Setup,
    /// Every setting with its value.
    pub settings: Vec<Setting>,
    /// Everything that stands against it; empty if nothing does.
    pub problems: Vec<Problem>,
}

impl SetupRequest {
    /// A recipe over these machines as it is proposed, the head first. `ids` are those of `machines`.
    pub fn proposed(
        recipe: &Recipe,
        ids: Vec<MachineId>,
        machines: &[SetupMachine],
        hub_endpoint: String,
    ) -> Result<Self, Problem> {
        let network = match machines {
            [a, b] => Some(plan::propose(&a.facts, &b.facts)?),
            _ => None,
        };
        let best = recipe.best().map(|v| v.id.clone());
        Ok(Self {
            machines: ids,
            network,
            hub_endpoint,
            recipe: recipe.id.clone(),
            variant: best.unwrap_or(VariantId(String::new())),
            choices: Choices::default(),
            download: FetchLimits::default(),
        })
    }

    /// The same, resolved for these machines.
    pub fn resolve(&self, recipe: &Recipe, machines: &[SetupMachine]) -> Resolved {
        launch::resolve(
            recipe,
            &LaunchInput {
                variant: &self.variant,
                choices: &self.choices,
                machines,
                ranks: self.machines.len(),
                network: self.network.as_ref(),
                hub_endpoint: &self.hub_endpoint,
                download: &self.download,
            },
        )
    }

    /// The same, to be stored with a run.
    pub fn planned(self, recipe: &Recipe, machines: &[SetupMachine]) -> Planned {
        let resolved = self.resolve(recipe, machines);
        Planned {
            setup: Setup {
                request: self,
                launch: resolved.launch,
            },
            settings: resolved.settings,
            problems: resolved.problems,
        }
    }
}
