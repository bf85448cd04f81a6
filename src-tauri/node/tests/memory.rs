//! The program stays small, whatever it brings.

mod common;

use std::io::{Read, Write};
use std::process::Stdio;

use common::{Home, MIXED, Site, until, write_mixed};
use serde_json::{Value, json};
use tandem_rehearsal::checkpoint::synthetic;
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};

/// Runs a job in the foreground and gives the most memory it ever held, in KiB, and its last line.
fn peak(home: &Home, kind: &str, request: &Value) -> (u64, String) {
    let mut child = home
        .command()
        .args(["run", kind])
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin");
    stdin
        .write_all(request.to_string().as_bytes())
        .expect("the request is read");
    drop(stdin);
    let mut out = child.stdout.take().expect("stdout");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).expect("lines");
        text
    });
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("a status").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let now = text
            .lines()
            .find_map(|l| l.strip_prefix("VmHWM:"))
            .and_then(|l| l.split_whitespace().next()?.parse().ok());
        peak = peak.max(now.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let text = reader.join().expect("the reader ends");
    (peak, text.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn fetch_graft_and_verify_stay_below_64_mib() {
    let site = Site::with(|repos| {
        synthetic::write_synthetic(repos, 500 << 20).unwrap();
    });
    let home = site.home("one");
    let fetch = home.fetch(synthetic::REPO, "main");
    let mut graft = home.graft(synthetic::COMMIT);
    graft["repo"] = json!(synthetic::REPO);
    graft["source_repo"] = json!(synthetic::BF16_REPO);
    let verify = home.verify(synthetic::REPO, synthetic::COMMIT, true);
    for (kind, request) in [("fetch", fetch), ("graft", graft), ("check", verify)] {
        let (kib, last) = peak(&home, kind, &request);
        assert!(last.contains("\"done\""), "{kind}: {last}");
        println!("{kind}: {:.1} MiB at most", kib as f64 / 1024.0);
        assert!(kib > 0 && kib <= 64 * 1024, "{kind} held {kib} KiB");
    }
}

#[test]
fn a_fetch_of_chunks_stays_below_64_mib_however_large_the_objects_are() {
    let site = Site::with(|repos| write_mixed(repos, 2, 96 << 20));
    site.offer_xet(MIXED);
    for connections in [8, 64] {
        site.hub.counters().reset();
        let home = site.home(&format!("{connections}-connections"));
        let mut fetch = home.fetch(MIXED, "main");
        fetch["connections"] = json!(connections);
        let (kib, last) = peak(&home, "fetch", &fetch);
        assert!(last.contains("\"done\""), "{last}");
        let count = site.hub.counters().read();
        let bridged = count.files.keys().find(|k| k.ends_with(".safetensors"));
        assert_eq!(bridged, None, "all of it came as chunks");
        let mib = kib as f64 / 1024.0;
        println!("fetch of chunks over {connections} connections: {mib:.1} MiB at most");
        assert!(kib > 0 && kib <= 64 * 1024, "it held {kib} KiB");
    }
}

#[test]
fn a_worker_gives_way_before_others_and_has_room_for_its_own() {
    let site = Site::with(|repos| write_mixed(repos, 2, 8 << 20));
    let home = site.home("one");
    let slow = FaultKind::Slow {
        bytes_per_second: 64 << 10,
    };
    site.hub.fault(Fault::new(slow).on(Side::Cdn));
    let mut request = home.fetch(MIXED, "main");
    request["connections"] = json!(24);
    home.answer(&["start", "fetch", "--job", "j"], &request);
    let worker = home.worker("j").expect("somebody works on it");
    let of =
        |name: &str| std::fs::read_to_string(format!("/proc/{worker}/{name}")).unwrap_or_default();
    until("something has arrived", || {
        site.hub.counters().read().cdn_bytes > 100_000
    });
    assert_eq!(of("oom_score_adj").trim(), "500");
    let limits = of("limits");
    let addresses = limits.lines().find(|l| l.starts_with("Max address space"));
    assert!(
        addresses.is_some_and(|l| l.contains("2147483648")),
        "{limits}"
    );
    let status = of("status");
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmPeak:"))
        .unwrap();
    let kib: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    println!("24 connections take {} MiB of addresses", kib >> 10);
    assert!(kib < 1 << 20, "half of what it may have");
    home.answer(&["cancel", "--job", "j"], &json!({}));
}
