//! The graft on the three checkpoints: beside the old revision, not needed on the new one, resumed,
//! the same everywhere, and never in the snapshot.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{Home, Site, killed_and_gone_on, tree};
use serde_json::{Value, json};
use tandem_domain::node::NodeEvent;
use tandem_domain::problem::Code;
use tandem_rehearsal::checkpoint::{
    BF16_COMMIT, BF16_REPO, NVFP4_COMMIT, NVFP4_OLD_COMMIT, NVFP4_REPO, synthetic,
};

fn fetched(home: &Home) -> PathBuf {
    let receipt = home.done("fetch", &home.fetch(NVFP4_REPO, NVFP4_OLD_COMMIT));
    PathBuf::from(receipt["snapshot"].as_str().unwrap())
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_old_revision_gets_a_checkpoint_beside_it() {
    let site = Site::new();
    let home = site.home("one");
    let snapshot = fetched(&home);
    let before = tree(&home.hf().join("hub"));
    assert_eq!(
        home.answer(&["grafted"], &home.graft(NVFP4_OLD_COMMIT)),
        Value::Null
    );
    site.hub.counters().reset();
    let receipt = home.done("graft", &home.graft(NVFP4_OLD_COMMIT));
    assert_eq!(receipt["kind"], "overlay");
    assert_eq!(receipt["tensors"], 51);
    assert_eq!(
        tree(&home.hf().join("hub")),
        before,
        "the snapshot is as it was"
    );
    let overlay = PathBuf::from(receipt["path"].as_str().unwrap());

    let tensor_bytes = receipt["tensor_bytes"].as_u64().unwrap();
    assert_eq!(
        site.hub.counters().read().cdn_bytes,
        tensor_bytes + headers(&site),
        "tensors and headers to the byte, nothing between"
    );

    let config = read(&overlay.join("config.json"));
    assert_eq!(
        config["text_config"]["layer_types"]
            .as_array()
            .unwrap()
            .len(),
        48
    );
    assert_eq!(
        config["text_config"]["rope_theta"]
            .as_array()
            .unwrap()
            .len(),
        48
    );
    let ignore = config["quantization_config"]["ignore"].as_array().unwrap();
    let quant = read(&overlay.join("hf_quant_config.json"));
    let exclude = quant["quantization"]["exclude_modules"].as_array().unwrap();
    for layer in 45..48 {
        let pattern = json!(format!("model.layers.{layer}*"));
        assert!(
            ignore.contains(&pattern) && exclude.contains(&pattern),
            "{pattern}"
        );
    }
    let index = read(&overlay.join("model.safetensors.index.json"));
    let own = read(&snapshot.join("model.safetensors.index.json"));
    assert_eq!(
        index["metadata"]["total_size"].as_u64().unwrap(),
        own["metadata"]["total_size"].as_u64().unwrap() + tensor_bytes
    );
    let python = std::fs::read_to_string(overlay.join("configuration_step3p7.py")).unwrap();
    assert!(
        !python.contains("[: self.num_hidden_layers]"),
        "the form that keeps the lists"
    );
    same_tensors(&site, &overlay);

    let again = home.done("graft", &home.graft(NVFP4_OLD_COMMIT));
    assert_eq!(again["fetched"], 0);
    assert_eq!(again["written"], receipt["written"]);
    let seen = home.answer(&["grafted"], &home.graft(NVFP4_OLD_COMMIT));
    assert_eq!(seen["written"], receipt["written"]);
    let check = home.done("check", &home.verify(NVFP4_REPO, NVFP4_OLD_COMMIT, true));
    assert_eq!(check["faults"], json!([]));
}

/// Bytes of the headers of the two files that hold the layers.
fn headers(site: &Site) -> u64 {
    let folder = site
        .dir
        .path()
        .join("repos")
        .join(BF16_REPO)
        .join(BF16_COMMIT);
    [
        "model-00005-of-00006.safetensors",
        "model-00006-of-00006.safetensors",
    ]
    .iter()
    .map(|f| {
        let bytes = std::fs::read(folder.join(f)).unwrap();
        8 + u64::from_le_bytes(bytes[..8].try_into().unwrap())
    })
    .sum()
}

/// Compares every tensor with the source's, read by the format's own crate.
fn same_tensors(site: &Site, overlay: &Path) {
    let source = site
        .dir
        .path()
        .join("repos")
        .join(BF16_REPO)
        .join(BF16_COMMIT);
    let mut of_source: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for file in [
        "model-00005-of-00006.safetensors",
        "model-00006-of-00006.safetensors",
    ] {
        let bytes = std::fs::read(source.join(file)).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        for (name, view) in tensors.tensors() {
            of_source.insert(name, view.data().to_vec());
        }
    }
    let bytes = std::fs::read(overlay.join("model-mtp-bf16.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.len(), 51);
    for (name, view) in tensors.tensors() {
        assert_eq!(view.data(), of_source[&name], "{name}");
        assert_eq!(view.dtype(), safetensors::Dtype::BF16);
    }
}

#[test]
fn the_new_revision_needs_nothing() {
    let site = Site::new();
    let home = site.home("one");
    home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    let before = home.tree();
    site.hub.counters().reset();
    let receipt = home.done("graft", &home.graft(NVFP4_COMMIT));
    assert_eq!(receipt["kind"], "built-in");
    assert_eq!(receipt["tensors"], 51);
    assert_eq!(receipt["written"], json!([]));
    assert_eq!(site.hub.counters().read().requests, 0, "nobody is asked");
    assert_eq!(home.tree(), before);
}

#[test]
fn two_machines_get_the_same_bytes_and_undo_removes_them() {
    let site = Site::new();
    let (one, two) = (site.home("one"), site.home("two"));
    fetched(&one);
    fetched(&two);
    let before = two.tree();
    let first = one.done("graft", &one.graft(NVFP4_OLD_COMMIT));
    two.answer(
        &["start", "graft", "--job", "g"],
        &two.graft(NVFP4_OLD_COMMIT),
    );
    let lines = two.follow("g", 0);
    let NodeEvent::Done { result } = &lines.last().unwrap().event else {
        panic!("done: {:?}", lines.last());
    };
    assert_eq!(result["written"], first["written"]);
    assert_eq!(
        tree(Path::new(first["path"].as_str().unwrap())),
        tree(Path::new(result["path"].as_str().unwrap()))
    );
    let undone = two.answer(&["undo", "--job", "g"], &json!({}));
    assert_eq!(undone["left"], json!([]));
    let mut after = two.tree();
    after.retain(|k, _| !k.starts_with(".local"));
    assert_eq!(after, before);
}

#[test]
fn a_graft_killed_on_the_way_goes_on() {
    let mut made = None;
    let site = Site::with(|repos| {
        made = Some(synthetic::write_synthetic(repos, 400 << 20).unwrap());
    });
    let home = site.home("one");
    let receipt = home.done("fetch", &home.fetch(synthetic::REPO, "main"));
    let mut request = home.graft(receipt["commit"].as_str().unwrap());
    request["repo"] = json!(synthetic::REPO);
    request["source_repo"] = json!(synthetic::BF16_REPO);
    let result = killed_and_gone_on(&site, &home, &request, made.unwrap().mtp_bytes);
    let tensors = result["tensor_bytes"].as_u64().unwrap();
    let other = site.home("two");
    other.done("fetch", &other.fetch(synthetic::REPO, "main"));
    site.hub.counters().reset();
    let whole = other.done("graft", &request);
    assert_eq!(
        whole["written"], result["written"],
        "killed or not, the same bytes"
    );
    let ratio = site.hub.counters().read().bytes as f64 / tensors as f64;
    println!("graft_bytes_ratio {ratio:.5}");
}

#[test]
fn wrong_bytes_and_strange_checkpoints_are_refused() {
    let site = Site::new();
    let home = site.home("one");
    let problem = home.refused("graft", &home.graft(NVFP4_OLD_COMMIT));
    assert_eq!(problem.code, Code::CheckpointIncomplete, "fetch first");
    let snapshot = fetched(&home);
    let mut request = home.graft(NVFP4_OLD_COMMIT);
    request["source_repo"] = json!(NVFP4_REPO);
    request["source_revision"] = json!(NVFP4_OLD_COMMIT);
    let problem = home.refused("graft", &request);
    assert_eq!(
        problem.code,
        Code::GraftUnknownShape,
        "a source without the layers: {problem}"
    );
    // A source whose tensors have another width than its configuration says.
    let config = snapshot.join("config.json");
    let mut value = read(&config);
    value["text_config"]["hidden_size"] = json!(128);
    let text = value.to_string();
    std::fs::remove_file(&config).unwrap();
    std::fs::write(&config, text).unwrap();
    let problem = home.refused("graft", &home.graft(NVFP4_OLD_COMMIT));
    assert_eq!(problem.code, Code::GraftUnknownShape);
    assert!(problem.cause.unwrap().contains("hidden_size"));
    assert!(
        !home
            .hf()
            .join("tandem")
            .join("stepfun-ai--Step-3.7-Flash-NVFP4")
            .join(format!("{NVFP4_OLD_COMMIT}-mtp"))
            .exists()
    );
}
