//! What opens Tandem's own key, in the keyring of the person's desktop.

use std::sync::Arc;

use tandem_domain::secret::Secret;

use crate::vault::{Keyring, Vault, ask};

/// The passphrase that the keyring holds, or a new one that it holds from now on. The error says in words why there is
/// none: most often that no keyring answers, as on a computer without a desktop.
pub async fn key_passphrase() -> Result<Secret, String> {
    of(&(Arc::new(Keyring::KEY_PASSPHRASE) as Arc<dyn Vault>)).await
}

async fn of(vault: &Arc<dyn Vault>) -> Result<Secret, String> {
    ask(vault, |vault| {
        if let Some(known) = vault.get()? {
            return Ok(known);
        }
        let made: [u8; 32] = rand::random();
        let made: String = made.iter().map(|byte| format!("{byte:02x}")).collect();
        vault.set(&Secret::new(made.clone()))?;
        // A key is locked by nothing but what the keyring has shown that it keeps.
        match vault.get()? {
            Some(kept) if kept.reveal() == made => Ok(kept),
            _ => Err("it did not keep what it was given".into()),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::doubles::{Drawer, NoKeyring};

    /// Takes everything and keeps nothing.
    struct Forgets;

    impl Vault for Forgets {
        fn get(&self) -> Result<Option<Secret>, String> {
            Ok(None)
        }
        fn set(&self, _: &Secret) -> Result<(), String> {
            Ok(())
        }
        fn delete(&self) -> Result<(), String> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn it_is_made_once_and_only_where_the_keyring_keeps_it() {
        let drawer: Arc<dyn Vault> = Arc::new(Drawer::default());
        let made = of(&drawer).await.expect("made");
        assert_eq!(made.reveal().len(), 64);
        assert_eq!(of(&drawer).await, Ok(made), "after a restart");
        let other: Arc<dyn Vault> = Arc::new(Drawer::default());
        assert_ne!(of(&other).await, of(&drawer).await, "it is nobody else's");

        for vault in [Arc::new(Forgets) as Arc<dyn Vault>, Arc::new(NoKeyring)] {
            assert!(of(&vault).await.is_err());
        }
    }
}
