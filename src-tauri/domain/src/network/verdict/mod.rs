//! What a measurement of the private link says.
//!
//! Only a measurement can say it: the kernel reports 200 Gb/s and an active port for a link that
//! carries 13.

use serde::{Deserialize, Serialize};

pub mod all_reduce;
#[cfg(test)]
mod captures;
pub mod collective;
mod judge;
pub mod perftest;

pub use judge::{expected, judge};

/// How a bandwidth was measured. Each way has its own expected range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// `ib_write_bw`.
    Rdma,
    /// The node program over TCP.
    Tcp,
    /// An all-reduce between two containers of the image.
    AllReduce,
}

/// One measured bandwidth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Measured {
    /// How.
    pub method: Method,
    /// Position of the rail in the plan; `None` for all of them together.
    pub rail: Option<u32>,
    /// Position of the machine that sent; `None` where both do.
    pub from: Option<u32>,
    /// Gb/s, 10^9 bits.
    pub gbps: f64,
}

/// All that was measured, and what it means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct LinkReport {
    /// What was measured.
    pub measured: Vec<Measured>,
    /// What it means.
    pub verdict: Verdict,
    /// Whether stand-ins for the hardware were measured.
    pub simulated: bool,
    /// Milliseconds since 1970.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub at: i64,
    /// The all-reduce between two containers of the image, once there was one.
    #[serde(default)]
    pub all_reduce: Option<all_reduce::AllReduce>,
}

/// The meaning of a measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Verdict {
    /// The state.
    pub state: LinkState,
    /// The number it goes by, Gb/s.
    pub gbps: f64,
    /// How that number was measured.
    pub method: Method,
    /// The least that is expected of a healthy link measured so, Gb/s.
    pub expected_low: f64,
    /// The most, Gb/s.
    pub expected_high: f64,
    /// What it means, in one sentence.
    pub says: String,
    /// What to do; empty when nothing is to do.
    pub cure: String,
}

/// States of a link, by its bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// As expected.
    Good,
    /// As one rail carries, though two were used.
    OneRail,
    /// As a 100G cable carries.
    Cable100G,
    /// About 13 Gb/s a rail: plugged in while the machines ran.
    HotPlug,
    /// About 16 Gb/s in a collective: sockets instead of RDMA.
    SocketFallback,
    /// Slower than expected, for no reason that Tandem knows.
    Slow,
}
