//! From one machine to the other over the private link, by the program itself on this computer's loopback:
//! at the same time as the fetch, resumed, through faults, and nothing wrong accepted.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;

use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::relay::{Relay, closed};
use common::{Home, Site, kill, until};
use serde_json::{Value, json};
use tandem_domain::node::{CopyTicket, NodeEvent, PauseReason, Serving};
use tandem_domain::problem::Code;
use tandem_node::verified::{self, VerifiedMark};
use tandem_rehearsal::checkpoint::{NVFP4_REPO, synthetic};
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};

/// Both rails, as the loopback has them.
const RAILS: [&str; 2] = ["127.0.0.1", "127.0.0.2"];

fn serve(home: &Home, repo: &str, job: Option<&str>) -> Serving {
    let mut words = vec!["copy", "serve", "--repo", repo];
    for rail in RAILS {
        words.extend(["--listen", rail]);
    }
    words.extend(job.into_iter().flat_map(|j| ["--job", j]));
    serde_json::from_value(home.answer(&words, &json!({}))).unwrap()
}

fn copy(home: &Home, repo: &str, serving: &Serving) -> Value {
    let mut fetch = home.fetch(repo, "main");
    fetch.as_object_mut().unwrap().remove("kind");
    let ticket = CopyTicket::new(serving.clone(), None);
    json!({
        "kind": "copy", "fetch": fetch, "from": "spark-a", "streams": 2,
        "token": ticket.seal().reveal(),
    })
}

/// What lies in the Hugging Face home, without what differs by design.
fn cache(home: &Home) -> std::collections::BTreeMap<String, String> {
    common::tree(&home.hf())
}

/// What a job that goes on has said so far.
fn standing(home: &Home, job: &str) -> Vec<NodeEvent> {
    let jobs = home.path.join(".local/share/tandem/jobs");
    let text = std::fs::read(jobs.join(job).join("lines.jsonl")).unwrap_or_default();
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    let lines = common::lines(&text[..whole]).into_iter();
    lines.map(|l| l.event).collect()
}

fn notes(home: &Home, job: &str) -> Vec<String> {
    let lines = home.follow(job, 0).into_iter();
    let notes = lines.filter_map(|l| match l.event {
        NodeEvent::Note { text } => Some(text),
        _ => None,
    });
    notes.collect()
}

#[test]
fn the_second_machine_copies_while_the_first_still_fetches_and_then_nothing_listens() {
    let site = Site::new();
    let (a, b) = (site.home("a"), site.home("b"));
    let slow = FaultKind::Slow {
        bytes_per_second: 60_000,
    };
    site.hub.fault(Fault::new(slow).on(Side::Cdn));
    a.answer(
        &["start", "fetch", "--job", "r-weights"],
        &a.fetch(NVFP4_REPO, "main"),
    );
    let serving = serve(&a, NVFP4_REPO, Some("r-weights"));
    assert!(!format!("{serving:?}").contains(&serving.token));
    b.answer(
        &["start", "copy", "--job", "r-weights"],
        &copy(&b, NVFP4_REPO, &serving),
    );
    // Something is copied before the whole is there.
    let blobs = b
        .hf()
        .join("hub/models--stepfun-ai--Step-3.7-Flash-NVFP4/blobs");
    let whole = |entry: std::io::Result<std::fs::DirEntry>| {
        !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("tandem")
    };
    until("a blob is copied", || {
        std::fs::read_dir(&blobs).is_ok_and(|mut d| d.any(whole))
    });
    let state = a.answer(
        &["start", "fetch", "--job", "r-weights"],
        &a.fetch(NVFP4_REPO, "main"),
    );
    assert_eq!(state["state"], "running", "the first is not done yet");
    site.hub.faults().clear();
    let end = b.follow("r-weights", 0).pop().unwrap().event;
    assert!(matches!(end, NodeEvent::Done { .. }), "{end:?}");
    let end = a.follow("r-weights", 0).pop().unwrap().event;
    assert!(matches!(end, NodeEvent::Done { .. }), "{end:?}");
    assert_eq!(cache(&a), cache(&b), "both hold the same");
    let NodeEvent::Done { result } = b.follow("r-weights", 0).pop().unwrap().event else {
        unreachable!("it was done");
    };
    assert_eq!(result["fetched"], 0, "nothing came over the line twice");
    until("nothing listens", || closed(&serving));
    let secret = std::process::Command::new("grep")
        .args(["-rl", &serving.token])
        .args([&a.path, &b.path])
        .output()
        .unwrap();
    assert!(secret.stdout.is_empty(), "the key is on no disk");

    b.answer(&["undo", "--job", "r-weights"], &json!({}));
    let left: Vec<String> = b.tree().into_keys().collect();
    assert!(
        left.iter().all(|l| ".local/share/tandem".starts_with(l)),
        "undo leaves nothing: {left:?}"
    );
}

#[test]
fn a_copy_waits_with_a_fetch_that_is_held_back_and_says_so() {
    let site = Site::new();
    let (a, b) = (site.home("a"), site.home("b"));
    let mut fetch = a.fetch(NVFP4_REPO, "main");
    // At this rate all of it would take many minutes.
    fetch["limits"] = json!({"bytes_per_second": 16 << 10});
    a.answer(&["start", "fetch", "--job", "r-weights"], &fetch);
    let serving = serve(&a, NVFP4_REPO, Some("r-weights"));
    let copied = copy(&b, NVFP4_REPO, &serving);
    b.answer(&["start", "copy", "--job", "r-weights"], &copied);
    let limit = |limits: &Value| {
        for home in [&a, &b] {
            home.answer(&["limit", "--job", "r-weights"], limits);
        }
    };
    limit(&json!({"paused": true}));
    let said = |words: &str, held: &PauseReason| {
        let lines = standing(&b, "r-weights");
        matches!(lines.last(), Some(NodeEvent::Progress { doing, held: Some(h), .. })
            if doing == words && h == held)
    };
    until("it waits for the other machine", || {
        said("Waiting for spark-a, which is paused", &PauseReason::Paused)
    });
    // A time of the day that is never now.
    let date = std::process::Command::new("date").arg("+%H").output();
    let hour: u32 = String::from_utf8_lossy(&date.unwrap().stdout)
        .trim()
        .parse()
        .unwrap();
    let clock = |later: u32| format!("{:02}:00", (hour + later) % 24);
    let opens = clock(2);
    limit(&json!({"hours": {"from": opens, "to": clock(3)}}));
    until("it says until when", || {
        said(
            &format!("Waiting for spark-a, which waits until {opens}"),
            &PauseReason::Until {
                opens: opens.clone(),
            },
        )
    });
    assert!(!closed(&serving), "the other machine is still there for it");
    limit(&json!({}));
    for home in [&a, &b] {
        let end = home.follow("r-weights", 0).pop().unwrap().event;
        let NodeEvent::Done { result } = end else {
            panic!("done: {end:?}");
        };
        let both = result["fetched"].as_u64().unwrap() > 0;
        assert_eq!(both, home.path == a.path, "the line is used once: {result}");
    }
    assert_eq!(cache(&a), cache(&b), "both hold the same");
    until("nothing listens", || closed(&serving));
}

#[test]
fn a_byte_spoilt_on_the_way_is_found_and_only_its_piece_comes_again() {
    let site = Site::with(|repos| {
        synthetic::write_synthetic(repos, 300 << 20).unwrap();
    });
    let (a, b) = (site.home("a"), site.home("b"));
    let fetched = a.done("fetch", &a.fetch(synthetic::REPO, "main"));
    let serving = serve(&a, synthetic::REPO, None);
    let relay = Relay::new(&serving, 50_000_000, false);
    let request = copy(&b, synthetic::REPO, &relay.serving);
    let receipt = b.done("copy", &request);
    assert_eq!(receipt["fetched"], 0);
    assert_eq!(cache(&a), cache(&b));
    let passed = relay.passed.load(Ordering::SeqCst);
    let bytes = fetched["bytes"].as_u64().unwrap();
    assert!(
        passed > bytes && passed < bytes + (17 << 20),
        "{passed} passed for {bytes}"
    );
}

#[test]
fn killed_in_the_middle_it_goes_on_from_what_is_there() {
    let site = Site::with(|repos| {
        synthetic::write_synthetic(repos, 300 << 20).unwrap();
    });
    let (a, b) = (site.home("a"), site.home("b"));
    let bytes = a.done("fetch", &a.fetch(synthetic::REPO, "main"))["bytes"]
        .as_u64()
        .unwrap();
    let serving = serve(&a, synthetic::REPO, None);
    let relay = Relay::new(&serving, bytes / 2, true);
    let request = copy(&b, synthetic::REPO, &relay.serving);
    b.answer(&["start", "copy", "--job", "j"], &request);
    let half = || relay.passed.load(Ordering::SeqCst) > bytes / 2;
    until("half of it has come", half);
    kill(b.worker("j").unwrap());
    until("the worker is gone", || {
        b.follow("j", 0).last().unwrap().event == NodeEvent::Lost
    });
    relay.held.store(false, Ordering::SeqCst);
    // The streams of the dead worker empty themselves into nothing; what the next one brings is counted.
    let direct = copy(&b, synthetic::REPO, &serving);
    let last = b.follow("j", 0).last().unwrap().seq;
    b.answer(&["start", "copy", "--job", "j"], &direct);
    let lines = b.follow("j", last);
    assert!(
        matches!(lines.last().unwrap().event, NodeEvent::Done { .. }),
        "{lines:?}"
    );
    assert_eq!(cache(&a), cache(&b));
    let again = notes(&b, "j").pop().unwrap();
    assert!(again.contains("came over the private link"), "{again}");
    let missing = notes(&b, "j");
    let asked: Vec<&String> = missing
        .iter()
        .filter(|n| n.contains("to be copied"))
        .collect();
    assert_eq!(
        asked.len(),
        2,
        "both starts say what is missing: {missing:?}"
    );
    assert_ne!(asked[0], asked[1], "the second has less to do");
    until("nothing listens", || closed(&serving));
}

#[test]
fn who_does_not_know_the_key_gets_nothing() {
    let site = Site::new();
    let (a, b) = (site.home("a"), site.home("b"));
    a.done("fetch", &a.fetch(NVFP4_REPO, "main"));
    let serving = serve(&a, NVFP4_REPO, None);
    let wrong = Serving {
        token: "0".repeat(serving.token.len()),
        ..serving.clone()
    };
    let problem = b.refused("copy", &copy(&b, NVFP4_REPO, &wrong));
    assert_eq!(problem.code, Code::LinkFails);
    assert!(problem.message.contains("recognise"), "{problem}");
    let receipt = b.done("copy", &copy(&b, NVFP4_REPO, &serving));
    assert_eq!(receipt["fetched"], 0, "the stranger spoilt nothing");
    let mut keyless = copy(&b, NVFP4_REPO, &serving);
    keyless.as_object_mut().unwrap().remove("token");
    let problem = b.refused("copy", &keyless);
    assert_eq!(problem.code, Code::BadInput, "{problem}");
}

#[test]
fn what_is_wrong_there_comes_from_the_hub() {
    let site = Site::new();
    let (a, b) = (site.home("a"), site.home("b"));
    let receipt = a.done("fetch", &a.fetch(NVFP4_REPO, "main"));
    let snapshot = std::path::PathBuf::from(receipt["snapshot"].as_str().unwrap());
    let shard = std::fs::canonicalize(snapshot.join("model-00001-of-00004.safetensors")).unwrap();
    let mut bytes = std::fs::read(&shard).unwrap();
    let size = bytes.len() as u64;
    bytes[100_000] ^= 1;
    std::fs::write(&shard, &bytes).unwrap();
    let serving = serve(&a, NVFP4_REPO, None);
    let receipt = b.done("copy", &copy(&b, NVFP4_REPO, &serving));
    assert_eq!(receipt["fetched"], size, "that file and no other");
    let good = b.done("check", &b.verify(NVFP4_REPO, "main", true));
    assert_eq!(good["faults"], json!([]));
}

#[test]
fn a_serving_end_that_is_gone_is_told_soon_and_another_goes_on() {
    let site = Site::new();
    let (a, b) = (site.home("a"), site.home("b"));
    a.done("fetch", &a.fetch(NVFP4_REPO, "main"));
    let gone = {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        Serving {
            addresses: vec![door.local_addr().unwrap().to_string()],
            token: "t".into(),
        }
    };
    let began = std::time::Instant::now();
    let problem = b.refused("copy", &copy(&b, NVFP4_REPO, &gone));
    assert_eq!(problem.code, Code::LinkFails, "{problem}");
    assert!(problem.cause.unwrap().contains("spark-a"));
    assert!(began.elapsed() < Duration::from_secs(20));
    let serving = serve(&a, NVFP4_REPO, None);
    let receipt = b.done("copy", &copy(&b, NVFP4_REPO, &serving));
    assert_eq!(receipt["fetched"], 0);
    assert_eq!(cache(&a), cache(&b));
}

#[test]
fn only_private_addresses_are_served_at() {
    let site = Site::new();
    let a = site.home("a");
    for address in ["0.0.0.0", "8.8.8.8", "192.0.2.1"] {
        let said = a.answer(
            &["copy", "serve", "--repo", NVFP4_REPO, "--listen", address],
            &json!({}),
        );
        assert_eq!(said["event"], "failed", "{address}: {said}");
    }
}

/// Gives a blob other bytes of the same length, with a mark that says they were checked. `false` where the disk
/// keeps no marks.
fn forge(home: &Home, name: &str) -> bool {
    let snapshot = home
        .hf()
        .join("hub/models--o--mixed/snapshots")
        .join("c".repeat(40));
    let blob = std::fs::canonicalize(snapshot.join(name)).unwrap();
    let mut bytes = std::fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    let forged = VerifiedMark {
        etag: blob.file_name().unwrap().to_str().unwrap().to_owned(),
        tree: blake3::hash(&bytes).to_hex().to_string(),
    };
    let file = std::fs::File::open(&blob).unwrap();
    verified::note(&file, &forged);
    verified::read(&file) == Some(forged)
}

#[test]
fn what_the_other_machine_says_of_a_file_is_not_taken_at_its_word() {
    let site = Site::with(|repos| {
        common::write_mixed(repos, 2, 65 << 20);
        let folder = repos.join(common::MIXED).join("c".repeat(40));
        std::fs::write(folder.join("modeling.py"), "print('good')\n").unwrap();
    });
    let (a, b) = (site.home("a"), site.home("b"));
    a.done("fetch", &a.fetch(common::MIXED, "main"));
    let names = ["modeling.py", "config.json", "model-1.safetensors"];
    if !names.into_iter().all(|name| forge(&a, name)) {
        println!("not run: this file system keeps no marks");
        return;
    }
    let serving = serve(&a, common::MIXED, None);
    b.done("copy", &copy(&b, common::MIXED, &serving));
    let snapshot = b
        .hf()
        .join("hub/models--o--mixed/snapshots")
        .join("c".repeat(40));
    let code = std::fs::read_to_string(snapshot.join("modeling.py")).unwrap();
    assert_eq!(code, "print('good')\n", "code is what the Hub has");
    assert_eq!(
        std::fs::read_to_string(snapshot.join("config.json")).unwrap(),
        "{}"
    );
    let mark = |name: &str| {
        let file = std::fs::File::open(snapshot.join(name)).unwrap();
        (
            verified::read(&file).is_some(),
            verified::read_told(&file).is_some(),
        )
    };
    for large in ["model-0.safetensors", "model-1.safetensors"] {
        assert_eq!(mark(large), (false, true), "{large} is only told");
    }
    let check = |deep| {
        let request = json!({
            "kind": "check", "endpoint": b.endpoint, "repo": common::MIXED,
            "commit": "main", "deep": deep, "only_copied": deep, "repair": false,
        });
        b.done("check", &request)
    };
    let quick = check(false);
    assert_eq!(quick["faults"], json!([]));
    assert!(
        quick["unchecked"].to_string().contains("2 large files"),
        "{quick}"
    );
    assert_eq!(quick["copied"], 2);
    let deep = check(true);
    assert_eq!(deep["faults"][0]["name"], "model-1.safetensors", "{deep}");
    assert_eq!(deep["faults"].as_array().unwrap().len(), 1, "{deep}");
    assert_eq!(
        check(false)["copied"],
        1,
        "the wrong one stays the other machine's word"
    );
    assert_eq!(
        mark("model-0.safetensors"),
        (true, false),
        "hashed here now"
    );
    assert_eq!(mark("model-1.safetensors"), (false, true));
}
