//! What holds between packages, modules, names and words, read from cargo and from the sources themselves.
//!
//! Where the sources do not keep a rule yet, `exceptions.toml` names the place. That list only shrinks: an entry
//! that nothing needs any more fails its test until it is deleted.

mod circles;
mod exceptions;
mod names;
mod packages;
mod prose;
mod sources;
mod supply;
mod voice;
mod words;

/// The folder of the workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
