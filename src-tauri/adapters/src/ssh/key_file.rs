//! Private keys in files of the person's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::ssh_key::PrivateKey as OpenSshKey;
use russh::keys::{PrivateKey, PublicKey};
use tandem_domain::ports::PassedOver;

/// The key, or why it cannot be used.
pub(super) fn private(path: &Path) -> Result<Arc<PrivateKey>, PassedOver> {
    match russh::keys::load_secret_key(path, None) {
        Ok(key) => Ok(Arc::new(key)),
        Err(e) => {
            tracing::info!(path = %path.display(), error = %e, "key file passed over");
            let path = path.display().to_string();
            Err(match e {
                russh::keys::Error::KeyIsEncrypted => PassedOver::LockedKey { path },
                e => PassedOver::UnusableKey {
                    path,
                    detail: e.to_string().trim_end_matches('.').to_owned(),
                },
            })
        }
    }
}

/// The public half: the file beside it, the file itself where it is a public key, or what a private key of
/// OpenSSH's says without its passphrase.
pub(super) fn public(path: &Path) -> Option<PublicKey> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    [PathBuf::from(beside), path.to_owned()]
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .find_map(|text| {
            let line = PublicKey::from_openssh(text.trim()).ok();
            line.or_else(|| Some(OpenSshKey::from_openssh(&text).ok()?.public_key().clone()))
        })
}
