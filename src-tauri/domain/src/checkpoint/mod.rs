//! The files of a checkpoint: safetensors headers, the index, the configuration, GGUF headers.
//!
//! Only names, shapes, ranges and JSON are handled here; bytes are the node program's.

pub mod config;
mod error;
pub mod gguf;
pub mod index;
pub mod safetensors;

pub use error::CheckpointError;
