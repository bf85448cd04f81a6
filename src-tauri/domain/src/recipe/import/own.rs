//! Recipes in Tandem's own form, which somebody else may have written, too.

use std::collections::BTreeMap;

use super::ImportFormat;
use super::confirm::ImportedRecipe;
use super::names::{is_image, slug};
use super::report::{ImportFate, NOT_SHOWN, Report};
use crate::artifact::Artifact;
use crate::engine::vllm::adopt::{self, Target};
use crate::engine::vllm::flags::Releases;
use crate::foreign_text::visible;
use crate::recipe::{Arg, Drafting, EngineKind, Recipe};
use crate::repository::{is_path, is_repository, is_revision};
use ImportFate::{Changed, Kept, Missing, Refused};

/// Takes a recipe in Tandem's own form. What no other form could bring, this one cannot bring either.
pub(super) fn import(mut recipe: Recipe) -> ImportedRecipe {
    let mut report = Report::default();
    report.kept("recipe", recipe.id.0.clone());
    if !recipe.id.0.starts_with("imported-") {
        let id = format!("imported-{}", slug(&recipe.id.0));
        let why = "No recipe from elsewhere takes the name of one of Tandem’s own.";
        report.becomes(Changed, "id", recipe.id.0.clone(), id.clone(), why);
        recipe.id = id.into();
    }
    recipe.title = visible(&recipe.title, 120);
    recipe.proposed = false;
    let target = Target {
        releases: Releases::any(),
        upstream: false,
    };
    if recipe.engine != EngineKind::Vllm {
        report.note(Missing, "engine", "", "Only arguments of vLLM are judged.");
    }
    if let Some(reference) = &recipe.reference {
        report.note(
            Missing,
            "reference",
            reference.why.clone(),
            "It is shown for reference.",
        );
    }
    for need in &recipe.needs {
        report.note(
            Missing,
            "needs",
            need.why.clone(),
            "Tandem does not bring it.",
        );
    }
    recipe.args = own_args(&target, &recipe.args, &mut report);
    let env = std::mem::take(&mut recipe.env);
    recipe.env = own_env(&target, env, &mut report);
    let mut images = vec![&recipe.image];
    let mut artifacts: Vec<&Artifact> = recipe.artifacts.iter().collect();
    for variant in &mut recipe.variants {
        variant.args = own_args(&target, &variant.args, &mut report);
        let env = std::mem::take(&mut variant.env);
        variant.env = own_env(&target, env, &mut report);
        if let Some(drafting) = &variant.drafting {
            judge_drafting(drafting, &mut report);
        }
        images.extend(&variant.image);
        artifacts.extend(&variant.artifacts);
    }
    for image in images {
        match is_image(&image.name) && image.name.contains('/') {
            true => report.kept("image", image.name.clone()),
            false => report.note(
                Missing,
                "image",
                image.name.clone(),
                "It is no name of an image in a registry.",
            ),
        }
    }
    for artifact in artifacts {
        let given = format!("{} at {}", artifact.repo, artifact.revision);
        match is_repository(&artifact.repo) && is_revision(&artifact.revision) {
            true => report.kept("repository", given),
            false => report.note(
                Missing,
                "repository",
                given,
                "It is no repository of the Hub at a revision.",
            ),
        }
    }
    if recipe.can.trust_remote_code.is_some() {
        let why = "Code that comes with the checkpoint runs in the container.";
        report.note(Kept, "can.trust_remote_code", "", why);
    }
    let title = recipe.title.clone();
    ImportedRecipe::new(ImportFormat::Tandem, title, Some(recipe), report.0)
}

fn own_env(
    target: &Target,
    env: BTreeMap<String, String>,
    report: &mut Report,
) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for (name, value) in env {
        let (fate, why) = adopt::variable(target, &name, &value);
        let given = if adopt::is_secret(&name) {
            NOT_SHOWN
        } else {
            &value
        };
        report.note(fate, format!("env {name}"), given, why);
        if fate == Kept {
            kept.insert(name, value);
        }
    }
    kept
}

/// What the engine is told of drafting may not name another model than the recipe's, nor a folder elsewhere.
fn judge_drafting(drafting: &Drafting, report: &mut Report) {
    let own = ["method", "model", "num_speculative_tokens", "revision"];
    for key in drafting
        .more
        .keys()
        .filter(|key| own.contains(&key.as_str()))
    {
        report.note(
            Missing,
            format!("drafting.more.{key}"),
            "",
            "A recipe has a place of its own for it.",
        );
    }
    if let Some(folder) = drafting.folder.as_ref().filter(|folder| !is_path(folder)) {
        report.note(
            Missing,
            "drafting.folder",
            folder,
            "It leads out of the checkpoint.",
        );
    }
}

/// Arguments of a recipe in Tandem's own form, without those that are worked out or have a setting of their own.
fn own_args(target: &Target, args: &[Arg], report: &mut Report) -> Vec<Arg> {
    let mut kept = Vec::new();
    for arg in args {
        let from = report.0.len() + 1;
        let words = [&["o/n".to_owned()], &arg.words[..]].concat();
        let adopted = adopt::adopt(target, &words, report);
        report.0.remove(from - 1);
        let drafts = adopted.drafting.is_some() || !adopted.drafting_args.is_empty();
        let why = || arg.why.clone();
        if drafts {
            kept.push(arg.clone());
        } else if adopted.args.is_empty() {
            for line in report
                .0
                .iter_mut()
                .skip(from - 1)
                .filter(|l| matches!(l.fate, Kept | Changed))
            {
                line.fate = Refused;
                line.why = "A recipe has a setting of its own for it.".into();
            }
        }
        kept.extend(adopted.args.into_iter().map(|a| Arg { why: why(), ..a }));
    }
    kept
}
