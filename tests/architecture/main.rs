//! What holds between packages, modules, names and words, read from cargo and from the sources themselves.
//!
//! Where the sources do not keep a rule yet, `exceptions.toml` names the place. That list only shrinks: an entry
//! that nothing needs any more fails its test until it is deleted.

mod circles;
mod exceptions;
mod invariants;
mod names;
mod packages;
mod problems_page;
mod prose;
mod sources;
mod supply;
mod words;

/// The folder of the workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What cargo says of the workspace, with these words beside the usual ones.
fn cargo_metadata(words: &[&str]) -> serde_json::Value {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(words)
        .current_dir(ROOT)
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).expect("cargo describes the workspace")
}
