//! Fetching large files as chunks from the Hub's storage: whole, resumed, through faults, with ranges as the
//! other road, and no token where it does not belong. The storage's own crates cut and list the chunks.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::process::{Command, Stdio};

use common::{Home, MIXED, Site, kill, until, write_mixed};
use proxy::Proxy;
use serde_json::{Value, json};
use tandem_domain::node::{NodeEvent, NodeLine};
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};

const FILES: usize = 2;
const SIZE: usize = 16 << 20;

fn site() -> Site {
    let site = Site::with(|repos| write_mixed(repos, FILES, SIZE));
    site.offer_xet(MIXED);
    site
}

/// A fetch by somebody with a token.
fn request(home: &Home) -> Value {
    home.fetch(MIXED, "main")
}

/// Runs a fetch with a token and gives its lines. Nothing it says holds a token.
fn fetched(mut command: Command, request: &Value) -> Vec<NodeLine> {
    let mut request = request.clone();
    request["token"] = json!("hf_secret");
    let mut child = command
        .args(["run", "fetch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    serde_json::to_writer(stdin, &request).unwrap();
    let out = child.wait_with_output().unwrap();
    for said in [&out.stdout, &out.stderr] {
        let said = String::from_utf8_lossy(said);
        for secret in ["hf_secret", "leave-", "Signature="] {
            assert!(!said.contains(secret), "{said}");
        }
    }
    common::lines(&out.stdout)
}

fn done(lines: &[NodeLine]) -> Value {
    match &lines.last().unwrap().event {
        NodeEvent::Done { result } => result.clone(),
        other => panic!("it ended as {other:?}"),
    }
}

fn notes(lines: &[NodeLine]) -> String {
    let notes = lines.iter().filter_map(|l| match &l.event {
        NodeEvent::Note { text } => Some(text.as_str()),
        _ => None,
    });
    notes.collect::<Vec<_>>().join("\n")
}

/// What the Hub gave as chunks, and what of the large files as ranges.
fn given(site: &Site) -> (u64, u64) {
    let count = site.hub.counters().read();
    let of = |start: &str, end: &str| {
        let files = count.files.iter();
        let these = files.filter(|(name, _)| name.starts_with(start) && name.ends_with(end));
        these.map(|(_, c)| c.bytes).sum()
    };
    (of("xorbs/", ""), of(MIXED, ".safetensors"))
}

/// Every byte is right, nothing unfinished is left and no token went where it should not.
fn well(site: &Site, home: &Home) {
    let check = home.done("check", &home.verify(MIXED, "main", true));
    assert_eq!(check["faults"], json!([]));
    let left = home.tree().into_keys().find(|k| k.contains("tandem-"));
    assert_eq!(left, None);
    assert_eq!(site.hub.counters().read().violations, Vec::<String>::new());
}

fn status(status: u16) -> FaultKind {
    FaultKind::Status {
        status,
        retry_after: None,
    }
}

#[test]
fn large_files_come_as_chunks_in_fewer_bytes_unless_somebody_is_against_it() {
    let site = site();
    let total = (FILES * SIZE) as u64;
    let home = site.home("chunks");
    let lines = fetched(home.command(), &request(&home));
    let told = notes(&lines);
    assert!(told.contains("2 large files come through Xet"), "{told}");
    let (chunks, ranges) = given(&site);
    println!("{chunks} bytes of chunks for {total}");
    assert_eq!(ranges, 0, "nothing of them by the bridge");
    assert!(chunks < total * 9 / 10, "a quarter of it can be packed");
    let receipt = done(&lines);
    assert!(receipt["fetched"].as_u64().unwrap() < total * 9 / 10);
    assert_eq!(receipt["bytes"], json!(total + 2));
    well(&site, &home);

    for (name, limits, variable, word) in [
        ("chosen", json!({"ranges_only": true}), "", ""),
        ("environment", json!({}), "1", "HF_HUB_DISABLE_XET"),
    ] {
        site.hub.counters().reset();
        let home = site.home(name);
        let mut request = request(&home);
        request["limits"] = limits;
        let mut command = home.command();
        command.env("HF_HUB_DISABLE_XET", variable);
        let lines = fetched(command, &request);
        assert_eq!(done(&lines)["fetched"], json!(total + 2));
        assert_eq!(given(&site), (0, total), "{name}");
        assert!(notes(&lines).contains(word) && !notes(&lines).contains("through Xet"));
        well(&site, &home);
    }
}

#[test]
fn chunks_come_through_the_proxy_that_was_named_and_at_the_rate() {
    let site = site();
    let (http, socks) = (Proxy::http(), Proxy::socks());
    for (proxy, name, address, rate) in [
        (
            &http,
            "http",
            format!("http://{}", http.address),
            Some(8_u64 << 20),
        ),
        (
            &socks,
            "socks",
            format!("socks5h://{}", socks.address),
            None,
        ),
    ] {
        site.hub.counters().reset();
        let home = site.home(name);
        let mut request = request(&home);
        request["proxy"] = json!(address);
        request["limits"] = json!({"bytes_per_second": rate});
        let began = std::time::Instant::now();
        done(&fetched(home.command(), &request));
        let (chunks, ranges) = given(&site);
        assert!(proxy.used() > 8, "{address} was passed by");
        assert_eq!(ranges, 0);
        let least = rate.map_or(0.0, |r| chunks as f64 / r as f64 * 0.7);
        assert!(
            began.elapsed().as_secs_f64() >= least,
            "faster than the rate"
        );
        well(&site, &home);
    }
}

#[test]
fn a_fetch_of_chunks_killed_at_half_way_fetches_almost_nothing_twice() {
    let whole = site();
    let home = whole.home("whole");
    done(&fetched(home.command(), &request(&home)));
    let once = given(&whole).0;

    let site = site();
    let home = site.home("one");
    let slow = FaultKind::Slow {
        bytes_per_second: 1 << 20,
    };
    site.hub.fault(Fault::new(slow).on(Side::Cdn));
    home.answer(&["start", "fetch", "--job", "j"], &request(&home));
    until("half has arrived", || given(&site).0 > once / 2);
    kill(home.worker("j").unwrap());
    home.follow("j", 0);
    site.hub.faults().clear();
    home.answer(&["start", "fetch", "--job", "j"], &request(&home));
    let lines = home.follow("j", 0);
    assert!(matches!(
        lines.last().unwrap().event,
        NodeEvent::Done { .. }
    ));
    let (chunks, ranges) = given(&site);
    assert_eq!(ranges, 0);
    println!("{chunks} bytes of chunks in two lives, {once} in one");
    // A chunk for each connection, and what lay in its socket.
    assert!(chunks <= once + 8 * (512 << 10), "{chunks} after {once}");
    well(&site, &home);
}

#[test]
fn leave_that_ends_and_addresses_that_expire_are_asked_for_again() {
    let site = site();
    let home = site.home("one");
    let slow = FaultKind::Slow {
        bytes_per_second: 2 << 20,
    };
    site.hub.fault(Fault::new(slow).on(Side::Cdn));
    site.hub
        .fault(Fault::new(FaultKind::ExpiredUrls).on(Side::Front).times(5));
    home.answer(&["start", "fetch", "--job", "j"], &request(&home));
    until("some has arrived", || given(&site).0 > 4 << 20);
    site.hub.end_leave();
    // Each connection is cut in the middle of a chunk once, and has to ask again with new leave.
    site.hub.faults().clear();
    let cut = FaultKind::DropAfter { bytes: 300_000 };
    site.hub.fault(Fault::new(cut).on(Side::Cdn).times(8));
    let lines = home.follow("j", 0);
    done(&lines);
    let told = notes(&lines);
    assert!(!told.contains("comes by ranges"), "{told}");
    assert_eq!(given(&site).1, 0);
    well(&site, &home);
}

#[test]
fn where_the_storage_fails_the_rest_comes_by_ranges_and_the_log_says_so() {
    let site = site();
    let total = (FILES * SIZE) as u64;
    for (name, fault) in [
        ("the front is down", Fault::new(status(503)).on(Side::Front)),
        (
            "the front asks to wait",
            Fault::new(FaultKind::Status {
                status: 429,
                retry_after: Some(600),
            })
            .on(Side::Front),
        ),
        (
            "a login page",
            Fault::new(FaultKind::LoginPage).on(Side::Front),
        ),
        (
            "no leave",
            Fault::new(status(404)).on(Side::Api).at("xet-read-token"),
        ),
        (
            "objects are gone",
            Fault::new(status(404)).on(Side::Cdn).at("xorbs/"),
        ),
        (
            "a proxy ignores ranges",
            Fault::new(FaultKind::IgnoreRange)
                .on(Side::Cdn)
                .at("xorbs/"),
        ),
        (
            "chunks are garbage",
            Fault::new(FaultKind::WrongBytes).on(Side::Cdn).at("xorbs/"),
        ),
    ] {
        site.hub.counters().reset();
        site.hub.fault(fault);
        let home = site.home(name);
        let lines = fetched(home.command(), &request(&home));
        done(&lines);
        let told = notes(&lines);
        assert_eq!(
            told.matches("so the rest comes by ranges").count(),
            1,
            "{name}: {told}"
        );
        assert_eq!(given(&site).1, total, "{name}: each byte once");
        well(&site, &home);
        site.hub.faults().clear();
    }
}

#[test]
fn a_chunk_with_wrong_bytes_never_becomes_a_file() {
    let site = site();
    let home = site.home("one");
    // Noise is not packed, so its chunks show no other sign than the hash of the file.
    let wrong = FaultKind::WrongByte { at: 5000 };
    let fault = Fault::new(wrong).on(Side::Cdn).at("xorbs/").times(1);
    site.hub.fault(fault);
    let mut request = request(&home);
    request["connections"] = json!(1);
    let lines = fetched(home.command(), &request);
    done(&lines);
    let told = notes(&lines);
    assert_eq!(
        told.matches("arrived with another hash").count(),
        1,
        "{told}"
    );
    let (_, ranges) = given(&site);
    assert_eq!(
        ranges, SIZE as u64,
        "that file once more, by the other road"
    );
    well(&site, &home);
}
