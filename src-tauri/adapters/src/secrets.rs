//! The Hub's token, in the keyring of the person's desktop.
//!
//! It is never written anywhere else. Where no keyring answers, it is kept in memory until Tandem is
//! closed, and the person is told.

use std::sync::{Arc, Mutex};

use tandem_domain::problem::{Code, Problem, Severity};
use tandem_domain::secret::Secret;

use crate::vault::{Keyring, Vault, ask};

/// The Hub's token. Clones share what is kept in memory.
#[derive(Clone)]
pub struct HubToken {
    vault: Arc<dyn Vault>,
    memory: Arc<Mutex<Option<Secret>>>,
}

impl Default for HubToken {
    fn default() -> Self {
        Self::new()
    }
}

impl HubToken {
    /// The token in this desktop's keyring.
    pub fn new() -> Self {
        Self {
            vault: Arc::new(Keyring::HUB_TOKEN),
            memory: Arc::default(),
        }
    }

    /// Gives the token out, if there is one: the one of this session, else the keyring's.
    /// A keyring that does not answer holds none.
    pub async fn load(&self) -> Option<Secret> {
        if let Some(token) = self.memory().clone() {
            return Some(token);
        }
        let token = ask(&self.vault, |vault| vault.get()).await.ok().flatten()?;
        // Asked once a session: a keyring may ask its person each time.
        *self.memory() = Some(token.clone());
        Some(token)
    }

    /// Keeps a token. A notice says where it is kept if not in the keyring.
    pub async fn save(&self, token: Secret) -> Option<Problem> {
        *self.memory() = Some(token.clone());
        let kept = ask(&self.vault, move |vault| vault.set(&token)).await;
        kept.err().map(|detail| {
            Problem::new(
                Code::Keyring,
                "The token is kept only until Tandem is closed.",
            )
            .severity(Severity::Notice)
            .cause(format!("No keyring of this computer took it: {detail}."))
            .fix(
                "Give it again next time, or unlock the keyring of your desktop and save it again.",
            )
        })
    }

    /// Forgets the token. A warning says if the keyring may still hold it.
    pub async fn forget(&self) -> Option<Problem> {
        let held = self.memory().take().is_some();
        match ask(&self.vault, |vault| vault.delete()).await {
            Ok(()) => None,
            // Without a keyring the memory was the only place.
            Err(_) if held && ask(&self.vault, |vault| vault.get()).await.is_err() => None,
            Err(detail) => Some(
                Problem::new(Code::Keyring, "The token was not removed from the keyring.")
                    .severity(Severity::Warning)
                    .cause(format!("The keyring answered: {detail}."))
                    .fix("Unlock the keyring of your desktop, then remove the token again."),
            ),
        }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Option<Secret>> {
        self.memory
            .lock()
            .expect("no code panics while holding the token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::doubles::{Drawer, NoKeyring};

    /// A keyring whose thread dies.
    struct Panics;

    impl Vault for Panics {
        fn get(&self) -> Result<Option<Secret>, String> {
            panic!("the keyring's library gave up")
        }
        fn set(&self, _: &Secret) -> Result<(), String> {
            panic!("the keyring's library gave up")
        }
        fn delete(&self) -> Result<(), String> {
            Ok(())
        }
    }

    fn token(vault: &Arc<dyn Vault>) -> HubToken {
        HubToken {
            vault: Arc::clone(vault),
            memory: Arc::default(),
        }
    }

    #[tokio::test]
    async fn a_token_outlives_the_app_in_the_keyring() {
        let drawer: Arc<dyn Vault> = Arc::new(Drawer::default());
        assert_eq!(token(&drawer).load().await, None);
        assert_eq!(token(&drawer).save(Secret::new("hf_abc")).await, None);
        assert_eq!(
            token(&drawer).load().await,
            Some(Secret::new("hf_abc")),
            "after a restart"
        );
        assert_eq!(token(&drawer).forget().await, None);
        assert_eq!(token(&drawer).load().await, None);
    }

    #[tokio::test]
    async fn without_a_keyring_the_token_lasts_as_long_as_the_app() {
        for vault in [Arc::new(NoKeyring) as Arc<dyn Vault>, Arc::new(Panics)] {
            let hub = token(&vault);
            let notice = hub
                .save(Secret::new("hf_abc"))
                .await
                .expect("the person is told");
            assert_eq!(
                (notice.code, notice.severity),
                (Code::Keyring, Severity::Notice)
            );
            assert!(
                !format!("{notice:?}").contains("hf_abc"),
                "the words hold no secret"
            );
            assert_eq!(hub.load().await, Some(Secret::new("hf_abc")));
            assert_eq!(token(&vault).load().await, None, "after a restart");
            assert_eq!(hub.forget().await, None, "memory was the only place");
            assert_eq!(hub.load().await, None);
        }
    }

    #[tokio::test]
    async fn a_keyring_that_keeps_the_token_against_our_will_is_told_of() {
        let hub = token(&(Arc::new(NoKeyring) as Arc<dyn Vault>));
        let warning = hub
            .forget()
            .await
            .expect("it may hold one of an earlier session");
        assert_eq!(warning.severity, Severity::Warning);
    }
}
