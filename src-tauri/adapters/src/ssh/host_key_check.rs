//! The handler of a connection: it compares the server's host key before anything else is sent.

use std::sync::{Arc, Mutex};

use russh::client;
use russh::keys::{PublicKey, PublicKeyOrCertificate};

use super::target::HostPin;

/// Looks at the host key and lets the handshake go on only with the right one.
pub(super) struct HostKeyCheck {
    /// The key that is accepted; none while the key is only read.
    pub(super) pin: Option<HostPin>,
    /// The key that the server showed.
    pub(super) shown: Arc<Mutex<Option<PublicKey>>>,
}

impl client::Handler for HostKeyCheck {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        // Certificates are not asked for, so none is shown.
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        if let Ok(mut shown) = self.shown.lock() {
            *shown = Some(key.clone());
        }
        Ok(self.pin.as_ref().is_some_and(|pin| pin.accepts(key)))
    }
}
