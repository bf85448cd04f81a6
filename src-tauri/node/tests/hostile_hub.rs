//! A Hub that means harm: whatever it answers, a work ends in words, in time and in little memory, writes only where
//! its repository lies, and is undone to what was there before.

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::{Home, MIXED, Site};
use serde_json::{Value, json};
use tandem_domain::node::NodeEvent;
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};

/// How long a work may take against it.
const TIME: Duration = Duration::from_secs(30);
/// What it may hold, in KiB.
const MEMORY: u64 = 64 << 10;

fn header(side: Side, name: &str, value: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Header {
        name: name.into(),
        value: value.into(),
    })
    .on(side)
}

fn listing(answer: &Value) -> Fault {
    Fault::new(FaultKind::Listing {
        text: answer.to_string(),
    })
}

fn with_file(name: &str) -> Fault {
    listing(&json!({"sha": "c".repeat(40), "siblings": [{"rfilename": name}]}))
}

/// What the Hub does, by name.
fn behaviours() -> Vec<(String, Vec<Fault>)> {
    let one = |name: &str, fault: Fault| (name.to_owned(), vec![fault]);
    let endless = |name: &str, first: &str, piece: &str| {
        let (first, piece) = (first.to_owned(), piece.to_owned());
        one(name, Fault::new(FaultKind::EndlessListing { first, piece }))
    };
    let mut all = vec![
        endless(
            "a list of files without an end",
            "{\"siblings\":[",
            "{\"rfilename\":\"a\"},",
        ),
        endless(
            "a list of long names without an end",
            "{\"siblings\":[",
            &format!("{{\"rfilename\":\"{}\"}},", "a".repeat(900)),
        ),
        endless(
            "a text without an end",
            "{\"siblings\":[{\"rfilename\":\"",
            "aaaaaaaaaaaaaaaa",
        ),
        endless("numbers without an end", "{\"card\":[", "1,2,3,4,5,6,7,"),
        endless("folders within folders without an end", "", "["),
        one("a list of null", listing(&json!(null))),
        one("no files", listing(&json!({"sha": "c".repeat(40)}))),
        one(
            "a commit that leads upwards",
            listing(&json!({"sha": "../../../../.bashrc", "siblings": []})),
        ),
        one(
            "a commit of forty dots",
            listing(&json!({"sha": ".".repeat(40), "siblings": []})),
        ),
        one(
            "a waiting time without an end",
            Fault::new(FaultKind::Status {
                status: 429,
                retry_after: Some(u32::MAX),
            }),
        ),
        one(
            "a redirect to itself",
            header(Side::Resolve, "location", ""),
        ),
        one(
            "a redirect to a file of this machine",
            header(Side::Resolve, "location", "file:///etc/passwd"),
        ),
        one(
            "a redirect to nowhere",
            header(Side::Resolve, "location", "http://"),
        ),
        one(
            "an ETag that is a path",
            header(Side::Resolve, "x-linked-etag", "\"../../../.bashrc\""),
        ),
        one(
            "an ETag of one dot",
            header(Side::Resolve, "x-linked-etag", "\".\""),
        ),
        one(
            "an address as long as a book",
            header(
                Side::Resolve,
                "location",
                format!("http://127.0.0.1/{}", "a".repeat(60_000)),
            ),
        ),
    ];
    for name in [
        "../../../../.bashrc",
        "/etc/passwd",
        "a//b",
        "x\ntoken",
        "x\u{202e}gpj.py",
        "x\u{2028}y",
        "",
        "x\0y",
        &"a/".repeat(3000),
    ] {
        all.push((
            format!(
                "a file named {:?}",
                name.chars().take(30).collect::<String>()
            ),
            vec![with_file(name)],
        ));
    }
    for size in [
        "9223372036854775808",
        "18446744073709551615",
        "1000000000001",
        "-1",
        "1e3",
    ] {
        all.push((
            format!("files of {size} bytes"),
            vec![header(Side::Resolve, "x-linked-size", size)],
        ));
    }
    all
}

fn request(home: &Home, kind: &str) -> Value {
    let mut request = home.fetch(MIXED, "main");
    request["kind"] = json!(kind);
    request["commit"] = json!(if kind == "graft" {
        "c".repeat(40)
    } else {
        "main".into()
    });
    request["source_repo"] = json!(MIXED);
    request["source_revision"] = json!("main");
    request["deep"] = json!(false);
    request["probe"] = json!(2);
    request["connections"] = json!(2);
    request["milliseconds"] = json!(200);
    request["most"] = json!(1 << 20);
    if kind == "copy" {
        request["fetch"] = request.clone();
        request["from"] = json!("spark-a");
        request["token"] = json!(json!({"addresses": ["127.0.0.1:1"], "token": "t"}).to_string());
    }
    request
}

/// The most memory that a process has held so far, in KiB.
fn held(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Carries a work out as a job and undoes it. Gives back how it ended and the most memory it held.
fn carried_out(home: &Home, kind: &str, what: &str) -> (NodeEvent, u64) {
    let began = Instant::now();
    home.answer(&["start", kind, "--job", "j"], &request(home, kind));
    let worker = home.worker("j").expect("somebody works on it");
    let mut most = 0;
    while let Some(now) = held(worker) {
        most = most.max(now);
        assert!(began.elapsed() < TIME, "{kind} against {what} has no end");
        std::thread::sleep(Duration::from_millis(5));
    }
    let end = home.follow("j", 0).pop().expect("a last line").event;
    (end, most)
}

#[test]
fn whatever_the_hub_answers_ends_in_words_and_leaves_nothing() {
    let began = Instant::now();
    let (mut runs, mut most) = (0, 0);
    for (what, faults) in behaviours() {
        println!("{:5.1} s: {what}", began.elapsed().as_secs_f64());
        let site = Site::with(|repos| common::write_mixed(repos, 1, 64 << 10));
        for fault in faults {
            site.hub.fault(fault);
        }
        // All works read a list of files by the same code, and one without an end takes its time.
        let works = ["fetch", "check", "survey", "copy", "probe"];
        let works = match what.contains("without an end") {
            true => &works[..1],
            false => &works[..],
        };
        for kind in works.iter().copied() {
            let home = site.home(kind);
            std::fs::write(home.path.join(".bashrc"), "mine").unwrap();
            std::fs::create_dir_all(home.hf()).unwrap();
            std::fs::write(home.hf().join("token"), "hf_mine").unwrap();
            let before = tree(&home);
            let (end, memory) = carried_out(&home, kind, &what);
            let NodeEvent::Failed { problem } = end else {
                panic!("{kind} against {what} is refused, but it ended as {end:?}");
            };
            assert!(
                problem.cause.is_some() || problem.fix.is_some(),
                "{what}: {problem}"
            );
            let said = format!("{problem}");
            assert!(
                said.len() < 2000 && !said.contains('\u{202e}'),
                "{kind} against {what}: {said}"
            );
            assert!(memory < MEMORY, "{kind} against {what} held {memory} KiB");
            let outside = |name: &&String| {
                !(name.contains("hub/models--o--mixed")
                    || name.contains("hub/.locks")
                    || name.ends_with("/hub"))
            };
            let after = tree(&home);
            let strange: Vec<_> = after
                .keys()
                .filter(|n| !before.contains_key(*n))
                .filter(outside)
                .collect();
            assert!(
                strange.is_empty(),
                "{kind} against {what} wrote {strange:?}"
            );
            let undone = home.answer(&["undo", "--job", "j"], &json!({}));
            assert_eq!(undone["left"], json!([]), "{kind} against {what}");
            assert_eq!(tree(&home), before, "{kind} against {what} is undone");
            (runs, most) = (runs + 1, most.max(memory));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{runs} works against a hostile Hub in {seconds:.0} s, {} MiB at most",
        most >> 10
    );
}

fn tree(home: &Home) -> BTreeMap<String, String> {
    let mut tree = home.tree();
    tree.retain(|name, _| !name.starts_with(".local"));
    tree
}

#[test]
fn a_body_longer_than_it_was_told_and_wrong_ranges_end_too() {
    let site = Site::with(|repos| common::write_mixed(repos, 1, 64 << 10));
    for (what, fault) in [
        (
            "another file's bytes",
            Fault::new(FaultKind::WrongBytes).on(Side::Cdn),
        ),
        (
            "a size that is told too small",
            header(Side::Resolve, "x-linked-size", "100"),
        ),
        (
            "a size that is told too large",
            header(Side::Resolve, "x-linked-size", "70000"),
        ),
    ] {
        site.hub.faults().clear();
        site.hub.fault(fault);
        let home = site.home(&what.replace(' ', "-"));
        let before = tree(&home);
        home.answer(&["start", "fetch", "--job", "j"], &request(&home, "fetch"));
        let until = Instant::now() + Duration::from_secs(5);
        let worker = home.worker("j").unwrap();
        while held(worker).is_some() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Whoever waits for a better answer can be told to stop.
        home.answer(&["cancel", "--job", "j"], &json!({}));
        let end = home.follow("j", 0).pop().unwrap().event;
        assert!(
            !matches!(end, NodeEvent::Done { .. } | NodeEvent::Lost),
            "{what}: {end:?}"
        );
        home.undone_to("j", &before);
    }
}

/// A server that answers each of the given times with a redirect there.
fn redirects_to(location: String) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", server.local_addr().expect("an address"));
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("somebody asks");
        let mut asked = vec![0; 8 << 10];
        let n = stream.read(&mut asked).expect("a question");
        let answer = format!(
            "HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).expect("it hears");
        vec![String::from_utf8_lossy(&asked[..n]).into_owned()]
    });
    (address, heard)
}

#[test]
fn a_token_goes_to_the_hub_alone_and_never_over_plain_http() {
    let site = Site::with(|repos| common::write_mixed(repos, 1, 4 << 10));
    let home = site.home("one");
    let mut request = home.fetch(MIXED, "main");
    request["token"] = json!("hf_SECRET");
    for plain in [
        "http://192.0.2.1:8080",
        "http://hub.example",
        "http://127.0.0.1.example",
    ] {
        request["endpoint"] = json!(plain);
        let problem = home.refused("fetch", &request);
        assert!(problem.message.contains("not sent"), "{plain}: {problem}");
    }
    // An address without a scheme is another host all the same.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = other.local_addr().unwrap();
    let (hub, heard) = redirects_to(format!("//{host}/api/models/o/mixed/revision/main"));
    request["endpoint"] = json!(hub);
    let asked_there = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let mut asked = vec![0; 8 << 10];
        let n = stream.read(&mut asked).unwrap();
        stream
            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .unwrap();
        String::from_utf8_lossy(&asked[..n]).to_lowercase()
    });
    home.refused("fetch", &request);
    assert!(
        heard.join().unwrap()[0].contains("hf_SECRET"),
        "the Hub itself is given it"
    );
    let asked = asked_there.join().unwrap();
    assert!(
        asked.starts_with("get ") && !asked.contains("authorization"),
        "{asked}"
    );
}
