//! What the facts of the machines mean, each with its cure.

use serde::{Deserialize, Serialize};

use crate::machine::Facts;

mod both;
mod one;

pub(crate) use one::{NO_RDMA_NODES, rdma_cure};

#[cfg(test)]
mod tests;

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

/// What the facts mean, the worst first; what concerns both machines before what concerns one.
///
/// A Docker engine that is missing or closed is not among them: the set-up refuses or cures that itself, in
/// its own words.
pub fn findings(machines: &[&Facts]) -> Vec<Finding> {
    let mut all = match machines {
        [a, b] => both::findings(a, b),
        _ => Vec::new(),
    };
    for (position, facts) in machines.iter().enumerate() {
        let position = u32::try_from(position).ok();
        all.extend(one::findings(facts).into_iter().map(|finding| Finding {
            machine: position,
            ..finding
        }));
    }
    // Stable, so that equal ones keep the order they were found in.
    all.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    all
}

/// A finding without a machine.
fn finding(
    level: Level,
    state: &str,
    title: impl Into<String>,
    meaning: impl Into<String>,
    cure: impl Into<String>,
) -> Finding {
    Finding {
        state: state.to_owned(),
        level,
        machine: None,
        title: title.into(),
        meaning: meaning.into(),
        cure: cure.into(),
    }
}
