//! What Tandem rehearses on: everything a pair of Sparks and the Hub would bring, small and on this
//! computer.
//!
//! - [`checkpoint`] writes tiny checkpoints with the true structure of Step-3.7-Flash.
//! - [`hub`] serves them with the Hugging Face Hub's protocol, with faults on request.
//! - [`standin`] answers in vLLM's place: its flags, log lines, API and metrics.
//! - [`machines`] holds two simulated machines in a folder, behind the same ports as real ones.
//!
//! A stand-in is strict: what would fail on a real machine fails here, with the real one's words.

// The configuration of a checkpoint is one long `json!`.
#![recursion_limit = "256"]

pub mod checkpoint;
pub mod hub;
pub mod machines;
pub mod standin;
mod wire;

/// Waits until the process is asked to end. As the first process of a container there is no default
/// for SIGTERM: without this it would be ignored.
pub async fn stopped() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}
