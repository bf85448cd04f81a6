//! The steps that procedures are made of, and what they share.

pub mod all_reduce;
pub(crate) mod docker;
#[cfg(test)]
pub(crate) mod doubles;
pub mod facts;
pub mod firewall;
pub(crate) mod follow;
pub(crate) mod graft;
pub mod ids;
pub(crate) mod image;
pub mod job;
pub mod key;
pub mod launch;
pub(crate) mod link_copy;
pub mod link_test;
pub(crate) mod machines;
pub mod network;
pub mod owned;
pub(crate) mod page_cache;
pub(crate) mod program;
pub(crate) mod rate;
pub(crate) mod restart;
pub(crate) mod serve_copy;
pub mod services;
pub(crate) mod stored;
pub mod validate;
pub(crate) mod weights;
