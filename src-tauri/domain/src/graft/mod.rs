//! What a graft decides: which tensors a checkpoint lacks, where they come from, and what its index
//! and configuration must say once they are there.
//!
//! A Step-3.7 checkpoint carries its multi-token-prediction (MTP) layers as `model.layers.N` with N
//! from `num_hidden_layers` on. An early quantized release left them out and cut the per-layer lists
//! of its configuration. The graft brings the layers from the release that has them in BF16. Only
//! names, shapes, ranges and JSON are handled here; bytes are the node program's.

use crate::checkpoint::CheckpointError;

pub mod causes;
pub mod check;
pub mod mtp_method;
pub mod patch;
pub mod plan;
pub mod python;
pub mod rewrite;

/// Why a checkpoint cannot be grafted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraftError {
    /// A file of a checkpoint that cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The source has no MTP layers either.
    #[error("the source has no tensors of layer {first} or above")]
    NothingToGraft {
        /// The first MTP layer.
        first: u32,
    },
    /// The source lacks one of the layers that its own configuration promises.
    #[error("the source has no tensors of layer {layer}, though its configuration promises it")]
    LayerMissing {
        /// The layer.
        layer: u32,
    },
    /// A tensor of the index is not in the file that should hold it.
    #[error("{tensor} is not in {file}, where the index says it is")]
    TensorMissing {
        /// The tensor.
        tensor: String,
        /// The file.
        file: String,
    },
    /// A tensor is not what the configuration says.
    #[error("{tensor} is {found}, but the configuration asks for {expected}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its dtype and shape.
        found: String,
        /// What they should be.
        expected: String,
    },
    /// The two releases are not of one model.
    #[error("the two releases differ in {what}: {target} here, {source_value} in the source")]
    Mismatch {
        /// The key of the configuration.
        what: String,
        /// The value in the checkpoint to be served.
        target: String,
        /// The value in the source.
        source_value: String,
    },
}
