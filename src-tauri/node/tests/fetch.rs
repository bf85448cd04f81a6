//! Fetching from a Hub with the real protocol: whole, resumed, through faults, refused, undone.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;

use common::{Site, kill, until};
use serde_json::json;
use tandem_domain::node::NodeEvent;
use tandem_domain::problem::Code;
use tandem_rehearsal::checkpoint::{NVFP4_COMMIT, NVFP4_OLD_COMMIT, NVFP4_REPO, synthetic};
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};

#[test]
fn a_revision_arrives_as_the_cache_lays_it_out_and_a_second_time_nothing_is_fetched() {
    let site = Site::new();
    let home = site.home("one");
    let receipt = home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    assert_eq!(receipt["commit"], NVFP4_COMMIT);
    assert_eq!(receipt["fetched"], receipt["bytes"], "each byte once");
    let repo = home
        .hf()
        .join("hub/models--stepfun-ai--Step-3.7-Flash-NVFP4");
    assert_eq!(
        std::fs::read_to_string(repo.join("refs/main")).unwrap(),
        NVFP4_COMMIT
    );
    let link = repo
        .join("snapshots")
        .join(NVFP4_COMMIT)
        .join("config.json");
    assert!(
        std::fs::read_link(&link)
            .unwrap()
            .starts_with("../../blobs")
    );
    let before = home.tree();
    assert!(
        before
            .keys()
            .all(|k| !k.contains("tandem-partial") && !k.contains("tandem-notes")),
        "nothing unfinished is left"
    );
    let good = home.done("check", &home.verify(NVFP4_REPO, "main", true));
    assert_eq!(good["faults"], json!([]));

    site.hub.counters().reset();
    let again = home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    assert_eq!(again["fetched"], 0);
    assert_eq!(
        again["made"],
        json!([]),
        "what was there is not ours to remove"
    );
    assert_eq!(site.hub.counters().read().bytes, 0);
    assert_eq!(home.tree(), before, "nothing changed on disk");
    assert_eq!(site.hub.counters().read().violations, Vec::<String>::new());
}

#[test]
fn a_damaged_snapshot_is_found_by_verify_and_mended_by_fetch() {
    let site = Site::new();
    let home = site.home("one");
    let receipt = home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    let snapshot = std::path::PathBuf::from(receipt["snapshot"].as_str().unwrap());
    let shard = std::fs::canonicalize(snapshot.join("model-00001-of-00004.safetensors")).unwrap();
    let mut bytes = std::fs::read(&shard).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&shard, &bytes).unwrap();
    let quick = home.done("check", &home.verify(NVFP4_REPO, NVFP4_COMMIT, false));
    assert_eq!(
        quick["faults"],
        json!([]),
        "a quick look sees sizes and headers"
    );
    let deep = home.done("check", &home.verify(NVFP4_REPO, NVFP4_COMMIT, true));
    assert_eq!(
        deep["faults"][0]["name"],
        "model-00001-of-00004.safetensors"
    );
    std::fs::write(&shard, &bytes[..last]).unwrap();
    let quick = home.done("check", &home.verify(NVFP4_REPO, NVFP4_COMMIT, false));
    assert_eq!(
        quick["faults"][0]["name"],
        "model-00001-of-00004.safetensors"
    );
    home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    let deep = home.done("check", &home.verify(NVFP4_REPO, NVFP4_COMMIT, true));
    assert_eq!(deep["faults"], json!([]));
}

#[test]
fn faults_that_pass_do_not_stop_a_fetch() {
    let site = Site::new();
    let cases = [
        ("drop", FaultKind::DropAfter { bytes: 5000 }, 4),
        ("range", FaultKind::IgnoreRange, 3),
        ("bytes", FaultKind::WrongBytes, 1),
        ("short", FaultKind::ShortBody { missing: 100 }, 3),
        (
            "busy",
            FaultKind::Status {
                status: 429,
                retry_after: Some(1),
            },
            2,
        ),
        (
            "down",
            FaultKind::Status {
                status: 503,
                retry_after: None,
            },
            3,
        ),
        ("expired", FaultKind::ExpiredUrls, 2),
    ];
    for (name, kind, times) in cases {
        site.hub.faults().clear();
        site.hub
            .fault(Fault::new(kind).at(".safetensors").times(times));
        let home = site.home(name);
        let receipt = home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
        assert_eq!(receipt["commit"], NVFP4_COMMIT, "{name}");
        let check = home.done("check", &home.verify(NVFP4_REPO, "main", true));
        assert_eq!(check["faults"], json!([]), "{name}");
        assert!(
            site.hub.faults().list().iter().all(|f| f.times == Some(0))
                || site.hub.faults().list().is_empty(),
            "{name}: the fault struck as often as ordered: {:?}",
            site.hub.faults().list()
        );
    }
    assert_eq!(site.hub.counters().read().violations, Vec::<String>::new());
}

#[test]
fn a_server_that_never_knows_ranges_is_enough() {
    let site = Site::new();
    site.hub.fault(Fault::new(FaultKind::IgnoreRange));
    let home = site.home("one");
    home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    let check = home.done("check", &home.verify(NVFP4_REPO, "main", true));
    assert_eq!(check["faults"], json!([]));
}

#[test]
fn bytes_that_stay_wrong_are_never_put_into_the_cache() {
    let site = Site::new();
    site.hub
        .fault(Fault::new(FaultKind::WrongBytes).at("model-00002"));
    let home = site.home("one");
    let problem = home.refused("fetch", &home.fetch(NVFP4_REPO, "main"));
    assert_eq!(problem.code, Code::HashMismatch);
    assert!(problem.fix.is_some());
    site.hub.faults().clear();
    home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    let check = home.done("check", &home.verify(NVFP4_REPO, "main", true));
    assert_eq!(check["faults"], json!([]));
}

#[test]
fn each_refusal_names_its_cause() {
    let site = Site::new();
    let home = site.home("one");
    let known = || vec!["hf_good".to_owned()];
    let cases = [
        (
            FaultKind::KnownTokens { tokens: known() },
            Some("hf_bad"),
            Code::HubToken,
        ),
        (
            FaultKind::Gated {
                granted: known(),
                others: vec!["hf_other".into()],
            },
            None,
            Code::HubGated,
        ),
        (
            FaultKind::Gated {
                granted: known(),
                others: vec!["hf_other".into()],
            },
            Some("hf_other"),
            Code::HubGated,
        ),
        (
            FaultKind::RequireToken { tokens: known() },
            None,
            Code::RepositoryMissing,
        ),
        (FaultKind::MissingRepo, None, Code::RepositoryMissing),
    ];
    for (kind, token, code) in cases {
        site.hub.faults().clear();
        site.hub.fault(Fault::new(kind.clone()));
        let mut request = home.fetch(NVFP4_REPO, "main");
        if let Some(token) = token {
            request["token"] = json!(token);
        }
        let problem = home.refused("fetch", &request);
        assert_eq!(problem.code, code, "{kind:?} with {token:?}: {problem}");
        assert!(
            problem.cause.is_some() && problem.fix.is_some(),
            "{problem}"
        );
    }
    site.hub.faults().clear();
    let problem = home.refused("fetch", &home.fetch(NVFP4_REPO, "no-such-branch"));
    assert_eq!(problem.code, Code::RevisionMissing);
    let problem = home.refused("fetch", &home.fetch("stepfun-ai/none", "main"));
    assert_eq!(problem.code, Code::RepositoryMissing);
    let problem = home.refused("fetch", &home.fetch("../etc/passwd", "main"));
    assert_eq!(problem.code, Code::BadInput);
}

#[test]
fn a_good_token_opens_a_private_repository_and_never_reaches_the_storage() {
    let site = Site::new();
    for side in [Side::Api, Side::Resolve] {
        let tokens = vec!["hf_good".into()];
        site.hub
            .fault(Fault::new(FaultKind::RequireToken { tokens }).on(side));
    }
    let home = site.home("one");
    let mut request = home.fetch(NVFP4_REPO, "main");
    request["token"] = json!("hf_good");
    home.done("fetch", &request);
    assert_eq!(site.hub.counters().read().violations, Vec::<String>::new());
}

#[test]
fn the_token_of_a_job_is_on_no_disk() {
    let site = Site::new();
    let home = site.home("one");
    site.hub.fault(Fault::new(FaultKind::KnownTokens {
        tokens: vec!["hf_verysecret".into()],
    }));
    let mut request = home.fetch(NVFP4_REPO, "main");
    request["token"] = json!("hf_verysecret");
    home.answer(&["start", "fetch", "--job", "j"], &request);
    home.follow("j", 0);
    for (path, _) in home.tree() {
        if let Ok(text) = std::fs::read(home.path.join(&path)) {
            assert!(
                !String::from_utf8_lossy(&text).contains("hf_verysecret"),
                "{path} holds the token"
            );
        }
    }
    for place in ["/dev/shm", "/run/user/0"] {
        for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(
                !name.ends_with("-j") && !name.contains("-j."),
                "{name} is left"
            );
        }
    }
}

#[test]
fn a_job_killed_at_half_way_goes_on_and_fetches_almost_nothing_twice() {
    let site = Site::with(|repos| {
        synthetic::write_synthetic(repos, 300 << 20).unwrap();
    });
    let home = site.home("one");
    let request = home.fetch(synthetic::REPO, "main");
    site.hub.fault(
        Fault::new(FaultKind::Slow {
            bytes_per_second: 20 << 20,
        })
        .on(Side::Cdn),
    );
    let started = home.answer(&["start", "fetch", "--job", "j"], &request);
    assert_eq!(started["state"], "started");
    let again = home.answer(&["start", "fetch", "--job", "j"], &request);
    assert_eq!(
        again["state"], "running",
        "a second start makes no second job"
    );
    let total = 300_u64 << 20;
    until("half has arrived", || {
        site.hub.counters().read().bytes > total / 2
    });
    kill(home.worker("j").unwrap());
    let lines = home.follow("j", 0);
    assert_eq!(lines.last().unwrap().event, NodeEvent::Lost);
    site.hub.faults().clear();
    let started = home.answer(&["start", "fetch", "--job", "j"], &request);
    assert_eq!(started["state"], "started");
    let after = started["last_seq"].as_u64().unwrap();
    let lines = home.follow("j", after);
    assert!(
        lines.windows(2).all(|w| w[0].seq + 1 == w[1].seq),
        "no gaps"
    );
    assert_eq!(lines[0].seq, after + 1);
    let NodeEvent::Done { result } = &lines.last().unwrap().event else {
        panic!("done: {:?}", lines.last());
    };
    let bytes = result["bytes"].as_u64().unwrap();
    let given = site.hub.counters().read().bytes;
    let twice = (given.saturating_sub(bytes)) as f64 / bytes as f64;
    println!("refetched after kill: {twice:.4}");
    // The box's own sockets hold some megabytes, which weigh more here than in a real checkpoint.
    assert!(twice <= 0.01, "{given} given for {bytes}");
    let check = home.done("check", &home.verify(synthetic::REPO, "main", true));
    assert_eq!(check["faults"], json!([]));
    let done = home.answer(&["start", "fetch", "--job", "j"], &request);
    assert_eq!(done["state"], "done");
    let last = done["last_seq"].as_u64().unwrap();
    let told = home.follow("j", last);
    assert_eq!(told.len(), 1, "who comes late is told the result");
}

#[test]
fn a_cancelled_job_keeps_what_it_has_and_undo_leaves_nothing() {
    let site = Site::new();
    let home = site.home("one");
    let before = home.tree();
    site.hub.fault(
        Fault::new(FaultKind::Slow {
            bytes_per_second: 200 << 10,
        })
        .on(Side::Cdn),
    );
    let request = home.fetch(NVFP4_REPO, "main");
    home.answer(&["start", "fetch", "--job", "j"], &request);
    until("something has arrived", || {
        site.hub.counters().read().cdn_bytes > 100_000
    });
    let state = home.answer(&["cancel", "--job", "j"], &json!({}));
    assert_eq!(state["state"], "ended");
    let lines = home.follow("j", 0);
    assert_eq!(lines.last().unwrap().event, NodeEvent::Cancelled);
    assert!(
        home.tree().keys().any(|k| k.ends_with("tandem-partial")),
        "kept for a resume"
    );
    home.undone_to("j", &before);
}

#[test]
fn undo_takes_back_what_the_job_made_and_nothing_else() {
    let site = Site::new();
    let home = site.home("one");
    home.done("fetch", &home.fetch(NVFP4_REPO, NVFP4_OLD_COMMIT));
    std::fs::write(
        home.hf()
            .join("hub/models--stepfun-ai--Step-3.7-Flash-NVFP4/refs/main"),
        NVFP4_OLD_COMMIT,
    )
    .unwrap();
    let before = tree_of_hf(&home);
    home.answer(
        &["start", "fetch", "--job", "j"],
        &home.fetch(NVFP4_REPO, "main"),
    );
    let lines = home.follow("j", 0);
    assert!(matches!(
        lines.last().unwrap().event,
        NodeEvent::Done { .. }
    ));
    assert_ne!(tree_of_hf(&home), before);
    let undone = home.answer(&["undo", "--job", "j"], &json!({}));
    assert_eq!(undone["left"], json!([]));
    assert_eq!(
        tree_of_hf(&home),
        before,
        "the older revision and its branch are back"
    );
    assert_eq!(
        home.answer(&["undo", "--job", "j"], &json!({}))["removed"],
        0,
        "a second undo finds nothing"
    );
}

fn tree_of_hf(home: &common::Home) -> std::collections::BTreeMap<String, String> {
    common::tree(&home.hf())
}

/// A small file system, taken away again at the end.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(path: std::path::PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&path)
            .status()
            .is_ok_and(|s| s.success());
        if !mounted {
            println!("not run: a small file system cannot be mounted here");
        }
        mounted.then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_disk_without_room_is_said_before_anything_is_fetched() {
    let site = Site::new();
    let home = site.home("one");
    let Some(disk) = SmallDisk::mount(home.path.join("small"), "2m") else {
        return;
    };
    let mut request = home.fetch(NVFP4_REPO, "main");
    request["hf_home"] = json!(disk.0.to_str().unwrap());
    let problem = home.refused("fetch", &request);
    assert_eq!(problem.code, Code::DiskTooSmall);
    let cause = problem.cause.unwrap();
    assert!(
        cause.contains("needed") && cause.contains("free"),
        "{cause}"
    );
    assert_eq!(site.hub.counters().read().bytes, 0);
}

#[test]
fn a_disk_that_fills_up_on_the_way_keeps_what_arrived() {
    let site = Site::with(|repos| {
        synthetic::write_synthetic(repos, 100 << 20).unwrap();
    });
    let home = site.home("one");
    let Some(disk) = SmallDisk::mount(home.path.join("small"), "160m") else {
        return;
    };
    site.hub.fault(
        Fault::new(FaultKind::Slow {
            bytes_per_second: 4 << 20,
        })
        .on(Side::Cdn),
    );
    let mut request = home.fetch(synthetic::REPO, "main");
    request["hf_home"] = json!(disk.0.to_str().unwrap());
    home.answer(&["start", "fetch", "--job", "j"], &request);
    until("some has arrived", || {
        site.hub.counters().read().cdn_bytes > 40 << 20
    });
    // Somebody else takes the room.
    let _ = std::fs::write(disk.0.join("filler"), vec![0; 120 << 20]);
    let lines = home.follow("j", 0);
    let NodeEvent::Failed { problem } = &lines.last().unwrap().event else {
        panic!("the disk is full: {:?}", lines.last());
    };
    assert_eq!(problem.code, Code::DiskFull, "{problem}");
    assert!(problem.fix.is_some());
    std::fs::remove_file(disk.0.join("filler")).unwrap();
    site.hub.faults().clear();
    let started = home.answer(&["start", "fetch", "--job", "j"], &request);
    let lines = home.follow("j", started["last_seq"].as_u64().unwrap());
    let NodeEvent::Done { result } = &lines.last().unwrap().event else {
        panic!("done: {:?}", lines.last());
    };
    let bytes = result["bytes"].as_u64().unwrap();
    let given = site.hub.counters().read().bytes;
    assert!(
        given < bytes + (20 << 20),
        "what had arrived was kept: {given} given for {bytes}"
    );
}
