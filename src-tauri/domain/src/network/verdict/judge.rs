//! From numbers to a state. The bounds follow measurements of real pairs: a healthy rail alone carries
//! 109 to 112 Gb/s and both together 190 to 196, while plugging the cable in on running machines can
//! leave 13 a rail.

use super::{LinkState, Measured, Method, Verdict};

/// What a rail carries at most after the cable was plugged in while the machines ran, Gb/s.
const HOT_PLUG_RAIL: f64 = 20.0;
/// What a collective over sockets reaches at most, Gb/s; above it and up to the next bound lies what
/// it reaches in the hot-plug state.
const SOCKETS: f64 = 19.0;
const HOT_PLUG_COLLECTIVE: f64 = 32.0;
/// All that a 100G cable carries, Gb/s.
const CABLE_100G: std::ops::RangeInclusive<f64> = 80.0..=104.0;
/// The most that one rail carries, with some room, Gb/s.
const ONE_RAIL: f64 = 125.0;

/// The least and the most that is expected of a healthy link, measured so over this many rails, Gb/s.
///
/// TCP costs a processor's time for every byte, which widens its range downwards.
pub fn expected(method: Method, rails: usize) -> (f64, f64) {
    match (method, rails) {
        (Method::AllReduce, _) => (175.0, 200.0),
        (Method::Rdma, 0 | 1) => (109.0, 112.0),
        (Method::Rdma, _) => (184.0, 200.0),
        (Method::Tcp, 0 | 1) => (60.0, 112.0),
        (Method::Tcp, _) => (100.0, 200.0),
    }
}

/// What the measurements mean. `rdma` says whether the collective used RDMA, where that is known.
///
/// `None` where nothing was measured. Of the two directions the slower one counts, and a collective that
/// is slower than its range counts more than a good RDMA test: it can be slow alone.
pub fn judge(measured: &[Measured], rdma: Option<bool>) -> Option<Verdict> {
    let of = |method: Method| -> Vec<&Measured> {
        measured.iter().filter(|m| m.method == method).collect()
    };
    let collective = slowest(&of(Method::AllReduce), None);
    let wire = [Method::Rdma, Method::Tcp]
        .into_iter()
        .find_map(|method| Wire::of(method, &of(method)));
    let on_wire = wire.as_ref().map(Wire::verdict);
    let in_collective = collective.map(|gbps| {
        let state = in_collective(gbps, rdma, on_wire.as_ref().map(|v| v.state));
        verdict(
            state,
            gbps,
            Method::AllReduce,
            expected(Method::AllReduce, 2),
            "",
        )
    });
    match (on_wire, in_collective) {
        (Some(wire), Some(collective)) if wire.state != LinkState::Good => {
            // What is wrong with the wire explains the collective, unless it did not use the wire well.
            Some(if collective.state == LinkState::SocketFallback {
                collective
            } else {
                wire
            })
        }
        (_, Some(collective)) => Some(collective),
        (wire, None) => wire,
    }
}

/// The slowest of the measurements over one rail, or over all of them.
fn slowest(of: &[&Measured], rail: Option<u32>) -> Option<f64> {
    of.iter()
        .filter(|m| m.rail == rail)
        .map(|m| m.gbps)
        .reduce(f64::min)
}

/// What the rails carry, each alone and together.
struct Wire {
    method: Method,
    alone: Vec<f64>,
    together: f64,
}

impl Wire {
    fn of(method: Method, measured: &[&Measured]) -> Option<Self> {
        let mut rails: Vec<u32> = measured.iter().filter_map(|m| m.rail).collect();
        rails.sort_unstable();
        rails.dedup();
        let alone: Vec<f64> = rails
            .into_iter()
            .filter_map(|rail| slowest(measured, Some(rail)))
            .collect();
        let together = slowest(measured, None).or(match alone.as_slice() {
            [one] => Some(*one),
            _ => None,
        })?;
        Some(Self {
            method,
            alone,
            together,
        })
    }

    fn verdict(&self) -> Verdict {
        // A healthy pair has two rails, so that one alone is held against what two would carry.
        let range = expected(self.method, 2);
        let (state, hint) = self.state(range.0);
        verdict(state, self.together, self.method, range, &hint)
    }

    fn state(&self, low: f64) -> (LinkState, String) {
        let fastest = self.alone.iter().copied().fold(0.0, f64::max);
        let weakest = self.alone.iter().copied().fold(f64::INFINITY, f64::min);
        let weak = self.alone.iter().position(|g| *g == weakest).map(|i| i + 1);
        let none = String::new();
        if self.alone.len() != 1 && self.together >= low {
            return (LinkState::Good, none);
        }
        let crawling = if self.alone.is_empty() {
            self.together <= 2.0 * HOT_PLUG_RAIL
        } else {
            fastest <= HOT_PLUG_RAIL
        };
        if crawling {
            return (LinkState::HotPlug, none);
        }
        match self.alone.len() {
            // Only one was there to be measured.
            1 if self.together <= ONE_RAIL && self.together >= *CABLE_100G.start() => {
                (LinkState::OneRail, none)
            }
            0 if CABLE_100G.contains(&self.together) => (LinkState::Cable100G, none),
            0 if self.together > *CABLE_100G.end() && self.together <= ONE_RAIL => {
                (LinkState::OneRail, none)
            }
            0 | 1 => (LinkState::Slow, none),
            _ => {
                let level = weakest >= 0.8 * fastest;
                let lone = weakest <= 0.25 * fastest;
                let hint = weak.map_or(none.clone(), |rail| format!("Rail {rail}"));
                if lone {
                    (LinkState::OneRail, hint)
                } else if level
                    && CABLE_100G.contains(&self.together)
                    && fastest <= *CABLE_100G.end()
                {
                    // Each rail alone fills the cable already.
                    (LinkState::Cable100G, none)
                } else if level
                    && fastest >= *CABLE_100G.start()
                    && self.together <= ONE_RAIL
                    && self.method == Method::Rdma
                {
                    // Both carry, but not at the same time: all goes one way.
                    (LinkState::OneRail, none)
                } else if level {
                    (LinkState::Slow, none)
                } else {
                    (LinkState::Slow, hint)
                }
            }
        }
    }
}

fn in_collective(gbps: f64, rdma: Option<bool>, wire: Option<LinkState>) -> LinkState {
    let (low, _) = expected(Method::AllReduce, 2);
    if gbps >= low {
        LinkState::Good
    } else if rdma == Some(false) || (rdma.is_none() && gbps <= SOCKETS) {
        LinkState::SocketFallback
    } else if gbps <= HOT_PLUG_COLLECTIVE {
        LinkState::HotPlug
    } else if wire == Some(LinkState::Good) && gbps <= ONE_RAIL && gbps > *CABLE_100G.start() {
        // The wire carries everything over both rails, so the collective was given one of them.
        LinkState::OneRail
    } else if CABLE_100G.contains(&gbps) {
        LinkState::Cable100G
    } else if gbps > *CABLE_100G.end() && gbps <= ONE_RAIL {
        LinkState::OneRail
    } else {
        LinkState::Slow
    }
}

fn verdict(
    state: LinkState,
    gbps: f64,
    method: Method,
    (expected_low, expected_high): (f64, f64),
    hint: &str,
) -> Verdict {
    let (says, cure) = words(state, method, hint);
    Verdict {
        state,
        gbps,
        method,
        expected_low,
        expected_high,
        says,
        cure,
    }
}

/// One sentence each. `hint` names the rail that is behind the other, where one is.
fn words(state: LinkState, method: Method, hint: &str) -> (String, String) {
    let (says, cure) = match (state, method) {
        (LinkState::Good, _) => ("The link carries what it should.", ""),
        (LinkState::HotPlug, Method::AllReduce) => (
            "The link crawls, as it does after the cable was plugged in while the machines ran or after many changes.",
            "Leave the cable in both machines and restart both.",
        ),
        (LinkState::HotPlug, _) => (
            "The link crawls at about 13 Gb/s a rail although every status says 200, as it does after the cable was plugged in while the machines ran.",
            "Leave the cable in both machines and restart both.",
        ),
        (LinkState::Cable100G, _) => (
            "The link carries as much as a 100G cable does.",
            "Use a 200G cable, such as Amphenol NJAAKK0006 or Luxshare LMTQF022-SD-R.",
        ),
        (LinkState::SocketFallback, _) => (
            "The collective went through TCP sockets instead of RDMA, which no error tells.",
            "Make sure that `/dev/infiniband` exists on both machines and in both containers, and that locked memory is unlimited there.",
        ),
        (LinkState::OneRail, Method::AllReduce) => (
            "The collective uses one of the two rails.",
            "Let NCCL use the RDMA devices of both rails on both machines.",
        ),
        (LinkState::OneRail, _) if !hint.is_empty() => {
            return (
                format!("The link carries as much as one rail does; {} is next to silent.", lower(hint)),
                "Pull the cable out and push it in until it clicks on both machines, then restart both.".to_owned(),
            );
        }
        (LinkState::OneRail, _) => (
            "The link carries as much as one rail does, and two could be used.",
            "Give both interfaces of the port an address in a subnet of its own, on both machines.",
        ),
        (LinkState::Slow, _) if !hint.is_empty() => {
            return (
                format!("The link is slower than it should be; {} is well behind the other.", lower(hint)),
                "Look in the health of both machines whether a network device has fewer PCIe lanes than it could, then restart both with the cable in.".to_owned(),
            );
        }
        (LinkState::Slow, Method::Tcp) => (
            "The link is slower than TCP usually is here, which can also be the processors.",
            "Install `perftest` on both machines, so that RDMA itself is measured, then measure again.",
        ),
        (LinkState::Slow, _) => (
            "The link is slower than it should be, for no reason that Tandem knows.",
            "Restart both machines with the cable in, then measure again.",
        ),
    };
    (says.to_owned(), cure.to_owned())
}

fn lower(hint: &str) -> String {
    hint.to_lowercase()
}
