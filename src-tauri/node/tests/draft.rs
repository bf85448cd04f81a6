//! The draft directory on the tiny checkpoints: beside the snapshot, made of ranges or of a published one,
//! the same everywhere, and gone without a trace.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::{Home, Site, killed_and_gone_on, tree};
use serde_json::{Value, json};
use tandem_domain::node::NodeEvent;
use tandem_domain::problem::Code;
use tandem_rehearsal::checkpoint::shape::{Kind, Release, Tensor, Widths, body, mtp};
use tandem_rehearsal::checkpoint::{
    BF16_COMMIT, BF16_REPO, NVFP4_COMMIT, NVFP4_OLD_COMMIT, NVFP4_REPO, point, synthetic, write,
};

const PUBLISHED: &str = "lab/Step-3.7-draft";
const COMMIT: &str = "d4af7c0ffee0d15ea5e5e11a7c0ffee0d15ea5e5";
const EMBEDDING: &str = "model.embed_tokens.weight";

fn fetched(home: &Home, revision: &str) -> PathBuf {
    let receipt = home.done("fetch", &home.fetch(NVFP4_REPO, revision));
    PathBuf::from(receipt["snapshot"].as_str().unwrap())
}

fn order(home: &Home, commit: &str) -> Value {
    let mut request = home.graft(commit);
    request["way"] = json!("draft");
    request
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Bytes of the headers of a release's files with these tensors.
fn headers(site: &Site) -> u64 {
    let folder = site
        .dir
        .path()
        .join("repos")
        .join(BF16_REPO)
        .join(BF16_COMMIT);
    let index = read(&folder.join("model.safetensors.index.json"));
    let map = index["weight_map"].as_object().unwrap();
    let is_drafts = |name: &str| {
        name == EMBEDDING || (45..48).any(|n| name.starts_with(&format!("model.layers.{n}.")))
    };
    let files: BTreeSet<&str> = map
        .iter()
        .filter(|(name, _)| is_drafts(name))
        .map(|(_, file)| file.as_str().unwrap())
        .collect();
    assert_eq!(files.len(), 3, "the embedding is in a file of its own");
    files
        .iter()
        .map(|f| {
            let bytes = std::fs::read(folder.join(f)).unwrap();
            8 + u64::from_le_bytes(bytes[..8].try_into().unwrap())
        })
        .sum()
}

#[test]
fn a_draft_stands_beside_the_snapshot() {
    let site = Site::new();
    let home = site.home("one");
    let snapshot = fetched(&home, NVFP4_OLD_COMMIT);
    let before = tree(&home.hf().join("hub"));
    let request = order(&home, NVFP4_OLD_COMMIT);
    assert_eq!(home.answer(&["grafted"], &request), Value::Null);
    site.hub.counters().reset();
    let receipt = home.done("graft", &request);
    assert_eq!(receipt["kind"], "draft");
    assert_eq!(
        receipt["tensors"], 51,
        "the embedding is none of the MTP layers"
    );
    let tensor_bytes = receipt["tensor_bytes"].as_u64().unwrap();
    assert_eq!(
        site.hub.counters().read().cdn_bytes,
        tensor_bytes + headers(&site),
        "tensors and headers to the byte, nothing between"
    );
    assert_eq!(
        tree(&home.hf().join("hub")),
        before,
        "the snapshot is as it was"
    );

    let draft = PathBuf::from(receipt["path"].as_str().unwrap());
    let files: Vec<String> = tree(&draft).into_keys().collect();
    assert_eq!(
        files,
        [
            "config.json",
            "configuration_step3p7.py",
            "model.safetensors",
            "model.safetensors.index.json",
            "tandem-graft.json"
        ]
    );
    let config = read(&draft.join("config.json"));
    assert!(config.get("quantization_config").is_none());
    let own = read(&snapshot.join("config.json"));
    assert!(
        own.get("quantization_config").is_some(),
        "unlike the served one"
    );
    let lists = config["text_config"]["layer_types"].as_array().unwrap();
    assert_eq!(lists.len(), 48);
    let bytes = std::fs::read(draft.join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.len(), 52);
    assert_eq!(tensors.tensor(EMBEDDING).unwrap().shape(), [320, 64]);

    let again = home.done("graft", &request);
    assert_eq!(
        (&again["fetched"], &again["written"]),
        (&json!(0), &receipt["written"])
    );
    assert_eq!(home.answer(&["grafted"], &request)["kind"], "draft");
    // An overlay of the same snapshot is another folder, and each finds its own.
    let overlay = home.done("graft", &home.graft(NVFP4_OLD_COMMIT));
    assert_eq!(overlay["kind"], "overlay");
    assert_ne!(overlay["path"], receipt["path"]);
    assert_eq!(
        home.answer(&["grafted"], &request)["written"],
        receipt["written"]
    );

    // A deep check reads it; one bit in the middle of a tensor is seen.
    let whole = home.done("check", &home.verify(NVFP4_REPO, NVFP4_OLD_COMMIT, true));
    assert_eq!(whole["faults"], json!([]));
    let mut turned = bytes.clone();
    turned[bytes.len() / 2] ^= 1;
    std::fs::write(draft.join("model.safetensors"), &turned).unwrap();
    let found = home.done("check", &home.verify(NVFP4_REPO, NVFP4_OLD_COMMIT, true));
    assert_eq!(found["faults"].as_array().unwrap().len(), 1, "{found}");
    std::fs::write(draft.join("model.safetensors"), &bytes).unwrap();

    // What was changed afterwards is no draft any more, and is made again.
    std::fs::write(draft.join("config.json"), "{}").unwrap();
    assert_eq!(home.answer(&["grafted"], &request), Value::Null);
    assert_eq!(home.done("graft", &request)["written"], receipt["written"]);
}

#[test]
fn it_is_made_for_a_revision_with_layers_too_and_undone_without_a_trace() {
    let site = Site::new();
    let home = site.home("one");
    fetched(&home, "main");
    let before = home.tree();
    home.answer(
        &["start", "graft", "--job", "d"],
        &order(&home, NVFP4_COMMIT),
    );
    let lines = home.follow("d", 0);
    let NodeEvent::Done { result } = &lines.last().unwrap().event else {
        panic!("done: {:?}", lines.last());
    };
    assert_eq!(result["kind"], "draft");
    let other = site.home("two");
    fetched(&other, "main");
    let same = other.done("graft", &order(&other, NVFP4_COMMIT));
    assert_eq!(
        same["written"], result["written"],
        "the same on both machines"
    );
    let undone = home.answer(&["undo", "--job", "d"], &json!({}));
    assert_eq!(undone["left"], json!([]));
    let mut after = home.tree();
    after.retain(|k, _| !k.starts_with(".local"));
    assert_eq!(after, before);
}

#[test]
fn what_is_to_be_built_in_must_be() {
    let site = Site::new();
    let home = site.home("one");
    fetched(&home, NVFP4_OLD_COMMIT);
    fetched(&home, "main");
    let mut request = home.graft(NVFP4_OLD_COMMIT);
    request["way"] = json!("built-in");
    let problem = home.refused("graft", &request);
    assert_eq!(problem.code, Code::MtpMissing, "{problem}");
    request["commit"] = json!(NVFP4_COMMIT);
    assert_eq!(home.done("graft", &request)["kind"], "built-in");
}

/// The tensors of a draft.
fn tensors() -> Vec<Tensor> {
    let mut all = mtp(&Widths::TINY);
    let body = body(&Widths::TINY, Release::Bf16);
    all.extend(body.into_iter().filter(|t| t.name == EMBEDDING));
    all
}

fn publish(site: &Site, tensors: Vec<Tensor>) {
    let repos = site.dir.path().join("repos");
    let folder = repos.join(PUBLISHED).join(COMMIT);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    write::shard(&folder.join("model.safetensors"), tensors).unwrap();
    std::fs::write(folder.join("config.json"), r#"{"model_type":"other"}"#).unwrap();
    point(&repos, PUBLISHED, "main", COMMIT).unwrap();
}

#[test]
fn a_published_draft_is_used_where_it_is_just_that() {
    let site = Site::new();
    let of = |name: &str| {
        let home = site.home(name);
        fetched(&home, NVFP4_OLD_COMMIT);
        let mut request = order(&home, NVFP4_OLD_COMMIT);
        request["draft_repo"] = json!(PUBLISHED);
        (home, request)
    };
    let model = |receipt: &Value| -> Value {
        let written = receipt["written"].as_array().unwrap();
        written
            .iter()
            .find(|w| w["name"] == "model.safetensors")
            .unwrap()
            .clone()
    };
    let from = |receipt: &Value| -> Value {
        let folder = Path::new(receipt["path"].as_str().unwrap());
        read(&folder.join("tandem-graft.json"))["draft_source"].clone()
    };
    let (home, request) = of("none");
    let from_ranges = home.done("graft", &request);
    assert_eq!(from(&from_ranges), Value::Null, "there is none on this Hub");

    publish(&site, tensors());
    let (home, request) = of("published");
    let published = home.done("graft", &request);
    assert_eq!(from(&published), json!(format!("{PUBLISHED}@{COMMIT}")));
    assert_eq!(model(&published), model(&from_ranges), "the same bytes");
    let config = PathBuf::from(published["path"].as_str().unwrap()).join("config.json");
    assert_eq!(
        read(&config)["model_type"],
        "step3p7",
        "its configuration is the release's, whatever else was published"
    );

    let mut wrong = tensors();
    wrong[0].kind = Kind::F32;
    let mut less = tensors();
    less.remove(20);
    for (i, tensors) in [wrong, less].into_iter().enumerate() {
        publish(&site, tensors);
        let (home, request) = of(&format!("wrong{i}"));
        let receipt = home.done("graft", &request);
        assert_eq!(from(&receipt), Value::Null, "it is not that draft");
        assert_eq!(receipt["written"], from_ranges["written"]);
    }
}

#[test]
fn killed_on_the_way_it_goes_on_and_fetches_hardly_more_than_the_tensors() {
    let mut made = None;
    let site = Site::with(|repos| {
        made = Some(synthetic::write_synthetic(repos, 300 << 20).unwrap());
    });
    let home = site.home("one");
    let receipt = home.done("fetch", &home.fetch(synthetic::REPO, "main"));
    let mut request = order(&home, receipt["commit"].as_str().unwrap());
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
    let more = site.hub.counters().read().cdn_bytes - tensors;
    println!("draft: {more} bytes besides {tensors}");
    assert!(more < 300_000, "headers and nothing else: {more} bytes");
}
