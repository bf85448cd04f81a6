//! Whether the private link is worth a copy, and what is done after one that broke off: the same for
//! weights and images.

use crate::network::NetworkPlan;
use crate::network::verdict::Verdict;
use crate::problem::Code;

/// A link that carries less is no gain over fetching twice, Gb/s. A home line carries a tenth of it.
const LEAST_GBPS: f64 = 2.0;
/// How often a copy that broke off is begun again before the machine goes on without the link.
pub(super) const TRIES: u32 = 4;

/// What the link carries, as part of a sentence, or why nothing is copied over it, as the beginning of one.
pub(super) fn carries(
    network: Option<&NetworkPlan>,
    measured: Option<&Verdict>,
) -> Result<String, String> {
    match (network.map_or(0, |n| n.rails.len()), measured) {
        (0, _) => Err("There is no private link to copy over".into()),
        (_, Some(verdict)) if verdict.gbps < LEAST_GBPS => Err(format!(
            "The private link carries only {:.1} Gb/s",
            verdict.gbps
        )),
        (_, Some(verdict)) => Ok(format!("which carries {:.0} Gb/s", verdict.gbps)),
        (1, None) => Ok("over its one rail".into()),
        (_, None) => Ok("over both rails".into()),
    }
}

/// Whether a copy that failed so is begun again, after so many tries, the one that failed among them.
pub(super) fn passes(code: Code, tries: u32) -> bool {
    match code {
        Code::LinkFails | Code::JobLost | Code::ConnectionLost | Code::Unreachable => tries < TRIES,
        // Bytes that differ twice are not asked for a third time.
        Code::HashMismatch => tries < 2,
        _ => false,
    }
}
