//! Recipes of the vLLM project: no command, but parts to choose from. The parts for a Spark are chosen here.

use super::assemble::ImportParts;
use super::confirm::ImportedRecipe;
use super::report::ImportFate;
use super::yaml::Node;
use super::{ImportFormat, refused};
use crate::engine::vllm::adopt::repo_of;
use crate::foreign_text::visible;
use crate::problem::Problem;
use crate::recipe::Evidence;
use ImportFate::{Kept, Missing, Recomputed, Refused};

/// The project's name of a Spark.
const SPARK: &str = "dgx_spark_gb10";

/// Names of hardware that include a Spark, the exact one first.
const HARDWARE: [&str; 3] = [SPARK, "blackwell", "nvidia"];

/// GB of weights and more that one Spark has for a model, at most.
const ONE_SPARK_GB: u32 = 110;

/// Reads such a file.
pub(super) fn import(root: &Node) -> Result<ImportedRecipe, Problem> {
    let model = root
        .get("model")
        .ok_or_else(|| refused("It names no model."))?;
    let title = root
        .at(&["meta", "title"])
        .and_then(Node::text)
        .or(model.text_of("model_id"));
    let mut found = ImportParts::new(ImportFormat::Project, title.unwrap_or("recipe"));
    let (name, variant) = variant(root);
    let repo = variant
        .and_then(|v| v.text_of("model_id"))
        .or(model.text_of("model_id"))
        .unwrap_or_default();
    found.model = repo_of(repo);
    found.context = model.number_of("context_length");
    found.evidence.push(Evidence {
        who: root
            .at(&["meta", "provider"])
            .and_then(Node::text)
            .map_or("vLLM project".into(), |who| visible(who, 120)),
        address: "https://github.com/vllm-project/recipes".into(),
        what: "Published by others, not seen by us.".into(),
    });
    hardware(root, &mut found);
    machines(root, variant, &mut found);
    image(model, variant, &mut found);
    let several = found.least > Some(1);
    let strategy = several.then_some("multi_node_tp");
    found.report.kept("variant", name.clone());
    for (other, node) in root.get("variants").map_or(&[][..], Node::entries) {
        if *other != name {
            let what = node.text_of("description").unwrap_or_default();
            found.report.note(
                Refused,
                format!("variants.{other}"),
                what,
                "Another variant was chosen.",
            );
        }
    }
    arguments(root, model, variant, strategy, &mut found);
    features(root, variant, &mut found);
    for (key, node) in root.entries() {
        let shown = node.shown();
        let short = visible(&shown, 200);
        match key.as_str() {
            "meta" | "model" | "variants" | "features" | "hardware_overrides"
            | "strategy_overrides" | "opt_in_features" => {}
            _ if shown.is_empty() || *node == Node::Null => {}
            "dependencies" => dependencies(node, &mut found),
            "omni" => found.report.note(
                Missing,
                key.clone(),
                short,
                "It is served by another program of the project.",
            ),
            "compatible_strategies"
            | "default_strategy"
            | "strategy_hardware"
            | "strategy_min_gpus"
            | "kv_offload_support" => {
                found.report.note(
                    Recomputed,
                    key.clone(),
                    short,
                    "One Spark serves alone, and two divide every layer.",
                );
            }
            "guide" => found.report.note(
                Refused,
                "guide",
                "",
                "It is for a person to read; none of its commands is run.",
            ),
            "hardware_notes" => {
                found
                    .report
                    .note(Kept, key.clone(), short, "It is for a person to read.");
            }
            _ => found.report.note(
                Refused,
                key.clone(),
                short,
                "Serving on Sparks does not need it.",
            ),
        }
    }
    found.finish()
}

/// The variant: one with words for a Spark, else the usual one where it fits, else the smallest.
fn variant(root: &Node) -> (String, Option<&Node>) {
    let all = root.get("variants").map_or(&[][..], Node::entries);
    let size = |v: &Node| v.number_of("vram_minimum_gb").unwrap_or(u32::MAX);
    let own = all
        .iter()
        .find(|(_, v)| v.at(&["hardware_overrides", SPARK]).is_some());
    let usual = all
        .iter()
        .find(|(k, v)| k == "default" && size(v) <= 2 * ONE_SPARK_GB);
    let smallest = all.iter().min_by_key(|(_, v)| size(v));
    match own.or(usual).or(smallest) {
        Some((name, node)) => (name.clone(), Some(node)),
        None => ("default".into(), None),
    }
}

fn hardware(root: &Node, found: &mut ImportParts) {
    let said = root.at(&["meta", "hardware", SPARK]).and_then(Node::text);
    match said {
        Some("unsupported") => found.report.note(
            Missing,
            "hardware",
            SPARK,
            "The recipe says that a Spark cannot serve it.",
        ),
        Some(said) => found.report.kept("hardware", format!("{SPARK}: {said}")),
        None => found.report.note(
            Kept,
            "hardware",
            "",
            "The recipe does not list a Spark; nobody says that it was tried.",
        ),
    }
}

fn machines(root: &Node, variant: Option<&Node>, found: &mut ImportParts) {
    let size = variant.and_then(|v| v.number_of("vram_minimum_gb"));
    let lists = |key: &str| {
        let listed = root
            .get("compatible_strategies")
            .map(Node::texts)
            .unwrap_or_default();
        listed.iter().any(|s| s == key) || root.at(&["strategy_hardware", key, SPARK]).is_some()
    };
    let needed = size.map_or(1, |gb| gb.div_ceil(ONE_SPARK_GB).max(1));
    found.least = Some(needed);
    found.most = Some(needed.max(if lists("multi_node_tp") { 2 } else { 1 }));
    if let Some(gb) = size {
        let why = "A Spark has about 110 GB for a model.";
        found.report.becomes(
            Recomputed,
            "vram_minimum_gb",
            gb.to_string(),
            format!("{needed} or more machines"),
            why,
        );
    }
    if let Some(tensor) = variant.and_then(|v| v.text_of("tp")) {
        found.report.note(
            Recomputed,
            "tp",
            tensor,
            "It is the number of machines that are chosen.",
        );
    }
}

fn image(model: &Node, variant: Option<&Node>, found: &mut ImportParts) {
    let of = |node: &Node| match node {
        Node::Text(name) => Some(name.clone()),
        map => HARDWARE
            .iter()
            .find_map(|h| map.text_of(h))
            .map(str::to_owned),
    };
    let over = variant.and_then(|v| v.at(&["hardware_overrides", SPARK, "docker_image"]));
    let named = over
        .or(variant.and_then(|v| v.get("docker_image")))
        .and_then(of);
    let named = named.or_else(|| model.get("docker_image").and_then(of));
    let least = variant
        .and_then(|v| v.text_of("min_vllm_version"))
        .or(model.text_of("min_vllm_version"));
    if let Some(least) = least {
        found.report.note(
            Kept,
            "min_vllm_version",
            least,
            "The image has to have this version or a later one.",
        );
    }
    found.image = named.or_else(|| {
        let own = crate::engine::vllm::adopt::PROJECT_IMAGE;
        found.report.becomes(
            Recomputed,
            "docker_image",
            "",
            own,
            "The recipe names none; it is the project’s own.",
        );
        Some(own.to_owned())
    });
}

/// The arguments and variables of everything that was chosen, the more exact ones last.
fn arguments(
    root: &Node,
    model: &Node,
    variant: Option<&Node>,
    strategy: Option<&str>,
    found: &mut ImportParts,
) {
    let mut take = |node: Option<&Node>| {
        let Some(node) = node else { return };
        for key in ["base_args", "extra_args", "args"] {
            found
                .words
                .extend(node.get(key).map(Node::texts).unwrap_or_default());
        }
        for key in ["base_env", "extra_env", "env"] {
            for (name, value) in node.get(key).map_or(&[][..], Node::entries) {
                let value = value.text().unwrap_or_default();
                found.env.push((name.clone(), value.to_owned()));
            }
        }
    };
    take(Some(model));
    take(variant);
    let over = |node: Option<&Node>| {
        let all = node?.get("hardware_overrides")?;
        HARDWARE.iter().find_map(|h| all.get(h)).cloned()
    };
    let of_strategy = strategy.and_then(|s| root.at(&["strategy_overrides", s]));
    // What a strategy says of the hardware takes the place of what the recipe says of it.
    let general = over(of_strategy).or_else(|| over(Some(root)));
    take(general.as_ref());
    take(over(variant).as_ref());
    take(of_strategy);
}

/// What is switched on: everything that is not offered as a choice. Drafting becomes a variant.
fn features(root: &Node, variant: Option<&Node>, found: &mut ImportParts) {
    let offered = root
        .get("opt_in_features")
        .map(Node::texts)
        .unwrap_or_default();
    for (name, node) in root.get("features").map_or(&[][..], Node::entries) {
        let mode = variant
            .and_then(|v| v.at(&["default_modes", name]))
            .or(node.get("default_mode"));
        let chosen = mode
            .and_then(Node::text)
            .and_then(|mode| node.at(&["modes", mode]))
            .unwrap_or(node);
        let over = HARDWARE
            .iter()
            .find_map(|h| chosen.at(&["hardware_overrides", h]));
        let args = over
            .unwrap_or(chosen)
            .get("args")
            .map(Node::texts)
            .unwrap_or_default();
        let shown = args.join(" ");
        let item = format!("features.{name}");
        if name == "spec_decoding" {
            found.drafting.extend(args);
            found.report.note(
                Kept,
                item,
                shown,
                "It is a variant of its own, beside the plain one.",
            );
        } else if offered.contains(name) {
            found.report.note(
                Refused,
                item,
                shown,
                "It is offered, and off unless somebody asks for it.",
            );
        } else {
            found.words.extend(args);
            found.report.kept(item, shown);
        }
    }
}

fn dependencies(node: &Node, found: &mut ImportParts) {
    for item in node.items() {
        let command = item.text_of("command").unwrap_or_default();
        let fate = if item.says("optional") {
            Refused
        } else {
            Missing
        };
        found.report.note(
            fate,
            "dependencies",
            command,
            "It would install something in the container.",
        );
    }
}
