//! Programs of the workspace that the lab runs.

use std::path::PathBuf;

use crate::error::{Context as _, LabError};
use crate::host::ask;

/// Builds a program of the workspace and finds it. With `TANDEM_BUILT=1` all of them are built already and
/// lie beside the tests' folder.
pub async fn built(program: &str) -> Result<PathBuf, LabError> {
    if std::env::var_os("TANDEM_BUILT").is_some_and(|v| v == "1") {
        let exe = std::env::current_exe().context(|| "this program has no path".to_owned())?;
        return exe
            .ancestors()
            .skip(1)
            .take(2)
            .map(|folder| folder.join(program))
            .find(|file| file.is_file())
            .ok_or_else(|| LabError::new(format!("`{program}` was not built"), exe.display()));
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    // What cargo told this test about its package is not for the new one: build scripts that look at it
    // would build half of the workspace again, here and then there.
    let own: Vec<String> = std::env::vars()
        .map(|(name, _)| name)
        .filter(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_"))
        .collect();
    let mut argv = vec!["env"];
    argv.extend(own.iter().flat_map(|name| ["-u", name]));
    argv.extend([
        cargo.as_str(),
        "build",
        "--quiet",
        "--manifest-path",
        manifest,
        "--workspace",
        "--bin",
        program,
        "--message-format=json-render-diagnostics",
    ]);
    let said = ask(&argv, b"").await?;
    said.stdout
        .lines()
        .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
        .filter(|m| m["target"]["name"] == program)
        .find_map(|m| m["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| LabError::new(format!("`{program}` was not built"), said.stderr))
}
