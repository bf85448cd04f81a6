//! Blobs from one machine to the other over the private link.
//!
//! ```text
//! tandem-node copy serve --listen ADDRESS… --repo REPO [--hf-home HOME] [--job NAME]
//!                                            -> one line Serving; it goes on by itself
//! tandem-node start copy --job NAME          the other machine: a CopyRequest, with a CopyTicket as its secret
//! ```
//!
//! The end that serves shows each blob of the repository as soon as it lies in its place there with a
//! sha256 that was checked, and ends when the other says so, or when nobody has spoken for a while.

use serde::{Deserialize, Serialize};

use super::{FetchRequest, Share};
use crate::secret::Secret;

/// See [`super::NodeWork::Copy`]. Addresses and key are in the [`CopyTicket`], so that a repeated start
/// finds the same work although the other end serves again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopyRequest {
    /// What is to be here in the end. The Hub is asked what that is, and for what the other machine does
    /// not have.
    pub fetch: FetchRequest,
    /// The machine that serves, for the words.
    pub from: String,
    /// Streams on each rail.
    #[serde(default = "default_streams")]
    pub streams: u16,
    /// What this machine fetches from the Hub while it copies the rest; `None` only copies, and fetches at
    /// the end what could not be copied. The rate in the limits of [`Self::fetch`] is then for all machines
    /// together, and each takes its part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
}

fn default_streams() -> u16 {
    4
}

/// Answer of `copy serve`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// Where it listens, as `ADDRESS:PORT`, one for each rail.
    pub addresses: Vec<String>,
    /// What both ends prove to know without saying it. Made for this one copy.
    pub token: String,
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// What a copy is handed as its secret, as JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyTicket {
    /// As [`Serving::addresses`].
    pub addresses: Vec<String>,
    /// As [`Serving::token`].
    pub token: String,
    /// The Hub's token, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub_token: Option<String>,
}

impl std::fmt::Debug for CopyTicket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyTicket")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl CopyTicket {
    /// The ticket for what a machine serves.
    pub fn new(serving: Serving, hub_token: Option<&Secret>) -> Self {
        Self {
            addresses: serving.addresses,
            token: serving.token,
            hub_token: hub_token.map(|t| t.reveal().to_owned()),
        }
    }

    /// As it is handed over.
    pub fn seal(&self) -> Secret {
        Secret::new(serde_json::to_string(self).unwrap_or_default())
    }

    /// Read again; `None` where it is none.
    pub fn open(secret: &Secret) -> Option<Self> {
        serde_json::from_str(secret.reveal()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_survives_the_way_and_prints_no_secret() {
        let serving = Serving {
            addresses: vec!["192.168.100.10:41000".into()],
            token: "t0ken".into(),
        };
        let hub = Secret::new("hf_x");
        let ticket = CopyTicket::new(serving.clone(), Some(&hub));
        assert_eq!(CopyTicket::open(&ticket.seal()), Some(ticket.clone()));
        let shown = format!("{serving:?} {ticket:?} {:?}", ticket.seal());
        assert!(
            !shown.contains("t0ken") && !shown.contains("hf_x"),
            "{shown}"
        );
        assert_eq!(CopyTicket::open(&Secret::new("hf_a_plain_token")), None);
    }
}
