//! The store on real files. The journal's own contract is in tests/contract.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use tandem_domain::bench::{
    BenchCase, BenchNote, BenchResult, BenchSample, BenchStore, NoteKind, Spread,
};
use tandem_domain::engine::metrics::Acceptance;
use tandem_domain::machine::Facts;
use tandem_domain::node::FetchLimits;
use tandem_domain::problem::{Code, Problem};
use tandem_domain::run::{
    Event, Journal, Plan, ProgressPart, RunEvent, RunId, RunOutcome, StepId, StepProgress,
};

use super::error::Taken;
use super::*;

mod chat;
mod durable;
mod kept_recipes;

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path().join("data/tandem.db"))
        .await
        .expect("an empty database opens");
    (folder, store)
}

fn new_run(id: &str, started_at: i64) -> NewRun {
    NewRun {
        id: RunId(id.to_owned()),
        title: "Serve Step-3.7-Flash on spark-a and spark-b".to_owned(),
        params: json!({ "mtp": true }),
        plan: Plan {
            procedure: "setup".to_owned(),
            procedure_version: 1,
            summary: "Everything".to_owned(),
            cautions: vec!["It takes an hour.".to_owned()],
            steps: Vec::new(),
        },
        started_at,
        simulated: true,
    }
}

fn event(at: i64, event: Event) -> RunEvent {
    RunEvent {
        seq: 0,
        at,
        step: None,
        event,
    }
}

fn machine(id: &str, name: &str, machine_id: &str) -> SavedMachine {
    SavedMachine {
        id: id.into(),
        name: name.to_owned(),
        address: "192.0.2.1".to_owned(),
        port: 22,
        user: "nvidia".to_owned(),
        host_key: Some("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5".to_owned()),
        facts: Some(Facts {
            machine_id: machine_id.to_owned(),
            memory_total: 128_000_000_000,
            ..Facts::default()
        }),
        cache: None,
        simulated: false,
        added_at: 7,
    }
}

#[tokio::test]
async fn a_run_is_kept_with_its_plan_and_its_outcome_follows_its_events() {
    let (_folder, store) = store().await;
    let run = new_run("r1", 100);
    store.create_run(&run).await.expect("it is written");
    store
        .create_run(&new_run("r0", 50))
        .await
        .expect("it is written");

    let unfinished = |list: Vec<tandem_domain::run::RunSummary>| -> Vec<String> {
        list.into_iter().map(|r| r.id.0).collect()
    };
    assert_eq!(
        unfinished(store.unfinished_runs().await.unwrap()),
        ["r1", "r0"]
    );

    let finish = Event::Finished {
        outcome: RunOutcome::NeedsAttention,
    };
    store
        .append(&run.id, 0, event(200, finish))
        .await
        .expect("it is written");
    let detail = store.run(&run.id).await.unwrap().expect("it is there");
    assert_eq!(detail.plan, run.plan);
    assert_eq!(detail.summary.outcome, Some(RunOutcome::NeedsAttention));
    assert_eq!(detail.summary.finished_at, Some(200));
    assert_eq!(store.run_params(&run.id).await.unwrap(), Some(run.params));
    assert_eq!(unfinished(store.unfinished_runs().await.unwrap()), ["r0"]);

    store
        .append(&run.id, 1, event(300, Event::Resumed))
        .await
        .expect("it is written");
    let summary = &store.runs().await.unwrap()[0];
    assert_eq!(
        (summary.outcome, summary.finished_at),
        (None, None),
        "it goes on"
    );
    assert_eq!(store.run(&RunId("none".into())).await.unwrap(), None);
}

#[tokio::test]
async fn every_outcome_has_the_name_it_has_on_the_wire() {
    let (_folder, store) = store().await;
    let outcomes = [
        RunOutcome::Completed,
        RunOutcome::Failed,
        RunOutcome::Cancelled,
        RunOutcome::Undone,
        RunOutcome::NeedsAttention,
    ];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let run = new_run(&n.to_string(), n as i64);
        store.create_run(&run).await.unwrap();
        store
            .append(&run.id, 0, event(9, Event::Finished { outcome }))
            .await
            .unwrap();
        assert_eq!(
            serde_json::to_value(outcome).unwrap(),
            super::runs::outcome_name(outcome)
        );
        let summary = store.run(&run.id).await.unwrap().unwrap().summary;
        assert_eq!(summary.outcome, Some(outcome), "it reads back");
    }
}

#[tokio::test]
async fn only_the_latest_progress_is_kept() {
    let (_folder, store) = store().await;
    let run = new_run("r1", 1);
    store.create_run(&run).await.unwrap();
    let step = StepId("fetch".into());
    let progress = |done| StepProgress {
        parts: vec![ProgressPart {
            machine: "spark-a".into(),
            done,
            total: Some(129_000_000_000),
            unit: "bytes".into(),
            rate: Some(1.5e8),
            doing: "model-00001.safetensors".into(),
            held: None,
        }],
    };
    for done in [1, 2, 3] {
        store
            .progress(&run.id, &step, &progress(done))
            .await
            .unwrap();
    }
    let kept = store.run(&run.id).await.unwrap().unwrap().progress;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].progress, progress(3));
}

#[tokio::test]
async fn what_a_download_is_held_to_is_what_was_planned_until_it_is_changed() {
    let (folder, store) = store().await;
    let mut run = new_run("r1", 1);
    store.create_run(&run).await.unwrap();
    assert_eq!(store.run_download(&run.id).await.unwrap(), None, "none");
    run.id = RunId("r2".into());
    run.params = json!({"download": {"bytes_per_second": 5_000_000}});
    store.create_run(&run).await.unwrap();
    let mut limits = FetchLimits {
        bytes_per_second: Some(5_000_000),
        ..FetchLimits::default()
    };
    let kept = store.run_download(&run.id).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&limits), "what was planned");
    for paused in [true, false, true] {
        limits.paused = paused;
        store.hold_run_download(&run.id, &limits).await.unwrap();
    }
    drop(store);
    let store = Store::open(folder.path().join("data/tandem.db"))
        .await
        .unwrap();
    let detail = store.run(&run.id).await.unwrap().unwrap();
    assert_eq!(detail.download, Some(limits), "the last word, kept");
    let params = store.run_params(&run.id).await.unwrap().unwrap();
    assert_eq!(params, run.params, "what was planned is not rewritten");
}

#[tokio::test]
async fn logs_are_bounded_step_by_step() {
    let (_folder, store) = store().await;
    let run = new_run("r1", 1);
    store.create_run(&run).await.unwrap();
    let line = |step: &str, n: i64| LogLine {
        step: StepId(step.into()),
        machine: Some("spark-a".into()),
        line: format!("line {n}"),
        at: n,
    };
    let many: Vec<_> = (1..=LOG_LINES + 50).map(|n| line("image", n)).collect();
    store.append_log(&run.id, &many[..1500]).await.unwrap();
    store.append_log(&run.id, &many[1500..]).await.unwrap();
    store
        .append_log(&run.id, &[line("weights", 1)])
        .await
        .unwrap();
    let kept = store
        .step_log(&run.id, &StepId("image".into()))
        .await
        .unwrap();
    assert_eq!(kept, many[50..], "the last ones, in order");
    let other = store
        .step_log(&run.id, &StepId("weights".into()))
        .await
        .unwrap();
    assert_eq!(other.len(), 1, "each step has its own");
}

#[tokio::test]
async fn machines_keep_their_order_and_their_key() {
    let (_folder, store) = store().await;
    store
        .add_machine(&machine("a", "spark-a", "m-a"))
        .await
        .unwrap();
    store
        .add_machine(&machine("b", "spark-b", "m-b"))
        .await
        .unwrap();
    assert_eq!(
        store.machine(&"a".into()).await.unwrap(),
        Some(machine("a", "spark-a", "m-a"))
    );

    store.order_machines(&["b".into()]).await.unwrap();
    let names: Vec<_> = store
        .machines()
        .await
        .unwrap()
        .into_iter()
        .map(|m| m.name)
        .collect();
    assert_eq!(names, ["spark-b", "spark-a"]);

    let same = store.add_machine(&machine("c", "spark-c", "m-a")).await;
    assert!(
        matches!(
            same,
            Err(StoreError::Taken {
                what: Taken::Machine
            })
        ),
        "one machine is not two, whatever it is called"
    );
    assert_eq!(same.unwrap_err().problem().code, Code::SameMachineTwice);
    let change = MachineChange {
        name: "spark-b".into(),
        address: "198.51.100.2".into(),
        port: 2222,
        user: "me".into(),
        cache: Some("/data/hub".into()),
    };
    let named = store.change_machine(&"a".into(), &change).await;
    assert!(matches!(
        named,
        Err(StoreError::Taken { what: Taken::Name })
    ));
    let change = MachineChange {
        name: "head".into(),
        ..change
    };
    assert!(store.change_machine(&"a".into(), &change).await.unwrap());
    assert!(!store.change_machine(&"none".into(), &change).await.unwrap());
    let changed = store.machine(&"a".into()).await.unwrap().unwrap();
    assert_eq!(
        (changed.port, changed.cache.as_deref()),
        (2222, Some("/data/hub"))
    );

    let key = sqlx::query("update machine set host_key = 'ssh-ed25519 other' where id = 'a'")
        .execute(&store.writer)
        .await;
    assert!(
        key.unwrap_err().to_string().contains("pinned"),
        "not even by hand"
    );

    // A look that could not read the machine-id does not make room for a twin.
    assert!(
        store
            .keep_facts(&"a".into(), &Facts::default())
            .await
            .unwrap()
    );
    let twin = store.add_machine(&machine("c", "spark-c", "m-a")).await;
    assert!(matches!(
        twin,
        Err(StoreError::Taken {
            what: Taken::Machine
        })
    ));

    assert!(store.remove_machine(&"a".into(), 5).await.unwrap());
    assert!(!store.remove_machine(&"a".into(), 6).await.unwrap());
    let removed = store.removed_machines().await.unwrap();
    let known: Vec<(&str, &str)> = removed
        .iter()
        .map(|(id, facts)| (id.0.as_str(), facts.machine_id.as_str()))
        .collect();
    assert_eq!(
        known,
        [("a", "m-a")],
        "though the last look did not read it"
    );
    store
        .add_machine(&machine("a", "spark-c", "m-a"))
        .await
        .expect("it may be added again, as what it was");
    assert_eq!(store.removed_machines().await.unwrap(), []);
}

fn bench(id: &str, at: i64) -> BenchResult {
    BenchResult {
        id: id.into(),
        at,
        label: "MTP, 3 tokens".to_owned(),
        model: "step".to_owned(),
        case: BenchCase::quick(),
        latency_s: 0.0064,
        samples: vec![BenchSample {
            prompt: Some(1),
            prompt_tokens: 512,
            extra_tokens: Some(27),
            completion_tokens: 64,
            ttfr_s: 0.5,
            est_ppt_s: Some(0.4936),
            ttft_s: 0.51,
            end_s: 3.1,
            pp_tps: 1024.25,
            tg_tps: 24.5,
            peak_tps: Some(26.0),
            requests: Vec::new(),
        }],
        pp_tps: Spread::of(vec![1024.25]),
        tg_tps: Spread::of(vec![24.5, 25.5]),
        ttft_s: Spread::of(vec![0.51]),
        acceptance: Some(Acceptance {
            rate: 0.65,
            mean_length: 2.96,
            per_position: vec![0.87, 0.65, 0.43],
        }),
        circumstances: BTreeMap::from([("launch".to_owned(), "abc".to_owned())]),
        notes: vec![BenchNote {
            kind: NoteKind::Others,
            says: "Measured beside others.".to_owned(),
        }],
        ended: Some(Problem::new(Code::ServerAnswer, "It ended.").cause("The engine died.")),
        run: Some("r1".into()),
        simulated: false,
    }
}

#[tokio::test]
async fn measurements_read_back_as_they_were() {
    let (_folder, store) = store().await;
    store.save(&bench("b1", 10)).await.unwrap();
    store.save(&bench("b2", 20)).await.unwrap();
    store
        .save(&bench("b1", 99))
        .await
        .expect("a repeat changes nothing");
    assert_eq!(
        store.bench_results().await.unwrap(),
        [bench("b2", 20), bench("b1", 10)]
    );
    assert!(store.rename_bench(&"b1".into(), "Plain").await.unwrap());
    assert_eq!(
        store
            .bench_result(&"b1".into())
            .await
            .unwrap()
            .unwrap()
            .label,
        "Plain"
    );
    assert!(store.delete_bench(&"b1".into()).await.unwrap());
    assert!(!store.delete_bench(&"b1".into()).await.unwrap());
    assert_eq!(store.bench_result(&"b1".into()).await.unwrap(), None);
}

#[tokio::test]
async fn the_figures_of_a_launch_are_the_newest_whole_ones_made_alone() {
    let (_folder, store) = store().await;
    let quick = BenchCase::quick();
    // It ended early, and it was made beside others; either is enough.
    let both = bench("both", 50);
    let ended = BenchResult {
        notes: Vec::new(),
        ..bench("ended", 60)
    };
    let beside = BenchResult {
        ended: None,
        ..bench("beside", 70)
    };
    let other_sizes = BenchResult {
        case: BenchCase {
            prompt_tokens: 2048,
            ..BenchCase::quick()
        },
        notes: Vec::new(),
        ended: None,
        ..bench("sizes", 80)
    };
    let crowded = BenchResult {
        case: BenchCase {
            concurrency: 4,
            ..BenchCase::quick()
        },
        id: "crowded".into(),
        ..other_sizes.clone()
    };
    for result in [&both, &ended, &beside, &other_sizes, &crowded] {
        store.save(result).await.unwrap();
    }
    assert_eq!(store.of_launch("abc", &quick).await.unwrap(), None);
    let whole = |id: &str, at| BenchResult {
        notes: vec![BenchNote {
            kind: NoteKind::NotCounted,
            says: "Repeat 2 of 5: it paused. It does not count.".to_owned(),
        }],
        ended: None,
        ..bench(id, at)
    };
    store.save(&whole("older", 10)).await.unwrap();
    store.save(&whole("newer", 20)).await.unwrap();
    let found = store.of_launch("abc", &quick).await.unwrap();
    assert_eq!(found, Some(whole("newer", 20)), "the newest");
    assert_eq!(store.of_launch("xyz", &quick).await.unwrap(), None);
    // Rows of older versions have nothing of all this.
    sqlx::query("update bench_result set details = '{}' where id = 'both'")
        .execute(&store.writer)
        .await
        .unwrap();
    let found = store.of_launch("abc", &quick).await.unwrap();
    assert_eq!(found.map(|r| r.id), Some("both".into()));
}

#[tokio::test]
async fn settings_and_drafts_are_replaced_by_name() {
    let (_folder, store) = store().await;
    assert_eq!(store.setting::<String>("theme").await.unwrap(), None);
    store.put_setting("theme", &"dark").await.unwrap();
    store.put_setting("theme", &"light").await.unwrap();
    assert_eq!(
        store.setting::<String>("theme").await.unwrap().as_deref(),
        Some("light")
    );
    let wrong = store
        .setting::<u32>("theme")
        .await
        .expect_err("it is no number");
    assert!(
        matches!(
            wrong,
            StoreError::Row {
                table: "setting",
                ..
            }
        ),
        "{wrong}"
    );

    store
        .put_draft("setup", &json!({ "step": 2 }), 5)
        .await
        .unwrap();
    assert_eq!(
        store.draft("setup").await.unwrap(),
        Some(json!({ "step": 2 }))
    );
    assert!(store.delete_draft("setup").await.unwrap());
    assert!(!store.delete_draft("setup").await.unwrap());
}

#[tokio::test]
async fn what_is_deleted_is_not_found_in_the_file() {
    let (folder, store) = store().await;
    let words = "the words that nobody may find ".repeat(1000);
    store.put_setting("draft", &words).await.expect("kept");
    store.put_setting("draft", &"").await.expect("replaced");
    store.close().await;
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path().join("data")).expect("listed") {
        let bytes = std::fs::read(entry.expect("a file").path()).expect("read");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("the words that nobody may find"));
        files += 1;
    }
    assert!(files > 0);
}
