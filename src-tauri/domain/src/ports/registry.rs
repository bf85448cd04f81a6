//! The registry that an image comes from, asked by the app itself.

use std::collections::BTreeSet;

use async_trait::async_trait;

/// Says what images are called by their content.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The ids (`sha256:…`) by which an engine may know the image of this name on a machine of this architecture, as
    /// `uname -m` names it: those of its configuration, of its manifest and of the list that this stands in.
    async fn ids(&self, image: &str, arch: &str) -> Result<BTreeSet<String>, RegistryError>;
}

/// Why a registry did not say it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The name is none that a registry can be asked for.
    #[error("`{image}` is no name of an image")]
    Name {
        /// The name.
        image: String,
    },
    /// It did not answer, or refused.
    #[error("the registry did not answer: {detail}")]
    NoAnswer {
        /// Its own words, or the system's, without a full stop.
        detail: String,
    },
}
