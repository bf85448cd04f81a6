//! What is known of an engine: its command, environment, log, causes and metrics.

pub mod vllm;
