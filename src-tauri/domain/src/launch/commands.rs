//! The commands of all recipes, as a launch on sample machines would give them, with what differs from the commands
//! that were published and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::expected;
use super::input::LaunchInput;
use super::resolve::resolve;
use super::sparks;
use crate::container::ContainerSpec;
use crate::container::{command, fabric};
use crate::engine;
use crate::node::FetchLimits;
use crate::problem::Problem;
use crate::recipe::plan::LaunchPlan;
use crate::recipe::published::{Difference, PublishedLaunch};
use crate::recipe::{Choices, Recipe, RecipeId, Variant, is_option, option_name};

/// The command of one machine of one launch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MachineCommand {
    /// The published launch, or `RECIPE:VARIANT` where nobody published one.
    pub id: RecipeId,
    /// Which machine.
    pub machine: MachineRole,
    /// The image.
    pub image: String,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The words of `docker run` before the image, without the environment.
    pub docker_flags: Vec<String>,
    /// The words after the image.
    pub serve_args: Vec<String>,
    /// What differs from the published launch, and why.
    pub explained: Vec<Explained>,
}

/// A machine's place in a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineRole {
    /// The only one.
    Single,
    /// Rank 0 of several.
    Head,
    /// Another rank.
    Worker,
}

/// A difference and its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// As in [`Difference`], or `*`: the launch is shown for reference only.
    pub item: String,
    /// Why, in a sentence.
    pub reason: String,
}

/// The commands of a recipe's launches on as many sample machines as each is for: first those that others
/// published, in the recipe's order, then each variant that nobody published.
pub fn commands(recipe: &Recipe) -> Result<Vec<MachineCommand>, Problem> {
    let mut all = Vec::new();
    for variant in &recipe.variants {
        for launch in &variant.launches {
            all.extend(match recipe.reference {
                Some(_) => vec![reference(recipe, variant, launch)],
                None => launched(recipe, variant, launch)?,
            });
        }
        if variant.launches.is_empty() {
            let own = PublishedLaunch {
                id: RecipeId(format!("{}:{}", recipe.id, variant.id)),
                machines: recipe.nodes.most as usize,
                choices: Choices::default(),
                differs: Vec::new(),
                dropped: Vec::new(),
            };
            all.extend(match recipe.reference {
                Some(_) => vec![reference(recipe, variant, &own)],
                None => launched(recipe, variant, &own)?,
            });
        }
    }
    Ok(all)
}

/// A command that is shown as it was published.
fn reference(recipe: &Recipe, variant: &Variant, launch: &PublishedLaunch) -> MachineCommand {
    let own = recipe.in_variant(&variant.id);
    let why = recipe.reference.as_ref().map(|r| Explained {
        item: "*".into(),
        reason: format!("For {}. {}", r.hardware, r.why),
    });
    let more = said(recipe, variant, launch).filter_map(|d| {
        Some(Explained {
            item: d.item.clone(),
            reason: d.why.clone()?,
        })
    });
    MachineCommand {
        id: launch.id.clone(),
        machine: MachineRole::Single,
        image: own.image.name,
        env: own.env,
        docker_flags: variant.docker.clone(),
        serve_args: variant.command.clone(),
        explained: why.into_iter().chain(more).collect(),
    }
}

fn launched(
    recipe: &Recipe,
    variant: &Variant,
    launch: &PublishedLaunch,
) -> Result<Vec<MachineCommand>, Problem> {
    let of_engine = engine::of(recipe.engine).explained();
    let (plan, specs) = containers(recipe, variant, launch)?;
    let command = |(rank, spec): (usize, &ContainerSpec)| MachineCommand {
        id: launch.id.clone(),
        machine: match (launch.machines, rank) {
            (1, _) => MachineRole::Single,
            (_, 0) => MachineRole::Head,
            _ => MachineRole::Worker,
        },
        explained: left_out(&plan)
            .chain(explained(recipe, variant, launch, spec, of_engine))
            .collect(),
        image: spec.image.clone(),
        env: spec.env.iter().cloned().collect(),
        docker_flags: [
            vec!["-d".to_owned()],
            command::options(spec),
            command::given_at_start(spec),
        ]
        .concat(),
        serve_args: command::after_image(spec),
    };
    Ok(specs.iter().enumerate().map(command).collect())
}

/// The containers of a launch on the sample machines, the head's first.
fn containers(
    recipe: &Recipe,
    variant: &Variant,
    launch: &PublishedLaunch,
) -> Result<(LaunchPlan, Vec<ContainerSpec>), Problem> {
    let network = (launch.machines > 1).then(sparks::link);
    let plan = resolve(
        recipe,
        &LaunchInput {
            variant: &variant.id,
            choices: &launch.choices,
            machines: &[],
            ranks: launch.machines,
            network: network.as_ref(),
            hub_endpoint: "https://huggingface.co",
            download: &FetchLimits::default(),
        },
    )
    .launch;
    let facts = vec![sparks::facts(); launch.machines];
    let specs = expected::containers(&plan, plan.last().unwrap_or(variant), &facts)?;
    Ok((plan, specs))
}

/// Why words of the recipe are not among the command's.
fn left_out(plan: &LaunchPlan) -> impl Iterator<Item = Explained> {
    plan.left_out.iter().map(|left| Explained {
        item: left.item.clone(),
        reason: left.why.clone(),
    })
}

/// What the recipe says of a launch's differences, the nearest first.
fn said<'a>(
    recipe: &'a Recipe,
    variant: &'a Variant,
    launch: &'a PublishedLaunch,
) -> impl Iterator<Item = &'a Difference> {
    let differs = launch.differs.iter().chain(&variant.differs);
    let differs = differs.chain(&recipe.differs);
    let dropped = launch.dropped.iter().chain(&variant.dropped);
    differs.chain(dropped.chain(&recipe.dropped))
}

fn explained(
    recipe: &Recipe,
    variant: &Variant,
    launch: &PublishedLaunch,
    spec: &ContainerSpec,
    of_engine: &[(&str, &str)],
) -> Vec<Explained> {
    let common = |item: &str| {
        let tables = [of_engine, fabric::EXPLAINED, command::EXPLAINED];
        let mut all = tables.into_iter().flatten();
        all.find(|(known, _)| *known == item)
            .map(|(_, why)| (*why).to_owned())
    };
    let mut seen = BTreeSet::new();
    let own = said(recipe, variant, launch).filter_map(|d| {
        let reason = d.why.clone().or_else(|| common(&d.item))?;
        Some((d.item.clone(), reason))
    });
    let by_writer = items(spec).into_iter().filter_map(|item| {
        // A mount is told apart by its place inside, and all of ours have one reason.
        let known = match item.starts_with("docker:-v ") {
            true => "docker:-v",
            false => &item,
        };
        let reason = common(known)?;
        Some((item, reason))
    });
    own.chain(by_writer)
        .filter(|(item, _)| seen.insert(item.clone()))
        .map(|(item, reason)| Explained { item, reason })
        .collect()
}

/// Everything in a container that can be explained.
fn items(spec: &ContainerSpec) -> Vec<String> {
    let mut all = vec!["model".to_owned(), "image".to_owned()];
    let words = command::after_image(spec);
    let options = words.iter().filter(|w| is_option(w));
    all.extend(options.map(|w| option_name(w).to_owned()));
    all.extend(spec.env.iter().map(|(name, _)| format!("env:{name}")));
    let docker = [command::options(spec), command::given_at_start(spec)].concat();
    for pair in docker.chunks(2) {
        match pair {
            [option, value] if option == "-v" => {
                let inside = value.trim_end_matches(":ro").rsplit(':').next();
                all.push(format!("docker:-v {}", inside.unwrap_or_default()));
            }
            [option, ..] => all.push(format!("docker:{option}")),
            [] => {}
        }
    }
    all
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
