//! Each machine its share from the Hub and the rest from the other, by the program itself on this computer's
//! loopback: nothing twice over the line, resumed, held to limits, and both ends end.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use common::{Home, Site, kill, until};
use serde_json::{Value, json};
use tandem_domain::node::{CopyTicket, NodeEvent, Serving};
use tandem_domain::problem::Code;
use tandem_rehearsal::checkpoint::synthetic::{self, REPO};
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};

const JOB: &str = "r-weights";

fn site() -> Site {
    Site::with(|repos| {
        synthetic::write_synthetic(repos, 160 << 20).unwrap();
    })
}

fn serve(home: &Home) -> Serving {
    let words = [
        "copy",
        "serve",
        "--repo",
        REPO,
        "--listen",
        "127.0.0.1",
        "--job",
        JOB,
    ];
    serde_json::from_value(home.answer(&words, &json!({}))).unwrap()
}

/// What a machine is asked: its share of these parts, the rest from where the other serves.
fn share(home: &Home, serving: &Serving, parts: [u32; 2], mine: usize) -> Value {
    let mut fetch = home.fetch(REPO, "main");
    fetch.as_object_mut().unwrap().remove("kind");
    let ticket = CopyTicket::new(serving.clone(), None);
    let from = ["spark-b", "spark-a"][mine];
    json!({
        "kind": "copy", "fetch": fetch, "from": from, "streams": 2,
        "share": {"parts": parts, "mine": mine}, "token": ticket.seal().reveal(),
    })
}

fn start(home: &Home, request: &Value) {
    let state = home.answer(&["start", "copy", "--job", JOB], request);
    assert_eq!(state["state"], "started", "{state}");
}

/// The receipt of a job that is done.
fn done(home: &Home) -> Value {
    let lines = home.follow(JOB, 0);
    match &lines.last().unwrap().event {
        NodeEvent::Done { result } => result.clone(),
        _ => panic!("it is done: {lines:?}"),
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// Bytes of the repository's files that the Hub gave out.
fn given(site: &Site) -> u64 {
    let files = site.hub.counters().read().files;
    let files = files.iter().filter(|(name, _)| name.starts_with(REPO));
    files.map(|(_, count)| count.bytes).sum()
}

fn slow(site: &Site, bytes_per_second: u64) {
    let slow = FaultKind::Slow { bytes_per_second };
    site.hub.fault(Fault::new(slow).on(Side::Cdn));
}

/// The mark of a job that only waits for the other machine.
fn waits(home: &Home) -> bool {
    let jobs: PathBuf = home.path.join(".local/share/tandem/jobs");
    jobs.join(JOB).join("waits").exists()
}

#[test]
fn each_fetches_its_share_and_nothing_comes_twice_over_the_line() {
    let site = site();
    let (a, b) = (site.home("a"), site.home("b"));
    let (at_a, at_b) = (serve(&a), serve(&b));
    // The first is held back by what a person allows, the second is not.
    let mut first = share(&a, &at_b, [70, 30], 0);
    first["fetch"]["limits"] = json!({"bytes_per_second": 2 << 20});
    start(&a, &first);
    start(&b, &share(&b, &at_a, [70, 30], 1));
    until("the second has its share and only waits", || waits(&b));
    assert!(!waits(&a), "the first still fetches");
    let again = b.answer(
        &["start", "copy", "--job", JOB],
        &share(&b, &at_a, [70, 30], 1),
    );
    assert_eq!(again["state"], "running", "it waits and has not ended");
    let asked = b.answer(&["asked", "--job", JOB], &json!({}));
    assert_eq!(asked["work"]["share"]["parts"], json!([70, 30]));
    assert!(!asked.to_string().contains(&at_a.token), "no key is kept");
    // One job a machine: what it is held to can be changed as that of any fetch.
    a.answer(&["limit", "--job", JOB], &json!({}));
    let (one, two) = (done(&a), done(&b));
    assert_eq!(common::tree(&a.hf()), common::tree(&b.hf()));
    let (bytes, both) = (
        number(&one["bytes"]),
        number(&one["fetched"]) + number(&two["fetched"]),
    );
    assert!(both >= bytes, "all of it came over the line");
    assert!(both <= bytes + bytes / 1000, "{both} for {bytes}");
    let gave = given(&site);
    assert!(
        gave <= bytes + bytes / 1000,
        "the Hub gave {gave} for {bytes}"
    );
    let part = number(&one["fetched"]) as f64 / both as f64;
    // Thirteen shards cannot be divided finer than by one.
    assert!((0.62..0.78).contains(&part), "the first fetched {part}");
    let gone = |s: &Serving| TcpStream::connect(&s.addresses[0]).is_err();
    until("nothing listens", || gone(&at_a) && gone(&at_b));
    for home in [&a, &b] {
        home.done("check", &home.verify(REPO, "main", true));
        home.answer(&["undo", "--job", JOB], &json!({}));
        let left: Vec<String> = home.tree().into_keys().collect();
        assert!(
            left.iter().all(|l| ".local/share/tandem".starts_with(l)),
            "undo leaves nothing: {left:?}"
        );
    }
    let none = b.answer(&["asked", "--job", JOB], &json!({}));
    assert_eq!(none["event"], "failed", "{none}");
}

#[test]
fn killed_in_the_middle_a_share_goes_on_from_what_is_there() {
    let site = site();
    let (a, b) = (site.home("a"), site.home("b"));
    let (at_a, at_b) = (serve(&a), serve(&b));
    slow(&site, 1 << 20);
    start(&a, &share(&a, &at_b, [50, 50], 0));
    start(&b, &share(&b, &at_a, [50, 50], 1));
    until("something has come", || given(&site) > 40 << 20);
    kill(b.worker(JOB).unwrap());
    until("the worker is gone", || {
        b.follow(JOB, 0).last().unwrap().event == NodeEvent::Lost
    });
    site.hub.faults().clear();
    start(&b, &share(&b, &at_a, [50, 50], 1));
    let (one, two) = (done(&a), done(&b));
    assert_eq!(common::tree(&a.hf()), common::tree(&b.hf()));
    // What eight connections and the sockets between held.
    let most = number(&one["bytes"]) + (8 << 20);
    let gave = given(&site);
    assert!(gave <= most, "the Hub gave {gave}, at most {most}");
    assert_eq!(two["files"], one["files"]);
}

#[test]
fn cancelled_it_ends_soon_and_a_lost_link_is_told_with_what_came_kept() {
    let site = site();
    let (a, b) = (site.home("a"), site.home("b"));
    let at_a = serve(&a);
    slow(&site, 1 << 20);
    start(&b, &share(&b, &at_a, [50, 50], 1));
    until("something has come", || given(&site) > 4 << 20);
    let state = b.answer(&["cancel", "--job", JOB], &json!({}));
    assert_eq!(state["state"], "ended", "{state}");
    assert_eq!(b.follow(JOB, 0).last().unwrap().event, NodeEvent::Cancelled);

    let closed = {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        Serving {
            addresses: vec![door.local_addr().unwrap().to_string()],
            token: "t".into(),
        }
    };
    start(&b, &share(&b, &closed, [50, 50], 1));
    let lines = b.follow(JOB, 0);
    let NodeEvent::Failed { problem } = &lines.last().unwrap().event else {
        panic!("it is told: {lines:?}");
    };
    assert_eq!(problem.code, Code::LinkFails, "{problem}");
    site.hub.faults().clear();
    let kept = given(&site);
    let (at_a, at_b) = (serve(&a), serve(&b));
    start(&a, &share(&a, &at_b, [50, 50], 0));
    start(&b, &share(&b, &at_a, [50, 50], 1));
    let (one, two) = (done(&a), done(&b));
    assert_eq!(common::tree(&a.hf()), common::tree(&b.hf()));
    let came = given(&site) - kept;
    assert!(came < number(&one["bytes"]), "{came} came after the link");
    assert!(number(&two["fetched"]) > 0);
}

#[test]
fn what_the_other_machine_has_is_not_fetched_though_it_is_in_the_share() {
    let site = site();
    let (a, b) = (site.home("a"), site.home("b"));
    a.done("fetch", &a.fetch(REPO, "main"));
    let at_a = serve(&a);
    let receipt = b.done("copy", &share(&b, &at_a, [50, 50], 1));
    assert_eq!(receipt["fetched"], 0);
    assert_eq!(common::tree(&a.hf()), common::tree(&b.hf()));
}

#[test]
fn a_probe_says_what_came_and_reads_no_more_than_it_may() {
    let site = site();
    let home = site.home("one");
    let probe = |milliseconds: u32, most: u64, limits: Value| {
        json!({
            "kind": "probe", "endpoint": home.endpoint, "repo": REPO, "revision": "main",
            "connections": 4, "milliseconds": milliseconds, "most": most, "limits": limits,
        })
    };
    let before = home.tree();
    // First, as the Hub may still give out and count what a probe that has ended had asked for.
    let paused = home.done("probe", &probe(1500, 1 << 30, json!({"paused": true})));
    assert_eq!(paused["bytes"], 0);
    assert_eq!(given(&site), 0, "nothing is read while it is paused");

    slow(&site, 1 << 20);
    let lines = home.run("probe", &probe(1500, 1 << 30, json!({})));
    let said: Vec<(i64, u64)> = lines
        .iter()
        .filter_map(|line| match line.event {
            NodeEvent::Progress { done, .. } => Some((line.at, done)),
            _ => None,
        })
        .collect();
    assert!(said.len() >= 5, "{said:?}");
    assert!(said.is_sorted(), "time and bytes only grow: {said:?}");
    let (first, last) = (said[0], said[said.len() - 1]);
    assert!(last.0 - first.0 >= 1400, "it reads as long as asked");
    assert!(last.1 > first.1);

    site.hub.faults().clear();
    let most = home.done("probe", &probe(20_000, 8 << 20, json!({})));
    assert!(number(&most["bytes"]) >= 8 << 20, "it ended by the bytes");

    assert_eq!(home.tree(), before, "nothing is left of it");
}
