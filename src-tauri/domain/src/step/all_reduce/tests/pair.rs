//! Two engines in memory, whose containers print what a test says, and a run of the step over them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::super::*;
use crate::container::ContainerState;
use crate::launch::samples;
use crate::machine::Facts;
use crate::network::verdict::{Measured, Method, judge};
use crate::network::{Rail, RailEnd};
use crate::ports::{ContainerError, Containers, DockerInfo, Image, MachineError, PullProgress};
use crate::problem::Problem;
use crate::run::{Outcome, ReadOnly, RunOutcome, RunState};
use crate::step::doubles::{Nftables, Server, TestRun, machine};
use crate::step::services::{DynStep, Services};

/// How a container of a test goes on after its start.
#[derive(Clone)]
pub(super) struct Play {
    pub(super) prints: Vec<String>,
    /// `None` runs for ever.
    pub(super) ends: Option<i64>,
}

/// An engine with containers by name.
pub(super) struct Docker {
    pub(super) play: Mutex<Play>,
    pub(super) containers: Mutex<BTreeMap<String, ContainerState>>,
    pub(super) started: Mutex<Vec<ContainerSpec>>,
    pub(super) refuses: Mutex<Option<&'static str>>,
    pub(super) removed: Mutex<usize>,
    /// Whether the engine is out of reach.
    pub(super) lost: AtomicBool,
}

impl Docker {
    fn here(&self) -> Result<(), ContainerError> {
        if self.lost.load(Ordering::Relaxed) {
            let during = "looking at the container".into();
            return Err(MachineError::Lost { during }.into());
        }
        Ok(())
    }
    pub(super) fn put(&self, name: &str, labels: Vec<(String, String)>, ends: Option<i64>) {
        let state = ContainerState {
            id: name.into(),
            image_id: "sha256:1".into(),
            running: ends.is_none(),
            exit_code: ends,
            oom_killed: false,
            labels,
        };
        self.containers.lock().unwrap().insert(name.into(), state);
    }
}

#[async_trait]
impl Containers for Docker {
    async fn engine(&self) -> Result<DockerInfo, ContainerError> {
        panic!("the engine is not asked")
    }
    async fn image(&self, name: &str) -> Result<Option<Image>, ContainerError> {
        panic!("{name} is not looked up")
    }
    async fn pull(
        &self,
        name: &str,
        _: &mut (dyn FnMut(PullProgress) + Send),
    ) -> Result<(), ContainerError> {
        panic!("{name} is not pulled")
    }
    async fn remove_image(&self, name: &str) -> Result<bool, ContainerError> {
        panic!("{name} stays")
    }
    async fn start(&self, spec: &ContainerSpec) -> Result<String, ContainerError> {
        if let Some(detail) = *self.refuses.lock().unwrap() {
            return Err(ContainerError::Refused {
                act: "start the container",
                detail: detail.into(),
            });
        }
        let name = spec.name.clone();
        if self.containers.lock().unwrap().contains_key(&name) {
            return Err(ContainerError::NameTaken { name });
        }
        self.started.lock().unwrap().push(spec.clone());
        self.put(&name, spec.labels.clone(), self.play.lock().unwrap().ends);
        Ok(name)
    }
    async fn inspect(&self, name: &str) -> Result<Option<ContainerState>, ContainerError> {
        self.here()?;
        Ok(self.containers.lock().unwrap().get(name).cloned())
    }
    async fn logs(&self, _: &str, _: usize) -> Result<Vec<String>, ContainerError> {
        Ok(self.play.lock().unwrap().prints.clone())
    }
    async fn follow(
        &self,
        _: &str,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<(), ContainerError> {
        let play = self.play.lock().unwrap().clone();
        play.prints.iter().for_each(|line| on_line(line));
        Ok(())
    }
    async fn remove(&self, name: &str) -> Result<bool, ContainerError> {
        *self.removed.lock().unwrap() += 1;
        Ok(self.containers.lock().unwrap().remove(name).is_some())
    }
}

pub(super) fn started(backend: &str, torch: &str) -> String {
    format!(r#"{{"all-reduce": "started", "backend": "{backend}", "torch": "{torch}"}}"#)
}

pub(super) const MET: &str = r#"{"all-reduce": "met"}"#;

/// A whole log of NCCL's at this speed.
pub(super) fn nccl(gbps: f64, network: &str) -> Play {
    let size = 1u64 << 30;
    let measured = format!(
        r#"{{"all-reduce": "measured", "size": {size}, "count": 20, "seconds": 0.05, "algorithm_gbps": {gbps}, "bus_gbps": {gbps}, "wrong": 0}}"#
    );
    let network = format!("spark:1:1 [0] NCCL INFO Using network {network}");
    Play {
        prints: vec![
            started("nccl", "2.11.0"),
            MET.into(),
            network,
            measured,
            r#"{"all-reduce": "done"}"#.into(),
        ],
        ends: Some(0),
    }
}

pub(super) fn plan() -> NetworkPlan {
    let end = |last: u8| RailEnd {
        interface: "enp1s0f1np1".into(),
        address: format!("192.168.100.{last}"),
        rdma: Some("rocep1s0f1".into()),
    };
    NetworkPlan {
        rails: vec![Rail {
            prefix: 24,
            ends: vec![end(10), end(11)],
        }],
        mtu: 9000,
        adopted: None,
    }
}

/// What the steps before left: a look, the image, and a wire that carries this much.
struct LeftBefore {
    step: &'static str,
    receipt: Value,
}

#[async_trait]
impl ReadOnly<Services> for LeftBefore {
    fn plan(&self) -> StepPlan {
        StepPlan {
            id: StepId(self.step.into()),
            title: String::new(),
            will: String::new(),
            exactly: Vec::new(),
            undo: String::new(),
            privileged: false,
        }
    }
    async fn check(&self, _: &StepContext) -> Result<StepCheck, StepError> {
        Ok(StepCheck::AlreadyDone {
            found: String::new(),
            receipt: self.receipt.clone(),
        })
    }
}

pub(super) struct Pair {
    pub(super) dockers: [Arc<Docker>; 2],
    pub(super) run: TestRun,
    /// When the wire was measured.
    pub(super) wire_at: Mutex<i64>,
}

impl Pair {
    pub(super) fn new(play: [Play; 2]) -> Self {
        let dockers = play.map(|play| {
            Arc::new(Docker {
                play: Mutex::new(play),
                containers: Mutex::default(),
                started: Mutex::default(),
                refuses: Mutex::default(),
                removed: Mutex::default(),
                lost: AtomicBool::new(false),
            })
        });
        Self {
            dockers,
            run: TestRun::default(),
            wire_at: Mutex::new(0),
        }
    }

    pub(super) fn steps(&self) -> Vec<Arc<DynStep>> {
        let launch = LaunchPlan {
            env: vec![("NCCL_ALGO".into(), "Ring".into())],
            ..samples::plan(2, Some(&plan()))
        };
        let measured = [(Some(0), 109.0), (Some(1), 109.0), (None, 196.0)];
        let measured = measured.map(|(rail, gbps)| Measured {
            method: Method::Rdma,
            rail,
            from: Some(0),
            gbps,
        });
        let wire = LinkReport {
            verdict: judge(&measured, None).unwrap(),
            measured: measured.into(),
            simulated: false,
            at: *self.wire_at.lock().unwrap(),
            all_reduce: None,
        };
        let before = [
            (ids::FACTS, value(&vec![Facts::default(), Facts::default()])),
            (ids::LINK_TEST, json!({"report": wire})),
            (ids::IMAGE, json!({"id": "sha256:1", "size": 1})),
        ];
        let before = before.map(|(step, receipt)| Arc::new(LeftBefore { step, receipt }));
        let mut steps: Vec<Arc<DynStep>> = Vec::new();
        for step in before {
            steps.push(step);
        }
        let plan = plan();
        steps.push(Arc::new(AllReduceTest {
            launch: Arc::new(launch),
            plan,
        }));
        steps
    }

    pub(super) fn driver(&self) -> crate::step::services::Driver {
        let server = Arc::new(Server::default());
        let machines = ["a", "b"].iter().zip(&self.dockers).map(|(name, docker)| {
            let mut machine = machine(name, Arc::new(Nftables::default()), &server);
            machine.containers = docker.clone();
            machine
        });
        let machines = machines.collect();
        self.run.driver(self.steps(), machines)
    }

    pub(super) async fn state(&self) -> RunState {
        self.run.state().await
    }

    pub(super) async fn receipt(&self) -> AllReduceReceipt {
        let step = self.state().await.step(&StepId::of::<AllReduceReceipt>());
        stored(&step.receipt.expect("it left one")).unwrap()
    }

    pub(super) async fn words(&self) -> String {
        self.state()
            .await
            .step(&StepId::of::<AllReduceReceipt>())
            .summary
            .unwrap_or_default()
    }

    /// Runs it to its problem.
    pub(super) async fn fails(&self) -> Problem {
        assert_eq!(
            self.driver().go().await,
            Outcome::Finished(RunOutcome::Failed)
        );
        self.nothing_is_left();
        let state = self.state().await;
        state
            .step(&StepId::of::<AllReduceReceipt>())
            .problem
            .expect("it says why")
    }

    pub(super) async fn completes(&self) {
        let outcome = self.driver().go().await;
        assert_eq!(outcome, Outcome::Finished(RunOutcome::Completed));
        self.nothing_is_left();
    }

    pub(super) fn nothing_is_left(&self) {
        for docker in &self.dockers {
            assert!(docker.containers.lock().unwrap().is_empty());
        }
    }
}

pub(super) fn both(play: Play) -> [Play; 2] {
    [play.clone(), play]
}
