//! Why a connection brought nothing more.

use crate::hub::Fault;
use crate::stop::Stop;

/// Why a connection brought nothing more.
pub(super) enum Trouble {
    /// The work ends.
    Stop(Stop),
    /// The Hub or its storage failed, at an address of this generation.
    Fault(u64, Fault),
    /// Nothing may flow for now; the connection is given up, so that none hangs through the night.
    Closed,
}

impl Trouble {
    /// The same at an address of this generation.
    pub(super) fn of(self, generation: u64) -> Self {
        match self {
            Self::Fault(_, fault) => Self::Fault(generation, fault),
            other => other,
        }
    }
}
