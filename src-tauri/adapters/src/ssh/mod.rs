//! Machines over SSH: commands, files, tunnels and the keys that open them.
//!
//! One connection a machine, made at the first call and again at the first call after a loss. The
//! host key is compared before anything of the person's is sent. Every remote command lives as long
//! as the call that waits for it: `command` says how.

mod after_shell;
mod agent;
mod command;
pub mod config;
mod error;
mod exec;
mod host_key_check;
mod key_file;
pub mod key_passphrase;
pub mod keys;
pub mod known_hosts;
mod login;
mod machine;
mod opening;
mod session;
mod sftp;
mod target;
mod tunnel;

pub use machine::SshMachine;
pub use session::{SshStream, probe};
pub use target::{Auth, HostKey, HostPin, SshTarget};
pub use tunnel::SshTunnels;
