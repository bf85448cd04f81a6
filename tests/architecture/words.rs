//! A model is named only where recipes and grafts are, and an engine's own words stand only in its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::ROOT;
use crate::exceptions::{exceptions, hold};
use crate::sources::shipped;

/// Families of models, in lower case. A new one that a recipe serves belongs here.
const MODELS: &[&str] = &[
    "stepfun", "step3p5", "step-3", "step 3.", "qwen", "deepseek", "glm-4", "glm-5", "kimi",
    "minimax", "gpt-oss", "nemotron", "gemma", "llama-3", "llama-4", "mistral",
];

/// Where models may be named: recipes as data, the graft of two checkpoints of one model, and its step.
const OF_MODELS: &[&str] = &[
    "src-tauri/domain/src/recipe/builtin",
    "src-tauri/domain/src/graft/",
    "src-tauri/domain/src/step/graft",
    "src-tauri/rehearsal/",
];

/// vLLM's flags, variables, phrases of its log and metrics. `--nnodes`, `--node-rank` and `--master-addr` are missing:
/// torchrun, which measures the link, calls its own so too.
const VLLM: &[&str] = &[
    "vllm serve",
    "VLLM_",
    "tensor-parallel-size",
    "pipeline-parallel-size",
    "distributed-executor-backend",
    "gpu-memory-utilization",
    "max-model-len",
    "max-num-seqs",
    "max-num-batched-tokens",
    "kv-cache-dtype",
    "speculative-config",
    "trust-remote-code",
    "served-model-name",
    "tool-call-parser",
    "reasoning-parser",
    "enable-auto-tool-choice",
    "enforce-eager",
    "non-default args",
    "Application startup complete",
    "Loading safetensors checkpoint shards",
    "Loading weights took",
    "Model loading took",
    "Capturing CUDA graph",
    "GPU KV cache size",
    "EngineCore",
];

/// Where vLLM's words may stand.
const OF_VLLM: &[&str] = &[
    "src-tauri/domain/src/engine/vllm",
    // A recipe's arguments are the engine's own.
    "src-tauri/domain/src/recipe/builtin",
    "src-tauri/rehearsal/",
];

#[test]
fn a_model_is_named_only_by_recipes_and_grafts() {
    let named = |line: &str| {
        // An address is the source of a fact.
        let words = line
            .split_whitespace()
            .filter(|w| !w.starts_with("https://"));
        let line = words.collect::<Vec<_>>().join(" ").to_lowercase();
        MODELS.iter().any(|w| line.contains(w))
    };
    hold("models", &places(OF_MODELS, &named), &exceptions().models);
}

#[test]
fn vllms_own_words_stand_in_its_folder() {
    let engine = |line: &str| VLLM.iter().any(|w| line.contains(w)) || holds_metric(line);
    hold("engine", &places(OF_VLLM, &engine), &exceptions().engine);
}

/// Whether a metric of vLLM's is named, for example `vllm:num_requests_running`; a path's `vllm::` is none.
fn holds_metric(line: &str) -> bool {
    let mut after = line.split("vllm:").skip(1);
    after.any(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// The lines of Rust and of the window that hold a word, by file.
fn places(free: &[&str], holds: &dyn Fn(&str) -> bool) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut look = |path: &str, lines: &mut dyn Iterator<Item = (usize, String)>| {
        if free.iter().any(|f| path.starts_with(f)) {
            return;
        }
        for (number, line) in lines.filter(|(_, line)| holds(line)) {
            let places = found.entry(path.to_owned()).or_default();
            let place = format!("{number}: {}", line.trim());
            if !places.contains(&place) {
                places.push(place);
            }
        }
    };
    for source in shipped().iter().flat_map(|c| c.files.values()) {
        look(&source.path, &mut source.lines.iter().cloned());
    }
    let window = window();
    assert!(window.len() > 50, "the window's sources were found");
    for file in window {
        let text = std::fs::read_to_string(Path::new(ROOT).join(&file)).expect("a text");
        look(&file, &mut (1..).zip(text.lines().map(str::to_owned)));
    }
    found
}

/// The window's sources, without tests, the host that stands in for the app, and what is generated from Rust.
fn window() -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from("ui/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(Path::new(ROOT).join(&folder)).expect("ui/src can be read") {
            let entry = entry.expect("an entry");
            let inside = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(inside);
                continue;
            }
            let name = inside.to_string_lossy().replace('\\', "/");
            let source = [".ts", ".svelte"].iter().any(|e| name.ends_with(e));
            let left_out = [".test.ts", "host/fake", "/bindings.ts", "/recorded/"];
            if source && !left_out.iter().any(|l| name.contains(l)) {
                files.push(name);
            }
        }
    }
    files
}
