//! Whatever happens in the middle of the change, both machines end as they were or as planned.

use std::time::Duration;

use tandem_domain::problem::Code;
use tandem_domain::run::{Event, RunEvent, RunOutcome, Status};
use tandem_tests::{Link, Spark, until};

use crate::network::{driver, go, status, told};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn killed_or_cut_off_in_the_middle_the_machines_heal_and_it_goes_on() {
    let Some(stage) = Stage::remembered().await else {
        return;
    };

    // The app dies while both machines change: dropping the future is what a kill does to it.
    let bed = stage.bed_of("killed").await;
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
    let Some(stage) = Stage::remembered().await else {
        return;
    };

    // The cable does not carry full packets, which shows after both were changed.
    stage
        .lab
        .shrink(Link::SecondTwin, 1500)
        .await
        .expect("it is shrunk");
    let bed = stage.bed_of("half").await;
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
    let bed = stage.bed_of("one").await;
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
