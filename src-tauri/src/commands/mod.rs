//! The questions the window may ask. Each body is a sentence: unpack, call, return.

pub mod bench;
pub mod chat;
pub mod disk;
pub mod elsewhere;
pub mod link;
pub mod machines;
pub mod recipes;
pub mod runs;
pub mod settings;

use tandem_domain::problem::Problem;

/// What a question is answered with.
type Answer<T> = Result<T, Problem>;
