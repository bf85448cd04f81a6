//! The settings of vLLM that a person may change.

use crate::engine::setting::{ENGINE_GROUP, Setting, SettingKind, arguments, context, environment};
use crate::recipe::Recipe;

/// See the module.
pub(super) fn of(recipe: &Recipe) -> Vec<Setting> {
    vec![
        context(recipe),
        Setting::new(
            "memory_share",
            ENGINE_GROUP,
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
        arguments(
            recipe,
            "More arguments for vLLM",
            "For vllm serve, apart by spaces; the same on every machine.",
        ),
        environment(recipe),
    ]
}
