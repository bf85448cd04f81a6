//! The resolution itself.

use super::input::LaunchInput;
use super::{rules, settings};
use crate::artifact::{Artifact, ArtifactRole};
use crate::engine;
use crate::engine::setting::Setting;
use crate::problem::Problem;
use crate::recipe::plan::{GraftPlan, LaunchPlan};
use crate::recipe::{ImageRef, Quirk, Recipe, Variant, VariantId};

/// A launch plan, what it was made from, and what stands against it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The plan. Where a choice was refused it has the proposed value, and `problems` says so.
    pub launch: LaunchPlan,
    /// Every setting with its value.
    pub settings: Vec<Setting>,
    /// Everything that stands against it; empty if nothing does.
    pub problems: Vec<Problem>,
}

/// Resolves a recipe for these machines. Never fails: what is wrong stands in the problems.
pub fn resolve(recipe: &Recipe, input: &LaunchInput<'_>) -> Resolved {
    let mut problems = crate::recipe::faults(recipe);
    let recipe = &recipe.in_variant(input.variant);
    let settings = settings::of(recipe, input);
    let launch = plan(recipe, input, &settings);
    problems.extend(rules::faults(recipe, input, &settings, &launch));
    Resolved {
        launch,
        settings,
        problems,
    }
}

fn plan(recipe: &Recipe, input: &LaunchInput<'_>, all: &[Setting]) -> LaunchPlan {
    let text = |id| settings::text(all, id).to_owned();
    let number = |id| settings::number(all, id);
    let whole = |id, without: u32| number(id).map_or(without, |n| n as u32);
    let port = |id, without: u16| number(id).map_or(without, |n| n as u16);
    let env = settings::words(all, "env");
    let pairs = env.iter().filter_map(|pair| pair.split_once('='));
    let artifacts = recipe.artifacts.iter().map(|a| match a.role {
        ArtifactRole::Served => Artifact {
            repo: text("repo"),
            revision: text("revision"),
            ..a.clone()
        },
        _ => a.clone(),
    });
    let image = text("image");
    let mut plan = LaunchPlan {
        recipe: recipe.id.clone(),
        title: recipe.title.clone(),
        engine: recipe.engine,
        image: ImageRef {
            about: recipe
                .image
                .about
                .clone()
                .filter(|_| image == recipe.image.name),
            name: image,
        },
        hub_endpoint: input.hub_endpoint.to_owned(),
        ranks: input.ranks,
        network: input.network.cloned(),
        artifacts: artifacts.collect(),
        served_name: text("served_name"),
        context: whole("context", recipe.settings.context),
        memory_share: number("memory_share").unwrap_or(recipe.settings.memory_share),
        ready_timeout_s: whole("ready_timeout_s", recipe.settings.ready_timeout_s),
        api_port: port("api_port", 8000),
        master_port: port("master_port", 29501),
        args: settings::words(all, "args"),
        env: pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        left_out: Vec::new(),
        can: recipe.can.clone(),
        memory: recipe.memory.clone(),
        variants: variants(recipe, input.variant, number("speculative_tokens")),
        graft: graft(recipe, input, all),
        download: input.download.clone(),
    };
    engine::of(recipe.engine).leave_out(&mut plan);
    plan
}

/// The chosen variant; one that drafts comes after the first that does not: a fault of that one belongs to the model,
/// one that only the second shows belongs to drafting.
fn variants(recipe: &Recipe, chosen: &VariantId, tokens: Option<f64>) -> Vec<Variant> {
    let chosen = recipe.variant(chosen).or(recipe.best());
    let drafts = chosen.is_some_and(|v| v.drafting.is_some());
    let plain = recipe.variants.iter().find(|v| v.drafting.is_none());
    let first = plain.filter(|_| drafts);
    let mut all: Vec<Variant> = first
        .into_iter()
        .chain(chosen)
        .map(Variant::resolved)
        .collect();
    if let (Some(drafting), Some(tokens)) =
        (all.last_mut().and_then(|v| v.drafting.as_mut()), tokens)
    {
        drafting.tokens = tokens as u32;
    }
    all
}

fn graft(recipe: &Recipe, input: &LaunchInput<'_>, all: &[Setting]) -> Option<GraftPlan> {
    recipe.variant(input.variant)?.drafting.as_ref()?;
    let donor = recipe.donor()?;
    let Quirk::GraftMtp {
        layer_bytes,
        published_draft,
    } = recipe.graft()?;
    let repo = settings::text(all, "donor_repo").to_owned();
    Some(GraftPlan {
        // A draft that is published was made of the recipe's donor, and of no other release.
        published_draft: published_draft.clone().filter(|_| repo == donor.repo),
        donor: Artifact {
            repo,
            revision: settings::text(all, "donor_revision").to_owned(),
            ..donor.clone()
        },
        way: settings::way(all),
        layer_bytes: *layer_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::SetupMachine;
    use crate::node::FetchLimits;
    use crate::recipe::{Choices, catalog};

    fn resolved(variant: &str, choices: Choices, ranks: usize) -> Resolved {
        let recipe = catalog::proposed(ranks);
        let machine = SetupMachine::default();
        resolve(
            recipe,
            &LaunchInput {
                variant: &VariantId(variant.into()),
                choices: &choices,
                machines: &vec![machine; ranks],
                ranks,
                network: None,
                hub_endpoint: "https://huggingface.co",
                download: &FetchLimits::default(),
            },
        )
    }

    #[test]
    fn what_was_chosen_is_used_and_what_was_not_is_the_recipes() {
        let recipe = catalog::proposed(1);
        let plain = resolved("plain", Choices::default(), 1).launch;
        assert_eq!(plain.context, recipe.settings.context);
        assert_eq!(plain.variants.len(), 1);
        assert_eq!(plain.graft, None, "what does not draft needs no graft");
        let choices = Choices::default()
            .with("context", 4096_u32)
            .with("speculative_tokens", 2_u32)
            .with("donor_repo", "me/mine");
        let best = recipe.best().expect("a variant").id.0.clone();
        let chosen = resolved(&best, choices, 1).launch;
        assert_eq!(chosen.context, 4096);
        let drafted: Vec<_> = chosen
            .variants
            .iter()
            .map(Variant::speculative_tokens)
            .collect();
        assert_eq!(drafted, [None, Some(2)], "plain first");
        let graft = chosen.graft.expect("it drafts");
        assert_eq!(graft.donor.repo, "me/mine");
        assert_eq!(
            graft.published_draft, None,
            "nobody knows a draft of that one"
        );
    }

    #[test]
    fn a_refused_choice_is_a_problem_and_the_plan_stays_whole() {
        let choices = Choices::default()
            .with("context", 1_u32)
            .with("api_port", 80_u32);
        let found = resolved("plain", choices, 1);
        let told: Vec<&str> = found.problems.iter().map(|p| p.message.as_str()).collect();
        assert!(
            told.iter().any(|m| m.contains("Context length")),
            "{told:?}"
        );
        assert!(
            told.iter().any(|m| m.contains("Port of the API")),
            "{told:?}"
        );
        assert_eq!(found.launch.api_port, 8000);
    }

    #[test]
    fn a_reference_and_what_lacks_something_are_not_launched() {
        let told = |id: &str, choices: Choices| -> Vec<String> {
            let recipe = catalog::find(&id.into()).expect("it is built in");
            let found = resolve(
                recipe,
                &LaunchInput {
                    variant: &recipe.best().expect("a variant").id,
                    choices: &choices,
                    machines: &[SetupMachine::default()],
                    ranks: 1,
                    network: None,
                    hub_endpoint: "https://huggingface.co",
                    download: &FetchLimits::default(),
                },
            );
            found.problems.into_iter().map(|p| p.message).collect()
        };
        let stops = |told: Vec<String>, with: &str| told.iter().any(|m| m.contains(with));
        let reference = "is shown for reference and cannot be launched";
        let lacks = "cannot be served as it is";
        assert!(stops(
            told("step-3.7-flash-sglang", Choices::default()),
            reference
        ));
        assert!(stops(
            told("phi4-multimodal-nvfp4", Choices::default()),
            lacks
        ));
        let other = Choices::default().with("image", "me/with-scipy:1");
        assert!(!stops(told("phi4-multimodal-nvfp4", other), lacks));
        assert!(!stops(told("gpt-oss-120b", Choices::default()), reference));
        let of = |tag: &str| Choices::default().with("image", tag);
        let old = "The image cannot serve";
        assert!(stops(
            told("laguna-xs2-dflash", of("vllm/vllm-openai:v0.20.1")),
            old
        ));
        assert!(!stops(
            told("laguna-xs2-dflash", of("vllm/vllm-openai:v0.21.0")),
            old
        ));
        assert!(!stops(told("laguna-xs2-dflash", Choices::default()), old));
    }

    #[test]
    fn an_unknown_setting_or_variant_is_a_problem() {
        let unknown = Choices::default().with("colour", "red");
        let found = resolved("fast", unknown, 1);
        let causes: Vec<_> = found
            .problems
            .iter()
            .filter_map(|p| p.cause.clone())
            .collect();
        assert!(causes.iter().any(|c| c.contains("`colour`")), "{causes:?}");
        assert!(causes.iter().any(|c| c.contains("`fast`")), "{causes:?}");
    }

    #[test]
    fn a_choice_that_rests_is_kept_without_a_problem() {
        let rests = Choices::default().with("speculative_tokens", 2_u32);
        let found = resolved("plain", rests, 1);
        let told: Vec<&str> = found.problems.iter().map(|p| p.message.as_str()).collect();
        assert!(!told.iter().any(|m| m.contains("setting")), "{told:?}");
    }

    /// The window's tests draw the form from this. `UPDATE_EXPECT=1` writes it again.
    #[test]
    fn the_window_draws_its_form_from_these_settings() {
        let recipe = catalog::proposed(2);
        let best = recipe.best().expect("a variant");
        let found = resolved(&best.id.0, Choices::default(), 2);
        let recorded = serde_json::json!({
            "recipe": recipe.id,
            "title": recipe.title,
            "variant": best.id,
            "variants": recipe.variants.iter().map(|v| serde_json::json!({
                "id": v.id, "label": v.label, "what": v.what,
            })).collect::<Vec<_>>(),
            "settings": found.settings,
        });
        let text = serde_json::to_string_pretty(&recorded).expect("plain data") + "\n";
        expect_test::expect_file!["../../../../ui/src/host/recorded/settings.json"]
            .assert_eq(&text);
    }
}
