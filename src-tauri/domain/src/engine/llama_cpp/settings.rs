//! The settings of llama.cpp's server that a person may change.

use crate::engine::setting::{Setting, SettingKind};
use crate::recipe::{Recipe, words};

/// See the module.
pub(super) fn of(recipe: &Recipe) -> Vec<Setting> {
    let args: Vec<String> = words(&recipe.args).cloned().collect();
    let env: Vec<String> = recipe.env.iter().map(|(n, v)| format!("{n}={v}")).collect();
    vec![
        Setting::new(
            "context",
            "Speed and memory",
            "Context length",
            SettingKind::Integer {
                least: 256,
                most: 1_048_576,
                unit: Some("tokens".into()),
            },
            recipe.settings.context,
        )
        .hint(format!("The recipe has {}.", recipe.settings.context)),
        Setting::new(
            "args",
            "Speed and memory",
            "More arguments for llama.cpp",
            SettingKind::Words { assignments: false },
            args,
        )
        .hint("For llama-server, apart by spaces."),
        Setting::new(
            "env",
            "Speed and memory",
            "More environment",
            SettingKind::Words { assignments: true },
            env,
        )
        .hint("NAME=value, apart by spaces."),
    ]
}
