//! Checking a revision and putting it right: what is wrong is found, fetched again, and nothing else is.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;

use std::path::{Path, PathBuf};

use common::{Home, Site, tree};
use serde_json::{Value, json};
use tandem_domain::node::NodeEvent;
use tandem_domain::node::disk::{CheckReceipt, CheckTime, FaultKind};
use tandem_domain::problem::Code;
use tandem_rehearsal::checkpoint::{BF16_REPO, NVFP4_COMMIT, NVFP4_OLD_COMMIT, NVFP4_REPO};

const SHARD: &str = "model-00001-of-00004.safetensors";

fn request(home: &Home, commit: &str, deep: bool, repair: bool) -> Value {
    json!({
        "kind": "check", "endpoint": home.endpoint, "repo": NVFP4_REPO, "commit": commit,
        "deep": deep, "repair": repair,
    })
}

fn check(home: &Home, deep: bool, repair: bool) -> CheckReceipt {
    let done = home.done("check", &request(home, NVFP4_COMMIT, deep, repair));
    serde_json::from_value(done).unwrap()
}

fn kinds(receipt: &CheckReceipt) -> Vec<(&str, FaultKind)> {
    let faults = receipt.faults.iter();
    faults.map(|f| (f.name.as_str(), f.kind)).collect()
}

/// A home with the revision, and its snapshot.
fn fetched(site: &Site, name: &str) -> (Home, PathBuf) {
    let home = site.home(name);
    let receipt = home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    let snapshot = PathBuf::from(receipt["snapshot"].as_str().unwrap());
    site.hub.counters().reset();
    (home, snapshot)
}

fn blob(snapshot: &Path, name: &str) -> PathBuf {
    std::fs::canonicalize(snapshot.join(name)).unwrap()
}

/// Turns one bit of a file and says how long the file is.
fn flip(path: &Path) -> u64 {
    let mut bytes = std::fs::read(path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(path, &bytes).unwrap();
    bytes.len() as u64
}

#[test]
fn a_flipped_byte_is_found_by_the_deep_check_alone_and_costs_that_file_alone() {
    let site = Site::new();
    let (home, snapshot) = fetched(&site, "one");
    let before = home.tree();
    let size = flip(&blob(&snapshot, SHARD));

    let quick = check(&home, false, false);
    assert_eq!(kinds(&quick), [], "a quick look sees sizes and headers");
    let deep = check(&home, true, false);
    assert_eq!(kinds(&deep), [(SHARD, FaultKind::Content)]);
    assert_eq!(deep.unchecked, Vec::<String>::new());
    assert_eq!(
        site.hub.counters().read().bytes,
        0,
        "looking fetches nothing"
    );

    let repaired = check(&home, true, true);
    assert_eq!(kinds(&repaired), []);
    assert_eq!(repaired.repaired, [SHARD]);
    assert_eq!(repaired.fetched, size, "that file and no more");
    assert_eq!(site.hub.counters().read().bytes, size);
    assert_eq!(
        hub_of(&home.tree()),
        hub_of(&before),
        "everything is as it was"
    );
    assert_eq!(kinds(&check(&home, true, false)), []);
}

/// The part of a tree that is the cache's content.
fn hub_of(tree: &std::collections::BTreeMap<String, String>) -> Vec<(String, String)> {
    let hub = tree.iter().filter(|(path, _)| path.contains("models--"));
    hub.map(|(a, b)| (a.clone(), b.clone())).collect()
}

#[test]
fn truncated_missing_and_dangling_files_are_found_quickly_and_put_right() {
    let site = Site::new();
    let (home, snapshot) = fetched(&site, "one");
    let before = hub_of(&home.tree());
    let short = blob(&snapshot, SHARD);
    let whole = std::fs::metadata(&short).unwrap().len();
    std::fs::File::options()
        .write(true)
        .open(&short)
        .unwrap()
        .set_len(whole - 100)
        .unwrap();
    let config = blob(&snapshot, "config.json");
    let of_config = std::fs::metadata(&config).unwrap().len();
    std::fs::remove_file(config).unwrap();
    let second = "model-00002-of-00004.safetensors";
    std::fs::remove_file(snapshot.join(second)).unwrap();
    let third = snapshot.join("model-00003-of-00004.safetensors");
    std::fs::remove_file(&third).unwrap();
    std::os::unix::fs::symlink("../../blobs/elsewhere", &third).unwrap();

    let quick = check(&home, false, false);
    assert_eq!(
        kinds(&quick),
        [
            ("config.json", FaultKind::Missing),
            (SHARD, FaultKind::Size),
            (second, FaultKind::Missing),
            ("model-00003-of-00004.safetensors", FaultKind::Link),
        ]
    );
    let repaired = check(&home, false, true);
    assert_eq!(kinds(&repaired), []);
    assert_eq!(repaired.repaired.len(), 4);
    assert_eq!(
        repaired.fetched,
        whole + of_config,
        "links are mended without fetching what they lead to"
    );
    assert_eq!(hub_of(&home.tree()), before);
}

#[test]
fn a_reference_that_leads_to_nothing_is_mended() {
    let site = Site::new();
    let (home, snapshot) = fetched(&site, "one");
    let reference = snapshot.join("../../refs/main");
    std::fs::write(&reference, "0".repeat(40)).unwrap();
    let quick = check(&home, false, false);
    assert_eq!(kinds(&quick), [("refs/main", FaultKind::Reference)]);
    let repaired = check(&home, false, true);
    assert_eq!(kinds(&repaired), []);
    assert_eq!(repaired.fetched, 0);
    assert_eq!(std::fs::read_to_string(reference).unwrap(), NVFP4_COMMIT);
}

#[test]
fn without_the_hub_the_cache_tells_what_it_can_and_says_what_it_cannot() {
    let site = Site::new();
    let (mut home, snapshot) = fetched(&site, "one");
    home.endpoint = "http://127.0.0.1:9".into();
    flip(&blob(&snapshot, SHARD));
    let second = blob(&snapshot, "model-00002-of-00004.safetensors");
    let half = std::fs::metadata(&second).unwrap().len() / 2;
    let file = std::fs::File::options().write(true).open(&second).unwrap();
    file.set_len(half).unwrap();
    // By the branch's name too, as far as the cache knows it.
    let deep = home.done("check", &request(&home, "main", true, false));
    let deep: CheckReceipt = serde_json::from_value(deep).unwrap();
    assert_eq!(deep.commit, NVFP4_COMMIT);
    assert_eq!(
        kinds(&deep),
        [
            (SHARD, FaultKind::Content),
            ("model-00002-of-00004.safetensors", FaultKind::Header),
        ]
    );
    assert!(deep.unchecked[0].contains("not here at all"), "{deep:?}");

    let before = home.tree();
    let refused = home.refused("check", &request(&home, NVFP4_COMMIT, true, true));
    assert_eq!(refused.code, Code::HubUnreachable);
    assert!(
        refused.message.contains("Nothing was repaired"),
        "{refused}"
    );
    assert_eq!(
        home.tree(),
        before,
        "what is wrong stays until it can be replaced"
    );
}

#[test]
fn the_grafted_checkpoint_gets_the_right_bytes_too() {
    let site = Site::new();
    let home = site.home("one");
    home.done("fetch", &home.fetch(NVFP4_REPO, NVFP4_OLD_COMMIT));
    home.done("graft", &home.graft(NVFP4_OLD_COMMIT));
    let snapshot = home
        .hf()
        .join("hub/models--stepfun-ai--Step-3.7-Flash-NVFP4/snapshots")
        .join(NVFP4_OLD_COMMIT);
    let overlay = home
        .hf()
        .join("tandem/stepfun-ai--Step-3.7-Flash-NVFP4")
        .join(format!("{NVFP4_OLD_COMMIT}-mtp"));
    let before = tree(&overlay);
    flip(&blob(&snapshot, SHARD));
    assert_ne!(tree(&overlay), before, "it holds the same file");
    let done = home.done("check", &request(&home, NVFP4_OLD_COMMIT, true, true));
    assert_eq!(done["faults"], json!([]));
    assert_eq!(tree(&overlay), before);
}

#[test]
fn a_file_of_the_persons_own_is_kept_beside_the_right_one() {
    let site = Site::new();
    let (home, snapshot) = fetched(&site, "one");
    let config = snapshot.join("config.json");
    std::fs::remove_file(&config).unwrap();
    std::fs::write(&config, "{\"mine\": true}").unwrap();
    let repaired = check(&home, false, true);
    assert_eq!(repaired.repaired, ["config.json"]);
    assert_eq!(repaired.fetched, 0, "its blob was there all along");
    assert!(std::fs::symlink_metadata(&config).unwrap().is_symlink());
    let kept = std::fs::read_to_string(snapshot.join("config.json.before-repair")).unwrap();
    assert_eq!(kept, "{\"mine\": true}");
}

#[test]
fn what_belongs_to_another_user_is_told_with_its_cure_and_left_alone() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    let site = Site::new();
    let (home, snapshot) = fetched(&site, "one");
    let shard = blob(&snapshot, SHARD);
    let root = rustix::process::geteuid().is_root();
    let mut command = if root {
        // Everything is given to a user who may do little, but for one file that root keeps.
        const NOBODY: u32 = 65_534;
        let open = |path: &Path| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        open(site.dir.path());
        for name in home.tree().keys() {
            std::os::unix::fs::lchown(home.path.join(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        chown(&home.path, Some(NOBODY), Some(NOBODY)).unwrap();
        chown(&shard, Some(0), Some(0)).unwrap();
        std::fs::set_permissions(&shard, std::fs::Permissions::from_mode(0o600)).unwrap();
        // The program lies where only root may look.
        let program = site.dir.path().join("tandem-node");
        std::fs::copy(common::PROGRAM, &program).unwrap();
        open(&program);
        let mut command = std::process::Command::new(program);
        command.uid(NOBODY).gid(NOBODY).env("HOME", &home.path);
        command.env_remove("HF_HOME").env_remove("XDG_RUNTIME_DIR");
        command
    } else {
        // A file of root's that is there everywhere, and that others may not read.
        std::fs::remove_file(&shard).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", &shard).unwrap();
        home.command()
    };
    command.args(["run", "check"]);
    let mut run = |repair: bool| {
        let mut child = command
            .current_dir("/")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let text = request(&home, NVFP4_COMMIT, false, repair).to_string();
        use std::io::Write;
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let out = child.wait_with_output().unwrap();
        common::lines(&out.stdout).last().unwrap().event.clone()
    };
    let NodeEvent::Done { result } = run(false) else {
        panic!("a check says what it found");
    };
    let found: CheckReceipt = serde_json::from_value(result).unwrap();
    let fault = found.faults.iter().find(|f| f.name == SHARD).unwrap();
    if root {
        assert_eq!(fault.kind, FaultKind::Closed);
        assert!(fault.fault.contains("belongs to `root`"), "{fault:?}");
        let cure = tandem_domain::shell::own(&shard.to_string_lossy());
        assert_eq!(fault.cure.as_deref(), Some(cure.as_str()));
    }
    let before = home.tree();
    let NodeEvent::Failed { problem } = run(true) else {
        panic!("a repair is refused");
    };
    assert_eq!(problem.code, Code::MachineUnfit);
    assert!(
        problem
            .fix
            .unwrap()
            .command
            .unwrap()
            .contains("sudo chown -R")
    );
    assert_eq!(home.tree(), before, "nothing was touched");
}

#[test]
fn the_time_of_a_deep_check_is_told_before_and_asks_nobody() {
    let site = Site::new();
    let (mut home, _) = fetched(&site, "one");
    home.endpoint = "http://127.0.0.1:9".into();
    let answer = home.answer(&["check-time"], &request(&home, NVFP4_COMMIT, true, false));
    let time: CheckTime = serde_json::from_value(answer).unwrap();
    let files = home.done("check", &request(&home, NVFP4_COMMIT, false, false));
    assert_eq!(time.bytes, files["bytes"].as_u64().unwrap());
    assert!(time.hash_rate > 10e6, "{time:?}");
    assert!(time.disk_rate > 0.0 && time.seconds > 0.0, "{time:?}");
    let absent = json!({"endpoint": home.endpoint, "repo": BF16_REPO, "commit": NVFP4_COMMIT});
    let refused = home.answer(&["check-time"], &absent);
    assert_eq!(refused["problem"]["code"], "checkpoint-incomplete");
}
