//! By which source the weights come to every machine, and why: decided from what is known, touching nothing.

use super::uplink::Uplink;
use crate::network::NetworkPlan;
use crate::network::verdict::Verdict;
use crate::node::NodeWork;
use crate::node::Refusal;
use crate::step::job::JobError;
use crate::step::link_copy::{AfterBreak, carries, passes};

#[cfg(test)]
mod tests;

/// What is known before the weights move.
pub(super) struct WeightsInputs<'a> {
    /// The machines, head first.
    pub names: Vec<&'a str>,
    /// The private link, if there is one.
    pub network: Option<&'a NetworkPlan>,
    /// What it was measured to carry, if it was.
    pub measured: Option<&'a Verdict>,
    /// For each machine whether it has everything.
    pub complete: &'a [bool],
    /// For each machine what it was asked to do in an earlier life of this run.
    pub begun: &'a [Option<NodeWork>],
    /// What the machines get from the Hub, if it was measured.
    pub line: Option<&'a Uplink>,
    /// What the person allows all machines together, in bytes a second.
    pub allowed: Option<u64>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WeightsSource {
    /// Each machine fetches for itself.
    EachFromHub {
        /// Why, as a sentence.
        why: String,
    },
    /// One fetches, or has it already, and the others copy from it at the same time.
    OnceThenCable {
        /// Position of the one.
        from: usize,
        /// Why, as a sentence.
        why: String,
    },
    /// Each fetches its part and copies the other's at the same time.
    Halves {
        /// How the bytes are divided, head first.
        parts: Vec<u32>,
        /// Why, as a sentence.
        why: String,
    },
}

impl WeightsSource {
    /// In a sentence, for the log.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::EachFromHub { why }
            | Self::OnceThenCable { why, .. }
            | Self::Halves { why, .. } => why,
        }
    }
}

/// Chooses.
pub(super) fn choose(known: &WeightsInputs) -> WeightsSource {
    let each = |why: String| WeightsSource::EachFromHub { why };
    if known.names.len() < 2 {
        return each("The machine fetches from the Hub.".into());
    }
    let carries = match carries(known.network, known.measured) {
        Ok(carries) => carries,
        Err(why) => return each(format!("{why}, so each machine fetches for itself.")),
    };
    let name = |i: usize| known.names.get(i).copied().unwrap_or_default();
    let has = |i: &usize| known.complete.get(*i).copied().unwrap_or(false);
    if let Some(parts) = begun_parts(known) {
        let why = format!(
            "Each machine goes on with the share that it began to fetch, and the shares cross the private link, {carries}."
        );
        return WeightsSource::Halves { parts, why };
    }
    let complete = (0..known.names.len()).find(has);
    if let (None, Some(line)) = (complete, known.line)
        && let Some(parts) = line.parts(known.allowed)
    {
        let why = format!(
            "{}: each fetches its share, {} and {} of 100, and the shares cross the private link, {carries}.",
            line.says(&known.names),
            parts[0],
            parts[1],
        );
        return WeightsSource::Halves { parts, why };
    }
    let (from, why) = match complete {
        Some(from) => (
            from,
            format!(
                "`{}` has everything, so it is copied from there over the private link, {carries}, and nothing comes over your line.",
                name(from)
            ),
        ),
        None => {
            let from = begun_from(known).unwrap_or_else(|| known.line.map_or(0, Uplink::better));
            let found = known.line.map_or_else(String::new, |line| {
                format!(
                    "{}, so two would not be faster than one. ",
                    line.says(&known.names)
                )
            });
            let why = format!(
                "{found}`{}` fetches once over your line; each finished file crosses the private link, {carries}, while the rest still comes.",
                name(from)
            );
            (from, why)
        }
    };
    WeightsSource::OnceThenCable { from, why }
}

/// The parts that an earlier life of this run divided the files into: what each machine has begun belongs
/// to its share, so they stay.
fn begun_parts(known: &WeightsInputs) -> Option<Vec<u32>> {
    let shares = known.begun.iter().flatten().filter_map(|work| match work {
        NodeWork::Copy(copy) => copy.share.as_ref(),
        _ => None,
    });
    let mut parts = shares.map(|s| s.parts.clone());
    parts.find(|parts| parts.len() == known.names.len())
}

/// The one that fetched in an earlier life of this run while another copied.
fn begun_from(known: &WeightsInputs) -> Option<usize> {
    let copies = |work: &&NodeWork| matches!(work, NodeWork::Copy(_));
    known.begun.iter().flatten().find(copies)?;
    let fetches = |work: &Option<NodeWork>| matches!(work, Some(NodeWork::Fetch(_)));
    known.begun.iter().position(fetches)
}

/// Whether a few seconds of measuring may change the source that was chosen without it.
pub(super) fn is_open(source: &WeightsSource, known: &WeightsInputs) -> bool {
    known.names.len() == 2
        && matches!(source, WeightsSource::OnceThenCable { .. })
        && !known.complete.contains(&true)
        && known.begun.iter().all(Option::is_none)
}

/// Decides after a copy that broke off, after so many tries, the one that failed among them.
pub(super) fn after(error: &JobError, tries: u32) -> AfterBreak {
    let link_alone = [Refusal::Link, Refusal::Hash, Refusal::NotUnderstood];
    if passes(error, tries) {
        AfterBreak::Again
    } else if link_alone.into_iter().any(|why| error.is(why)) {
        AfterBreak::WithoutLink
    } else {
        AfterBreak::Tell
    }
}
