//! The private link's step alone, on the lab: whatever happens in the middle, both machines end as they
//! were or as planned, and never between.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::problem::{Code, Problem};
use tandem_domain::recipe::network::AddressLink;
use tandem_domain::run::{Driver, Event, RunEvent, RunOutcome, Status, StepId};
use tandem_tests::bed::{Bed, request};
use tandem_tests::{Lab, Link, Snapshot, Spark, enabled, until};
use tokio_util::sync::CancellationToken;

use crate::{differences, snapshots};

const FILE: &str = "/etc/netplan/90-tandem.yaml";
const FOLDER: &str = "/var/lib/tandem-network";

struct Stage {
    lab: Lab,
    folder: tempfile::TempDir,
    before: Vec<Snapshot>,
}

impl Stage {
    async fn set() -> Self {
        let lab = Lab::start().await.expect("the lab starts");
        let folder = tempfile::tempdir().expect("a folder");
        let before = snapshots(&lab).await;
        Self {
            lab,
            folder,
            before,
        }
    }

    /// A run of which only this step is carried out, so that no Hub is needed.
    async fn bed(&self, run: &str) -> Bed {
        let nowhere = "http://10.77.0.1:1".to_owned();
        let folder = self.folder.path().join(run);
        std::fs::create_dir_all(&folder).expect("a folder of its own");
        Bed::new(&folder, request(nowhere)).await
    }

    /// Both machines are as they were, with nothing of ours left.
    async fn as_before(&self, what: &str) {
        let looked = until(what, Duration::from_secs(40), || async {
            let left = self.left().await;
            let armed = self.armed(Spark::A).await || self.armed(Spark::B).await;
            (left.is_empty() && !armed).then_some(())
        });
        if let Err(error) = looked.await {
            panic!("{error}: {:#?}", self.left().await);
        }
    }

    async fn left(&self) -> Vec<String> {
        differences(&self.before, &snapshots(&self.lab).await, Snapshot::changes)
    }

    async fn armed(&self, spark: Spark) -> bool {
        let found = self.lab.exec(spark, &["test", "-e", FOLDER]).await;
        found.is_ok_and(|f| f.ok())
    }

    async fn has_file(&self, spark: Spark) -> bool {
        let found = self.lab.exec(spark, &["test", "-e", FILE]).await;
        found.is_ok_and(|f| f.ok())
    }

    /// Somebody writes a file of their own on the second machine.
    async fn write(&self, path: &str, text: &str) {
        let cat = "cat > \"$0\" && chmod 600 \"$0\"";
        let argv = ["sh", "-c", cat, path];
        let written = self.lab.exec_with(Spark::B, &argv, text.as_bytes());
        assert!(written.await.expect("it runs").ok(), "it is written");
    }

    /// Waits until the file is there, and so the change under way.
    async fn changing(&self, spark: Spark) {
        let changed = until("the change to begin", Duration::from_secs(30), || async {
            self.has_file(spark).await.then_some(())
        });
        changed.await.expect("the change begins");
    }
}

async fn driver(bed: &Bed, delay: u64) -> Driver {
    let journal = Arc::new(bed.store().await);
    let mut driver = bed.driver(journal, CancellationToken::new()).await;
    let plan = bed.request.network.clone().expect("a plan for two");
    let names = Spark::BOTH.map(|s| s.name().to_owned()).to_vec();
    let step = AddressLink::new(plan, names).putting_back_after(Duration::from_secs(delay));
    driver.steps = vec![Arc::new(step)];
    driver
}

async fn go(bed: &Bed, delay: u64) {
    driver(bed, delay).await.go().await;
}

async fn status(bed: &Bed) -> Status {
    bed.state().await.step(&StepId("network".into())).status
}

/// Runs into a fault and gives back what the person is told.
async fn told(bed: &Bed) -> Problem {
    go(bed, 90).await;
    let outcome = bed.state().await.outcome;
    assert_eq!(outcome, Some(RunOutcome::Failed), "{}", bed.told().await);
    bed.problem().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_before_the_change_changes_nothing() {
    if !enabled() {
        return;
    }
    let mut stage = Stage::set().await;
    let broken = "/etc/netplan/60-broken.yaml";
    stage.write(broken, "network:\n\tversion 2\n").await;
    let with_it = snapshots(&stage.lab).await;
    let bed = stage.bed("broken").await;
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::NetplanRefused, "{problem}");
    assert!(
        format!("{problem:?}").contains("60-broken"),
        "the file is named: {problem:?}"
    );
    assert_eq!(problem.machine.as_deref(), Some("spark-b"));
    let changed = differences(&with_it, &snapshots(&stage.lab).await, Snapshot::changes);
    assert!(changed.is_empty(), "nothing was changed: {changed:#?}");
    stage
        .lab
        .must(Spark::B, &["rm", broken])
        .await
        .expect("it goes");

    let foreign = "/etc/netplan/40-cx7.yaml";
    stage
        .write(
            foreign,
            "network:\n  version: 2\n  ethernets:\n    enp1s0f1np1:\n      dhcp4: no\n",
        )
        .await;
    let bed = stage.bed("foreign").await;
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::NetworkPlan, "{problem}");
    assert!(
        problem
            .cause
            .as_deref()
            .is_some_and(|c| c.contains(foreign)),
        "{problem}"
    );
    assert_eq!(status(&bed).await, Status::Waiting, "it never began");
    stage
        .lab
        .must(Spark::B, &["rm", foreign])
        .await
        .expect("it goes");
    stage.as_before("nothing to be changed").await;

    // Somebody else on the same cable has the address that is meant for A.
    let add = [
        "ip",
        "addr",
        "add",
        "192.168.100.10/24",
        "dev",
        "enp1s0f1np1",
    ];
    stage.lab.must(Spark::B, &add).await.expect("it is taken");
    stage.before = snapshots(&stage.lab).await;
    let bed = stage.bed("taken").await;
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::NetworkPlan, "{problem}");
    let cause = problem.cause.clone().unwrap_or_default();
    assert!(
        cause.contains("192.168.100.10") && cause.contains("MAC"),
        "{problem}"
    );
    stage
        .as_before("nothing to be changed by a taken address")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_or_cut_off_in_the_middle_the_machines_heal_and_it_goes_on() {
    if !enabled() {
        return;
    }
    let stage = Stage::set().await;

    // The app dies while both machines change: dropping the future is what a kill does to it.
    let bed = stage.bed("killed").await;
    let going = tokio::spawn({
        let bed = bed.clone();
        async move { go(&bed, 8).await }
    });
    stage.changing(Spark::A).await;
    going.abort();
    assert!(stage.armed(Spark::A).await, "it died before it confirmed");
    stage
        .as_before("the machines to heal after the app was killed")
        .await;

    // The machine is cut off before it could be confirmed, for longer than the other waits.
    let going = tokio::spawn({
        let bed = bed.clone();
        async move { go(&bed, 8).await }
    });
    stage.changing(Spark::B).await;
    stage
        .lab
        .cut(Link::Management(Spark::B))
        .await
        .expect("it is cut");
    let alone = until(
        "the machine to heal alone",
        Duration::from_secs(40),
        || async {
            let busy = stage.has_file(Spark::B).await || stage.armed(Spark::B).await;
            (!busy).then_some(())
        },
    );
    alone.await.expect("it heals while nobody can reach it");
    stage
        .lab
        .mend(Link::Management(Spark::B))
        .await
        .expect("it is mended");
    going.await.expect("the run ends");
    assert_eq!(
        bed.state().await.outcome,
        Some(RunOutcome::Failed),
        "{}",
        bed.told().await
    );
    stage
        .as_before("no half to be left by the run that was cut off")
        .await;

    // And it goes on to the end, stays, and is taken back.
    go(&bed, 8).await;
    assert_eq!(status(&bed).await, Status::Verified, "{}", bed.told().await);
    let timer = ["systemctl", "is-active", "tandem-restore-network.timer"];
    let timer = stage.lab.exec(Spark::A, &timer).await.expect("it answers");
    assert_eq!(timer.stdout.trim(), "inactive", "no timer waits any more");
    assert!(
        stage.has_file(Spark::A).await && stage.has_file(Spark::B).await,
        "confirmed, it stays"
    );
    assert!(
        !stage.armed(Spark::A).await,
        "nothing of the switch is left"
    );
    driver(&bed, 8).await.undo().await;
    assert_eq!(status(&bed).await, Status::Undone, "{}", bed.told().await);
    stage.as_before("undo to restore").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_or_restarts_takes_the_other_back() {
    if !enabled() {
        return;
    }
    let stage = Stage::set().await;

    // The cable does not carry full packets, which shows after both were changed.
    stage
        .lab
        .shrink(Link::SecondTwin, 1500)
        .await
        .expect("it is shrunk");
    let bed = stage.bed("half").await;
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::LinkFails, "{problem}");
    stage.as_before("both to be taken back").await;
    stage
        .lab
        .shrink(Link::SecondTwin, 9216)
        .await
        .expect("it is as before");

    // netplan fails on one machine only, after the other was changed.
    let broken = "#!/bin/sh\n[ \"$1\" = apply ] && [ -e /etc/netplan/90-tandem.yaml ] && { echo no >&2; exit 1; }\nexec /usr/sbin/netplan \"$@\"\n";
    let put = [
        "sh",
        "-c",
        "cat > /usr/local/sbin/netplan && chmod 755 /usr/local/sbin/netplan",
    ];
    let put = stage.lab.exec_with(Spark::B, &put, broken.as_bytes());
    assert!(put.await.expect("it is written").ok());
    let bed = stage.bed("one").await;
    let problem = told(&bed).await;
    assert_eq!(problem.code, Code::NetplanRefused, "{problem}");
    stage
        .lab
        .must(Spark::B, &["rm", "/usr/local/sbin/netplan"])
        .await
        .expect("it goes");
    stage
        .as_before("one machine's failure to take back both")
        .await;

    // A machine restarts in the middle, and its timer with it: the start puts everything back.
    let going = tokio::spawn({
        let bed = bed.clone();
        async move { go(&bed, 600).await }
    });
    stage.changing(Spark::B).await;
    stage
        .lab
        .must(Spark::B, &["systemctl", "--force", "reboot", "--no-block"])
        .await
        .expect("it restarts");
    going.await.expect("the run ends");
    let outcome = bed.state().await.outcome;
    stage.lab.wait_booted(Spark::B).await.expect("it is back");
    let applied = |e: &RunEvent| matches!(e.event, Event::Applied { .. });
    assert_eq!(outcome, Some(RunOutcome::Failed), "{}", bed.told().await);
    assert!(
        !bed.events().await.iter().any(applied),
        "it was never called done"
    );
    stage.as_before("a restart to put everything back").await;
}
