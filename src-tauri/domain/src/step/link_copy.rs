//! Whether the private link is worth a copy, and what is done after one that broke off: the same for
//! weights and images.

use crate::network::NetworkPlan;
use crate::network::verdict::Verdict;
use crate::problem::Code;

/// A link that carries less is no gain over fetching twice, Gb/s. A home line carries a tenth of it.
const LEAST_GBPS: f64 = 2.0;
/// How often a copy that broke off is begun again before the machine goes on without the link.
pub(crate) const TRIES: u32 = 4;

/// What the link carries, as part of a sentence, or why nothing is copied over it, as the beginning of one.
pub(crate) fn carries(
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
pub(crate) fn passes(code: Code, tries: u32) -> bool {
    match code {
        Code::LinkFails | Code::JobLost | Code::ConnectionLost | Code::Unreachable => tries < TRIES,
        // Bytes that differ twice are not asked for a third time.
        Code::HashMismatch => tries < 2,
        _ => false,
    }
}

/// Links for the tests of roads.
#[cfg(test)]
pub(crate) mod samples {
    use crate::network::verdict::{LinkState, Method, Verdict};
    use crate::network::{NetworkPlan, Rail, RailEnd};

    /// One between two machines, with so many rails.
    pub(crate) fn network(rails: usize) -> NetworkPlan {
        let end = |host: u8| RailEnd {
            interface: "enp1s0f1np1".into(),
            address: format!("192.168.100.{host}"),
            rdma: None,
        };
        let rail = Rail {
            prefix: 24,
            ends: vec![end(10), end(11)],
        };
        NetworkPlan {
            rails: vec![rail; rails],
            mtu: 9000,
            adopted: None,
        }
    }

    /// One that was found good and carries so much.
    pub(crate) fn measured(gbps: f64) -> Verdict {
        Verdict {
            state: LinkState::Good,
            gbps,
            method: Method::Rdma,
            expected_low: 0.0,
            expected_high: 0.0,
            says: String::new(),
            cure: String::new(),
        }
    }
}
