//! The settings of vLLM that a person may change.

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
            "memory_share",
            "Speed and memory",
            "GPU memory share for vLLM",
            // vLLM does not start where less than this share is free, and the system needs the rest.
            SettingKind::Share {
                least: 0.1,
                most: 0.95,
            },
            recipe.settings.memory_share,
        )
        .hint(format!(
            "0.1 to 0.95. The recipe has {}.",
            recipe.settings.memory_share
        )),
        Setting::new(
            "args",
            "Speed and memory",
            "More arguments for vLLM",
            SettingKind::Words { assignments: false },
            args,
        )
        .hint("For vllm serve, apart by spaces; the same on every machine."),
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
