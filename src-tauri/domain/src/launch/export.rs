//! A launch as text for elsewhere: what Tandem would start, to be kept, compared or run by hand.

use serde::{Deserialize, Serialize};

use super::input::LaunchInput;
use super::{expected, resolve, sparks};
use crate::machine::{Facts, SetupMachine};
use crate::node::FetchLimits;
use crate::problem::Problem;
use crate::recipe::import::export;
use crate::recipe::plan::LaunchPlan;
use crate::recipe::{Choices, Recipe};
use crate::repository::is_commit;

/// A recipe and its launch as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ExportedLaunch {
    /// The recipe in Tandem's own form.
    pub toml: String,
    /// `docker run` for each machine; empty of a recipe that is shown for reference.
    pub docker_run: String,
    /// What belongs to one machine each, the head first.
    pub machines: Vec<ExportedMachine>,
    /// What is to be known before it is used elsewhere, in sentences.
    pub notes: Vec<String>,
}

/// One machine's part of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ExportedMachine {
    /// Its name.
    pub name: String,
    /// A compose file.
    pub compose: String,
    /// A shell script.
    pub script: String,
}

/// Where a launch that is exported would be started.
#[derive(Debug, Clone, Copy)]
pub struct ExportPlace<'a> {
    /// Its plan.
    pub launch: &'a LaunchPlan,
    /// The machines, the head first.
    pub machines: &'a [SetupMachine],
    /// Whether settings were changed for it.
    pub has_choices: bool,
}

/// A recipe as text for these machines, in the last variant of its launch plan; for sample machines where there is no
/// plan.
pub fn exported(
    recipe: &Recipe,
    place: Option<ExportPlace<'_>>,
) -> Result<ExportedLaunch, Problem> {
    let toml = export::toml(recipe);
    let mut notes = Vec::new();
    if let Some(reference) = &recipe.reference {
        notes.push(format!(
            "It is shown for reference: it was published for {}.",
            reference.hardware
        ));
        return Ok(ExportedLaunch {
            toml,
            docker_run: String::new(),
            machines: Vec::new(),
            notes,
        });
    }
    let sample = sample_plan(recipe);
    let (plan, machines): (&LaunchPlan, Vec<(String, Facts)>) = match place {
        Some(place) => {
            if place.has_choices {
                notes.push("The choices stand in the commands; the recipe is as it was.".into());
            }
            let machines = place.machines.iter();
            let named = machines.map(|m| (m.name.clone(), m.facts.clone()));
            (place.launch, named.collect())
        }
        None => {
            notes.push("Ports, addresses and folders are those of sample machines.".into());
            let names = ["spark-a", "spark-b"].iter().take(sample.ranks);
            let named = names.map(|name| ((*name).to_owned(), sparks::facts()));
            (&sample, named.collect())
        }
    };
    if machines.len() > 1 {
        notes.push("Start the last machine first: it waits for the head.".into());
    }
    let moving = plan.artifacts.iter().filter(|a| !is_commit(&a.revision));
    notes.extend(moving.map(|a| {
        format!(
            "In the path of {} the folder `{}` stands for the commit that it is at.",
            a.repo, a.revision
        )
    }));
    let Some(variant) = plan.last() else {
        return Ok(ExportedLaunch {
            toml,
            docker_run: String::new(),
            machines: Vec::new(),
            notes,
        });
    };
    let (names, facts): (Vec<String>, Vec<Facts>) = machines.into_iter().unzip();
    let specs = expected::containers(plan, variant, &facts)?;
    if let Some(name) = specs.iter().find_map(|spec| spec.key_variable.clone()) {
        notes.push(format!(
            "The server asks for the key in `{name}`: set that variable before the start."
        ));
    }
    let named: Vec<export::OnMachine<'_>> = names.iter().map(String::as_str).zip(&specs).collect();
    Ok(ExportedLaunch {
        toml,
        docker_run: export::docker_run(&named),
        machines: named
            .iter()
            .map(|container| ExportedMachine {
                name: container.0.to_owned(),
                compose: export::compose(container),
                script: export::script(container),
            })
            .collect(),
        notes,
    })
}

/// A recipe in its last variant over as many sample machines as it takes, of two.
fn sample_plan(recipe: &Recipe) -> LaunchPlan {
    let ranks = recipe.nodes.most.min(2) as usize;
    let link = (ranks > 1).then(sparks::link);
    let last = recipe.best().map(|v| v.id.clone());
    let input = LaunchInput {
        variant: &last.unwrap_or_else(|| "".into()),
        choices: &Choices::default(),
        machines: &[],
        ranks,
        network: link.as_ref(),
        hub_endpoint: "https://huggingface.co",
        download: &FetchLimits::default(),
    };
    resolve(recipe, &input).launch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::catalog;
    use crate::recipe::import::import;

    #[test]
    fn every_recipe_is_exported_and_its_own_form_is_read_again() {
        for recipe in catalog::all() {
            let text = exported(recipe, None).unwrap_or_else(|problem| panic!("{problem}"));
            assert_eq!(
                Recipe::parse(&text.toml).as_ref(),
                Ok(recipe),
                "{}",
                recipe.id
            );
            let is_launched = recipe.reference.is_none();
            assert_eq!(text.machines.is_empty(), !is_launched, "{}", recipe.id);
            if is_launched {
                let ranks = recipe.nodes.most.min(2) as usize;
                assert_eq!(text.machines.len(), ranks, "{}", recipe.id);
                let starts = text.docker_run.matches("docker run -d").count();
                assert_eq!(starts, ranks, "{}", recipe.id);
                assert!(text.notes.iter().any(|n| n.contains("sample machines")));
            }
        }
    }

    #[test]
    fn the_folders_are_those_of_the_machine_and_what_must_be_known_is_said() {
        let recipe = catalog::proposed(1);
        let machine = SetupMachine {
            name: "left".into(),
            facts: Facts {
                hf_home: "/data/hf".into(),
                ..Facts::default()
            },
            ..SetupMachine::default()
        };
        let plan = sample_plan(recipe);
        let plan = LaunchPlan {
            ranks: 1,
            network: None,
            ..plan
        };
        let place = ExportPlace {
            launch: &plan,
            machines: &[machine],
            has_choices: false,
        };
        let text = exported(recipe, Some(place)).expect("it is exported");
        assert!(
            text.docker_run.contains("/data/hf/hub/models--"),
            "{}",
            text.docker_run
        );
        assert_eq!(text.machines.len(), 1);
        assert!(text.machines[0].script.starts_with("#!/bin/sh"));
        assert!(text.machines[0].compose.contains("services:"));
        assert!(
            text.notes
                .iter()
                .all(|n| !n.contains("sample") && !n.contains("last machine"))
        );
        assert!(text.notes.iter().any(|n| n.contains("asks for the key")));
        let chosen = exported(
            recipe,
            Some(ExportPlace {
                has_choices: true,
                ..place
            }),
        );
        let said = chosen.expect("it is exported").notes;
        assert!(said.iter().any(|n| n.contains("choices")), "{said:?}");
        let back = import(&text.docker_run).expect("it is a command");
        assert!(back.shown().is_some());
    }
}
