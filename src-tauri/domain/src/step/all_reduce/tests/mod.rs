//! The step against engines in memory.

mod pair;

use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::container::{ContainerState, LABEL};
use crate::network::verdict::Method;
use crate::network::verdict::perftest::STAND_IN;
use crate::problem::Code;
use crate::run::{Outcome, RunOutcome, Status};
use crate::step::doubles::TestRun;
use pair::{MET, Pair, Play, both, nccl, started};

#[tokio::test]
async fn a_good_one_is_told_and_its_containers_are_given_the_link_as_the_server_is() {
    let pair = Pair::new(both(nccl(186.9, "IB")));
    pair.completes().await;
    let words = pair.words().await;
    assert_eq!(
        words,
        "The link carries what it should. 187 Gb/s in an all-reduce, where 175 to 200 is expected. NCCL used RDMA."
    );
    let report = pair.receipt().await.report.expect("judged");
    assert_eq!(report.measured.len(), 4, "the wire's and this one");
    assert_eq!(report.measured[3].method, Method::AllReduce);
    assert!(!report.simulated);
    for (rank, docker) in pair.dockers.iter().enumerate() {
        let started = docker.started.lock().unwrap();
        let spec = &started[0];
        assert_eq!(
            spec.entrypoint.as_deref(),
            Some(&["python3".to_owned()][..])
        );
        assert_eq!(spec.mounts, [], "nothing of the machine is seen inside");
        assert_eq!(spec.devices, ["/dev/infiniband"]);
        assert!(spec.gpus && spec.host_network && spec.rdma_limits);
        assert!(owned::label(&docker_state(spec)).is_some());
        let has = |name: &str, value: &str| {
            let mut env = spec.env.iter();
            env.any(|(n, v)| n == name && v == value)
        };
        assert!(has("NCCL_IB_HCA", "rocep1s0f1") && has("NCCL_NET", "IB"));
        assert!(has("NCCL_SOCKET_IFNAME", "enp1s0f1np1") && has("NCCL_DEBUG", "INFO"));
        assert!(
            has("NCCL_ALGO", "Ring"),
            "what the server is given counts here too"
        );
        let words = spec.command.join(" ");
        assert!(words.contains(&format!("--node-rank {rank} --nnodes 2")));
        assert!(words.contains("--master-addr 192.168.100.10 --master-port 29501"));
    }
    assert_eq!(
        pair.driver().undo().await,
        Outcome::Finished(RunOutcome::Undone)
    );
}

fn docker_state(spec: &ContainerSpec) -> ContainerState {
    ContainerState {
        id: String::new(),
        image_id: String::new(),
        running: false,
        exit_code: None,
        oom_killed: false,
        labels: spec.labels.clone(),
    }
}

#[tokio::test]
async fn a_slow_one_and_one_over_sockets_are_warnings_with_a_cure() {
    for (gbps, network, state) in [
        (24.0, "IB", LinkState::HotPlug),
        (15.9, "Socket", LinkState::SocketFallback),
    ] {
        let pair = Pair::new(both(nccl(gbps, network)));
        pair.completes().await;
        let report = pair.receipt().await.report.expect("judged");
        assert_eq!(report.verdict.state, state);
        let words = pair.words().await;
        assert!(words.contains(&report.verdict.cure), "{words}");
        let said = pair.run.log();
        assert!(said.contains("Warning: "), "{said}");
    }
}

#[tokio::test]
async fn a_good_one_is_not_repeated_but_a_slow_one_and_one_on_an_older_wire_are() {
    let pair = Pair::new(both(nccl(186.9, "IB")));
    pair.completes().await;
    pair.completes().await;
    assert_eq!(pair.dockers[0].started.lock().unwrap().len(), 1);
    // The wire was measured again since, perhaps with another cable.
    *pair.wire_at.lock().unwrap() = 2_000;
    let fresh = Pair {
        run: TestRun::default(),
        ..pair
    };
    fresh.completes().await;
    assert_eq!(fresh.dockers[0].started.lock().unwrap().len(), 2);
    let slow = Pair::new(both(nccl(24.0, "IB")));
    slow.completes().await;
    for docker in &slow.dockers {
        *docker.play.lock().unwrap() = nccl(186.9, "IB");
    }
    slow.completes().await;
    let report = slow.receipt().await.report.expect("judged");
    assert_eq!(
        report.verdict.state,
        LinkState::Good,
        "it was cured meanwhile"
    );
}

#[tokio::test]
async fn a_stand_in_and_processors_say_what_they_are_and_judge_nothing() {
    let mut play = nccl(3.0, "");
    play.prints[0] = started("gloo", STAND_IN);
    let pair = Pair::new(both(play));
    pair.completes().await;
    let words = pair.words().await;
    assert!(words.starts_with("Simulated: the two containers exchange data. "));
    let report = pair.receipt().await.report.expect("of the wire");
    assert!(report.simulated);
    assert_eq!(report.verdict.method, Method::Rdma);
}

#[tokio::test]
async fn ranks_that_never_meet_are_a_firewall_and_a_hang_afterwards_is_not() {
    let hangs = |prints: &[&str]| Play {
        prints: prints.iter().map(|p| (*p).to_owned()).collect(),
        ends: None,
    };
    let start = started("nccl", "2.11");
    let problem = Pair::new(both(hangs(&[&start]))).fails().await;
    assert_eq!(problem.code, Code::LinkFails);
    let cause = problem.cause.unwrap();
    assert!(
        cause.contains("`b` did not reach 192.168.100.10:29501 on `a`"),
        "{cause}"
    );
    let fix = problem.fix.unwrap();
    assert_eq!(
        fix.command.as_deref(),
        Some("sudo ufw allow in on enp1s0f1np1")
    );

    let problem = Pair::new(both(hangs(&[&start, MET]))).fails().await;
    let cause = problem.cause.unwrap();
    assert!(cause.starts_with("The two met, but"), "{cause}");
    assert!(problem.fix.unwrap().sentence.contains("MTU"));

    // So the program ends itself where a firewall lets the first port through and no other.
    let ends = Play {
        ends: Some(1),
        ..hangs(&[&start, MET, "Timeout (0:02:00)!"])
    };
    let problem = Pair::new(both(ends)).fails().await;
    let cause = problem.cause.unwrap();
    assert!(
        cause.contains("no collective came to its end within 120 s"),
        "{cause}"
    );
    assert!(
        problem
            .details
            .iter()
            .any(|d| d.contains("Timeout (0:02:00)!"))
    );

    // PyTorch's own words for a head that is not reached.
    let last = "torch.distributed.DistNetworkError: The client socket has timed out after 60000ms while trying to connect to (192.168.100.10, 29501).";
    let ends = Play {
        ends: Some(1),
        ..hangs(&[&start, last])
    };
    let problem = Pair::new([hangs(&[&start]), ends]).fails().await;
    assert!(
        problem
            .cause
            .unwrap()
            .contains("did not reach 192.168.100.10:29501")
    );
    assert!(
        problem
            .details
            .iter()
            .any(|d| d.contains("DistNetworkError"))
    );

    let problem = Pair::new([hangs(&[&start]), hangs(&[])]).fails().await;
    assert_eq!(problem.machine.as_deref(), Some("b"));
    assert!(problem.cause.unwrap().contains("PyTorch did not start"));
}

#[tokio::test]
async fn one_that_fails_ends_both_and_its_own_words_are_the_cause() {
    let fails = |line: &str| Play {
        prints: vec![started("nccl", "2.11"), MET.into(), line.into()],
        ends: Some(1),
    };
    let waits = Play {
        prints: vec![started("nccl", "2.11"), MET.into()],
        ends: None,
    };
    let problem = |line| {
        let pair = Pair::new([waits.clone(), fails(line)]);
        async move { pair.fails().await }
    };
    let devices = problem("b:1:1 [0] NCCL INFO NET/IB : No device found.").await;
    assert_eq!(devices.machine.as_deref(), Some("b"));
    assert_eq!(
        devices.fix.unwrap().command.as_deref(),
        Some("ls /dev/infiniband")
    );
    let interface = problem("b:1:1 [0] NCCL WARN Bootstrap : no socket interface found").await;
    assert!(
        interface
            .cause
            .unwrap()
            .contains("interface of the private link is missing")
    );
    let port = problem("RuntimeError: code: -98, name: EADDRINUSE").await;
    assert_eq!(port.code, Code::PortTaken);
    let unknown = problem("Segmentation fault").await;
    assert!(unknown.details.iter().any(|d| d == "b: Segmentation fault"));
    assert!(
        unknown
            .details
            .iter()
            .any(|d| d == "It ended on `b` with 1")
    );
    for told in [&interface.message, &port.message, &unknown.message] {
        assert_eq!(
            told,
            "No all-reduce came through between the two containers."
        );
    }
}

#[tokio::test]
async fn wrong_sums_stop_the_set_up() {
    let mut play = nccl(186.9, "IB");
    play.prints[3] = play.prints[3].replace(r#""wrong": 0"#, r#""wrong": 7"#);
    let problem = Pair::new(both(play)).fails().await;
    assert!(problem.cause.unwrap().starts_with("7 elements"));
}

#[tokio::test]
async fn an_image_without_pytorch_is_told_and_stops_nothing() {
    let without = Play {
        prints: vec!["ModuleNotFoundError: No module named 'torch'".into()],
        ends: Some(1),
    };
    let pair = Pair::new(both(without));
    pair.completes().await;
    assert!(pair.words().await.starts_with("Not measured:"));
    let pair = Pair::new(both(nccl(186.9, "IB")));
    let refusal = "exec: \"python3\": executable file not found in $PATH";
    *pair.dockers[0].refuses.lock().unwrap() = Some(refusal);
    pair.completes().await;
    assert_eq!(pair.receipt().await.all_reduce, None);
    *pair.dockers[0].refuses.lock().unwrap() = Some("no such runtime: nvidia");
    let problem = pair.fails().await;
    assert!(problem.cause.unwrap().contains("no such runtime"));
}

#[tokio::test]
async fn cancelled_it_removes_both_containers_and_goes_on_later() {
    let waits = Play {
        prints: vec![started("nccl", "2.11")],
        ends: None,
    };
    let pair = Pair::new(both(waits));
    let driver = pair.driver();
    let cancel = async {
        while pair.dockers[0].started.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        pair.run.cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(driver.go(), cancel);
    assert_eq!(outcome, Outcome::Finished(RunOutcome::Cancelled));
    pair.nothing_is_left();
    assert_eq!(*pair.dockers[1].removed.lock().unwrap(), 1);
    for docker in &pair.dockers {
        *docker.play.lock().unwrap() = nccl(186.9, "IB");
    }
    let again = Pair {
        run: TestRun {
            cancel: CancellationToken::new(),
            ..pair.run
        },
        ..pair
    };
    again.completes().await;
}

#[tokio::test]
async fn what_a_killed_life_left_is_removed_by_the_next_and_by_undo() {
    let pair = Pair::new(both(nccl(186.9, "IB")));
    // It dies after the intent; its containers stand.
    pair.run.journal.writes_left(Some(4));
    let leave = |pair: &Pair| {
        for docker in &pair.dockers {
            docker.put(
                CONTAINER,
                vec![(LABEL.into(), "of a life before".into())],
                None,
            );
        }
    };
    assert!(matches!(pair.driver().go().await, Outcome::JournalLost(_)));
    pair.run.journal.writes_left(None);
    let step = pair.state().await.step(&StepId::of::<AllReduceReceipt>());
    assert_eq!(step.status, Status::Applying, "its end was never written");
    leave(&pair);
    pair.completes().await;
    leave(&pair);
    assert_eq!(
        pair.driver().undo().await,
        Outcome::Finished(RunOutcome::Undone)
    );
    pair.nothing_is_left();
}

#[tokio::test]
async fn a_container_of_its_name_that_is_anothers_stays_and_is_told() {
    let pair = Pair::new(both(nccl(186.9, "IB")));
    pair.dockers[1].put(CONTAINER, Vec::new(), None);
    let outcome = pair.driver().go().await;
    assert_eq!(outcome, Outcome::Finished(RunOutcome::Failed));
    let state = pair.state().await;
    let problem = state
        .step(&StepId::of::<AllReduceReceipt>())
        .problem
        .expect("told");
    assert_eq!(problem.code, Code::ContainerForeign);
    assert_eq!(problem.machine.as_deref(), Some("b"));
    assert!(
        pair.dockers[1]
            .containers
            .lock()
            .unwrap()
            .contains_key(CONTAINER)
    );
    assert!(pair.dockers[0].started.lock().unwrap().is_empty());
}

#[tokio::test]
async fn beside_a_server_that_runs_nothing_is_measured() {
    let pair = Pair::new(both(nccl(186.9, "IB")));
    pair.dockers[1].put(SERVER, vec![(LABEL.into(), "x".into())], None);
    let outcome = pair.driver().go().await;
    assert_eq!(outcome, Outcome::Finished(RunOutcome::Completed));
    assert!(
        pair.words()
            .await
            .contains("The model server uses the link")
    );
    assert!(pair.dockers[0].started.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_machine_lost_in_the_middle_is_its_own_problem() {
    let waits = Play {
        prints: vec![started("nccl", "2.11")],
        ends: None,
    };
    let pair = Pair::new(both(waits));
    let driver = pair.driver();
    let cut = async {
        while pair.dockers[0].started.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        pair.dockers[1].lost.store(true, Ordering::Relaxed);
    };
    let (outcome, ()) = tokio::join!(driver.go(), cut);
    assert_eq!(outcome, Outcome::Finished(RunOutcome::Failed));
    let step = pair.state().await.step(&StepId::of::<AllReduceReceipt>());
    assert_eq!(step.problem.map(|p| p.code), Some(Code::ConnectionLost));
    let said = pair.run.log();
    assert!(said.contains("Not removed yet: "), "{said}");
    // Back in reach, what was left is recognised.
    pair.dockers[1].lost.store(false, Ordering::Relaxed);
    for docker in &pair.dockers {
        *docker.play.lock().unwrap() = nccl(186.9, "IB");
    }
    pair.completes().await;
}

#[test]
fn the_plan_shows_the_container_and_the_program_it_runs() {
    let steps = Pair::new(both(nccl(1.0, "IB"))).steps();
    let shown = steps[3].plan().exactly;
    assert!(shown[0].starts_with("docker run -d --name tandem-all-reduce --gpus all"));
    assert!(shown[0].contains("python3") && shown[0].contains("-c PROGRAM --node-rank 0"));
    assert_eq!(shown[1], PROGRAM);
}
