//! The disk as `disk` tells it, and what `remove` takes away.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;

use common::{Home, Site};
use serde_json::{Value, json};
use tandem_domain::node::disk::{DiskItem, DiskKind, DiskReport, Uncached};
use tandem_rehearsal::checkpoint::{NVFP4_COMMIT, NVFP4_OLD_COMMIT, NVFP4_REPO};

fn disk(home: &Home) -> DiskReport {
    serde_json::from_value(home.answer(&["disk"], &json!({}))).unwrap()
}

fn of(report: &DiskReport, kind: DiskKind, commit: Option<&str>) -> DiskItem {
    let mut items = report.items.iter();
    items
        .find(|i| i.kind == kind && (commit.is_none() || i.commit.as_deref() == commit))
        .unwrap_or_else(|| panic!("{kind:?} {commit:?} is in {report:#?}"))
        .clone()
}

fn remove(home: &Home, items: &[&DiskItem]) -> Value {
    let items: Vec<Value> = items
        .iter()
        .map(|i| json!({"kind": i.kind, "path": i.path}))
        .collect();
    home.answer(&["remove"], &json!({ "items": items }))
}

/// Bytes that files below a folder take, each once.
fn taken(folder: &std::path::Path) -> u64 {
    let out = std::process::Command::new("du")
        .args(["-s", "--block-size=1", "--apparent-size"])
        .arg(folder)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn two_revisions_share_their_blobs_and_each_frees_what_is_its_own() {
    let site = Site::new();
    let home = site.home("one");
    assert_eq!(disk(&home).items, [], "a fresh home has nothing");
    home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    home.done("fetch", &home.fetch(NVFP4_REPO, NVFP4_OLD_COMMIT));
    let report = disk(&home);
    let new = of(&report, DiskKind::Revision, Some(NVFP4_COMMIT));
    let old = of(&report, DiskKind::Revision, Some(NVFP4_OLD_COMMIT));
    assert_eq!(new.name, NVFP4_REPO);
    assert_eq!(new.refs, ["main"]);
    assert!(new.used_at.is_some() && new.missing == 0 && new.busy.is_none());
    let shared = new.size - new.frees;
    assert!(shared > 0, "they share shards");
    assert_eq!(shared, old.size - old.frees);
    assert_eq!(report.taken, new.frees + old.frees + shared);

    let undone = remove(&home, &[&new]);
    assert_eq!(undone["left"], json!([]));
    assert_eq!(undone["bytes"], new.frees, "as it was said before");
    let rest = disk(&home);
    assert_eq!(rest.items.len(), 1, "nothing is left over: {rest:#?}");
    assert_eq!(of(&rest, DiskKind::Revision, None).frees, old.size);
    let check = home.done("check", &home.verify(NVFP4_REPO, NVFP4_OLD_COMMIT, true));
    assert_eq!(check["faults"], json!([]), "the other one is whole");

    let old = of(&rest, DiskKind::Revision, None);
    assert_eq!(remove(&home, &[&old])["bytes"], old.size);
    assert_eq!(disk(&home).items, []);
    let hub = home.hf().join("hub");
    let left = std::fs::read_dir(&hub).unwrap().flatten();
    let left: Vec<_> = left
        .map(|e| e.file_name())
        .filter(|n| n != ".locks")
        .collect();
    assert_eq!(left, Vec::<std::ffi::OsString>::new());
}

#[test]
fn both_revisions_together_leave_nothing_either() {
    let site = Site::new();
    let home = site.home("one");
    home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    home.done("fetch", &home.fetch(NVFP4_REPO, NVFP4_OLD_COMMIT));
    let report = disk(&home);
    let all: Vec<&DiskItem> = report.items.iter().collect();
    assert_eq!(remove(&home, &all)["bytes"], report.taken);
    assert_eq!(disk(&home).items, []);
}

#[test]
fn the_grafted_checkpoint_holds_the_bytes_it_shares() {
    let site = Site::new();
    let home = site.home("one");
    home.done("fetch", &home.fetch(NVFP4_REPO, NVFP4_OLD_COMMIT));
    home.done("graft", &home.graft(NVFP4_OLD_COMMIT));
    let report = disk(&home);
    let revision = of(&report, DiskKind::Revision, None);
    let overlay = of(&report, DiskKind::Overlay, Some(NVFP4_OLD_COMMIT));
    assert_eq!(overlay.name, NVFP4_REPO);
    assert!(revision.frees < revision.size && overlay.frees < overlay.size);
    assert!(report.taken < revision.size + overlay.size);
    let undone = remove(&home, &[&overlay]);
    assert_eq!(undone["bytes"], overlay.frees);
    assert!(
        !home
            .hf()
            .join("tandem")
            .join("stepfun-ai--Step-3.7-Flash-NVFP4")
            .exists()
    );
    let check = home.done("check", &home.verify(NVFP4_REPO, NVFP4_OLD_COMMIT, true));
    assert_eq!(
        check["faults"],
        json!([]),
        "the revision beside it is whole"
    );
}

#[test]
fn unfinished_downloads_leftovers_and_caches_are_told_apart() {
    let site = Site::new();
    let home = site.home("one");
    home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    let blobs = home
        .hf()
        .join("hub/models--stepfun-ai--Step-3.7-Flash-NVFP4/blobs");
    std::fs::write(
        blobs.join(format!("{}.0a1b2c3d.incomplete", "e".repeat(64))),
        [0; 5000],
    )
    .unwrap();
    std::fs::write(blobs.join("f".repeat(64)), [0; 9000]).unwrap();
    let compiled = home.path.join(".cache/vllm/torch_compile_cache/ab");
    std::fs::create_dir_all(&compiled).unwrap();
    std::fs::write(compiled.join("graph.py"), [0; 7000]).unwrap();
    let report = disk(&home);
    let unfinished = of(&report, DiskKind::Unfinished, None);
    let leftover = of(&report, DiskKind::Leftover, None);
    let cache = of(&report, DiskKind::CompileCache, None);
    assert_eq!((unfinished.files, leftover.files, cache.files), (1, 1, 1));
    assert_eq!(unfinished.name, NVFP4_REPO);
    remove(&home, &[&unfinished, &leftover, &cache]);
    let rest = disk(&home);
    assert_eq!(rest.items.len(), 1);
    assert!(!home.path.join(".cache/vllm").exists());
    assert_eq!(
        home.done("check", &home.verify(NVFP4_REPO, "main", true))["faults"],
        json!([])
    );
}

#[test]
fn what_is_no_item_is_refused_and_then_nothing_is_removed() {
    let site = Site::new();
    let home = site.home("one");
    home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    let precious = home.path.join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("thesis.tex"), "words").unwrap();
    // A folder that leads elsewhere, in a place that is looked at.
    std::os::unix::fs::symlink(&precious, home.path.join(".cache/vllm")).unwrap();
    let made = home.hf().join("tandem/o--n");
    std::fs::create_dir_all(&made).unwrap();
    std::os::unix::fs::symlink(&precious, made.join("c-mtp")).unwrap();
    // A link of a snapshot that leads out of the cache.
    let repo = home
        .hf()
        .join("hub/models--stepfun-ai--Step-3.7-Flash-NVFP4");
    let snapshot = repo.join("snapshots").join(NVFP4_COMMIT);
    std::os::unix::fs::symlink(precious.join("thesis.tex"), snapshot.join("thesis.tex")).unwrap();
    let report = disk(&home);
    assert_eq!(report.items.len(), 1, "{report:#?}");
    let revision = of(&report, DiskKind::Revision, None);

    let before = home.tree();
    let path = |p: &std::path::Path| p.to_string_lossy().into_owned();
    let asked = [
        ("compile-cache", path(&home.path.join(".cache/vllm"))),
        ("overlay", path(&made.join("c-mtp"))),
        ("revision", path(&precious)),
        (
            "revision",
            format!("{}/../../../../../../precious", revision.path),
        ),
        ("revision", path(&home.hf())),
        ("overlay", revision.path.clone()),
        ("revision", "/etc".to_owned()),
    ];
    for (kind, wrong) in asked {
        let items =
            json!([{"kind": "revision", "path": revision.path}, {"kind": kind, "path": wrong}]);
        let refused = home.answer(&["remove"], &json!({ "items": items }));
        assert_eq!(
            refused["problem"]["code"], "bad-input",
            "{wrong}: {refused}"
        );
    }
    let used = json!({
        "items": [{"kind": "revision", "path": revision.path}], "in_use": [revision.path],
    });
    let refused = home.answer(&["remove"], &used);
    assert_eq!(refused["problem"]["code"], "locked");
    assert_eq!(home.tree(), before, "nothing went");

    remove(&home, &[&revision]);
    assert_eq!(
        std::fs::read_to_string(precious.join("thesis.tex")).unwrap(),
        "words"
    );
}

#[test]
fn what_a_program_has_open_is_not_removed() {
    let site = Site::new();
    let home = site.home("one");
    home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    let revision = of(&disk(&home), DiskKind::Revision, None);
    let shard = format!("{}/model-00001-of-00004.safetensors", revision.path);
    let held = std::fs::File::open(shard).unwrap();
    let seen = of(&disk(&home), DiskKind::Revision, None);
    let who = seen.busy.clone().unwrap();
    assert!(who.contains(&std::process::id().to_string()), "{who}");
    let refused = remove(&home, &[&seen]);
    assert_eq!(refused["problem"]["code"], "locked", "{refused}");
    drop(held);
    assert_eq!(remove(&home, &[&seen])["left"], json!([]));
}

#[test]
fn memory_that_holds_files_is_given_back_without_root() {
    let site = Site::new();
    let home = site.home("one");
    let big = home.path.join("big");
    std::fs::write(&big, vec![1; 96 << 20]).unwrap();
    std::fs::read(&big).unwrap();
    let asked = json!({"paths": [home.path.to_string_lossy()]});
    let done: Uncached = serde_json::from_value(home.answer(&["uncache"], &asked)).unwrap();
    assert_eq!((done.files, done.closed), (1, 0));
    assert_eq!(
        std::fs::read(&big).unwrap().len(),
        96 << 20,
        "the file is as it was"
    );
    assert!(taken(&home.path) >= 96 << 20);
    let wrong = home.answer(&["uncache"], &json!({"paths": ["relative"]}));
    assert_eq!(wrong["problem"]["code"], "bad-input");
}
