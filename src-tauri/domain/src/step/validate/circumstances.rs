//! What a measurement is made on, taken when it is made: whatever may be the cause where two differ.

use crate::bench::Circumstances;
use crate::machine::Facts;
use crate::recipe::VariantId;
use crate::recipe::plan::LaunchPlan;
use crate::run::{RunState, StepId};
use crate::step::ids;
use crate::step::launch::LaunchReceipt;
use crate::step::weights::WeightsReceipt;

/// The circumstances of what a run launched, on machines with these facts, head first. `None` where the run launched
/// nothing of this variant.
pub fn of_run(
    state: &RunState,
    plan: &LaunchPlan,
    variant: &VariantId,
    facts: &[Facts],
) -> Option<Circumstances> {
    let receipt = |step: StepId| state.step(&step).receipt;
    let launch = receipt(ids::launch(variant))?;
    let launch: LaunchReceipt = serde_json::from_value(launch).ok()?;
    let weights = serde_json::from_value(receipt(StepId(ids::WEIGHTS.into()))?).ok()?;
    Some(circumstances(plan, &launch, &weights, facts))
}

/// See [`of_run`].
pub(super) fn circumstances(
    plan: &LaunchPlan,
    launch: &LaunchReceipt,
    WeightsReceipt(fetched): &WeightsReceipt,
    facts: &[Facts],
) -> Circumstances {
    let served = plan.served();
    let commit = fetched.first().map(|f| f.first.commit.clone());
    let mut all = Circumstances::new();
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    set("launch", launch.identity.clone());
    set("recipe", plan.title.clone());
    set("image", plan.image.name.clone());
    set("image id", launch.image_id.clone());
    set(
        "weights",
        format!("{} at {}", served.repo, commit.unwrap_or_else(unknown)),
    );
    set("machines", facts.len().to_string());
    set("tensor parallel size", facts.len().to_string());
    set("context length", plan.context.to_string());
    set("memory share", plan.memory_share.to_string());
    set("arguments", plan.args.join(" "));
    set(
        "speculative tokens",
        launch
            .speculative_tokens
            .map_or("none".into(), |n| n.to_string()),
    );
    set("Tandem", env!("CARGO_PKG_VERSION").to_owned());
    for (rank, facts) in facts.iter().enumerate() {
        // The head's have the bare names, as older measurements have them.
        let name = |of: &str| match rank {
            0 => of.to_owned(),
            _ => format!("{of} of machine {}", rank + 1),
        };
        let told = |value: &Option<String>| value.clone().unwrap_or_else(unknown);
        set(&name("kernel"), facts.kernel.clone());
        set(&name("driver"), told(&facts.driver));
        set(&name("DGX OS"), told(&facts.dgx_os));
        set(&name("link firmware"), told(&facts.firmware));
    }
    all
}

fn unknown() -> String {
    "unknown".into()
}
