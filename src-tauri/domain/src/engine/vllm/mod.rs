//! vLLM.

pub mod causes;
pub mod launch;
pub mod phases;
