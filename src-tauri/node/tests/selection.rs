//! Some files of repositories instead of all: one quant of several, no second copy of the weights, a draft in
//! the same run. Against a Hub that answers over HTTP, by the program itself.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::{Home, Site, kill, until};
use serde_json::{Value, json};
use tandem_domain::node::{CopyTicket, NodeEvent, Serving, Survey};
use tandem_domain::problem::Code;
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};

/// Two quants of two parts each.
const QUANTS: &str = "o/Model-GGUF";
/// The weights three times.
const COPIES: &str = "o/model";
/// So large that the share of a second machine gets some.
const PART: usize = 9 << 20;
const JOB: &str = "r-weights";

/// Bytes that no two files share.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15 ^ (seed + 1);
    let words = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    });
    words.flatten().take(len).collect()
}

fn safetensors(seed: u64, len: usize) -> Vec<u8> {
    let name = format!("t{seed}");
    let head = json!({name: {"dtype": "U8", "shape": [len], "data_offsets": [0, len]}}).to_string();
    let mut bytes = 120_u64.to_le_bytes().to_vec();
    bytes.extend(format!("{head:<120}").into_bytes());
    bytes.extend(noise(seed, len));
    bytes
}

fn write(repos: &Path, repo: &str, files: &[(&str, Vec<u8>)]) {
    let commit = "c".repeat(40);
    for (name, content) in files {
        let path = repos.join(repo).join(&commit).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let refs = repos.join(repo).join("refs");
    std::fs::create_dir_all(&refs).unwrap();
    std::fs::write(refs.join("main"), commit).unwrap();
}

fn site() -> Site {
    Site::with(|repos| {
        write(
            repos,
            QUANTS,
            &[
                ("README.md", b"quants".to_vec()),
                ("Q4/m-Q4_K_M-00001-of-00002.gguf", noise(1, PART)),
                ("Q4/m-Q4_K_M-00002-of-00002.gguf", noise(2, PART)),
                ("Q8/m-Q8_0-00001-of-00002.gguf", noise(3, PART)),
                ("Q8/m-Q8_0-00002-of-00002.gguf", noise(4, PART)),
            ],
        );
        let shards = [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ];
        let index = json!({"weight_map": {"t5": shards[0], "t6": shards[1]}}).to_string();
        write(
            repos,
            COPIES,
            &[
                ("config.json", b"{}".to_vec()),
                ("tokenizer.json", b"{\"version\": \"1.0\"}".to_vec()),
                ("model.safetensors.index.json", index.into_bytes()),
                (shards[0], safetensors(5, PART)),
                (shards[1], safetensors(6, PART)),
                ("original/consolidated.safetensors", safetensors(7, PART)),
                ("original/params.json", b"{\"dim\": 1}".to_vec()),
                ("metal/model.bin", noise(8, PART)),
            ],
        );
    })
}

fn q4() -> Value {
    json!({"include": ["*Q4_K_M*"]})
}

fn without_copies() -> Value {
    json!({"exclude": ["original/*", "metal/*"]})
}

/// One quant, and the weights without their copies.
fn two(home: &Home) -> Value {
    let mut fetch = home.fetch(COPIES, "main");
    fetch["files"] = without_copies();
    fetch["others"] = json!([{"repo": QUANTS, "revision": "main", "files": q4()}]);
    fetch
}

fn some(home: &Home, repo: &str, files: &Value) -> Value {
    let mut fetch = home.fetch(repo, "main");
    fetch["files"] = files.clone();
    fetch
}

/// The bytes of each file that the Hub gave out, small ones and large ones.
fn given(site: &Site) -> BTreeMap<String, u64> {
    let files = site.hub.counters().read().files.into_iter();
    files
        .map(|(name, count)| (name, count.bytes))
        .filter(|(_, bytes)| *bytes > 0)
        .collect()
}

fn weights(given: &BTreeMap<String, u64>) -> u64 {
    given.values().sum()
}

/// The files of a snapshot.
fn names(snapshot: &Value) -> BTreeSet<String> {
    let root = PathBuf::from(snapshot["snapshot"].as_str().unwrap());
    let tree = common::tree(&root).into_iter();
    tree.filter(|(_, what)| what != "folder")
        .map(|(name, _)| name)
        .collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn check(home: &Home, repo: &str, deep: bool, repair: bool) -> Value {
    let asked = json!({
        "kind": "check", "endpoint": home.endpoint, "repo": repo, "commit": "main",
        "deep": deep, "repair": repair,
    });
    home.done("check", &asked)
}

/// The receipt of a job that is done.
fn done(home: &Home, after: u64) -> Value {
    let lines = home.follow(JOB, after);
    match &lines.last().unwrap().event {
        NodeEvent::Done { result } => result.clone(),
        _ => panic!("it is done: {lines:?}"),
    }
}

#[test]
fn one_quant_of_a_repository_is_fetched_and_the_others_are_not_missing() {
    let site = site();
    let home = site.home("one");
    let before = home.tree();
    let survey: Survey = {
        let mut asked = some(&home, QUANTS, &q4());
        asked["kind"] = json!("survey");
        serde_json::from_value(home.done("survey", &asked)).unwrap()
    };
    assert_eq!((survey.files, survey.missing), (2, 2 * PART as u64));

    home.answer(
        &["start", "fetch", "--job", JOB],
        &some(&home, QUANTS, &q4()),
    );
    let receipt = done(&home, 0);
    assert_eq!(number(&receipt["bytes"]), 2 * PART as u64);
    assert_eq!(receipt["fetched"], receipt["bytes"]);
    let parts = [
        "Q4/m-Q4_K_M-00001-of-00002.gguf",
        "Q4/m-Q4_K_M-00002-of-00002.gguf",
    ];
    assert_eq!(names(&receipt), BTreeSet::from(parts.map(str::to_owned)));
    assert!(
        given(&site).keys().all(|name| name.contains("Q4_K_M")),
        "{:?}",
        given(&site)
    );

    // Asked for by its selection or, as from the disk's list, by its commit alone.
    let mut verify = home.verify(QUANTS, "main", true);
    verify["files"] = q4();
    assert_eq!(home.done("check", &verify)["faults"], json!([]));
    for deep in [false, true] {
        let looked = check(&home, QUANTS, deep, false);
        assert_eq!(
            (&looked["faults"], &looked["files"]),
            (&json!([]), &json!(2))
        );
    }
    site.hub.fault(Fault::new(FaultKind::Status {
        status: 503,
        retry_after: None,
    }));
    let offline = check(&home, QUANTS, true, false);
    assert_eq!(
        (&offline["faults"], &offline["files"]),
        (&json!([]), &json!(2))
    );
    site.hub.faults().clear();

    home.undone_to(JOB, &before);
}

#[test]
fn what_is_damaged_is_repaired_and_what_was_not_selected_stays_away() {
    let site = site();
    let home = site.home("one");
    let receipt = home.done("fetch", &some(&home, COPIES, &without_copies()));
    assert_eq!(number(&receipt["files"]), 5);
    let snapshot = PathBuf::from(receipt["snapshot"].as_str().unwrap());
    let shard = std::fs::canonicalize(snapshot.join("model-00002-of-00002.safetensors")).unwrap();
    let mut bytes = std::fs::read(&shard).unwrap();
    bytes[PART] ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    let looked = check(&home, COPIES, true, false);
    assert_eq!(looked["faults"].as_array().unwrap().len(), 1, "{looked}");
    site.hub.counters().reset();
    let repaired = check(&home, COPIES, true, true);
    assert_eq!(repaired["faults"], json!([]));
    assert_eq!(
        repaired["repaired"],
        json!(["model-00002-of-00002.safetensors"])
    );
    let large: Vec<String> = given(&site)
        .into_iter()
        .filter(|(_, bytes)| *bytes > 10_000)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        large,
        [format!("{COPIES}/model-00002-of-00002.safetensors")]
    );
    assert_eq!(names(&receipt).len(), 5);

    // Where nobody says which, copies of the weights stay away as well.
    let again = home.done("fetch", &home.fetch(COPIES, "main"));
    assert_eq!((&again["files"], &again["fetched"]), (&json!(5), &json!(0)));
    let all = check(&home, COPIES, true, false);
    assert_eq!((&all["faults"], &all["files"]), (&json!([]), &json!(5)));

    // Everything, once it is chosen, is expected from then on.
    home.done("fetch", &some(&home, COPIES, &json!({"include": ["*"]})));
    let all = check(&home, COPIES, true, false);
    assert_eq!((&all["faults"], &all["files"]), (&json!([]), &json!(8)));
    std::fs::remove_file(snapshot.join("metal/model.bin")).unwrap();
    let looked = check(&home, COPIES, false, false);
    assert_eq!(looked["faults"][0]["name"], "metal/model.bin");
}

#[test]
fn two_repositories_are_one_job_that_is_killed_goes_on_and_is_undone() {
    let site = site();
    let home = site.home("one");
    let before = home.tree();
    let request = two(&home);
    let slow = FaultKind::Slow {
        bytes_per_second: 1 << 20,
    };
    site.hub.fault(Fault::new(slow).on(Side::Cdn));
    home.answer(&["start", "fetch", "--job", JOB], &request);
    until("half has arrived", || {
        site.hub.counters().read().cdn_bytes > 2 * PART as u64
    });
    kill(home.worker(JOB).unwrap());
    assert_eq!(home.follow(JOB, 0).pop().unwrap().event, NodeEvent::Lost);
    site.hub.faults().clear();
    let state = home.answer(&["start", "fetch", "--job", JOB], &request);
    let after = number(&state["last_seq"]);
    let receipt = done(&home, after);
    let totals: BTreeSet<Option<u64>> = home
        .follow(JOB, after)
        .into_iter()
        .filter_map(|line| match line.event {
            NodeEvent::Progress { total, .. } => Some(total),
            _ => None,
        })
        .filter(Option::is_some)
        .collect();
    let all = number(&receipt["bytes"]) + number(&receipt["others"][0]["bytes"]);
    assert!(
        totals.iter().all(|t| *t == Some(all)),
        "one progress: {totals:?} of {all}"
    );
    assert_eq!(
        (names(&receipt).len(), names(&receipt["others"][0]).len()),
        (5, 2)
    );
    // What the box's sockets held of a Hub that gives slowly is lost.
    let twice = weights(&given(&site)).saturating_sub(all);
    assert!(twice < 2 << 20, "{twice} of {all} came twice");
    let unwanted = |name: &String| name.contains("original") || name.contains("Q8");
    assert!(!given(&site).keys().any(unwanted), "{:?}", given(&site));
    for repo in [COPIES, QUANTS] {
        let looked = check(&home, repo, true, false);
        assert_eq!(looked["faults"], json!([]), "{repo}");
    }

    home.undone_to(JOB, &before);
}

#[test]
fn undo_leaves_what_another_run_selected_of_the_same_revision() {
    let site = site();
    let home = site.home("one");
    home.done("fetch", &some(&home, QUANTS, &q4()));
    let before = common::tree(&home.hf());
    let q8 = json!({"include": ["*Q8_0*"]});
    home.answer(&["start", "fetch", "--job", JOB], &some(&home, QUANTS, &q8));
    done(&home, 0);
    let both = check(&home, QUANTS, false, false);
    assert_eq!((&both["faults"], &both["files"]), (&json!([]), &json!(4)));
    home.answer(&["undo", "--job", JOB], &json!({}));
    assert_eq!(common::tree(&home.hf()), before);
    let one = check(&home, QUANTS, true, false);
    assert_eq!((&one["faults"], &one["files"]), (&json!([]), &json!(2)));
}

fn serve(home: &Home) -> Serving {
    let words = [
        "copy",
        "serve",
        "--repo",
        COPIES,
        "--repo",
        QUANTS,
        "--listen",
        "127.0.0.1",
        "--job",
        JOB,
    ];
    serde_json::from_value(home.answer(&words, &json!({}))).unwrap()
}

fn copied(home: &Home, serving: &Serving, share: &Value) -> Value {
    let mut fetch = two(home);
    fetch.as_object_mut().unwrap().remove("kind");
    let ticket = CopyTicket::new(serving.clone(), None);
    json!({
        "kind": "copy", "fetch": fetch, "from": "the other", "streams": 2, "share": share,
        "token": ticket.seal().reveal(),
    })
}

#[test]
fn the_second_machine_copies_what_is_selected_of_both_repositories() {
    let site = site();
    let (a, b) = (site.home("a"), site.home("b"));
    // What lies there besides is not copied.
    a.done("fetch", &a.fetch(QUANTS, "main"));
    let more = cache_without_selections(&a);
    a.answer(&["start", "fetch", "--job", JOB], &two(&a));
    let serving = serve(&a);
    b.answer(
        &["start", "copy", "--job", JOB],
        &copied(&b, &serving, &Value::Null),
    );
    let receipt = done(&b, 0);
    assert_eq!(receipt["fetched"], 0, "nothing came over the line");
    assert_eq!(
        (names(&receipt).len(), names(&receipt["others"][0]).len()),
        (5, 2)
    );
    done(&a, 0);
    let (on_a, on_b) = (cache_without_selections(&a), cache_without_selections(&b));
    let of_the_run: BTreeMap<String, String> = on_a
        .into_iter()
        .filter(|(name, _)| !more.contains_key(name) || on_b.contains_key(name))
        .collect();
    assert_eq!(of_the_run, on_b);
    b.answer(&["undo", "--job", JOB], &json!({}));
    let left: Vec<String> = b.tree().into_keys().collect();
    assert!(
        left.iter().all(|l| ".local/share/tandem".starts_with(l)),
        "undo leaves nothing: {left:?}"
    );
}

/// What lies in the cache, without the notes of what was selected.
fn cache_without_selections(home: &Home) -> BTreeMap<String, String> {
    let mut tree = common::tree(&home.hf());
    tree.retain(|name, _| !name.contains("tandem-selections"));
    tree
}

#[test]
fn each_machine_fetches_its_share_of_both_repositories() {
    let site = site();
    let (a, b) = (site.home("a"), site.home("b"));
    let (at_a, at_b) = (serve(&a), serve(&b));
    let share = |mine: u32| json!({"parts": [50, 50], "mine": mine});
    a.answer(
        &["start", "copy", "--job", JOB],
        &copied(&a, &at_b, &share(0)),
    );
    b.answer(
        &["start", "copy", "--job", JOB],
        &copied(&b, &at_a, &share(1)),
    );
    let (one, two) = (done(&a, 0), done(&b, 0));
    let all = number(&one["bytes"]) + number(&one["others"][0]["bytes"]);
    let (from_a, from_b) = (number(&one["fetched"]), number(&two["fetched"]));
    assert_eq!(from_a + from_b, all, "each byte once over the lines");
    assert!(from_b > 0, "both fetch");
    assert_eq!(cache_without_selections(&a), cache_without_selections(&b));
}

#[test]
fn a_selection_that_cannot_be_used_is_refused_before_a_byte_of_the_weights() {
    let site = site();
    let home = site.home("one");
    let cases = [
        (QUANTS, json!({"include": ["*Q5*"]}), "None of the 5 files"),
        (
            QUANTS,
            json!({"include": ["*Q4_K_M-00001*"]}),
            "00002-of-00002.gguf",
        ),
        (
            COPIES,
            json!({"include": ["*.safetensors"], "exclude": ["original/*"]}),
            "`config.json`",
        ),
        (
            COPIES,
            json!({"exclude": ["*-00002-*"]}),
            "`model-00002-of-00002.safetensors`",
        ),
        (
            COPIES,
            json!({"include": ["model*", "config.json"]}),
            "`tokenizer.json`",
        ),
    ];
    for (repo, files, says) in cases {
        for kind in ["survey", "fetch"] {
            let mut asked = some(&home, repo, &files);
            asked["kind"] = json!(kind);
            let problem = home.refused(kind, &asked);
            assert_eq!(problem.code, Code::BadInput, "{files}: {problem}");
            let cause = problem.cause.unwrap();
            assert!(
                cause.contains(says) && problem.fix.is_some(),
                "{files}: {cause}"
            );
        }
    }
    let large = |name: &String| name.ends_with(".gguf") || name.ends_with(".safetensors");
    assert!(!given(&site).keys().any(large), "{:?}", given(&site));
    assert_eq!(home.tree().len(), 0, "nothing was made");
    // Another repository of the same run may bring the tokenizer.
    let mut fetch = some(
        &home,
        COPIES,
        &json!({"include": ["model*", "config.json"]}),
    );
    fetch["others"] = json!([
        {"repo": COPIES, "revision": "main", "files": {"include": ["tokenizer.json"]}}
    ]);
    let receipt = home.done("fetch", &fetch);
    assert_eq!(names(&receipt).len(), 5, "both selections of one revision");
}

#[test]
fn the_list_of_the_disk_names_a_part_of_a_revision_and_removes_it_without_a_rest() {
    let site = site();
    let home = site.home("one");
    home.done("fetch", &some(&home, QUANTS, &q4()));
    let report = home.answer(&["disk"], &json!({}));
    let items = report["items"].as_array().unwrap();
    let revision = items.iter().find(|i| i["kind"] == "revision").unwrap();
    assert_eq!(
        (&revision["files"], &revision["missing"]),
        (&json!(2), &json!(0))
    );
    let remove = json!({"items": [{"kind": "revision", "path": revision["path"]}]});
    let undone = home.answer(&["remove"], &remove);
    assert_eq!(undone["left"], json!([]));
    let left: Vec<String> = common::tree(&home.hf().join("hub")).into_keys().collect();
    assert!(
        left.iter().all(|name| name.starts_with(".locks")),
        "{left:?}"
    );
}
