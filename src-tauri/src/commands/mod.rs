//! The questions the window may ask. Each body is a sentence: unpack, call, return.

pub mod bench;
pub mod chat;
pub mod disk;
pub mod link;
pub mod machines;
pub mod runs;
pub mod settings;
