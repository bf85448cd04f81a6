//! Where measurements are kept.

use async_trait::async_trait;

use super::BenchResult;

/// A measurement could not be kept or read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct BenchStoreError(pub String);

/// Where measurements are kept.
#[async_trait]
pub trait BenchStore: Send + Sync {
    /// Saves a measurement.
    async fn save(&self, result: &BenchResult) -> Result<(), BenchStoreError>;

    /// The newest measurement whose circumstances say `launch` = this; see [`crate::engine`].
    async fn of_launch(&self, launch: &str) -> Result<Option<BenchResult>, BenchStoreError>;
}
