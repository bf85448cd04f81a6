//! Lists the built-in recipes, so that a new one is a new file and nothing else.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script reads and writes files"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let folder = root.join("src/recipe/builtin");
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|f| f.extension().is_some_and(|e| e == "toml"));
    files.sort();
    let mut code = String::from("&[\n");
    for file in files {
        writeln!(code, "    include_str!({:?}),", file.display().to_string())?;
    }
    code.push(']');
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(Path::new(&out).join("builtin.rs"), code)?;
    Ok(())
}
