//! The disks of the machines: what takes room, who uses it, what goes when it is deleted.

mod account;
mod uses;

#[cfg(test)]
mod tests;

pub use account::{Account, FileId, Held, account, makespan};
pub use uses::{Mounting, Use, breaks, refused, uses};
