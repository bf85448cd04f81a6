//! What goes wrong on the way, on the lab: each fault is told as what it is, nothing is lost, and the
//! run goes on or is taken back.

use std::time::Duration;

use tandem_domain::ports::Command;
use tandem_domain::problem::{Code, Problem};
use tandem_domain::run::{Event, RunEvent, RunOutcome, Status, StepId};
use tandem_domain::secret::Secret;
use tandem_rehearsal::hub::faults::{Fault, FaultKind};
use tandem_tests::bed::Bed;
use tandem_tests::{Link, PASSWORD, Spark, until};
use tokio_util::sync::CancellationToken;

use crate::stage::Stage;

/// Runs into a fault and gives back what the person is told.
async fn told(bed: &Bed) -> Problem {
    let outcome = bed.go().await;
    assert_eq!(
        outcome,
        RunOutcome::Failed,
        "it is noticed:\n{}",
        bed.told().await
    );
    let problem = bed.problem().await;
    assert!(problem.cause.is_some(), "it says why: {problem}");
    problem
}

/// Goes on after the fault was mended.
async fn goes_on(bed: &Bed) {
    assert_eq!(
        bed.go().await,
        RunOutcome::Completed,
        "it goes on:\n{}",
        bed.told().await
    );
}

async fn status(bed: &Bed, step: &str) -> Status {
    bed.state().await.step(&StepId(step.into())).status
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_come_in_is_told_why() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let bed = stage.bed().await;

    let mut wrong = bed.clone();
    wrong.password = Some("not this".into());
    assert_eq!(told(&wrong).await.code, Code::WrongPassword);

    let mut keyless = bed.clone();
    keyless.password = None;
    assert_eq!(told(&keyless).await.code, Code::KeyRefused);

    let mut twice = bed.clone();
    twice.sparks = vec![0, 0];
    let twice = twice.begin("twice").await;
    assert_eq!(told(&twice).await.code, Code::SameMachineTwice);
    let applying = |e: &RunEvent| matches!(e.event, Event::Applying { .. });
    assert!(
        !twice.events().await.iter().any(applying),
        "nothing was changed"
    );

    stage.lab.stop_sshd(Spark::B).await.expect("sshd stops");
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::Unreachable, "{problem}");
    assert_eq!(
        problem.machine.as_deref(),
        Some("spark-b"),
        "the one that is silent is named"
    );
    stage.lab.start_sshd(Spark::B).await.expect("sshd starts");

    stage
        .lab
        .swap_host_key(Spark::A)
        .await
        .expect("the key changes");
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::HostKeyChanged, "{problem}");
    let keys = stage
        .lab
        .must(
            Spark::A,
            &["sh", "-c", "cat /home/nvidia/.ssh/authorized_keys || true"],
        )
        .await;
    assert_eq!(
        keys.expect("it is read").trim(),
        "",
        "nothing was sent to a machine with another key"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_may_not_do_is_told() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let bed = stage.bed().await;
    for spark in Spark::BOTH {
        stage.lab.revoke_sudo(spark).await.expect("sudo goes");
    }
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::SudoRefused, "{problem}");
    assert_eq!(
        status(&bed, "key").await,
        Status::Verified,
        "what was done before stands"
    );
    for spark in Spark::BOTH {
        stage.lab.grant_sudo(spark).await.expect("sudo comes back");
    }

    // The key is in place, so a new start of the app needs no password to log in, but sudo does.
    let mut restarted = bed.clone();
    restarted.password = None;
    let problem = told(&restarted).await;
    assert_eq!(problem.code, Code::SudoPasswordNeeded, "{problem}");

    stage.lab.stop_docker(Spark::B).await.expect("Docker stops");
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::DockerNotRunning, "{problem}");
    assert_eq!(problem.machine.as_deref(), Some("spark-b"));
    stage
        .lab
        .start_docker(Spark::B)
        .await
        .expect("Docker starts");
    goes_on(&bed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hub_refuses_is_told_and_a_cut_link_only_delays() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let bed = stage.bed().await;

    stage
        .hub
        .fault(Fault::new(FaultKind::MissingRepo).at("Step-3.7-Flash-NVFP4"));
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::RepositoryMissing, "{problem}");
    stage.hub.faults().clear();

    let journal = std::sync::Arc::new(bed.store().await);
    let mut driver = bed.driver(journal, CancellationToken::new()).await;
    driver.services.hub_token = Some(Secret::new("hf_not_this_one"));
    stage.hub.fault(Fault::new(FaultKind::KnownTokens {
        tokens: vec!["hf_good".into()],
    }));
    driver.go().await;
    let problem = bed.problem().await;
    assert_eq!(problem.code, Code::HubToken, "{problem}");
    stage.hub.faults().clear();
    let written = format!("{:?}", bed.events().await);
    assert!(
        !written.contains("hf_not_this_one"),
        "the token is in no event"
    );
    for spark in Spark::BOTH {
        let found = stage
            .lab
            .exec(spark, &["grep", "-rl", "hf_not_this_one", "/home/nvidia"])
            .await;
        assert_eq!(
            found.expect("grep runs").stdout,
            "",
            "the token is on no disk"
        );
    }

    let going = stage.fetching(&bed, &CancellationToken::new()).await;
    stage
        .lab
        .cut(Link::Management(Spark::A))
        .await
        .expect("the link is cut");
    stage
        .lab
        .drop_sessions(Spark::B)
        .await
        .expect("sessions are dropped");
    stage.hub.faults().clear();
    stage
        .lab
        .mend(Link::Management(Spark::A))
        .await
        .expect("the link is mended");
    let outcome = going.await.expect("the run ends");
    if outcome != RunOutcome::Completed {
        // A cut that lasts longer than the run waits for ends it with words, and it goes on later.
        let code = bed.problem().await.code;
        assert!(
            matches!(code, Code::ConnectionLost | Code::Unreachable),
            "{}",
            bed.told().await
        );
        goes_on(&bed).await;
    }
    let whole: u64 = stage
        .hub
        .counters()
        .read()
        .files
        .values()
        .map(|f| f.bytes)
        .sum();
    assert!(whole > 0, "the Hub counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_restarts_in_the_middle_goes_on() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let bed = stage.bed().await;
    let going = stage.fetching(&bed, &CancellationToken::new()).await;
    stage.lab.reboot(Spark::B).await.expect("it restarts");
    stage.hub.faults().clear();
    let outcome = going.await.expect("the run ends");
    // The fetch goes on by itself; the private link's addresses come back from netplan.
    if outcome != RunOutcome::Completed {
        goes_on(&bed).await;
    }
    assert_eq!(
        status(&bed, "validate-mtp").await,
        Status::Verified,
        "{}",
        bed.told().await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_disk_a_taken_port_and_a_foreign_container_stop_it_before_harm() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let bed = stage.bed().await;
    stage
        .lab
        .fill_disk(Spark::A, 1_000_000)
        .await
        .expect("the disk fills");
    let problem = told(&bed).await;
    assert!(
        matches!(problem.code, Code::DiskTooSmall | Code::DiskFull),
        "{problem}"
    );
    assert_eq!(problem.machine.as_deref(), Some("spark-a"));
    stage
        .lab
        .free_disk(Spark::A)
        .await
        .expect("the disk is freed");

    stage
        .lab
        .listen(Spark::A, 8000)
        .await
        .expect("something listens");
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::PortTaken, "{problem}");
    assert!(
        problem.cause.as_deref().is_some_and(|c| c.contains("8000")),
        "{problem}"
    );
    stage.lab.unlisten(Spark::A, 8000).await.expect("it stops");

    let image = bed.setup.launch.image.name.clone();
    let run = [
        "docker",
        "run",
        "-d",
        "--name",
        "tandem-vllm",
        "--entrypoint",
        "vllm",
        &image,
        "--help",
    ];
    stage
        .lab
        .must(Spark::B, &run)
        .await
        .expect("somebody's container");
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::ContainerForeign, "{problem}");
    let there = stage
        .lab
        .must(
            Spark::B,
            &["docker", "ps", "-aq", "--filter", "name=tandem-vllm"],
        )
        .await;
    assert_ne!(
        there.expect("docker answers").trim(),
        "",
        "it was left alone"
    );
    stage
        .lab
        .must(Spark::B, &["docker", "rm", "-f", "tandem-vllm"])
        .await
        .expect("it is removed");
    goes_on(&bed).await;

    // A container of ours that ended is only a leftover: a new run starts over it.
    stage
        .lab
        .must(Spark::B, &["docker", "kill", "tandem-vllm"])
        .await
        .expect("our rank dies");
    let again = bed.clone().begin("r2").await;
    goes_on(&again).await;
    assert_eq!(
        status(&again, "launch-mtp").await,
        Status::Verified,
        "it was launched anew"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_in_the_middle_it_keeps_what_is_there_and_goes_on() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let bed = stage.bed().await;
    let cancel = CancellationToken::new();
    let going = stage.fetching(&bed, &cancel).await;
    cancel.cancel();
    assert_eq!(
        going.await.expect("it ends"),
        RunOutcome::Cancelled,
        "{}",
        bed.told().await
    );
    let stopped = bed.events().await.iter().any(|e| e.event == Event::Stopped);
    assert!(stopped, "the step says that it was stopped");
    stage.hub.faults().clear();
    let worker = until("the worker ends", Duration::from_secs(20), || async {
        let found = stage
            .lab
            .exec(Spark::A, &["pgrep", "-f", "tandem-node work"])
            .await;
        found.is_ok_and(|f| !f.ok()).then_some(())
    })
    .await;
    worker.expect("no worker goes on after a cancel");
    goes_on(&bed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_on_a_command_line_or_in_the_journal() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let bed = stage.bed().await;
    let machines = bed.machines();
    let seen = machines[0]
        .shell
        .exec(&Command::new("ps", ["-ewwo", "args"]).sudo())
        .await
        .expect("ps runs as root");
    assert!(
        seen.ok() && !seen.text().contains(PASSWORD),
        "the password is in no process's arguments"
    );
    assert!(machines[0].shell.name() == "spark-a", "it was that machine");
    goes_on(&bed).await;
    let database =
        std::fs::read(stage.folder.path().join("tandem.db")).expect("the database is read");
    let wal = std::fs::read(stage.folder.path().join("tandem.db-wal")).unwrap_or_default();
    for bytes in [database, wal] {
        let found = bytes
            .windows(PASSWORD.len())
            .any(|w| w == PASSWORD.as_bytes());
        assert!(!found, "the password is not in the database");
    }
}
