//! What stands against a launch on these machines.

use super::input::LaunchInput;
use crate::engine;
use crate::engine::setting::Setting;
use crate::network::plan;
use crate::problem::{Code, Problem, Severity};
use crate::recipe::Recipe;
use crate::recipe::plan::LaunchPlan;
use crate::step::facts;

/// Everything that stands against it; empty if nothing does.
pub(super) fn faults(
    recipe: &Recipe,
    input: &LaunchInput<'_>,
    settings: &[Setting],
    launch: &LaunchPlan,
) -> Vec<Problem> {
    let mut all: Vec<Problem> = settings.iter().filter_map(Setting::fault).collect();
    let mut fault = |code, message: &str, cause: String, fix: &str| {
        all.push(Problem::new(code, message).cause(cause).fix(fix));
    };
    if let Some(reference) = &recipe.reference {
        fault(
            Code::BadInput,
            &format!(
                "{} is shown for reference and cannot be launched.",
                recipe.title
            ),
            format!("It is for {}. {}", reference.hardware, reference.why),
            "Choose another recipe, or copy its command and run it where it belongs.",
        );
    }
    let image = &launch.image.name;
    for need in recipe.needs.iter().filter(|n| n.is_missing_with(image)) {
        fault(
            Code::BadInput,
            &format!("{} cannot be served as it is.", recipe.title),
            need.why.clone(),
            &need.fix,
        );
    }
    let least = recipe.least_release.as_deref().and_then(release);
    let has = release_of(&launch.image.name);
    if let (Some(least), Some(has)) = (least, has)
        && has < least
    {
        let ((a, b), (c, d)) = (has, least);
        fault(
            Code::BadInput,
            &format!("The image cannot serve {}.", recipe.title),
            format!(
                "By its name it is release {a}.{b} of the engine, and the model needs {c}.{d}."
            ),
            "Choose the image of the recipe, or a newer one.",
        );
    }
    if recipe.variant(input.variant).is_none() {
        fault(
            Code::BadInput,
            "The variant cannot be used.",
            format!("{} has no variant `{}`.", recipe.title, input.variant),
            "Choose one of its variants.",
        );
    }
    for id in input.choices.0.keys() {
        let known = settings.iter().any(|s| s.id == *id) || DORMANT.contains(&id.0.as_str());
        if !known {
            fault(
                Code::BadInput,
                "A setting cannot be used.",
                format!("{} has no setting `{}`.", recipe.title, id.0),
                "Take it out.",
            );
        }
    }
    if launch.api_port == launch.master_port && launch.ranks > 1 {
        fault(
            Code::BadInput,
            "The ports cannot be used.",
            "The API and the ranks were given the same port.".into(),
            "Choose two different ports.",
        );
    }
    let hub = input.hub_endpoint;
    if !(hub.starts_with("https://") || hub.starts_with("http://")) {
        fault(
            Code::BadInput,
            "The Hub's address cannot be used.",
            format!("`{hub}` is not a web address."),
            "Use https://huggingface.co or a mirror.",
        );
    }
    if recipe.reference.is_none() && !recipe.fits(input.machines.len()) {
        let (least, most) = (recipe.nodes.least, recipe.nodes.most);
        let over = match (least, most) {
            (1, 1) => "one machine".to_owned(),
            (1, 2) => "one machine or two".to_owned(),
            (least, most) if least == most => format!("{least} machines"),
            (least, most) => format!("{least} to {most} machines"),
        };
        fault(
            Code::BadInput,
            &format!("{} is served over {over}.", recipe.title),
            format!("{} were chosen.", input.machines.len()),
            "Choose other machines, or another recipe.",
        );
    }
    if input.ranks > 1 && recipe.fits(input.machines.len()) {
        match input.network {
            Some(network) => {
                let facts: Vec<_> = input.machines.iter().map(|m| &m.facts).collect();
                all.extend(plan::faults(network, &facts));
            }
            None => all.push(
                Problem::new(Code::NetworkPlan, "The private link has no addresses.")
                    .cause("Two machines were chosen without a plan for the cable between them.")
                    .fix("Plug the cable in, refresh, then plan."),
            ),
        }
    }
    all.extend(engine::of(recipe.engine).refused(launch));
    all.extend(input.download.check().err());
    let names: Vec<&str> = input.machines.iter().map(|m| m.name.as_str()).collect();
    let seen: Vec<_> = input.machines.iter().map(|m| m.facts.clone()).collect();
    let unfit = facts::unfit(&names, &seen).into_iter();
    all.extend(unfit.filter(|p| p.severity != Severity::Warning));
    all
}

/// Reads a release such as `0.21` or `0.21.3`.
fn release(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The release that an image's tag names, as in `vllm/vllm-openai:v0.21.0`; `None` where it names none.
fn release_of(image: &str) -> Option<(u32, u32)> {
    let (_, tag) = image.rsplit_once(':')?;
    release(tag.strip_prefix('v')?)
}

/// Settings of other variants and of more machines: what was chosen in them is kept and has no effect now.
const DORMANT: &[&str] = &[
    "speculative_tokens",
    "mtp_way",
    "donor_repo",
    "donor_revision",
    "master_port",
];

#[cfg(test)]
mod tests {
    use super::release_of;

    #[test]
    fn a_tag_tells_a_release_or_nothing() {
        for (image, release) in [
            ("vllm/vllm-openai:v0.9.2", Some((0, 9))),
            ("vllm/vllm-openai:v0.28.0-aarch64", Some((0, 28))),
            ("vllm/vllm-openai:nightly", None),
            ("vllm/vllm-openai:qwen38-flash-next", None),
            ("localhost:5000/vllm", None),
            ("ghcr.io/o/n@sha256:0123", None),
        ] {
            assert_eq!(release_of(image), release, "{image}");
        }
    }
}
