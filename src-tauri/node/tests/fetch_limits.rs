//! What holds a fetch back: a rate, a pause, the hours of the day; all of it changeable while it runs.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;

use std::time::Instant;

use common::{Home, Site, until};
use serde_json::{Value, json};
use tandem_domain::node::{NodeEvent, minute_of};
use tandem_domain::problem::Code;
use tandem_rehearsal::checkpoint::{NVFP4_REPO, synthetic};

fn site() -> Site {
    Site::with(|repos| {
        synthetic::write_synthetic(repos, 24 << 20).unwrap();
    })
}

/// What a job says it is doing, last.
fn doing(home: &Home, job: &str) -> String {
    let path = home
        .path
        .join(".local/share/tandem/jobs")
        .join(job)
        .join("lines.jsonl");
    let text = std::fs::read(path).unwrap_or_default();
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    let last = common::lines(&text[..whole]).into_iter().rev();
    last.filter_map(|line| match line.event {
        NodeEvent::Progress { doing, .. } => Some(doing),
        _ => None,
    })
    .next()
    .unwrap_or_default()
}

fn notes(lines: &[tandem_domain::node::NodeLine]) -> Vec<String> {
    let notes = lines.iter().filter_map(|l| match &l.event {
        NodeEvent::Note { text } => Some(text.clone()),
        _ => None,
    });
    notes.collect()
}

fn limit(home: &Home, limits: &Value) {
    let state = home.answer(&["limit", "--job", "j"], limits);
    assert_eq!(state["job"], "j", "{state}");
}

#[test]
fn a_rate_holds_over_all_connections_together() {
    let site = site();
    let home = site.home("one");
    let mut request = home.fetch(synthetic::REPO, "main");
    let rate = 8_u64 << 20;
    request["limits"] = json!({"bytes_per_second": rate});
    let began = Instant::now();
    let receipt = home.done("fetch", &request);
    let bytes = receipt["bytes"].as_u64().unwrap();
    // Only the side that no load of this box can break: it never takes less time than the rate allows,
    // but for a quarter of a second that may come at once and what eight connections hold.
    let least = (bytes - rate / 4 - (8 << 19)) as f64 / rate as f64;
    let took = began.elapsed().as_secs_f64();
    assert!(least > 1.5 && took >= least, "{took} s, at least {least} s");
}

#[test]
fn a_running_job_is_paused_goes_on_and_is_given_another_rate() {
    let site = site();
    let home = site.home("one");
    let mut request = home.fetch(synthetic::REPO, "main");
    // At this rate all of it would take five minutes.
    request["limits"] = json!({"bytes_per_second": 80 << 10});
    home.answer(&["start", "fetch", "--job", "j"], &request);
    until("something has arrived", || {
        site.hub.counters().read().cdn_bytes > 0
    });
    limit(
        &home,
        &json!({"bytes_per_second": 80 << 10, "paused": true}),
    );
    until("it says that it is paused", || {
        doing(&home, "j") == "Paused"
    });
    // The connections are closed, so the Hub has nobody to give anything to.
    let before = site.hub.counters().read();
    let again = home.answer(&["start", "fetch", "--job", "j"], &request);
    assert_eq!(again["state"], "running", "a pause is no end");
    assert_eq!(site.hub.counters().read().requests, before.requests);
    limit(&home, &json!({}));
    let lines = home.follow("j", 0);
    let NodeEvent::Done { result } = &lines.last().unwrap().event else {
        panic!("done: {:?}", lines.last());
    };
    assert!(result["bytes"].as_u64().unwrap() > 20 << 20);
    let notes = notes(&lines);
    for word in ["held to", "paused", "without a limit"] {
        assert!(notes.iter().any(|n| n.contains(word)), "{word}: {notes:?}");
    }
    let check = home.done("check", &home.verify(synthetic::REPO, "main", true));
    assert_eq!(check["faults"], json!([]));
}

#[test]
fn outside_its_hours_it_waits_and_says_until_when() {
    let site = site();
    let home = site.home("one");
    let date = std::process::Command::new("date")
        .arg("+%H:%M")
        .output()
        .unwrap();
    let now = minute_of(&String::from_utf8(date.stdout).unwrap()).unwrap();
    let clock = |minute: u32| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    let (from, to) = (clock(now + 120), clock(now + 180));
    let mut request = home.fetch(synthetic::REPO, "main");
    request["limits"] = json!({"hours": {"from": from, "to": to}});
    home.answer(&["start", "fetch", "--job", "j"], &request);
    let waits = format!("Waiting until {from}, the machine's time");
    until("it says until when it waits", || doing(&home, "j") == waits);
    assert_eq!(site.hub.counters().read().cdn_bytes, 0);
    // The same start with other hours is the same job, and holds it to them.
    request["limits"] = json!({"hours": {"from": clock(now + 1438), "to": to}});
    let again = home.answer(&["start", "fetch", "--job", "j"], &request);
    assert_eq!(again["state"], "running");
    let lines = home.follow("j", 0);
    assert!(
        matches!(lines.last().unwrap().event, NodeEvent::Done { .. }),
        "{:?}",
        lines.last()
    );
    let said = notes(&lines);
    assert!(said.iter().any(|n| n.contains(&from)), "{said:?}");
}

#[test]
fn limits_that_cannot_be_kept_are_refused_before_anything_happens() {
    let site = Site::new();
    let home = site.home("one");
    let mut request = home.fetch(NVFP4_REPO, "main");
    request["limits"] = json!({"hours": {"from": "23", "to": "7"}});
    let problem = home.refused("fetch", &request);
    assert_eq!(problem.code, Code::BadInput);
    assert!(problem.fix.is_some());
    assert_eq!(site.hub.counters().read().requests, 0);
    let refused = home.answer(&["limit", "--job", "none"], &json!({}));
    assert_eq!(refused["problem"]["code"], "job-lost");
    home.answer(
        &["start", "check", "--job", "v"],
        &home.verify(NVFP4_REPO, "main", false),
    );
    let refused = home.answer(&["limit", "--job", "v"], &json!({"paused": true}));
    assert_eq!(refused["problem"]["code"], "bad-input", "{refused}");
    home.follow("v", 0);
}
