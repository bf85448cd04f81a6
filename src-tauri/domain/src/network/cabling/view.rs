//! The rear panel of a machine, from its interfaces.

use super::{Panel, PanelPort, Twin};
use crate::machine::{Facts, Interface};

/// The two QSFP ports, the one beside the RJ45 jack first.
const PORTS: [&str; 2] = ["p0", "p1"];

/// What to draw. Both ports are there even while the adapter is off: the panel does not change.
pub(super) fn panel(facts: &Facts) -> Panel {
    Panel {
        machine: facts.hostname.clone(),
        powered: powered(facts),
        ports: PORTS.iter().map(|port| panel_port(facts, port)).collect(),
        management: facts.interfaces.iter().any(|i| jack(i) && i.carrier),
    }
}

/// Whether the adapter is on at all.
pub(super) fn powered(facts: &Facts) -> bool {
    facts.interfaces.iter().any(|i| i.fabric)
}

/// Whether it is the RJ45 jack: wired, and neither the cable's nor made up by software.
fn jack(interface: &Interface) -> bool {
    !interface.fabric && !interface.wireless && interface.name.starts_with("en")
}

fn panel_port(facts: &Facts, port: &str) -> PanelPort {
    let mut twins: Vec<&Interface> = facts
        .interfaces
        .iter()
        .filter(|i| i.fabric && i.port.as_deref() == Some(port))
        .collect();
    // Case aside, so that `enp1…` comes before its twin `enP2p1…`, as everywhere.
    twins.sort_by_key(|i| i.name.to_lowercase());
    PanelPort {
        port: port.to_owned(),
        plugged: twins.iter().any(|i| i.carrier),
        twins: twins
            .into_iter()
            .map(|i| Twin {
                interface: i.name.clone(),
                carrier: i.carrier,
                speed: i.speed,
                rdma: i.rdma_state.as_deref() == Some("ACTIVE"),
            })
            .collect(),
    }
}
