//! Where measurements are kept.

use async_trait::async_trait;

use super::{BenchCase, BenchResult};

/// A measurement could not be kept or read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct BenchStoreError(pub String);

/// Where measurements are kept.
#[async_trait]
pub trait BenchStore: Send + Sync {
    /// Saves a measurement.
    async fn save(&self, result: &BenchResult) -> Result<(), BenchStoreError>;

    /// The newest measurement of these sizes whose circumstances say `launch` = this; see [`crate::engine`].
    ///
    /// One that ended early or was made beside others is none: its figures are not the launch's own.
    async fn of_launch(
        &self,
        launch: &str,
        case: &BenchCase,
    ) -> Result<Option<BenchResult>, BenchStoreError>;
}
