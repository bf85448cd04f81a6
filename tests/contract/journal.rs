//! What every journal promises, asked of the one in memory and of the one on disk.

use futures::future::join_all;
use tandem_adapters::store::{NewRun, Store};
use tandem_domain::problem::{Code, Problem, Retry};
use tandem_domain::run::memory::MemoryJournal;
use tandem_domain::run::{
    Event, Plan, ProgressPart, RunEvent, RunId, RunOutcome, RunState, StepId, StepProgress,
};
use tandem_domain::run::{Journal, JournalError};

/// The suite. Both runs must be known to the journal and have no events yet.
async fn journal_contract(journal: &dyn Journal, run: &RunId, other: &RunId) {
    assert_eq!(
        journal.events(run).await.expect("it is read"),
        [],
        "nothing happened yet"
    );
    let nobody = RunId("nobody".into());
    assert_eq!(
        journal.events(&nobody).await.expect("it is read"),
        [],
        "nor to a run unknown"
    );

    let mut written = Vec::new();
    for (n, event) in history().into_iter().enumerate() {
        let kept = journal
            .append(run, n as u64, event.clone())
            .await
            .expect("it is written");
        assert_eq!(
            kept.seq,
            n as u64 + 1,
            "numbers are the journal's, from 1, without gaps"
        );
        assert_eq!(
            RunEvent {
                seq: event.seq,
                ..kept.clone()
            },
            event,
            "and nothing else is"
        );
        written.push(kept);
        assert_eq!(
            journal.events(run).await.expect("it is read"),
            written,
            "what was written can be read at once, as it was"
        );
        // A process may die after any write; whatever is there then must make sense.
        let state = RunState::fold(&written);
        assert_eq!(state.odd, [], "every prefix is sound");
        assert_eq!(state.last_seq, written.len() as u64);
    }

    let step = StepId("fetch".into());
    for done in [1, 2] {
        journal
            .progress(run, &step, &progress(done))
            .await
            .expect("it is kept");
    }
    assert_eq!(
        journal.events(run).await.expect("it is read"),
        written,
        "progress is no event"
    );
    assert_eq!(
        journal.events(other).await.expect("it is read"),
        [],
        "runs do not mix"
    );

    // A writer that does not know the last event, or knows one that is not there, is refused and writes nothing.
    for after in [0, written.len() as u64 - 1, written.len() as u64 + 1] {
        let refused = journal.append(run, after, written[0].clone()).await;
        let error = refused.expect_err("somebody else has written");
        let there = written.len() as u64;
        let expected = JournalError::Overtaken {
            known: after,
            there,
        };
        assert_eq!(error, expected);
    }
    assert_eq!(journal.events(run).await.expect("it is read"), written);

    // Many at once that know the same: one is taken.
    for after in 0..20 {
        let appended = join_all((0..5).map(|_| journal.append(other, after, cancel()))).await;
        let taken: Vec<u64> = appended.into_iter().flatten().map(|e| e.seq).collect();
        assert_eq!(taken, [after + 1]);
    }
    let read = journal.events(other).await.expect("it is read");
    assert!(
        read.iter().map(|e| e.seq).eq(1..=20),
        "they are read in their order"
    );
}

fn cancel() -> RunEvent {
    RunEvent {
        seq: 0,
        at: 7,
        step: None,
        event: Event::CancelRequested,
    }
}

/// A history with every kind of event, legal from its beginning to its end.
fn history() -> Vec<RunEvent> {
    let problem = Problem::new(Code::DiskFull, "`weights` could not be written.")
        .cause("The disk is full: “0 B” free, 'quoted', \u{1F4BE}.")
        .fix_with("Free some space.", "rm -rf \"~/old models\"")
        .retry(Retry::After(30))
        .on("spark-b")
        .detail("ENOSPC\nin two lines");
    let before = r#"{"files":["/etc/netplan/40-cx7.yaml"],"null":null,"n":1.5}"#.to_owned();
    let run = |event| (None, event);
    let step = |event| (Some("fetch"), event);
    let events = [
        (
            Some("connect"),
            Event::AlreadyDone {
                found: "Both answer.".into(),
                receipt: "{}".into(),
            },
        ),
        step(Event::Applying {
            before: before.clone(),
        }),
        step(Event::Failed {
            problem: problem.clone(),
        }),
        run(Event::Finished {
            outcome: RunOutcome::Failed,
        }),
        run(Event::Resumed),
        step(Event::Applying { before }),
        run(Event::CancelRequested),
        step(Event::Stopped),
        run(Event::Finished {
            outcome: RunOutcome::Cancelled,
        }),
        run(Event::Resumed),
        step(Event::Applying {
            before: "null".into(),
        }),
        step(Event::Applied {
            receipt: "[1,2]".into(),
        }),
        step(Event::Verified {
            seen: "129 GB, every hash right".into(),
        }),
        run(Event::Finished {
            outcome: RunOutcome::Completed,
        }),
        run(Event::Resumed),
        step(Event::Undoing),
        step(Event::UndoFailed { problem }),
        run(Event::Finished {
            outcome: RunOutcome::NeedsAttention,
        }),
        run(Event::Resumed),
        step(Event::Undoing),
        step(Event::Undone { did: String::new() }),
        run(Event::Unknown),
        run(Event::Finished {
            outcome: RunOutcome::Undone,
        }),
    ];
    (0..)
        .zip(events)
        .map(|(at, (step, event))| RunEvent {
            // A wrong number: the journal gives its own.
            seq: 99,
            at: 1_795_248_459_000 + at,
            step: step.map(|s| StepId(s.into())),
            event,
        })
        .collect()
}

fn progress(done: u64) -> StepProgress {
    StepProgress {
        parts: vec![ProgressPart {
            machine: "spark-a".into(),
            done,
            total: None,
            unit: "bytes".into(),
            rate: None,
            doing: "config.json".into(),
            held: None,
        }],
    }
}

fn new_run(id: &str) -> NewRun {
    NewRun {
        id: RunId(id.into()),
        title: "A run".into(),
        params: serde_json::json!({}),
        plan: Plan {
            procedure: "demo".into(),
            procedure_version: 1,
            summary: String::new(),
            cautions: Vec::new(),
            steps: Vec::new(),
        },
        started_at: 1,
        simulated: true,
    }
}

async fn store(folder: &std::path::Path) -> Store {
    let store = Store::open(folder.join("tandem.db"))
        .await
        .expect("it opens");
    for id in ["r1", "r2"] {
        store.create_run(&new_run(id)).await.expect("it is written");
    }
    store
}

#[tokio::test]
async fn the_journal_in_memory_keeps_the_contract() {
    let journal = MemoryJournal::default();
    journal_contract(&journal, &RunId("r1".into()), &RunId("r2".into())).await;
}

#[tokio::test]
async fn the_journal_on_disk_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path()).await;
    journal_contract(&store, &RunId("r1".into()), &RunId("r2".into())).await;
    let summaries = store.runs().await.expect("it is read");
    let outcome = summaries.iter().find(|s| s.id.0 == "r1").map(|s| s.outcome);
    assert_eq!(
        outcome,
        Some(Some(RunOutcome::Undone)),
        "the cached outcome is that of the last event"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_copies_of_the_app_that_know_the_same_one_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = store(folder.path()).await;
    let second = Store::open(first.path()).await.expect("it opens twice");
    let run = RunId("r1".into());
    let writers = [first.clone(), second].map(|store| {
        let run = run.clone();
        tokio::spawn(async move {
            let mut taken = Vec::new();
            for after in 0..60 {
                match store.append(&run, after, cancel()).await {
                    Ok(kept) => taken.push(kept.seq),
                    Err(JournalError::Overtaken { known, .. }) => assert_eq!(known, after),
                    Err(e) => panic!("it waits its turn: {e}"),
                }
            }
            taken
        })
    });
    let mut taken: Vec<u64> = Vec::new();
    for numbers in join_all(writers).await {
        taken.extend(numbers.expect("no writer panics"));
    }
    taken.sort_unstable();
    let read = first.events(&run).await.expect("it is read");
    let numbers: Vec<u64> = read.iter().map(|e| e.seq).collect();
    assert_eq!(taken, numbers, "every number once, by whoever was first");
    assert!(numbers.len() >= 60, "one of them always goes on");
}

/// A small file system of its own, taken away at the end.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .status()
            .expect("mount is installed");
        assert!(mounted.success(), "root may mount a tmpfs");
        Self(folder)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: the database's threads may close their files a moment later.
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0.path())
            .status();
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_loses_nothing() {
    if !rustix::process::geteuid().is_root() {
        println!("did not run: a small file system of its own needs root");
        return;
    }
    let disk = Tmpfs::mount("1m");
    let store = store(disk.0.path()).await;
    let run = RunId("r1".into());
    let event = |n: usize| RunEvent {
        seq: 0,
        at: n as i64,
        step: None,
        event: Event::Unknown,
    };
    // Something else fills the disk while we write.
    let filler = disk.0.path().join("filler");
    let mut written = 0;
    let error = loop {
        match store.append(&run, written as u64, event(written)).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        if written == 5 {
            let taken = std::fs::write(&filler, vec![0; 2_000_000]);
            assert!(taken.is_err(), "the disk is smaller than that");
        }
        assert!(written < 10_000, "a full disk takes no more");
    };
    assert!(
        error.to_string().contains("the disk took no more"),
        "{error}"
    );
    assert_eq!(
        store
            .events(&run)
            .await
            .expect("reading needs no room")
            .len(),
        written,
        "all that was written is there, and no more"
    );

    std::fs::remove_file(&filler).expect("it is ours");
    let next = store
        .append(&run, written as u64, event(written))
        .await
        .expect("there is room again");
    assert_eq!(
        next.seq as usize,
        written + 1,
        "the failed write took no number"
    );
    let path = store.path().to_owned();
    store.close().await;
    let again = Store::open(&path)
        .await
        .expect("it is sound: opening checks every page");
    assert_eq!(
        again.events(&run).await.expect("it is read").len(),
        written + 1
    );
    again.close().await;
}
