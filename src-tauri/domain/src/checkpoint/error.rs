//! Why a file of a checkpoint cannot be read.

/// Why a file of a checkpoint cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// A safetensors header that breaks the format's rules.
    #[error("the safetensors header of {file} cannot be read: {why}")]
    Header {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A GGUF header that breaks the format's rules.
    #[error("the GGUF header of {file} cannot be read: {why}")]
    Gguf {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A JSON file that lacks what a reader needs.
    #[error("{file} {why}")]
    Json {
        /// The file.
        file: String,
        /// What is wrong with it, as the rest of a sentence.
        why: String,
    },
}
