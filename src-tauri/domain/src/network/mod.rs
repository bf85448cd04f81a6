//! The private link: which addresses the twins get.

use serde::{Deserialize, Serialize};

pub mod address;
mod adopt;
pub mod cabling;
pub(crate) mod faults;
pub mod health;
pub mod netplan;
pub mod plan;
mod taken;
pub mod verdict;

/// Addresses for the private link of two machines: a subnet of its own for each rail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct NetworkPlan {
    /// One entry a rail.
    pub rails: Vec<Rail>,
    /// Bytes; 9000 for RDMA's full size.
    pub mtu: u16,
    /// Where the addresses are on the ports already: a sentence on whose they look like. Nothing is
    /// written then as long as they are left as they are.
    #[serde(default)]
    pub adopted: Option<String>,
}

/// One rail: one of the two paths through the cable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Rail {
    /// Bits of the network part.
    pub prefix: u8,
    /// Its two ends, in the order of the machines.
    pub ends: Vec<RailEnd>,
}

/// One end of a rail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct RailEnd {
    /// For example `enp1s0f1np1`.
    pub interface: String,
    /// IPv4 address.
    pub address: String,
    /// The RDMA device on it, e.g. `rocep1s0f1`, where there is one.
    pub rdma: Option<String>,
}
