//! All settings of a recipe in one list: those that every engine has, the engine's own, those of drafting
//! and of quirks. The window draws its form from this list, and the choices are checked by it.

use super::input::LaunchInput;
use crate::engine;
use crate::engine::setting::{NameForm, Setting, SettingKind, SettingOption};
use crate::graft::mtp_method::{MtpMethod, propose_by_name};
use crate::recipe::{Recipe, SettingValue};

/// The option that leaves the way to MTP to what image and revision tell.
const PROPOSED: &str = "proposed";

/// A port that the system does not keep for itself.
const PORT: SettingKind = SettingKind::Integer {
    least: 1024,
    most: 65535,
    unit: None,
};

/// Every setting that applies, with the chosen value where there is one.
pub(super) fn of(recipe: &Recipe, input: &LaunchInput<'_>) -> Vec<Setting> {
    let mut all = model(recipe);
    all.extend(engine::of(recipe.engine).settings(recipe));
    all.push(
        Setting::new(
            "ready_timeout_s",
            "Speed and memory",
            "Start timeout",
            SettingKind::Integer {
                least: 60,
                most: 86_400,
                unit: Some("s".into()),
            },
            recipe.settings.ready_timeout_s,
        )
        .hint("A start that takes longer counts as failed."),
    );
    let drafting = recipe
        .variant(input.variant)
        .and_then(|v| v.drafting.as_ref());
    if let Some(drafting) = drafting {
        let tokens = SettingKind::Integer {
            least: 1,
            most: drafting.most,
            unit: Some("tokens".into()),
        };
        all.push(
            Setting::new(
                "speculative_tokens",
                "Speed and memory",
                "Speculative tokens",
                tokens,
                drafting.tokens,
            )
            .hint(format!("1 to {}.", drafting.most)),
        );
    }
    choose(&mut all, input);
    if drafting.is_some() {
        let mut more = quirks(recipe, &all);
        choose(&mut more, input);
        all.extend(more);
    }
    let mut ports = vec![
        Setting::new("api_port", "Ports", "Port of the API", PORT, 8000_u32)
            .hint("On the head only, not in your network."),
    ];
    if input.ranks > 1 {
        ports.push(
            Setting::new("master_port", "Ports", "Rendezvous port", PORT, 29501_u32)
                .hint("On the private link."),
        );
    }
    choose(&mut ports, input);
    all.extend(ports);
    all
}

fn choose(settings: &mut [Setting], input: &LaunchInput<'_>) {
    for setting in settings {
        if let Some(chosen) = input.choices.get(&setting.id.0) {
            setting.value = chosen.clone();
        }
    }
}

fn model(recipe: &Recipe) -> Vec<Setting> {
    let name = |id, label, form, value: &str| {
        Setting::new(id, "Model", label, SettingKind::Name { form }, value)
    };
    let served = recipe.served();
    let (repo, revision) = served.map_or(("", ""), |a| (&a.repo, &a.revision));
    vec![
        name("repo", "Repository", NameForm::Repository, repo).hint("As on the Hub: owner/name."),
        name("revision", "Revision", NameForm::Revision, revision).hint("Branch, tag or commit."),
        name(
            "served_name",
            "Name in requests",
            NameForm::Model,
            &recipe.settings.served_name,
        )
        .hint("Letters, digits, `-`, `_`, `.` and `/`."),
        name(
            "image",
            "Container image",
            NameForm::Image,
            &recipe.image.name,
        )
        .hint("As for docker pull."),
    ]
}

/// The settings that quirks bring. `before` are the settings above them.
fn quirks(recipe: &Recipe, before: &[Setting]) -> Vec<Setting> {
    let (Some(_), Some(donor)) = (recipe.graft(), recipe.donor()) else {
        return Vec::new();
    };
    let proposal = propose_by_name(
        text(before, "image"),
        text(before, "repo"),
        text(before, "revision"),
    );
    let option = |value: &str, label: &str, what: &str| SettingOption {
        value: value.into(),
        label: label.into(),
        what: what.into(),
    };
    let proposed = match proposal.way {
        MtpMethod::BuiltIn => "Proposed: built in",
        MtpMethod::Overlay => "Proposed: overlay",
        MtpMethod::Draft => "Proposed: draft",
    };
    let options = vec![
        option(PROPOSED, proposed, &proposal.reason),
        option("built-in", "Built in", "The layers of the revision itself."),
        option(
            "overlay",
            "Overlay",
            "A checkpoint beside the original; about 5 GB.",
        ),
        option(
            "draft",
            "Draft",
            "A draft of its own beside it; about 6 GB.",
        ),
    ];
    let group = "MTP layers";
    vec![
        Setting::new(
            "mtp_way",
            group,
            "Source of the MTP layers",
            SettingKind::Options { options },
            PROPOSED,
        ),
        Setting::new(
            "donor_repo",
            group,
            "MTP layers from",
            SettingKind::Name {
                form: NameForm::Repository,
            },
            donor.repo.as_str(),
        )
        .hint("As on the Hub: owner/name."),
        Setting::new(
            "donor_revision",
            group,
            "Revision of that repository",
            SettingKind::Name {
                form: NameForm::Revision,
            },
            donor.revision.as_str(),
        )
        .hint("Branch, tag or commit."),
    ]
}

/// The text of a setting; empty where there is none.
pub(super) fn text<'a>(settings: &'a [Setting], id: &str) -> &'a str {
    match value(settings, id) {
        Some(SettingValue::Text(text)) => text,
        _ => "",
    }
}

/// The number of a setting.
pub(super) fn number(settings: &[Setting], id: &str) -> Option<f64> {
    match value(settings, id) {
        Some(SettingValue::Number(n)) => Some(*n),
        _ => None,
    }
}

/// The words of a setting.
pub(super) fn words(settings: &[Setting], id: &str) -> Vec<String> {
    match value(settings, id) {
        Some(SettingValue::Words(words)) => words.clone(),
        _ => Vec::new(),
    }
}

/// The chosen way to MTP; `None` where it is left to what image and revision tell.
pub(super) fn way(settings: &[Setting]) -> Option<MtpMethod> {
    match text(settings, "mtp_way") {
        "built-in" => Some(MtpMethod::BuiltIn),
        "overlay" => Some(MtpMethod::Overlay),
        "draft" => Some(MtpMethod::Draft),
        _ => None,
    }
}

fn value<'a>(settings: &'a [Setting], id: &str) -> Option<&'a SettingValue> {
    let setting = settings.iter().find(|s| s.id.0 == id)?;
    // A value that was refused is not used; the plan shows the proposed one beside the problem.
    Some(match setting.fault() {
        None => &setting.value,
        Some(_) => &setting.proposed,
    })
}
