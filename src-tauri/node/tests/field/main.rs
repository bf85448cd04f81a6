//! Odd machines, Hubs and disks that people have reported: for each what is to be told or done, against answers
//! that are written down in `fixtures`.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod cache;
#[path = "../common/mod.rs"]
mod common;
mod hub;
mod locks;
mod played;
