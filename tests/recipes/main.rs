//! The set-up on the lab: to done; again, with nothing to do; killed after each write; undone.

mod disk_check;
mod faults;
mod held;
mod image;
mod link;
mod network;
mod outside;
mod shares;
mod stage;

use std::os::unix::process::ExitStatusExt;

use tandem_domain::graft::mtp_method::MtpMethod;
use tandem_domain::run::{Event, RunOutcome, Status};
use tandem_tests::bed::Bed;
use tandem_tests::{Lab, Snapshot, Spark, USER};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, differences, snapshots};

#[tokio::test(flavor = "multi_thread")]
async fn to_done_again_with_nothing_to_do_and_undone() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let (lab, hub) = (&stage.lab, &stage.hub);
    // A login of the person's, and on one machine a cache on another disk, to which only `hub` leads.
    for spark in Spark::BOTH {
        let there =
            "mkdir -p .cache/huggingface && echo hf_of_the_person > .cache/huggingface/token";
        must_as_user(lab, spark, there).await;
    }
    let elsewhere = "mkdir other-disk && ln -s ~/other-disk .cache/huggingface/hub";
    must_as_user(lab, Spark::B, elsewhere).await;
    let before = snapshots(lab).await;
    let mut listened = Vec::new();
    for spark in Spark::BOTH {
        listened.push(outside::listeners(lab, spark).await);
    }
    let first = stage.bed().await;

    let stop = CancellationToken::new();
    let (outcome, seen) = tokio::join!(
        async {
            let outcome = first.go().await;
            stop.cancel();
            outcome
        },
        outside::watch(lab, stop.clone())
    );
    assert_eq!(
        outcome,
        RunOutcome::Completed,
        "to done:\n{}",
        first.told().await
    );
    eprintln!("{}", first.told().await);
    assert_eq!(
        seen.answered,
        Default::default(),
        "nothing but SSH answers from another network"
    );
    // The store of the all-reduce and of the server, and the copy: what there was to be found.
    let on = |what: &str| seen.listened.iter().any(|l| l.contains(what));
    assert!(
        on("spark-a: 192.168.100.10:29501") && on("spark-a: 0.0.0.0:29501"),
        "{:?}",
        seen.listened
    );
    assert_eq!(
        outside::scan().await,
        Vec::<String>::new(),
        "while it serves"
    );
    for spark in Spark::BOTH {
        // As the server's own process sees it.
        let pid = ["docker", "inspect", "-f", "{{.State.Pid}}", "tandem-vllm"];
        let pid = lab.must(spark, &pid).await.expect("it runs");
        let home = format!("/proc/{}/root/root/.cache/huggingface", pid.trim());
        let inside = lab.must(spark, &["find", &home]).await;
        let inside = inside.expect("it is looked into");
        assert!(inside.contains("config.json"), "{inside}");
        let is_login = |line: &str| line.ends_with("/token") || line.ends_with("/stored_tokens");
        assert!(!inside.lines().any(is_login), "a login: {inside}");
    }

    let done = snapshots(lab).await;
    let fetched = hub.counters().read().cdn_bytes;
    let again = first.clone().begin("r2").await;
    assert_eq!(
        again.go().await,
        RunOutcome::Completed,
        "again:\n{}",
        again.told().await
    );
    for (id, step) in &again.state().await.steps {
        assert_eq!(
            step.status,
            Status::AlreadyDone,
            "`{id}` finds nothing to do:\n{}",
            again.told().await
        );
    }
    let now = snapshots(lab).await;
    let touched = differences(&done, &now, Snapshot::touched);
    assert!(
        touched.is_empty(),
        "a run with nothing to do touches nothing:\n{}",
        touched.join("\n")
    );
    assert_eq!(
        hub.counters().read().cdn_bytes,
        fetched,
        "no weights were fetched again"
    );

    // The second run did nothing, so undoing it leaves the server alone; undoing the first takes all back.
    assert_eq!(
        again.undo().await,
        RunOutcome::Undone,
        "{}",
        again.told().await
    );
    let touched = differences(&done, &snapshots(lab).await, Snapshot::touched);
    assert!(
        touched.is_empty(),
        "undoing a run that did nothing does nothing:\n{}",
        touched.join("\n")
    );
    assert_eq!(
        first.undo().await,
        RunOutcome::Undone,
        "undone:\n{}",
        first.told().await
    );
    let left = differences(&before, &snapshots(lab).await, Snapshot::changes);
    assert!(
        left.is_empty(),
        "both machines are as they were:\n{}",
        left.join("\n")
    );
    for (spark, before) in Spark::BOTH.into_iter().zip(&listened) {
        let now = outside::listeners(lab, spark).await;
        assert_eq!(now, *before, "{} listens as it did before", spark.name());
    }
    assert_eq!(outside::scan().await, Vec::<String>::new(), "after undo");
    assert_eq!(
        hub.counters().read().violations,
        Vec::<String>::new(),
        "the Hub saw nothing it must not"
    );
}

/// Runs a line of shell in the home of the machines' user, as that user.
async fn must_as_user(lab: &Lab, spark: Spark, line: &str) {
    let line = format!("cd && {line}");
    let words = ["su", "-", USER, "-c", &line];
    lab.must(spark, &words).await.expect("it is done");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_each_write_then_resumed_and_undone() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let lab = &stage.lab;
    let before = snapshots(lab).await;
    // With a draft of its own; the other tests take the way that is proposed.
    let mut bed = stage.bed().await;
    let graft = bed.setup.launch.graft.as_mut();
    graft.expect("it drafts").way = Some(MtpMethod::Draft);
    let bed = bed.begin("draft").await;
    let lives = live_on(&bed, "go").await;
    let done = bed.state().await;
    assert_eq!(
        done.outcome,
        Some(RunOutcome::Completed),
        "life after life to the end:\n{}",
        bed.told().await
    );
    assert!(
        lives >= done.steps.len(),
        "it died at least once in every step, {lives} times in all"
    );
    let told = bed.told().await;
    assert!(told.contains("A draft of 51 MTP tensors"), "{told}");
    let lives = live_on(&bed, "undo").await;
    assert_eq!(
        bed.state().await.outcome,
        Some(RunOutcome::Undone),
        "{}",
        bed.told().await
    );
    assert!(
        lives >= 8,
        "it died in the undoing of every step that undoes, {lives} times in all"
    );
    let left = differences(&before, &snapshots(lab).await, Snapshot::changes);
    assert!(
        left.is_empty(),
        "both machines are as they were:\n{}",
        left.join("\n")
    );
}

/// Starts the app without its window again and again until the run has ended; gives back how often it died.
async fn live_on(bed: &Bed, way: &str) -> usize {
    let file = bed.save();
    for deaths in 0..120 {
        let life = tokio::process::Command::new(env!("CARGO_BIN_EXE_one-life"))
            .arg(&file)
            .arg(way)
            .output();
        let life = life.await.expect("it starts");
        if life.status.signal() != Some(9) {
            let ended = bed
                .events()
                .await
                .last()
                .is_some_and(|e| matches!(e.event, Event::Finished { .. }));
            assert!(
                life.status.success() && ended,
                "a life that is not killed ends the run: {}\n{}",
                String::from_utf8_lossy(&life.stderr),
                bed.told().await
            );
            return deaths;
        }
    }
    panic!("the run never ended:\n{}", bed.told().await);
}
