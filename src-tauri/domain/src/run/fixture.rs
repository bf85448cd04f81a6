//! The history that the window's fold is held to: `tests/fixtures/run_events.json`.
//!
//! It is written from here, and `ui/src/session/fold.test.ts` reads it. It holds every kind of event, and its
//! steps end in every state there is.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that can write its file anew"
)]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::problem::{Code, Problem, Retry};
use crate::run::{Event, KINDS, RunEvent, RunOutcome, RunState, Status, StepId};

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/fixtures/run_events.json"
);

fn already(found: &str) -> Event {
    Event::AlreadyDone {
        found: found.into(),
        receipt: "{}".into(),
    }
}

fn applying() -> Event {
    Event::Applying {
        before: r#"{"was":"as found"}"#.into(),
    }
}

fn applied() -> Event {
    Event::Applied {
        receipt: r#"{"left":"something"}"#.into(),
    }
}

fn verified(seen: &str) -> Event {
    Event::Verified { seen: seen.into() }
}

fn undone() -> Event {
    Event::Undone {
        did: "It is as it was.".into(),
    }
}

fn ended(outcome: RunOutcome) -> (&'static str, Event) {
    ("", Event::Finished { outcome })
}

fn problem() -> Problem {
    Problem::new(Code::PortTaken, "The model server was not started.")
        .cause("Port 8000 is held by `other`.")
        .fix_with("Stop that program.", "sudo ss -ltnp")
        .retry(Retry::Now)
        .on("spark-a")
        .detail("bind: address in use")
}

/// A run that failed, was taken up, was cancelled, was taken up again, ended well and was undone in part.
fn history() -> Vec<RunEvent> {
    let failed = || Event::Failed { problem: problem() };
    let happened = vec![
        ("there", already("It was there.")),
        ("unfit", failed()),
        ("mended", applying()),
        ("mended", failed()),
        ended(RunOutcome::Failed),
        ("", Event::Resumed),
        ("mended", applying()),
        ("mended", applied()),
        ("mended", verified("It was seen.")),
        ("cut", applying()),
        ("", Event::CancelRequested),
        ("cut", Event::Stopped),
        ended(RunOutcome::Cancelled),
        ("", Event::Resumed),
        ("mended", verified("It was seen again.")),
        ("unseen", applying()),
        ("unseen", applied()),
        ("failed", applying()),
        ("failed", applied()),
        ("failed", failed()),
        ("back", applying()),
        ("back", applied()),
        ("back", verified("It was seen.")),
        ("stuck", applying()),
        ("half", applying()),
        ("half", Event::Unknown),
        ("", Event::Unknown),
        ended(RunOutcome::Completed),
        ("", Event::Resumed),
        ("half", Event::Undoing),
        ("stuck", Event::Undoing),
        ("stuck", Event::UndoFailed { problem: problem() }),
        ("back", Event::Undoing),
        ("back", undone()),
        ended(RunOutcome::NeedsAttention),
        // Two copies of Tandem wrote these at the same time, when a journal still took that.
        ("twice", applying()),
        ("twice", applied()),
        ("twice", applied()),
        ("torn", applying()),
        ("torn", Event::Undoing),
        ("torn", undone()),
        ("torn", applied()),
        ("never", Event::Undoing),
    ];
    (1..)
        .zip(happened)
        .map(|(seq, (step, event))| RunEvent {
            seq,
            at: 1_795_000_000_000 + seq as i64 * 250,
            step: Some(step)
                .filter(|s| !s.is_empty())
                .map(|s| StepId(s.into())),
            event,
        })
        .collect()
}

#[test]
fn the_fixture_is_what_the_engine_folds() {
    let events = history();
    let state = RunState::fold(&events);
    let steps: serde_json::Map<String, Value> = state
        .steps
        .iter()
        .map(|(id, s)| {
            let told = json!({"status": s.status, "said": s.summary, "problem": s.problem});
            (id.to_string(), told)
        })
        .collect();
    let odd: Vec<u64> = state.odd.iter().map(|o| o.seq).collect();
    let expected = json!({
        "steps": steps,
        "outcome": state.outcome,
        "last_seq": state.last_seq,
        "odd": odd,
    });
    let fixture = json!({"events": events, "expected": expected});
    let text = serde_json::to_string_pretty(&fixture).expect("it is plain data") + "\n";
    if std::env::var_os("TANDEM_FIXTURES").is_some_and(|v| v == "write") {
        std::fs::write(FILE, &text).expect("the fixture can be written");
    }
    let committed = std::fs::read_to_string(Path::new(FILE)).unwrap_or_default();
    assert!(
        committed == text,
        "tests/fixtures/run_events.json is stale: run this test with TANDEM_FIXTURES=write"
    );
}

#[test]
fn the_fixture_leaves_no_event_and_no_state_out() {
    let events = history();
    let kinds: BTreeSet<String> = events
        .iter()
        .map(|e| serde_json::to_value(&e.event).unwrap()["kind"].to_string())
        .map(|kind| kind.trim_matches('"').to_owned())
        .collect();
    assert_eq!(kinds, KINDS.iter().map(|k| (*k).to_owned()).collect());
    let state = RunState::fold(&events);
    for status in [
        Status::Waiting,
        Status::AlreadyDone,
        Status::Applying,
        Status::Applied,
        Status::Verified,
        Status::Failed,
        Status::Undoing,
        Status::Undone,
        Status::Stuck,
    ] {
        assert!(
            state.steps.values().any(|s| s.status == status),
            "no step ends as {status:?}"
        );
    }
}
