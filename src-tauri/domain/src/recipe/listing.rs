//! The catalogue as a person chooses from it.

use serde::{Deserialize, Serialize};

use super::kept::{KeptRecipe, RecipeSource};
use super::published::Figure;
use super::{Evidence, Recipe, RecipeId, catalog};
use crate::engine;
use crate::shell;

/// A recipe in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ListedRecipe {
    /// Its identity.
    pub id: RecipeId,
    /// Its name for people.
    pub title: String,
    /// Whether these machines can serve it.
    pub availability: Availability,
    /// The engine's name for people.
    pub engine: String,
    /// The repository of what is served.
    pub repo: Option<String>,
    /// The container image.
    pub image: String,
    /// The fewest machines it is served over.
    pub least: u32,
    /// The most machines it is served over.
    pub most: u32,
    /// Its variants, by their names for people.
    pub variants: Vec<String>,
    /// Whether it takes pictures.
    pub pictures: bool,
    /// Whether it calls tools.
    pub tools: bool,
    /// Whether it reasons before it answers.
    pub reasoning: bool,
    /// Why code of the checkpoint runs in the container, where it does.
    pub trust_remote_code: Option<String>,
    /// What the image has that no release of the engine has, or who built it.
    pub custom_build: Option<String>,
    /// The page on which its licence is accepted first.
    pub gated: Option<String>,
    /// The commands of a recipe that is shown for reference, as they were published.
    pub commands: Vec<String>,
    /// Who saw it run.
    pub evidence: Vec<Evidence>,
    /// What others measured.
    pub figures: Vec<Figure>,
    /// What is to be said of one that the person keeps; `None` of those that come with Tandem.
    pub kept: Option<KeptNote>,
}

/// A kept recipe in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct KeptNote {
    /// Where it came from.
    pub source: RecipeSource,
    /// The form in which it was given, by its name for people.
    pub format: String,
    /// Whether the person changed it.
    pub changed: bool,
    /// When, ms since 1970.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub added_at: i64,
}

/// Whether machines can serve a recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Availability {
    /// It is what Tandem proposes for them.
    Proposed,
    /// They can.
    Fits,
    /// It needs more of them.
    TooFewMachines,
    /// Something is missing that Tandem does not bring.
    Lacks {
        /// What is missing and what fails without it, in a sentence.
        why: String,
        /// What a person can do, in a sentence.
        fix: String,
    },
    /// It is shown for reference and launched on no machine of ours.
    Reference {
        /// The hardware it was published for.
        hardware: String,
        /// Why it is not launched, in a sentence.
        why: String,
    },
}

/// All recipes with those that the person keeps, for so many machines: first what they can serve. Without a machine it is
/// told for two.
pub fn list(machines: usize, kept: &[KeptRecipe]) -> Vec<ListedRecipe> {
    let machines = if machines == 0 { 2 } else { machines };
    let built_in = catalog::all().iter().map(|recipe| listed(recipe, machines));
    let kept = kept.iter().map(|kept| ListedRecipe {
        kept: Some(KeptNote {
            source: kept.source.clone(),
            format: kept.format.title().to_owned(),
            changed: !kept.changes().is_empty(),
            added_at: kept.added_at,
        }),
        ..listed(&kept.recipe, machines)
    });
    let mut all: Vec<ListedRecipe> = built_in.chain(kept).collect();
    all.sort_by_key(|r| (place(&r.availability), r.title.to_lowercase()));
    all
}

fn place(availability: &Availability) -> u8 {
    match availability {
        Availability::Proposed => 0,
        Availability::Fits => 1,
        Availability::TooFewMachines => 2,
        Availability::Lacks { .. } => 3,
        Availability::Reference { .. } => 4,
    }
}

fn listed(recipe: &Recipe, machines: usize) -> ListedRecipe {
    let commands = recipe.variants.iter().filter(|v| !v.command.is_empty());
    let commands = match recipe.reference {
        Some(_) => commands.map(|v| shell::as_words(&v.command)).collect(),
        None => Vec::new(),
    };
    ListedRecipe {
        id: recipe.id.clone(),
        title: recipe.title.clone(),
        availability: availability(recipe, machines),
        engine: engine::of(recipe.engine).title().to_owned(),
        repo: recipe.served().map(|a| a.repo.clone()),
        image: recipe.image.name.clone(),
        least: recipe.nodes.least,
        most: recipe.nodes.most,
        variants: recipe.variants.iter().map(|v| v.label.clone()).collect(),
        pictures: recipe.can.pictures,
        tools: recipe.can.tools,
        reasoning: recipe.can.reasoning.is_some(),
        trust_remote_code: recipe.can.trust_remote_code.clone(),
        custom_build: recipe.custom_build.clone(),
        gated: recipe.gated.clone(),
        commands,
        evidence: recipe.evidence.clone(),
        figures: recipe.figures.clone(),
        kept: None,
    }
}

fn availability(recipe: &Recipe, machines: usize) -> Availability {
    if let Some(reference) = &recipe.reference {
        return Availability::Reference {
            hardware: reference.hardware.clone(),
            why: reference.why.clone(),
        };
    }
    let image = &recipe.image.name;
    if let Some(need) = recipe.needs.iter().find(|n| n.is_missing_with(image)) {
        return Availability::Lacks {
            why: need.why.clone(),
            fix: need.fix.clone(),
        };
    }
    if catalog::proposed(machines).id == recipe.id {
        Availability::Proposed
    } else if (recipe.nodes.least as usize) <= machines {
        Availability::Fits
    } else {
        Availability::TooFewMachines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_these_machines_can_serve_comes_first_and_nothing_is_left_out() {
        for machines in [1, 2] {
            let all = list(machines, &[]);
            assert_eq!(all.len(), catalog::all().len());
            assert_eq!(all[0].availability, Availability::Proposed);
            assert!(all.is_sorted_by_key(|r| place(&r.availability)));
            let proposed = all
                .iter()
                .filter(|r| r.availability == Availability::Proposed);
            assert_eq!(proposed.count(), 1);
        }
        let availability = |id: &str, machines| {
            let all = list(machines, &[]);
            let one = all.into_iter().find(|r| r.id.0 == id);
            one.expect("it is in the catalogue").availability
        };
        assert_eq!(
            availability("minimax-m2.7", 1),
            Availability::TooFewMachines
        );
        assert_eq!(availability("minimax-m2.7", 2), Availability::Fits);
        assert_eq!(
            availability("qwen36-27b-nvfp4", 2),
            Availability::Fits,
            "one of the two serves it"
        );
        assert_eq!(list(0, &[]), list(2, &[]));
    }

    #[test]
    fn a_reference_has_its_command_and_the_hardware_it_is_for() {
        for recipe in list(2, &[]) {
            if let Availability::Reference { hardware, why } = &recipe.availability {
                assert!(!hardware.is_empty() && !why.is_empty(), "{}", recipe.id);
                assert!(!recipe.commands.is_empty(), "{}", recipe.id);
            } else {
                assert!(recipe.commands.is_empty(), "{}", recipe.id);
            }
        }
    }
}
