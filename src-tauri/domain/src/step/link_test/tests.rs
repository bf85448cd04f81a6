//! When the link is measured and when what is known will do.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::*;
use crate::network::{Rail, RailEnd};
use crate::ports::{Command, MachineError};
use crate::run::{RunOutcome, Status, StepState};
use crate::step::doubles::{Commanded, Server, TestRun, finished, machine};
use crate::step::services::DynStep;

/// A machine over whose link RDMA carries what a test says.
struct Spark {
    carries: Mutex<f64>,
    mark: Mutex<&'static str>,
    /// What the mark becomes while it is measured.
    drawn: Mutex<Option<&'static str>>,
}

impl Commanded for Spark {
    fn run(&self, command: &Command) -> Result<String, MachineError> {
        let said = match command.program.as_str() {
            "cat" => self.mark.lock().unwrap().to_owned(),
            "ib_write_bw" => String::new(),
            "timeout" => {
                if let Some(mark) = self.drawn.lock().unwrap().take() {
                    *self.mark.lock().unwrap() = mark;
                }
                format!(
                    " #bytes #iterations BW peak[Gb/sec] BW average[Gb/sec] MsgRate[Mpps]\n 65536 10 0.00 {} 0.1\n",
                    self.carries.lock().unwrap()
                )
            }
            _ => serde_json::to_string(&Facts::default()).unwrap(),
        };
        Ok(said)
    }
}

struct Link {
    both: [Arc<Spark>; 2],
    server: Arc<Server>,
}

const MARK: &str = "boot-1\n2\n2\n";

impl Link {
    fn new(carries: f64) -> Self {
        let spark = || {
            Arc::new(Spark {
                carries: Mutex::new(carries),
                mark: Mutex::new(MARK),
                drawn: Mutex::default(),
            })
        };
        Self {
            both: [spark(), spark()],
            server: Arc::default(),
        }
    }

    fn carries(&self, gbps: f64) {
        for spark in &self.both {
            *spark.carries.lock().unwrap() = gbps;
        }
    }

    /// One life of the run; gives back how it stands and what it left.
    async fn run(&self, why: MeasureReason, run: &TestRun) -> (Status, Option<LinkTestReceipt>) {
        let (outcome, step) = self.go(why, run).await;
        assert_eq!(outcome, RunOutcome::Completed);
        let receipt = step.receipt.and_then(|r| serde_json::from_value(r).ok());
        (step.status, receipt)
    }

    async fn go(&self, why: MeasureReason, run: &TestRun) -> (RunOutcome, StepState) {
        let rail = |name: &str| Rail {
            prefix: 24,
            ends: ["192.168.100.10", "192.168.100.11"]
                .map(|address| RailEnd {
                    interface: name.into(),
                    address: address.into(),
                    rdma: Some("roce".into()),
                })
                .to_vec(),
        };
        let plan = NetworkPlan {
            rails: vec![rail("enp1s0f1np1"), rail("enP2p1s0f1np1")],
            mtu: 9000,
            adopted: None,
        };
        let machines = self.both.iter().zip(["spark-a", "spark-b"]);
        let machines = machines.map(|(m, name)| machine(name, m.clone(), &self.server));
        let step: Arc<DynStep> = Arc::new(LinkTest { plan, why });
        let driver = run.driver(vec![step], machines.collect());
        let outcome = finished(driver.go().await);
        let step = run.step(&StepId::of::<LinkTestReceipt>()).await;
        (outcome, step)
    }

    async fn once(&self, why: MeasureReason) -> (Status, Option<LinkTestReceipt>) {
        self.run(why, &TestRun::default()).await
    }
}

#[tokio::test]
async fn a_set_up_takes_over_what_has_not_changed_since() {
    let link = Link::new(98.0);
    let (status, receipt) = link.once(MeasureReason::Asked).await;
    assert_eq!(status, Status::Verified);
    let earlier = receipt.expect("a report");
    assert_eq!(earlier.report.verdict.state, LinkState::Good);
    assert_eq!(earlier.mark, [MARK, MARK]);

    link.carries(13.0);
    let (status, receipt) = link
        .once(MeasureReason::InPassing(Some(earlier.clone())))
        .await;
    assert_eq!(status, Status::AlreadyDone, "no plug was drawn");
    assert_eq!(receipt.map(|r| r.report), Some(earlier.report.clone()));

    *link.both[1].mark.lock().unwrap() = "boot-1\n4\n2\n";
    let (status, receipt) = link
        .once(MeasureReason::InPassing(Some(earlier.clone())))
        .await;
    assert_eq!(status, Status::Verified, "a plug was drawn since");
    let state = receipt.map(|r| r.report.verdict.state);
    assert_eq!(state, Some(LinkState::HotPlug), "and it is measured anew");

    *link.both[1].mark.lock().unwrap() = "";
    let unknown = LinkTestReceipt {
        mark: Vec::new(),
        ..earlier
    };
    let (status, _) = link.once(MeasureReason::InPassing(Some(unknown))).await;
    assert_eq!(
        status,
        Status::Verified,
        "what is not known is not the same"
    );
}

#[tokio::test]
async fn a_slow_link_is_measured_again() {
    let link = Link::new(13.0);
    let (_, receipt) = link.once(MeasureReason::Asked).await;
    let (status, _) = link.once(MeasureReason::InPassing(receipt)).await;
    assert_eq!(status, Status::Verified, "it may have been cured");
}

#[tokio::test]
async fn beside_a_server_only_who_asks_gets_a_number() {
    let link = Link::new(98.0);
    link.server.0.store(true, Ordering::Relaxed);
    let (status, receipt) = link.once(MeasureReason::InPassing(None)).await;
    assert_eq!(status, Status::AlreadyDone);
    assert!(receipt.is_none(), "nothing was measured");
    let run = TestRun::default();
    let (status, receipt) = link.run(MeasureReason::Asked, &run).await;
    assert_eq!(status, Status::Verified);
    assert!(receipt.is_some(), "it was measured");
    let said = run.log();
    assert!(said.contains("may come out lower"), "{said}");
}

#[tokio::test]
async fn every_run_that_is_asked_to_measures() {
    let link = Link::new(98.0);
    let run = TestRun::default();
    link.run(MeasureReason::Asked, &run).await;
    link.carries(13.0);
    let (_, again) = link.run(MeasureReason::Asked, &run).await;
    let state = again.map(|r| r.report.verdict.state);
    assert_eq!(state, Some(LinkState::Good), "one run measures once");
    let (_, anew) = link.once(MeasureReason::Asked).await;
    let state = anew.map(|r| r.report.verdict.state);
    assert_eq!(state, Some(LinkState::HotPlug), "another one anew");
}

#[tokio::test]
async fn a_cable_that_is_drawn_in_the_middle_is_no_slow_link() {
    let link = Link::new(13.0);
    *link.both[0].drawn.lock().unwrap() = Some("boot-1\n3\n2\n");
    let run = TestRun::default();
    let (outcome, step) = link.go(MeasureReason::InPassing(None), &run).await;
    assert_eq!(outcome, RunOutcome::Failed);
    let problem = step.problem.expect("it says what happened");
    assert_eq!(problem.code, Code::LinkFails);
    let cause = problem.cause.clone().unwrap_or_default();
    assert!(cause.contains("pulled the cable out"), "{problem}");
    assert_eq!(problem.retry, Retry::Now);

    // It sits again.
    link.carries(98.0);
    let (_, receipt) = link.run(MeasureReason::InPassing(None), &run).await;
    let state = receipt.map(|r| r.report.verdict.state);
    assert_eq!(state, Some(LinkState::Good));
}
