//! The names of the steps. The journal stores them: no name ever changes.
//!
//! A launch and its check are named after the variant that they serve: [`launch`] and [`validate`].

use crate::recipe::VariantId;
use crate::run::StepId;

/// The step of `step::key`.
pub const KEY: &str = "key";
/// The step of `step::program`.
pub const PROGRAM: &str = "program";
/// The step of `step::docker`.
pub const DOCKER: &str = "docker";
/// The step of `step::facts`.
pub const FACTS: &str = "look";
/// The step of `step::network`.
pub const NETWORK: &str = "network";
/// The step of `step::restart`.
pub const RESTART: &str = "restart";
/// The step of `step::link_test`.
pub const LINK_TEST: &str = "prove";
/// The step of `step::firewall`.
pub const FIREWALL: &str = "firewall";
/// The step of `step::image`.
pub const IMAGE: &str = "image";
/// The step of `step::all_reduce`.
pub const ALL_REDUCE: &str = "collective";
/// The step of `step::weights`.
pub const WEIGHTS: &str = "weights";
/// The step of `step::graft`.
pub const GRAFT: &str = "graft";

/// [`super::launch`] of a variant.
pub fn launch(variant: &VariantId) -> StepId {
    StepId(format!("launch-{variant}"))
}

/// [`super::validate`] of a variant.
pub fn validate(variant: &VariantId) -> StepId {
    StepId(format!("validate-{variant}"))
}
