//! The contracts of the ports, held against the real things.
//!
//! [`machine`] and [`containers`] are suites that know no implementation; the other files start one and
//! add what only it can show: a real sshd on this computer, and the lab with sudo and Docker.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod containers;
mod journal;
mod lab;
mod machine;
mod relay;
mod ssh;
mod sshd;
