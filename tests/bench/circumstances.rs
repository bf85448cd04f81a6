//! What a figure is worth nothing without: the box, the day, the commit, the versions.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Failure;

/// Gathers what holds for every figure of this run.
pub(crate) fn gather(program: &Path) -> Result<Value, Failure> {
    let file = |path| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, name: &str| {
        let line = text.lines().find(|l| l.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = after(&file("/proc/meminfo"), "MemTotal")
        .and_then(|t| t.split(' ').next()?.parse::<u64>().ok())
        .map(|kib| kib / 1024);
    let release = program
        .parent()
        .is_some_and(|p| p.file_name().is_some_and(|n| n != "debug"));
    Ok(json!({
        "date": said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "commit": said("git", &["rev-parse", "HEAD"]),
        "commit_is_all": said("git", &["status", "--porcelain"]).is_some_and(|t| t.is_empty()),
        "cpu": after(&file("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism()?.get(),
        "memory_mib": memory,
        "kernel": file("/proc/sys/kernel/osrelease").trim(),
        "load_at_start": file("/proc/loadavg").split(' ').next(),
        "node_build": if release { "release" } else { "debug" },
        "node_sha256": hex::encode(Sha256::digest(std::fs::read(program)?)),
        "hub_build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "rustc": said("rustc", &["--version"]),
    }))
}

/// What a program prints in the repository's folder, if it is there.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let out = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()
        .filter(|out| out.status.success())?;
    Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
