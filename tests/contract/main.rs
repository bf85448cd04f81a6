//! The contracts of the ports, held against the real things.
//!
//! [`machine`] and [`containers`] are suites that know no implementation; the other files start one and
//! add what only it can show: a real sshd on this computer, the lab with sudo and Docker, and the machines
//! of a rehearsal, which keep the same promises in a folder.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod containers;
mod journal;
mod lab;
mod lease;
mod machine;
mod rehearsal;
mod relay;
mod ssh;
mod sshd;
