//! What the ports of the machines show, and what to do about the cable next.

use serde::{Deserialize, Serialize};

/// The rear panels as they are, with one sentence on what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Cabling {
    /// The state as a whole.
    pub state: CableState,
    /// What is seen, in one sentence.
    pub seen: String,
    /// What to do next, in one sentence. Empty when nothing is to do.
    pub next: String,
    /// In the order of the machines.
    pub panels: Vec<Panel>,
}

/// What the cable is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum CableState {
    /// One cable, both rails, 200 Gb/s, in the same port of both.
    Good,
    /// As good, in different ports.
    DifferentPorts,
    /// Two cables; the second adds next to nothing.
    TwoCables,
    /// No port of any machine has a link; the adapter may be switched off.
    NoCable,
    /// Only one machine sees a plug.
    OneEnd,
    /// Only one of the twins is up on a machine.
    OneRail,
    /// A link slower than 200 Gb/s.
    Slow,
    /// The adapter is still missing after a restart with the cable in.
    AdapterMissing,
    /// More than two machines, in a ring or at a switch, which Tandem does not set up.
    NotAPair,
}

/// The ports of one machine, the one beside the RJ45 jack first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Panel {
    /// The machine's host name.
    pub machine: String,
    /// Whether the adapter is on at all.
    pub powered: bool,
    /// `p0` and `p1`.
    pub ports: Vec<PanelPort>,
    /// Whether the RJ45 jack has a link.
    pub management: bool,
}

/// One QSFP port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct PanelPort {
    /// `p0` or `p1`.
    pub port: String,
    /// Whether either twin has a carrier.
    pub plugged: bool,
    /// The two interfaces that reach it.
    pub twins: Vec<Twin>,
}

/// One of the two interfaces of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Twin {
    /// For example `enp1s0f1np1`.
    pub interface: String,
    /// Whether it has a carrier.
    pub carrier: bool,
    /// Mb/s.
    pub speed: Option<u32>,
    /// Whether its RDMA device is active.
    pub rdma: bool,
}

/// Says what the ports show. `None` without a machine.
pub fn cabling(machines: &[&crate::machine::Facts]) -> Option<Cabling> {
    let _ = machines;
    None
}
