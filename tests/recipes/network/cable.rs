//! The cable is drawn: in the middle of the change, and in the middle of a measurement. And what is
//! measured where the RDMA tool is missing.

use std::time::Duration;

use tandem_domain::network::verdict::{LinkState, Measured, Method};
use tandem_domain::problem::{Code, Retry};
use tandem_domain::run::{Status, StepId};
use tandem_domain::step::link_test::LinkTestReceipt;
use tandem_tests::bed::Bed;
use tandem_tests::{Link, Spark, until};

use crate::network::{driver, failed, go, only, status, status_of};
use crate::stage::Stage;

const TOOL: &str = "/usr/bin/ib_write_bw";

#[tokio::test(flavor = "multi_thread")]
async fn a_cable_drawn_in_the_middle_is_told_and_it_goes_on_once_it_sits() {
    let Some(stage) = Stage::remembered().await else {
        return;
    };
    let bed = stage.bed_of("drawn").await;
    drawn_while_it_changes(&stage, &bed).await;

    // It sits again, and the same run goes on to the end.
    stage.lab.mend(Link::Cable).await.expect("it is pushed in");
    stage.as_before("both to be as they were").await;
    go(&bed, 90).await;
    assert_eq!(status(&bed).await, Status::Verified, "{}", bed.told().await);

    let ready = bed.clone().begin("prove").await;
    let steps = ["key", "program", "prove"];
    drawn_while_it_measures(&stage, &ready).await;
    stage.lab.mend(Link::Cable).await.expect("it is pushed in");
    let addressed = until("the addresses", Duration::from_secs(20), || async {
        let said = stage.lab.exec(Spark::A, &["ip", "-4", "addr"]).await.ok()?;
        said.stdout.contains("192.168.101.10/24").then_some(())
    });
    addressed.await.expect("they come back with the carrier");
    only(&ready, &steps).await.go().await;
    let proved = measured(&ready).await;
    assert_eq!(proved.report.verdict.state, LinkState::Good);
    assert!(proved.report.simulated, "the tool is a stand-in");

    without_the_tool(&stage, &ready).await;

    only(&ready, &steps).await.undo().await;
    driver(&bed, 90).await.undo().await;
    assert_eq!(status(&bed).await, Status::Undone, "{}", bed.told().await);
    stage.as_before("undo to restore").await;
}

async fn drawn_while_it_changes(stage: &Stage, bed: &Bed) {
    let going = tokio::spawn({
        let bed = bed.clone();
        async move { go(&bed, 90).await }
    });
    stage.changing(Spark::A).await;
    stage.lab.cut(Link::Cable).await.expect("it is drawn");
    going.await.expect("the run ends");
    let problem = failed(bed).await;
    assert_eq!(problem.code, Code::LinkFails, "{problem}");
    assert_eq!(problem.retry, Retry::Now, "{problem}");
    let fix = problem.fix.as_ref().map(|f| f.sentence.as_str());
    assert!(fix.is_some_and(|f| f.contains("cable")), "{problem}");
    for spark in Spark::BOTH {
        assert!(!stage.has_file(spark).await, "no file is left");
        assert!(!stage.armed(spark).await, "nothing of the switch is left");
    }
}

async fn drawn_while_it_measures(stage: &Stage, ready: &Bed) {
    let going = tokio::spawn({
        let ready = ready.clone();
        async move {
            let steps = ["key", "program", "prove"];
            only(&ready, &steps).await.go().await;
        }
    });
    let measuring = until("the measurement", Duration::from_secs(60), || async {
        let asked = ["pgrep", "-f", "ib_write_bw.* 192.168.100.11"];
        let found = stage.lab.exec(Spark::A, &asked).await;
        found.is_ok_and(|f| f.ok()).then_some(())
    });
    measuring.await.expect("it is measured");
    stage.lab.cut(Link::Cable).await.expect("it is drawn");
    going.await.expect("the run ends");
    let problem = failed(ready).await;
    assert_eq!(problem.code, Code::LinkFails, "{problem}");
    assert!(
        problem
            .cause
            .as_deref()
            .is_some_and(|c| c.contains("pulled")),
        "{problem}"
    );
    assert_eq!(problem.retry, Retry::Now, "{problem}");
    for spark in Spark::BOTH {
        assert!(stage.has_file(spark).await, "what was done before stands");
    }
}

/// Without the tool on one of them, TCP is measured by our own program, for real: every rail by itself,
/// of which one is held up here, and both together, in both directions.
async fn without_the_tool(stage: &Stage, ready: &Bed) {
    let aside = format!("{TOOL}.aside");
    stage
        .lab
        .must(Spark::B, &["mv", TOOL, &aside])
        .await
        .expect("it goes");
    stage
        .lab
        .rate(Link::FirstTwin, Some(300))
        .await
        .expect("it is held up");
    let bed = ready.clone().begin("tcp").await;
    only(&bed, &["prove"]).await.go().await;
    let report = measured(&bed).await.report;
    assert!(
        report.measured.iter().all(|m| m.method == Method::Tcp),
        "{report:?}"
    );
    let of = |rail: Option<u32>| -> Vec<f64> {
        let mut all: Vec<&Measured> = report.measured.iter().filter(|m| m.rail == rail).collect();
        all.sort_by_key(|m| m.from);
        let from: Vec<_> = all.iter().map(|m| m.from).collect();
        assert_eq!(from, [Some(0), Some(1)], "both directions of {rail:?}");
        all.iter().map(|m| m.gbps).collect()
    };
    let (first, second, both) = (of(Some(0)), of(Some(1)), of(None));
    for gbps in &first {
        assert!(
            (0.15..=0.4).contains(gbps),
            "300 Mb/s are let through, {first:?}"
        );
    }
    for ((second, first), both) in second.iter().zip(&first).zip(&both) {
        assert!(*second > 4.0 * first, "the other rail is free: {report:?}");
        assert!(*both > *first, "both carry more than the slow one");
    }
    assert!(!report.simulated, "this was really sent");
    assert_eq!(report.verdict.method, Method::Tcp);
    assert_ne!(report.verdict.state, LinkState::Good, "{report:?}");
    assert!(!report.verdict.cure.is_empty(), "{report:?}");
    stage
        .lab
        .rate(Link::FirstTwin, None)
        .await
        .expect("it is free");
    stage
        .lab
        .must(Spark::B, &["mv", &aside, TOOL])
        .await
        .expect("it is back");
    only(&bed, &["prove"]).await.undo().await;
}

/// What the step left.
async fn measured(bed: &Bed) -> LinkTestReceipt {
    assert_eq!(
        status_of(bed, "prove").await,
        Status::Verified,
        "{}",
        bed.told().await
    );
    let state = bed.state().await;
    let receipt = state.step(&StepId::of::<LinkTestReceipt>()).receipt;
    serde_json::from_value(receipt.expect("it left one")).expect("its own")
}
