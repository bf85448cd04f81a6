//! What is wrong is seen before anything changes, and nothing changes then.

use tandem_domain::network::NetworkPlan;
use tandem_domain::problem::{Code, Problem};
use tandem_domain::run::{RunOutcome, Status};
use tandem_tests::bed::Bed;
use tandem_tests::{PASSWORD, Snapshot, Spark};

use crate::network::{failed, only, status, told};
use crate::stage::{Stage, differences, snapshots};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_before_the_change_changes_nothing() {
    let Some(stage) = Stage::remembered().await else {
        return;
    };
    a_file_that_netplan_cannot_read(&stage).await;
    a_file_that_names_a_port(&stage).await;
    an_address_that_is_taken(&stage).await;

    // With Tandem's key and program there, what the user may do and what was planned show by themselves.
    let ready = stage.bed_of("ready").await;
    let steps = ["key", "program"];
    only(&ready, &steps).await.go().await;
    let outcome = ready.state().await.outcome;
    assert_eq!(
        outcome,
        Some(RunOutcome::Completed),
        "{}",
        ready.told().await
    );
    let with_them = snapshots(&stage.lab).await;
    let unchanged = async |what: &str| {
        let changed = differences(&with_them, &snapshots(&stage.lab).await, Snapshot::changes);
        assert!(changed.is_empty(), "{what}: {changed:#?}");
    };
    plans_that_cannot_be(&ready).await;
    unchanged("a refused plan changes nothing").await;
    a_user_without_sudo(&stage, &ready).await;
    unchanged("without sudo nothing changes").await;
    three_wrong_passwords(&stage, &ready).await;
    unchanged("wrong passwords change nothing, and undo the rest").await;
    only(&ready, &steps).await.undo().await;
    stage.as_before("the key and the program to go").await;
}

async fn a_file_that_netplan_cannot_read(stage: &Stage) {
    let broken = "/etc/netplan/60-broken.yaml";
    stage
        .write(Spark::B, broken, "network:\n\tversion 2\n")
        .await;
    let with_it = snapshots(&stage.lab).await;
    let bed = stage.bed_of("broken").await;
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::NetplanRefused, "{problem}");
    assert!(
        format!("{problem:?}").contains("60-broken"),
        "the file is named: {problem:?}"
    );
    assert_eq!(problem.machine.as_deref(), Some("spark-b"));
    let changed = differences(&with_it, &snapshots(&stage.lab).await, Snapshot::changes);
    assert!(changed.is_empty(), "nothing was changed: {changed:#?}");
    remove(stage, broken).await;
}

async fn a_file_that_names_a_port(stage: &Stage) {
    let foreign = "/etc/netplan/40-cx7.yaml";
    let text = "network:\n  version: 2\n  ethernets:\n    enp1s0f1np1:\n      dhcp4: no\n";
    stage.write(Spark::B, foreign, text).await;
    let bed = stage.bed_of("foreign").await;
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::NetworkPlan, "{problem}");
    assert!(because(&problem, foreign), "{problem}");
    assert_eq!(status(&bed).await, Status::Waiting, "it never began");
    remove(stage, foreign).await;
    stage.as_before("nothing to be changed").await;
}

/// Somebody else on the same cable has the address that is meant for A.
async fn an_address_that_is_taken(stage: &Stage) {
    let with = |act| ["ip", "addr", act, "192.168.100.10/24", "dev", "enp1s0f1np1"];
    stage
        .lab
        .must(Spark::B, &with("add"))
        .await
        .expect("it is taken");
    let bed = stage.bed_of("taken").await;
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::NetworkPlan, "{problem}");
    assert!(
        because(&problem, "192.168.100.10") && because(&problem, "MAC"),
        "{problem}"
    );
    stage
        .lab
        .must(Spark::B, &with("del"))
        .await
        .expect("it is free");
    stage
        .as_before("nothing to be changed by a taken address")
        .await;
}

/// A name, what spoils the plan, and what is said of it then.
type Case<'a> = (&'a str, &'a dyn Fn(&mut NetworkPlan), &'a str);

/// Choices that only somebody who changes the plan by hand can make, held against the machines as this
/// run has seen them.
async fn plans_that_cannot_be(ready: &Bed) {
    let on = |plan: &mut NetworkPlan, rail: usize, addresses: [&str; 2]| {
        for (end, address) in plan.rails[rail].ends.iter_mut().zip(addresses) {
            end.address = address.into();
        }
    };
    let cases: [Case<'_>; 7] = [
        (
            "overlap",
            &|p| on(p, 0, ["10.77.0.50", "10.77.0.51"]),
            "collides with 10.77.0.0/24",
        ),
        (
            "shared",
            &|p| on(p, 1, ["192.168.100.20", "192.168.100.21"]),
            "share the subnet 192.168.100.0/24",
        ),
        (
            "public",
            &|p| on(p, 0, ["9.9.9.1", "9.9.9.2"]),
            "9.9.9.1 is a public address",
        ),
        (
            "six",
            &|p| on(p, 0, ["fd00::1", "fd00::2"]),
            "`fd00::1` is not an IPv4 address",
        ),
        ("small", &|p| p.mtu = 576, "MTU 576 is outside"),
        ("large", &|p| p.mtu = 16_000, "MTU 16000 is outside"),
        (
            "management",
            &|p| p.rails[0].ends[1].interface = "enP7s7".into(),
            "`enP7s7` on `spark-b` is how you reach the machine",
        ),
    ];
    for (name, spoil, cause) in cases {
        let mut bed = ready.clone();
        spoil(bed.setup.launch.network.as_mut().expect("a plan for two"));
        let bed = bed.begin(name).await;
        only(&bed, &["look", "network"]).await.go().await;
        let problem = failed(&bed).await;
        assert_eq!(problem.code, Code::NetworkPlan, "{name}: {problem}");
        assert!(because(&problem, cause), "{name}: {problem}");
        assert!(problem.fix.is_some(), "{name} has a cure: {problem}");
        assert_eq!(status(&bed).await, Status::Waiting, "{name} never began");
    }
}

async fn a_user_without_sudo(stage: &Stage, ready: &Bed) {
    stage.lab.revoke_sudo(Spark::B).await.expect("sudo goes");
    let bed = ready.clone().begin("nosudo").await;
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::SudoRefused, "{problem}");
    assert_eq!(problem.machine.as_deref(), Some("spark-b"));
    assert_eq!(status(&bed).await, Status::Waiting, "it never began");
    stage.lab.grant_sudo(Spark::B).await.expect("it comes back");
}

/// Each wrong one is told and asked for again, and is tried once and no more: a machine may lock out who
/// guesses too often.
async fn three_wrong_passwords(stage: &Stage, ready: &Bed) {
    let mut bed = ready.clone().begin("passwords").await;
    let earlier = refusals(stage).await;
    for (attempt, word) in (1..).zip(["not this", "nor that", "spark-lab "]) {
        bed.password = Some(word.into());
        let problem = told(&bed).await;
        assert_eq!(problem.code, Code::WrongPassword, "{problem}");
        let fix = problem.fix.as_ref().map(|f| f.sentence.as_str());
        assert!(
            fix.is_some_and(|f| f.contains("Type the password")),
            "it asks again: {problem}"
        );
        assert_eq!(status(&bed).await, Status::Waiting, "it never began");
        let tried: Vec<usize> = refusals(stage).await;
        let tried: Vec<usize> = tried.iter().zip(&earlier).map(|(t, e)| t - e).collect();
        assert_eq!(tried, [attempt, attempt], "tries so far on each machine");
        let events = format!("{:?}", bed.events().await);
        assert!(!events.contains(word), "no password is written down");
    }
    bed.password = Some(PASSWORD.into());
    let mut driver = only(&bed, &["network"]).await;
    driver.go().await;
    assert_eq!(status(&bed).await, Status::Verified, "{}", bed.told().await);
    driver = only(&bed, &["network"]).await;
    driver.undo().await;
    assert_eq!(status(&bed).await, Status::Undone, "{}", bed.told().await);
}

/// How often sudo has refused a password on each machine.
async fn refusals(stage: &Stage) -> Vec<usize> {
    let mut all = Vec::new();
    for spark in Spark::BOTH {
        let asked = ["journalctl", "-q", "--no-pager", "-o", "cat", "-t", "sudo"];
        let said = stage
            .lab
            .must(spark, &asked)
            .await
            .expect("the journal is read");
        let refused = said
            .lines()
            .filter(|l| l.contains("authentication failure"));
        all.push(refused.count());
    }
    all
}

async fn remove(stage: &Stage, path: &str) {
    stage
        .lab
        .must(Spark::B, &["rm", path])
        .await
        .expect("it goes");
}

fn because(problem: &Problem, words: &str) -> bool {
    problem.cause.as_deref().is_some_and(|c| c.contains(words))
}
