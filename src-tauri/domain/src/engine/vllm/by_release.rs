//! What the release of a plan's image can do with the words of the plan, decided before anything is started.
//!
//! Only an image of the project tells its release by its tag; of every other one nothing is left out and nothing refused.

use super::adopt::is_upstream;
use super::flags::{self, FlagFault, FlagFinding, Releases};
use crate::problem::{Code, Problem};
use crate::recipe::plan::{LaunchPlan, LeftOut};
use crate::recipe::words;
use crate::shell::as_words;

/// The release of an image, where its name tells it.
fn release(image: &str) -> Option<Releases> {
    let name = image.split('@').next().unwrap_or(image);
    let (_, tag) = name.rsplit_once(':')?;
    Releases::of(tag).filter(|_| is_upstream(name))
}

/// See [`Engine::leave_out`](crate::engine::Engine::leave_out).
pub(super) fn leave_out(plan: &mut LaunchPlan) {
    let Some(releases) = release(&plan.image.name) else {
        return;
    };
    let LaunchPlan {
        args,
        env,
        variants,
        left_out,
        ..
    } = plan;
    let mut is_idle = |words: &[String]| {
        let idle: Vec<FlagFinding> = flags::check(&releases, words)
            .into_iter()
            .filter(|found| found.fault == FlagFault::Idle)
            .collect();
        let is_one = !idle.is_empty();
        left_out.extend(idle.into_iter().map(|found| LeftOut {
            item: found.words.first().cloned().unwrap_or_default(),
            given: as_words(&found.words),
            why: found.why,
        }));
        is_one
    };
    let (first, given) = flags::read(args);
    let kept = given.into_iter().filter(|one| !is_idle(&one.words));
    *args = first
        .into_iter()
        .chain(kept.flat_map(|one| one.words))
        .collect();
    for variant in variants {
        variant.args.retain(|arg| !is_idle(&arg.words));
    }
    env.retain(
        |(name, value)| match flags::against_variable(&releases, name) {
            None => true,
            Some(why) => {
                left_out.push(LeftOut {
                    item: format!("env:{name}"),
                    given: as_words(&[format!("{name}={value}")]),
                    why,
                });
                false
            }
        },
    );
}

/// See [`Engine::refused`](crate::engine::Engine::refused).
pub(super) fn refused(plan: &LaunchPlan) -> Vec<Problem> {
    let Some(releases) = release(&plan.image.name) else {
        return Vec::new();
    };
    let of_variants = plan.variants.iter().flat_map(|v| &v.args);
    let own: Vec<String> = words(of_variants).cloned().collect();
    let stops = |found: &FlagFinding| {
        matches!(
            found.fault,
            FlagFault::Unknown
                | FlagFault::Replaced
                | FlagFault::Foreign
                | FlagFault::Unreadable
                | FlagFault::NoJson
        )
    };
    let found = [&plan.args, &own].map(|words| flags::check(&releases, words));
    found
        .into_iter()
        .flatten()
        .filter(stops)
        .map(|found| {
            Problem::new(Code::BadInput, "The engine would refuse an argument.")
                .cause(format!("`{}`: {}", as_words(&found.words), found.why))
                .fix("Take it out of the arguments, or choose an image whose release has it.")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::samples;
    use crate::recipe::Arg;

    fn plan(image: &str, args: &[&str]) -> LaunchPlan {
        let mut plan = samples::plan(1, None);
        plan.image.name = image.into();
        plan.args = args.iter().map(|word| (*word).to_owned()).collect();
        plan.env = [("VLLM_MXFP4_USE_MARLIN", "1"), ("OTHER", "2")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        for variant in &mut plan.variants {
            variant.args.clear();
        }
        plan
    }

    fn left_out(mut plan: LaunchPlan) -> (LaunchPlan, Vec<String>) {
        leave_out(&mut plan);
        let items = plan.left_out.iter().map(|left| left.item.clone()).collect();
        (plan, items)
    }

    const ARGS: [&str; 5] = [
        "--max-num-seqs",
        "4",
        "--disable-cascade-attn",
        "--mamba-cache-mode",
        "align",
    ];

    #[test]
    fn what_a_release_does_nothing_with_is_left_out_with_its_reason() {
        let image = |tag: &str| format!("vllm/vllm-openai:{tag}");
        let (old, items) = left_out(plan(&image("v0.23.0"), &ARGS));
        assert_eq!(
            (items.as_slice(), old.env.len()),
            (&[][..], 2),
            "it reads both"
        );
        assert_eq!(old.args, ARGS);
        let (between, items) = left_out(plan(&image("v0.32.0-aarch64"), &ARGS));
        assert_eq!(
            items,
            ["--disable-cascade-attn", "env:VLLM_MXFP4_USE_MARLIN"]
        );
        assert_eq!(between.args, [&ARGS[..2], &ARGS[3..]].concat());
        assert_eq!(between.env, [("OTHER".to_owned(), "2".to_owned())]);
        let (new, items) = left_out(plan(&image("v0.33.0@sha256:00"), &ARGS));
        assert_eq!(items.len(), 3);
        assert_eq!(new.args, ARGS[..2]);
        assert_eq!(new.left_out[1].given, "--mamba-cache-mode align");
        assert!(new.left_out.iter().all(|left| left.why.ends_with('.')));
        assert!(refused(&new).is_empty());
    }

    #[test]
    fn of_an_image_that_tells_no_release_nothing_is_left_out_or_refused() {
        for image in [
            "vllm/vllm-openai:nightly",
            "vllm/vllm-openai@sha256:00",
            "me/engine:v0.33.0",
        ] {
            let args = [&ARGS[..], &["--swap-space", "4", "--nonsense"]].concat();
            let (kept, items) = left_out(plan(image, &args));
            assert_eq!((items.len(), kept.args.len()), (0, args.len()), "{image}");
            assert!(refused(&plan(image, &["--nonsense"])).is_empty(), "{image}");
        }
    }

    #[test]
    fn what_a_release_would_refuse_is_told_before_anything_is_fetched() {
        let image = "vllm/vllm-openai:v0.23.0";
        for (args, says) in [
            (&["--nonsense", "1"][..], "--nonsense"),
            (
                &["--calculate-kv-scales", "--linear-backend"][..],
                "value is missing",
            ),
            (&["--diffusion-config", "{}"][..], "0.24"),
            (&["--limit-mm-per-prompt", "{"][..], "JSON"),
        ] {
            let told = refused(&plan(image, args));
            let causes: Vec<String> = told.into_iter().filter_map(|p| p.cause).collect();
            assert!(
                causes.iter().any(|c| c.contains(says)),
                "{args:?}: {causes:?}"
            );
        }
        let mut of_variant = plan(image, &[]);
        let last = of_variant.variants.last_mut().expect("a variant");
        last.args = vec![Arg {
            words: vec!["--nonsense".into()],
            why: None,
        }];
        assert_eq!(refused(&of_variant).len(), 1);
    }
}
