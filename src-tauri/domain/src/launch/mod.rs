//! From a recipe, a variant, choices and machines to a launch plan, with every reason against it.

pub mod commands;
mod expected;
pub mod export;
mod input;
mod resolve;
mod rules;
#[cfg(test)]
pub(crate) mod samples;
mod settings;
mod sparks;

pub use input::LaunchInput;
pub use resolve::{Resolved, resolve};
