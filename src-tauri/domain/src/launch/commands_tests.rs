//! All published launches are there, and each difference that is told of exists.

use std::collections::BTreeSet;

use super::*;
use crate::engine::vllm::flags::{Releases, against_variable, check};
use crate::recipe::{EngineKind, catalog};

/// The launches that were published and that a recipe or a variant has to carry.
const PUBLISHED: [&str; 56] = [
    "step37-nvfp4-2spark-plain",
    "step37-nvfp4-2spark-mtp-graft",
    "step37-nvfp4-2spark-mtp-draft",
    "step37-nvfp4-2spark-mtp-builtin",
    "step37-iq4xs-1spark-llamacpp",
    "step37-nvfp4-mtp-draft-rtxpro",
    "step37-nvfp4-rtxpro-plain",
    "step37-bf16-vendor-tp8",
    "step37-fp8-vendor-tp8",
    "step37-nvfp4-vendor-tp4",
    "step37-fp8-station-serve",
    "step37-nvfp4-station-serve",
    "step37-fp8-station-docker",
    "step37-mxfp4-b300-mtp",
    "step37-mxfp4-multi-gpu-tp8",
    "step37-mxfp4-b300-plain",
    "step37-fp8-card-tp8",
    "step37-bf16-card-tp8",
    "step37-nvfp4-card-tp4",
    "step37-bf16-sglang-tp8",
    "step37-fp8-sglang-tp8-ep4",
    "step37-nvfp4-sglang-tp4-ep4",
    "step37-transformers-check",
    "step37-q4ks-llama-cli",
    "step37-q4ks-llama-batched-bench",
    "spark-baseline-template",
    "qwen36-35b-a3b-nvfp4",
    "qwen36-35b-a3b-nvfp4-tools",
    "qwen36-27b-nvfp4",
    "qwen36-27b-nvfp4-tools",
    "qwen36-27b-nvfp4-mtp",
    "qwen36-27b-nvfp4-yarn-1m",
    "qwen35-35b-a3b-bf16",
    "qwen35-35b-a3b-bf16-mtp",
    "gemma4-31b-it-nvfp4",
    "gemma4-31b-it-nvfp4-tools",
    "gemma4-26b-a4b-nvfp4",
    "gemma4-12b-coder",
    "gemma4-12b-coder-mtp",
    "diffusiongemma-26b-a4b-nvfp4",
    "nemotron3-nano-30b-a3b-nvfp4",
    "nemotron3-nano-30b-a3b-nvfp4-long",
    "nemotron3-super-120b-a12b-nvfp4",
    "mistral-small4-119b-nvfp4",
    "mistral-small4-119b-nvfp4-mtp",
    "gpt-oss-120b",
    "gpt-oss-120b-tools",
    "llama33-70b-instruct-nvfp4",
    "phi4-multimodal-nvfp4",
    "nemotron3-super-120b-mtp1",
    "nemotron3-super-120b-mtp1-bursty",
    "qwen35-27b-dflash-aeon7",
    "qwen35-27b-dflash-aeon7-concurrent",
    "laguna-xs2-dflash",
    "gemma4-31b-dflash-zlab",
    "qwen35-27b-dflash-general",
];

fn all() -> Vec<MachineCommand> {
    let of = |r| commands(r).unwrap_or_else(|e| panic!("{}: {e}", r.id));
    catalog::all().iter().flat_map(of).collect()
}

#[test]
fn every_published_launch_is_carried_once() {
    let mut launches = catalog::all()
        .iter()
        .flat_map(|r| &r.variants)
        .flat_map(|v| &v.launches);
    let mut seen = BTreeSet::new();
    assert!(launches.all(|l| seen.insert(l.id.0.as_str())), "{seen:?}");
    assert_eq!(seen, BTreeSet::from(PUBLISHED));
    let told = all();
    for id in PUBLISHED {
        let machines: Vec<_> = told.iter().filter(|c| c.id.0 == id).collect();
        let roles: Vec<_> = machines.iter().map(|c| c.machine).collect();
        let expected = [
            &[MachineRole::Single][..],
            &[MachineRole::Head, MachineRole::Worker],
        ];
        assert!(expected.contains(&roles.as_slice()), "{id}: {roles:?}");
        assert!(machines.iter().all(|c| !c.serve_args.is_empty()), "{id}");
    }
}

#[test]
fn what_is_said_to_differ_is_there_and_what_is_said_to_be_dropped_is_not() {
    for recipe in catalog::launchable() {
        for variant in &recipe.variants {
            for launch in &variant.launches {
                let (_, specs) = containers(recipe, variant, launch).expect("it can be launched");
                let items: BTreeSet<String> = specs.iter().flat_map(items).collect();
                let differs = [&launch.differs, &variant.differs, &recipe.differs];
                for d in differs.into_iter().flatten() {
                    let at = format!("{}: {}", launch.id, d.item);
                    assert!(items.contains(&d.item), "{at} is not there");
                    assert!(d.why.is_some(), "{at} has no reason of its own");
                }
                let dropped = [&launch.dropped, &variant.dropped, &recipe.dropped];
                for d in dropped.into_iter().flatten() {
                    assert!(
                        !items.contains(&d.item),
                        "{}: {} is there",
                        launch.id,
                        d.item
                    );
                }
            }
        }
    }
}

#[test]
fn every_difference_has_a_reason_and_every_word_of_the_writers_is_explained() {
    for recipe in catalog::launchable() {
        let of_recipe: BTreeSet<&str> = recipe
            .args
            .iter()
            .chain(recipe.variants.iter().flat_map(|v| &v.args))
            .flat_map(|a| &a.words)
            .map(|w| option_name(w))
            .collect();
        for variant in &recipe.variants {
            for launch in &variant.launches {
                let own = [
                    &launch.differs,
                    &variant.differs,
                    &recipe.differs,
                    &launch.dropped,
                    &variant.dropped,
                    &recipe.dropped,
                ];
                let told = launched(recipe, variant, launch).expect("it can be launched");
                for (command, spec) in told.iter().zip(
                    containers(recipe, variant, launch)
                        .expect("it can be launched")
                        .1,
                ) {
                    let is_told = |item: &str| command.explained.iter().any(|e| e.item == item);
                    for d in own.into_iter().flatten() {
                        assert!(is_told(&d.item), "{}: {} has no reason", launch.id, d.item);
                    }
                    for item in items(&spec) {
                        let in_env =
                            |n: &str| recipe.env.contains_key(n) || variant.env.contains_key(n);
                        let is_recipes = item == "image"
                            || of_recipe.contains(item.as_str())
                            || item.strip_prefix("env:").is_some_and(in_env);
                        assert!(
                            is_recipes || is_told(&item),
                            "{}: {item} has no reason",
                            launch.id
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_reference_says_why_it_is_one_and_stays_as_it_was_published() {
    for recipe in catalog::all().iter().filter(|r| r.reference.is_some()) {
        assert!(!recipe.fits(1) && !recipe.fits(2), "{}", recipe.id);
        for command in commands(recipe).expect("words alone") {
            assert_eq!(command.explained[0].item, "*", "{}", command.id);
        }
    }
}

/// Options and variables that no release of the engine knows any more, or that none ever knew.
#[test]
fn nothing_obsolete_is_passed_on() {
    let gone = [
        "--speculative-disable-by-batch-size",
        "--spec-draft-p-min",
        "env:VLLM_FP8_MOE_BACKEND",
    ];
    for command in all() {
        let reference = command.explained.iter().any(|e| e.item == "*");
        for item in gone {
            let there = match item.strip_prefix("env:") {
                Some(name) => command.env.contains_key(name),
                None => command.serve_args.iter().any(|w| w == item),
            };
            assert!(reference || !there, "{}: {item}", command.id);
        }
    }
}

/// An image that is no release of the engine may know words of its own; its recipe has to say so.
#[test]
fn every_release_that_may_serve_a_recipe_knows_its_words() {
    let newest = || Releases::of("0.33.0").expect("the table has it");
    let mut checked = 0;
    for recipe in catalog::launchable().filter(|r| r.engine == EngineKind::Vllm) {
        if recipe.custom_build.is_some() {
            continue;
        }
        for command in commands(recipe).expect("it can be launched") {
            let (_, tag) = command.image.rsplit_once(':').expect("a tag");
            let nightly = tag.contains("nightly");
            let releases = Releases::of(tag).unwrap_or_else(|| match nightly {
                true => newest(),
                false => Releases::any(),
            });
            let brings_parser = command
                .serve_args
                .iter()
                .any(|w| w == "--reasoning-parser-plugin");
            let against = check(&releases, &command.serve_args[1..])
                .into_iter()
                .find(|f| !(brings_parser && f.words[0] == "--reasoning-parser"));
            assert_eq!(against, None, "{}", command.id);
            if nightly {
                for name in command.env.keys() {
                    let against = against_variable(&releases, name);
                    assert_eq!(against, None, "{}: {name}", command.id);
                }
            }
            checked += 1;
        }
    }
    assert!(checked > 25, "{checked} commands");
}
