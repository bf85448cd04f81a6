//! The keyring of the person's desktop.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::secret::Secret;

/// The name under which desktops list what is ours.
const SERVICE: &str = "dev.tandem.app";

/// How long a keyring may take. A locked one asks the person for its password first.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place that keeps one secret.
pub(crate) trait Vault: Send + Sync {
    /// The secret, where there is one.
    fn get(&self) -> Result<Option<Secret>, String>;
    /// Keeps it in the place of the one before.
    fn set(&self, secret: &Secret) -> Result<(), String>;
    /// Fine where there is none.
    fn delete(&self) -> Result<(), String>;
}

/// An entry of the desktop's keyring.
pub(crate) struct Keyring(&'static str);

impl Keyring {
    /// The Hub's token.
    pub(crate) const HUB_TOKEN: Self = Self("hub-token");
    /// What opens Tandem's own key.
    pub(crate) const KEY_PASSPHRASE: Self = Self("key-passphrase");

    fn entry(&self) -> Result<keyring::Entry, String> {
        keyring::Entry::new(SERVICE, self.0).map_err(|e| e.to_string())
    }
}

impl Vault for Keyring {
    fn get(&self) -> Result<Option<Secret>, String> {
        match self.entry()?.get_password() {
            Ok(secret) => Ok(Some(Secret::new(secret))),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    }

    fn set(&self, secret: &Secret) -> Result<(), String> {
        self.entry()?
            .set_password(secret.reveal())
            .map_err(|e| e.to_string())
    }

    fn delete(&self) -> Result<(), String> {
        match self.entry()?.delete_credential() {
            Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(e) => Err(e.to_string()),
        }
    }
}

/// Asks on a thread of its own: keyrings block, and some of them start a runtime to do so.
pub(crate) async fn ask<T: Send + 'static>(
    vault: &Arc<dyn Vault>,
    question: impl FnOnce(&dyn Vault) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (answer, heard) = tokio::sync::oneshot::channel();
    let vault = Arc::clone(vault);
    std::thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = answer.send(question(&*vault));
    });
    match tokio::time::timeout(PATIENCE, heard).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err("it ended without an answer".to_owned()),
        Err(_) => Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
pub(crate) mod doubles {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    pub(crate) struct Drawer(Mutex<Option<Secret>>);

    impl Vault for Drawer {
        fn get(&self) -> Result<Option<Secret>, String> {
            Ok(self.0.lock().unwrap().clone())
        }
        fn set(&self, secret: &Secret) -> Result<(), String> {
            *self.0.lock().unwrap() = Some(secret.clone());
            Ok(())
        }
        fn delete(&self) -> Result<(), String> {
            *self.0.lock().unwrap() = None;
            Ok(())
        }
    }

    /// A computer without a desktop.
    pub(crate) struct NoKeyring;

    impl Vault for NoKeyring {
        fn get(&self) -> Result<Option<Secret>, String> {
            Err("no secret service".to_owned())
        }
        fn set(&self, _: &Secret) -> Result<(), String> {
            Err("no secret service".to_owned())
        }
        fn delete(&self) -> Result<(), String> {
            Err("no secret service".to_owned())
        }
    }
}
