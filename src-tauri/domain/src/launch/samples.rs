//! Launch plans for the tests of other modules.

pub(crate) use super::sparks::link;
use super::{LaunchInput, resolve};
use crate::engine::OnDisk;
use crate::machine::Facts;
use crate::network::NetworkPlan;
use crate::node::FetchLimits;
use crate::recipe::plan::LaunchPlan;
use crate::recipe::{Choices, catalog};

/// The recipe that is proposed, in its last variant, over so many machines.
pub(crate) fn plan(ranks: usize, network: Option<&NetworkPlan>) -> LaunchPlan {
    let recipe = catalog::proposed(ranks);
    let input = LaunchInput {
        variant: &recipe.best().expect("it has a variant").id,
        choices: &Choices::default(),
        machines: &[],
        ranks,
        network,
        hub_endpoint: "http://hub",
        download: &FetchLimits::default(),
    };
    resolve(recipe, &input).launch
}

/// A served checkpoint on a machine's disk, and nothing beside it.
pub(crate) fn on_disk<'a>(facts: &'a Facts, snapshot: &'a str) -> OnDisk<'a> {
    OnDisk {
        facts,
        snapshot,
        draft: None,
        tokenizer: None,
        graft: None,
        shared_store: false,
    }
}
