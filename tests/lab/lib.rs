//! The lab: two real systemd machines on one Linux box that behave like two Sparks.
//!
//! Each machine is a container with its own systemd, OpenSSH, sudo, netplan and Docker engine in a network
//! namespace of its own; between them lie two links, the twins of one cable. Only the hardware has
//! stand-ins (`machine/`), and they say what the state of the links is at that moment. Faults are
//! methods of [`Lab`]. There is no road to the internet: images come from a registry on the box.
//!
//! ```text
//! box:  tandem0 10.77.0.1 ──┐ registry :5077, Hub
//!                     [ tandem-cables: one bridge per cable ]
//!                     │ enP7s7 .11      │ enP7s7 .12
//!                  spark-a ═ enp1s0f1np1, enP2p1s0f1np1 ═ spark-b
//! ```
//!
//! A test starts with [`enabled`] and [`Lab::start`]; the `lab` binary does the same for a person. After
//! [`Lab::start_managed`] the private ports belong to a real NetworkManager, in that test alone.

mod base;
#[path = "../recipes/bed.rs"]
pub mod bed;
mod built;
mod daemon;
mod error;
mod faults;
mod hardware;
mod host;
mod image;
mod layer;
mod lock;
mod machine;
mod managed;
mod network;
mod place;
mod power;
mod process;
pub mod rails;
mod registry;
mod running;
mod snapshot;
mod spark;
mod standin;

pub use built::built;
pub use error::LabError;
pub use host::{Output, missing, until};
pub use image::{ImageSpec, LayerSpec};
pub use machine::{PASSWORD, USER};
pub use network::{BOX_ADDRESS, Link};
pub use place::{Failure, Place};
pub use registry::{REGISTRY, given, holds, push};
pub use running::{HUB_PORT, Lab, Standing};
pub use snapshot::Snapshot;
pub use spark::Spark;

/// The image the lab's registry holds under the name a Spark would pull.
pub const IMAGE: &str = "vllm/vllm-openai:stepfun37";

/// Whether tests on the lab shall run: `TANDEM_LAB=1`.
///
/// If not, it says so once, in one line that the test harness does not swallow.
pub fn enabled() -> bool {
    static SAID: std::sync::Once = std::sync::Once::new();
    if std::env::var_os("TANDEM_LAB").is_some_and(|v| v == "1") {
        return true;
    }
    SAID.call_once(|| {
        use std::io::Write as _;
        // A closed stderr is no reason to fail a test that does not run.
        let _ = writeln!(
            std::io::stderr(),
            "not run: the tests on the lab (they need Linux, root and TANDEM_LAB=1)"
        );
    });
    false
}
