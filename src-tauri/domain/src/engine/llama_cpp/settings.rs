//! The settings of llama.cpp's server that a person may change.

use crate::engine::setting::{Setting, arguments, context, environment};
use crate::recipe::Recipe;

/// See the module.
pub(super) fn of(recipe: &Recipe) -> Vec<Setting> {
    vec![
        context(recipe),
        arguments(
            recipe,
            "More arguments for llama.cpp",
            "For llama-server, apart by spaces.",
        ),
        environment(recipe),
    ]
}
