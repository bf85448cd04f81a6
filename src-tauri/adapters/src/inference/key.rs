//! The key that a model's server asks for.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tandem_domain::container::SERVER;
use tandem_domain::ports::Containers;
use tandem_domain::secret::Secret;

/// Where the key of a server is known.
#[async_trait]
pub trait ServerKey: Send + Sync {
    /// The key as it was last known, or else as it is now. `None` where the server asks for none, and where that
    /// cannot be found out: the server itself says then that it lacks one.
    async fn known(&self) -> Option<Secret>;

    /// The key as it is now, after the server refused the one that was known.
    async fn now(&self) -> Option<Secret>;
}

/// The key of the container that serves on a machine. It is made up at each start and kept with the container alone,
/// so that whichever app reaches the machine later can use the server, and nothing is left once it is removed.
pub struct ContainerKey {
    containers: Arc<dyn Containers>,
    known: Mutex<Option<Secret>>,
}

impl ContainerKey {
    /// Nothing is asked until the first request.
    pub fn new(containers: Arc<dyn Containers>) -> Self {
        Self {
            containers,
            known: Mutex::default(),
        }
    }
}

#[async_trait]
impl ServerKey for ContainerKey {
    async fn known(&self) -> Option<Secret> {
        let known = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.clone()
        };
        match known {
            Some(key) => Some(key),
            None => self.now().await,
        }
    }

    async fn now(&self) -> Option<Secret> {
        let key = self.containers.api_key(SERVER).await.ok().flatten();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone_from(&key);
        key
    }
}
