//! The names of the steps. The journal stores them: no name ever changes.
//!
//! A launch and its check are named after the variant that they serve: [`launch`] and [`validate`].

use crate::recipe::VariantId;
use crate::run::StepId;

/// [`super::key`].
pub const KEY: &str = "key";
/// [`super::program`].
pub const PROGRAM: &str = "program";
/// [`super::docker`].
pub const DOCKER: &str = "docker";
/// [`super::facts`].
pub const FACTS: &str = "look";
/// [`super::network`].
pub const NETWORK: &str = "network";
/// [`super::restart`].
pub const RESTART: &str = "restart";
/// [`super::link_test`].
pub const LINK_TEST: &str = "prove";
/// [`super::image`].
pub const IMAGE: &str = "image";
/// [`super::all_reduce`].
pub const ALL_REDUCE: &str = "collective";
/// [`super::weights`].
pub const WEIGHTS: &str = "weights";
/// [`super::graft`].
pub const GRAFT: &str = "graft";

/// [`super::launch`] of a variant.
pub fn launch(variant: &VariantId) -> StepId {
    StepId(format!("launch-{variant}"))
}

/// [`super::validate`] of a variant.
pub fn validate(variant: &VariantId) -> StepId {
    StepId(format!("validate-{variant}"))
}
