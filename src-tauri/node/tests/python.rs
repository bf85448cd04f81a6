//! Python's own `huggingface_hub` and `safetensors` agree with the cache and the checkpoint we wrote.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::Site;
use serde_json::Value;
use tandem_rehearsal::checkpoint::{BF16_COMMIT, BF16_REPO, NVFP4_OLD_COMMIT, NVFP4_REPO};

/// A Python with the packages, made once for the whole target folder.
fn python() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("the target folder")
        .join("py");
    let python = target.join("bin/python");
    let ready = target.join("tandem-ready");
    if !ready.exists() {
        let run = |program: &std::path::Path, arguments: &[&str]| {
            let status = Command::new(program)
                .args(arguments)
                .status()
                .expect("Python 3 with venv is installed (apt-get install python3-venv)");
            assert!(status.success(), "{program:?} {arguments:?}");
        };
        let folder = target.to_string_lossy().into_owned();
        run("python3".as_ref(), &["-m", "venv", &folder]);
        run(
            &python,
            &[
                "-m",
                "pip",
                "install",
                "--quiet",
                "safetensors",
                "huggingface_hub",
                "numpy",
            ],
        );
        std::fs::write(ready, "").expect("the mark is written");
    }
    python
}

#[test]
fn python_opens_the_cache_and_the_grafted_checkpoint() {
    let python = python();
    let site = Site::new();
    let home = site.home("one");
    let fetched = home.done("fetch", &home.fetch(NVFP4_REPO, "before-mtp"));
    let grafted = home.done("graft", &home.graft(NVFP4_OLD_COMMIT));
    let mut request = home.graft(NVFP4_OLD_COMMIT);
    request["way"] = "draft".into();
    let draft = home.done("graft", &request);
    let out = Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/python/agree.py"
        ))
        .arg(home.hf())
        .args([NVFP4_REPO, NVFP4_OLD_COMMIT])
        .arg(grafted["path"].as_str().unwrap())
        .arg(
            site.dir
                .path()
                .join("repos")
                .join(BF16_REPO)
                .join(BF16_COMMIT),
        )
        .arg(draft["path"].as_str().unwrap())
        .env("HOME", &home.path)
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .expect("Python starts");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let found: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(found["files"], fetched["files"]);
    assert_eq!(found["bytes"], fetched["bytes"]);
    assert_eq!(found["refs"], serde_json::json!(["before-mtp"]));
    assert_eq!(found["mtp"], 51);
    assert_eq!(
        found["drafted"],
        serde_json::json!(["model.embed_tokens.weight"]),
        "a draft has the embedding besides"
    );
}
