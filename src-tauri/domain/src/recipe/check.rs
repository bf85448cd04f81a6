//! What stands against a recipe itself, whatever the machines and choices are.

use std::collections::BTreeSet;

use super::{Recipe, SCHEMA, is_option, words};
use crate::artifact::ArtifactRole;
use crate::problem::{Code, Problem};

/// The most words that a recipe's arguments may have.
const WORDS: usize = 400;

/// Everything that stands against the recipe; empty if nothing does.
pub fn faults(recipe: &Recipe) -> Vec<Problem> {
    let mut all = Vec::new();
    let mut fault = |cause: String| {
        all.push(
            Problem::new(Code::BadInput, "The recipe cannot be used.")
                .cause(cause)
                .fix("Correct the recipe, or choose another one."),
        );
    };
    if recipe.schema != SCHEMA {
        fault(format!(
            "It is written in schema {}; this Tandem reads schema {SCHEMA}.",
            recipe.schema
        ));
    }
    let is_id = |id: &str| {
        !id.is_empty()
            && id.len() <= 64
            && id
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
    };
    if !is_id(&recipe.id.0) {
        fault(format!("`{}` is no name of a recipe.", recipe.id));
    }
    let served = recipe
        .artifacts
        .iter()
        .filter(|a| a.role == ArtifactRole::Served);
    if served.count() != 1 {
        fault("It has to name exactly one artifact that is served.".into());
    }
    for artifact in &recipe.artifacts {
        let mut patterns = artifact.files.include.iter().chain(&artifact.files.exclude);
        if patterns.any(String::is_empty) {
            fault(format!(
                "A pattern of the files of `{}` is empty.",
                artifact.repo
            ));
        }
    }
    if recipe.nodes.least == 0 || recipe.nodes.least > recipe.nodes.most {
        fault(format!(
            "It is for {} to {} machines.",
            recipe.nodes.least, recipe.nodes.most
        ));
    }
    if recipe.variants.is_empty() {
        fault("It has no variant.".into());
    }
    let mut names = BTreeSet::new();
    for variant in &recipe.variants {
        // The name becomes a part of step names, which are stored.
        if !is_id(&variant.id.0) || !names.insert(&variant.id) {
            fault(format!(
                "`{}` is no name for a variant, or stands twice.",
                variant.id
            ));
        }
        if let Some(drafting) = &variant.drafting
            && !(1..=drafting.most).contains(&drafting.tokens)
        {
            fault(format!(
                "Variant `{}` drafts {} tokens of at most {}.",
                variant.id, drafting.tokens, drafting.most
            ));
        }
    }
    let args = recipe.variants.iter().flat_map(|v| &v.args);
    let words: Vec<&String> = words(args.chain(&recipe.args)).collect();
    if words.len() > WORDS
        || words
            .iter()
            .any(|w| w.is_empty() || w.contains(['\0', '\n']))
    {
        fault(format!(
            "Its arguments are empty, hold a line break, or are more than {WORDS}."
        ));
    }
    for variant in &recipe.variants {
        if recipe.reference.is_some() == variant.command.is_empty() {
            fault(format!(
                "Variant `{}` has to have a whole command where it is shown for reference, and only there.",
                variant.id
            ));
        }
        for launch in &variant.launches {
            let over = recipe.nodes.least as usize..=recipe.nodes.most as usize;
            if !is_id(&launch.id.0) || !over.contains(&launch.machines) {
                fault(format!(
                    "`{}` is no name of a launch, or it is over {} machines.",
                    launch.id, launch.machines
                ));
            }
        }
        let of_launches = variant
            .launches
            .iter()
            .flat_map(|l| l.differs.iter().chain(&l.dropped));
        let of_variant = variant.differs.iter().chain(&variant.dropped);
        let of_recipe = recipe.differs.iter().chain(&recipe.dropped);
        for difference in of_launches.chain(of_variant).chain(of_recipe) {
            let item = difference.item.as_str();
            let known = is_option(item)
                || item.starts_with("env:")
                || item.starts_with("docker:-")
                || ["image", "model", "machine"].contains(&item);
            if !known {
                fault(format!("`{item}` is no item of a command."));
            }
        }
    }
    if recipe.graft().is_some() && recipe.donor().is_none() {
        fault("It grafts MTP layers and names no artifact that they come from.".into());
    }
    all
}
