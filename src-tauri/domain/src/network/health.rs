//! What the facts of the machines mean, each with its cure.

use serde::{Deserialize, Serialize};

/// One thing found out about the machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Finding {
    /// Names the state for tests, links and the table in the docs, e.g. `kernel-without-cma`.
    pub state: String,
    /// How bad it is.
    pub level: Level,
    /// Position of the machine; `None` for what concerns both.
    pub machine: Option<u32>,
    /// What is so, in one sentence.
    pub title: String,
    /// What it means for the user.
    pub meaning: String,
    /// What to do; empty when nothing is to do.
    pub cure: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Worth knowing.
    Note,
    /// It works, but worse than it could.
    Warning,
    /// It will not work.
    Bad,
}

/// What the facts mean, the worst first.
pub fn findings(machines: &[&crate::machine::Facts]) -> Vec<Finding> {
    let _ = machines;
    Vec::new()
}
