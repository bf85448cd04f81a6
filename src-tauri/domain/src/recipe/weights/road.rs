//! By which road the weights come to every machine, and why: decided from what is known, touching nothing.

use crate::network::NetworkPlan;
use crate::network::verdict::Verdict;
use crate::problem::Code;
use crate::recipe::road::{carries, passes};

/// What is known before the weights move.
pub(super) struct Known<'a> {
    /// The machines, head first.
    pub names: Vec<&'a str>,
    /// The private link, if there is one.
    pub network: Option<&'a NetworkPlan>,
    /// What it was measured to carry, if it was.
    pub measured: Option<&'a Verdict>,
    /// For each machine whether it has everything.
    pub complete: &'a [bool],
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Road {
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
}

impl Road {
    /// In a sentence, for the log.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::EachFromHub { why } | Self::OnceThenCable { why, .. } => why,
        }
    }
}

/// Chooses.
pub(super) fn choose(known: &Known) -> Road {
    let each = |why: String| Road::EachFromHub { why };
    if known.names.len() < 2 {
        return each("The machine fetches from the Hub.".into());
    }
    let carries = match carries(known.network, known.measured) {
        Ok(carries) => carries,
        Err(why) => return each(format!("{why}, so each machine fetches for itself.")),
    };
    let name = |i: usize| known.names.get(i).copied().unwrap_or_default();
    let has = |i: &usize| known.complete.get(*i).copied().unwrap_or(false);
    let (from, why) = match (0..known.names.len()).find(has) {
        Some(from) => (
            from,
            format!(
                "`{}` has everything, so it is copied from there over the private link, {carries}, and nothing comes over your line.",
                name(from)
            ),
        ),
        None => (
            0,
            format!(
                "`{}` fetches once over your line; each finished file crosses the private link, {carries}, while the rest still comes.",
                name(0)
            ),
        ),
    };
    Road::OnceThenCable { from, why }
}

/// What is done after a copy that broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is begun again, from what is there.
    Again,
    /// The machine fetches for itself, from what is there.
    FromHub,
    /// It is told to the person: fetching would meet the same.
    Tell,
}

/// Decides after so many tries, the one that failed among them.
pub(super) fn after(code: Code, tries: u32) -> Next {
    match code {
        _ if passes(code, tries) => Next::Again,
        Code::LinkFails | Code::HashMismatch | Code::BadInput => Next::FromHub,
        _ => Next::Tell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::verdict::{LinkState, Method};
    use crate::network::{Rail, RailEnd};
    use crate::recipe::road::TRIES;

    fn network(rails: usize) -> NetworkPlan {
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

    fn measured(gbps: f64) -> Verdict {
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

    fn road(network: Option<&NetworkPlan>, gbps: Option<f64>, complete: &[bool]) -> Road {
        let measured = gbps.map(measured);
        choose(&Known {
            names: ["spark-a", "spark-b"][..complete.len()].to_vec(),
            network,
            measured: measured.as_ref(),
            complete,
        })
    }

    #[test]
    fn a_pair_with_a_link_uses_the_line_once() {
        let both = network(2);
        let Road::OnceThenCable { from, why } = road(Some(&both), Some(192.4), &[false, false])
        else {
            panic!("the line is used once");
        };
        assert_eq!(from, 0);
        assert_eq!(
            why,
            "`spark-a` fetches once over your line; each finished file crosses the private link, which carries 192 Gb/s, while the rest still comes."
        );
        let unmeasured = road(Some(&both), None, &[false, false]);
        assert!(
            unmeasured.why().contains("over both rails"),
            "{unmeasured:?}"
        );
        assert!(
            road(Some(&network(1)), None, &[false, false])
                .why()
                .contains("one rail")
        );
        // A cable that was plugged in while the machines ran is still faster than a home line.
        assert!(matches!(
            road(Some(&both), Some(13.0), &[false, false]),
            Road::OnceThenCable { from: 0, .. }
        ));
    }

    #[test]
    fn the_one_that_has_everything_gives() {
        let both = network(2);
        let given = road(Some(&both), None, &[false, true]);
        assert!(
            matches!(given, Road::OnceThenCable { from: 1, .. }),
            "{given:?}"
        );
        assert!(given.why().contains("nothing comes over your line"));
        assert!(matches!(
            road(Some(&both), None, &[true, false]),
            Road::OnceThenCable { from: 0, .. }
        ));
    }

    #[test]
    fn without_a_link_worth_it_each_fetches() {
        let both = network(2);
        for (network, gbps, complete, word) in [
            (None, None, &[false, true][..], "no private link"),
            (Some(&both), Some(0.9), &[false, false][..], "only 0.9 Gb/s"),
            (Some(&both), None, &[false][..], "from the Hub"),
        ] {
            let road = road(network, gbps, complete);
            assert!(matches!(road, Road::EachFromHub { .. }), "{road:?}");
            assert!(road.why().contains(word), "{road:?}");
        }
        let empty = NetworkPlan {
            rails: Vec::new(),
            ..both
        };
        assert!(matches!(
            road(Some(&empty), None, &[false, false]),
            Road::EachFromHub { .. }
        ));
    }

    #[test]
    fn a_copy_that_breaks_off_goes_on_then_the_hub_helps_and_what_the_hub_cannot_help_is_told() {
        assert_eq!(after(Code::LinkFails, 1), Next::Again);
        assert_eq!(after(Code::LinkFails, TRIES), Next::FromHub);
        assert_eq!(after(Code::HashMismatch, 1), Next::Again);
        assert_eq!(after(Code::HashMismatch, 2), Next::FromHub);
        for code in [Code::DiskFull, Code::HubToken, Code::RepositoryMissing] {
            assert_eq!(after(code, 1), Next::Tell, "{code:?}");
        }
        assert_eq!(after(Code::JobLost, TRIES), Next::Tell);
    }
}
