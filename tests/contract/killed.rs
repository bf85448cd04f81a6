//! `kill -9` in the middle of writing: whatever the journal said it wrote is there afterwards.
//!
//! This program is its own victim. Started with `append DB RUN` it appends without an end and prints
//! each number once the journal gave it; started plainly it starts that, kills it and looks.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use tandem_adapters::store::{NewRun, Store};
use tandem_domain::run::Journal;
use tandem_domain::run::{Event, Plan, RunEvent, RunId, RunState};

/// Kills, each after another number of writes.
const ROUNDS: usize = 12;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    match &args[1..] {
        [act, db, run] if act == "append" => append_for_ever(Path::new(db), run).await,
        _ => nothing_written_is_lost().await,
    }
}

async fn append_for_ever(db: &Path, run: &str) {
    let store = Store::open(db)
        .await
        .expect("the database opens after a kill");
    let run = RunId(run.to_owned());
    let mut out = std::io::stdout();
    let mut last = store.events(&run).await.expect("it is read").len() as u64;
    for at in 0.. {
        let event = RunEvent {
            seq: 0,
            at,
            step: None,
            event: Event::Verified {
                seen: "x".repeat(at as usize * 37 % 5000),
            },
        };
        let kept = store
            .append(&run, last, event)
            .await
            .expect("it is written");
        last = kept.seq;
        writeln!(out, "{}", kept.seq).expect("somebody reads");
    }
}

async fn nothing_written_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = folder.path().join("tandem.db");
    let run = RunId("r1".to_owned());
    let store = Store::open(&db).await.expect("an empty database opens");
    let plan = Plan {
        procedure: "demo".into(),
        procedure_version: 1,
        summary: String::new(),
        cautions: Vec::new(),
        steps: Vec::new(),
    };
    let new = NewRun {
        id: run.clone(),
        title: "A run".into(),
        params: serde_json::json!({}),
        plan,
        started_at: 1,
        simulated: true,
    };
    store.create_run(&new).await.expect("it is written");
    store.close().await;

    let mut last_said = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("append")
            .arg(&db)
            .arg(&run.0)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = BufReader::new(child.stdout.take().expect("its output")).lines();
        for _ in 0..=round * 7 {
            let line = said.next().expect("it goes on").expect("it is text");
            last_said = line.parse().expect("a number");
        }
        // It is in the middle of a later write now.
        child.kill().expect("SIGKILL is sent");
        child.wait().expect("it ended");
        for line in said.map_while(Result::ok) {
            // The last line may be cut short by the kill; what came whole was promised.
            last_said = line.parse().unwrap_or(last_said).max(last_said);
        }

        let store = Store::open(&db)
            .await
            .expect("it opens, and every page is sound");
        let events = store.events(&run).await.expect("it is read");
        assert!(
            events.len() as u64 >= last_said,
            "round {round}: {last_said} was promised and {} are there",
            events.len()
        );
        assert!(
            events.iter().map(|e| e.seq).eq(1..=events.len() as u64),
            "round {round}: no gap"
        );
        let state = RunState::fold(&events);
        assert_eq!(state.last_seq, events.len() as u64);
        assert_eq!(
            store.unfinished_runs().await.expect("it is read").len(),
            1,
            "the run shows as interrupted"
        );
        store.close().await;
    }
    println!("killed {ROUNDS} times, {last_said} events, none lost");
}
