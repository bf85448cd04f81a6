//! Docker on a machine, through the SSH connection to the engine's own socket.
//!
//! The engine opens no port for it, and the user needs nothing but the membership in `docker` that
//! the `docker` command needs too.

mod containers;
mod error;
mod listing;
mod log;
mod pull;
mod spec;
mod transport;

pub use containers::SshContainers;
pub use log::LineCutter;
