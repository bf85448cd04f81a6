//! The step on machines that only say what they are told: who fetches, who copies, and what is done when
//! one of them cannot.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::artifact::{Artifact, ArtifactRole, Selection};
use crate::launch::samples;
use crate::network::{NetworkPlan, Rail, RailEnd};
use crate::node::{CopyTicket, NodeEvent, NodeLine, Serving};
use crate::ports::{Command, Machine, MachineError, Output, RemoteFile};
use crate::problem::Retry;
use crate::run::{RunOutcome, RunState};
use crate::secret::Secret;
use crate::step::doubles::{Server, TestRun, finished, machine};
use crate::step::ids;

mod shares;

/// How a job of a machine ends.
#[derive(Clone)]
enum End {
    Fails(Code),
    /// The same, after the other machine had its turns.
    Late(Code),
    /// Not until it is cancelled.
    Goes,
}

/// A machine with a node program that ends its jobs as it was told.
struct Node {
    own: &'static str,
    /// Whether it has everything at the start.
    complete: bool,
    /// Whether the Hub's own file is one that no fetch puts right.
    short_on_the_hub: bool,
    /// Whether what it copied is not what it was told.
    altered: bool,
    /// Bytes that a survey finds missing.
    missing: u64,
    /// What it gets from the Hub in MB/s: alone, and while the other reads too.
    line: Option<(f64, f64)>,
    /// What its job was asked to do before.
    begun: Option<NodeWork>,
    /// The requests of the jobs that were started on it.
    asked: Mutex<Vec<Value>>,
    /// The ends of its fetches and copies, in turn; when there is none left it is done.
    ends: Mutex<Vec<End>>,
    said: Mutex<Vec<String>>,
}

impl Node {
    fn new(own: &'static str, complete: bool, ends: Vec<End>) -> Arc<Self> {
        Arc::new(Self::plain(own, complete, ends))
    }

    fn plain(own: &'static str, complete: bool, ends: Vec<End>) -> Self {
        Self {
            own,
            complete,
            short_on_the_hub: false,
            altered: false,
            missing: 9,
            line: None,
            begun: None,
            asked: Mutex::default(),
            ends: Mutex::new(ends),
            said: Mutex::default(),
        }
    }

    fn say(&self, command: &Command) -> String {
        let line = command.args.join(" ");
        self.said.lock().unwrap().push(line.clone());
        line
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    fn end(&self) -> Option<End> {
        let mut ends = self.ends.lock().unwrap();
        (!ends.is_empty()).then(|| ends.remove(0))
    }

    /// How often a command with these words was given.
    fn heard(&self, words: &str) -> usize {
        self.said().iter().filter(|l| l.starts_with(words)).count()
    }
}

fn done(result: Value) -> NodeEvent {
    NodeEvent::Done { result }
}

fn failed(code: Code) -> NodeEvent {
    NodeEvent::Failed {
        problem: Problem::new(code, "No.").cause("So.").retry(Retry::Now),
    }
}

fn output(line: &impl Serialize) -> Output {
    Output {
        status: 0,
        stdout: serde_json::to_vec(line).unwrap(),
        stderr: Vec::new(),
    }
}

#[async_trait]
impl Machine for Node {
    fn name(&self) -> &str {
        self.own
    }

    async fn exec(&self, command: &Command) -> Result<Output, MachineError> {
        let line = self.say(command);
        if line.starts_with("copy serve") {
            return Ok(output(&Serving {
                addresses: vec!["192.168.100.10:41000".into()],
                token: "key".into(),
            }));
        }
        if line.starts_with("asked") {
            let state = json!({"job": "r-weights", "state": "ended", "last_seq": 0});
            return Ok(output(&match &self.begun {
                Some(work) => json!({"state": state, "work": work}),
                None => json!({"event": "failed"}),
            }));
        }
        if line.starts_with("start") {
            let request: Value = serde_json::from_slice(&command.stdin).unwrap();
            self.asked.lock().unwrap().push(request);
        }
        if line.starts_with("start copy") {
            let request: Value = serde_json::from_slice(&command.stdin).unwrap();
            let secret = Secret::new(request["token"].as_str().unwrap());
            let ticket = CopyTicket::open(&secret).expect("a copy is handed its ticket");
            assert_eq!(ticket.token, "key");
            assert!(!line.contains("key"), "a key is on no command line");
        }
        Ok(output(
            &json!({"job": "r-weights", "state": "started", "last_seq": 0}),
        ))
    }

    async fn lines(
        &self,
        command: &Command,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<Output, MachineError> {
        let line = self.say(command);
        let snapshot = json!({
            "commit": "c", "snapshot": format!("/{}", self.own), "files": 2, "bytes": 9,
        });
        let others = self
            .asked
            .lock()
            .unwrap()
            .last()
            .map_or(0, |asked| asked["others"].as_array().map_or(0, Vec::len));
        let mut receipt = snapshot.clone();
        receipt["others"] = vec![snapshot; others].into();
        receipt["fetched"] = json!(0);
        receipt["made"] = json!([]);
        let event = if line.starts_with("run check") {
            let after = self.heard("start") > 0;
            let fault = |kind: &str| json!({"name": "x", "kind": kind, "fault": "It is so."});
            let mut faults = Vec::from_iter((!self.complete && !after).then(|| fault("missing")));
            faults.extend(self.short_on_the_hub.then(|| fault("source")));
            let request: Value = serde_json::from_slice(&command.stdin).unwrap();
            let deep = request["deep"] == true;
            if deep {
                assert_eq!(request["only_copied"], true, "nothing is hashed twice");
                self.said.lock().unwrap().push("hashed".into());
                faults.extend(self.altered.then(|| fault("content")));
            }
            done(json!({
                "commit": "c", "snapshot": "/s", "files": 2, "bytes": 9, "faults": faults,
                "deep": deep, "unchecked": [], "repaired": [], "fetched": 0, "seconds": 0.1,
            }))
        } else if line == "run survey" {
            let survey = crate::node::Survey {
                missing: self.missing,
                ..Default::default()
            };
            done(serde_json::to_value(survey).unwrap())
        } else if line == "run probe" {
            self.probe(on_line);
            done(json!({"bytes": 1}))
        } else {
            match self.end() {
                None => done(receipt),
                Some(End::Fails(code)) => failed(code),
                Some(End::Late(code)) => {
                    for _ in 0..50 {
                        tokio::task::yield_now().await;
                    }
                    failed(code)
                }
                Some(End::Goes) => std::future::pending().await,
            }
        };
        on_line(
            &serde_json::to_string(&NodeLine {
                seq: 1,
                at: 0,
                event,
            })
            .unwrap(),
        );
        Ok(output(&()))
    }

    async fn read(&self, path: &str, _: bool) -> Result<Option<Vec<u8>>, MachineError> {
        panic!("nothing is read: {path}")
    }

    async fn write(&self, file: &RemoteFile) -> Result<(), MachineError> {
        panic!("nothing is written: {}", file.path)
    }

    async fn upload(
        &self,
        _: &std::path::Path,
        path: &str,
        _: u32,
        _: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), MachineError> {
        panic!("nothing is sent: {path}")
    }

    async fn reconnect(&self) {}
}

fn step(linked: bool) -> FetchWeights {
    let end = |address: &str| RailEnd {
        interface: "enp1s0f1np1".into(),
        address: address.into(),
        rdma: None,
    };
    let rail = |net: u8| Rail {
        prefix: 24,
        ends: vec![
            end(&format!("192.168.{net}.10")),
            end(&format!("192.168.{net}.11")),
        ],
    };
    let network = linked.then(|| NetworkPlan {
        rails: vec![rail(100), rail(101)],
        mtu: 9000,
        adopted: None,
    });
    FetchWeights {
        launch: Arc::new(samples::plan(2, network.as_ref())),
    }
}

/// Runs the step on both and gives back how it ended, where it stands and what was said.
async fn run(linked: bool, a: &Arc<Node>, b: &Arc<Node>) -> (RunOutcome, RunState, Vec<String>) {
    let docker = Arc::new(Server(AtomicBool::new(false)));
    let machines = vec![
        machine("spark-a", a.clone(), &docker),
        machine("spark-b", b.clone(), &docker),
    ];
    let run = TestRun::default();
    let driver = run.driver(vec![Arc::new(step(linked))], machines);
    let outcome = finished(driver.go().await);
    let (state, said) = (run.state().await, run.lines.lock().unwrap().clone());
    (outcome, state, said)
}

#[tokio::test]
async fn one_fetches_and_the_other_copies_from_it() {
    let (a, b) = (Node::new("a", false, vec![]), Node::new("b", false, vec![]));
    let (outcome, state, said) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Completed, "{said:?}");
    assert_eq!((a.heard("start fetch"), b.heard("start fetch")), (1, 0));
    assert_eq!((a.heard("start copy"), b.heard("start copy")), (0, 1));
    let serve = "copy serve --listen 192.168.100.10 --listen 192.168.101.10 --repo stepfun-ai/Step-3.7-Flash-NVFP4 --job r-weights";
    assert_eq!(a.heard(serve), 1, "{:?}", a.said());
    assert!(said.iter().any(|l| l.contains("fetches once")), "{said:?}");
    let receipt = state.steps[&StepId::from(ids::WEIGHTS)].receipt.clone();
    assert_eq!(receipt.unwrap()[1]["snapshot"], "/b");
}

#[tokio::test]
async fn the_one_that_has_everything_serves_and_receipts_keep_their_order() {
    let (a, b) = (Node::new("a", false, vec![]), Node::new("b", true, vec![]));
    let (outcome, state, said) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Completed, "{said:?}");
    assert_eq!(a.heard("start copy"), 1);
    assert_eq!(b.heard("copy serve --listen 192.168.100.11"), 1);
    let receipt = state.steps[&StepId::from(ids::WEIGHTS)]
        .receipt
        .clone()
        .unwrap();
    assert_eq!(
        (&receipt[0]["snapshot"], &receipt[1]["snapshot"]),
        (&json!("/a"), &json!("/b"))
    );
}

#[tokio::test]
async fn a_copy_that_breaks_off_goes_on_with_a_new_key_and_at_last_the_hub_helps() {
    let breaks = vec![End::Fails(Code::LinkFails); 2];
    let (a, b) = (Node::new("a", false, vec![]), Node::new("b", false, breaks));
    let (outcome, _, said) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Completed, "{said:?}");
    assert_eq!((a.heard("copy serve"), b.heard("start copy")), (3, 3));
    assert_eq!(b.heard("start fetch"), 0);

    let breaks = vec![End::Fails(Code::LinkFails); 4];
    let (a, b) = (Node::new("a", false, vec![]), Node::new("b", false, breaks));
    let (outcome, _, said) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Completed, "{said:?}");
    assert_eq!((b.heard("start copy"), b.heard("start fetch")), (4, 1));
    assert!(
        said.iter().any(|l| l.contains("comes from the Hub")),
        "{said:?}"
    );
}

#[tokio::test]
async fn what_crossed_the_link_is_hashed_before_anything_reads_it() {
    let (a, b) = (Node::new("a", false, vec![]), Node::new("b", false, vec![]));
    let (outcome, _, said) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Completed, "{said:?}");
    assert_eq!((a.heard("hashed"), b.heard("hashed")), (1, 1));

    let altered = Arc::new(Node {
        altered: true,
        ..Node::plain("b", false, vec![])
    });
    let a = Node::new("a", false, vec![]);
    let (outcome, state, said) = run(true, &a, &altered).await;
    assert_eq!(outcome, RunOutcome::Failed, "{said:?}");
    let problem = state.steps[&StepId::from(ids::WEIGHTS)].problem.clone();
    let problem = problem.unwrap();
    assert_eq!(problem.code, Code::HashMismatch);
    assert_eq!(problem.machine.as_deref(), Some("spark-b"));
}

#[tokio::test]
async fn when_the_first_cannot_fetch_the_other_does_not_wait_for_it() {
    let a = Node::new("a", false, vec![End::Late(Code::DiskFull)]);
    let b = Node::new("b", false, vec![End::Goes]);
    let (outcome, state, said) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Failed, "{said:?}");
    let problem = state.steps[&StepId::from(ids::WEIGHTS)]
        .problem
        .clone()
        .unwrap();
    assert_eq!(problem.code, Code::DiskFull);
    assert_eq!(problem.machine.as_deref(), Some("spark-a"));
    assert_eq!(b.heard("cancel --job r-weights"), 1, "{:?}", b.said());
}

#[tokio::test]
async fn what_the_hub_cannot_help_is_told() {
    let (a, b) = (
        Node::new("a", false, vec![]),
        Node::new("b", false, vec![End::Fails(Code::DiskTooSmall)]),
    );
    let (outcome, state, _) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Failed);
    let problem = state.steps[&StepId::from(ids::WEIGHTS)]
        .problem
        .clone()
        .unwrap();
    assert_eq!(problem.machine.as_deref(), Some("spark-b"));
    assert_eq!(b.heard("start"), 1);
}

#[tokio::test]
async fn of_a_file_that_is_short_on_the_hub_itself_another_revision_is_the_cure() {
    let short = Node {
        short_on_the_hub: true,
        ..Node::plain("a", false, vec![])
    };
    let (a, b) = (Arc::new(short), Node::new("b", false, vec![]));
    let (outcome, state, _) = run(false, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Failed);
    let problem = state.steps[&StepId::from(ids::WEIGHTS)].problem.clone();
    let fix = problem.unwrap().fix.unwrap().sentence;
    assert!(fix.contains("another revision"), "{fix}");
    assert_eq!(a.heard("start fetch"), 1, "once is enough");
}

#[tokio::test]
async fn without_a_link_both_fetch_and_the_plan_says_which() {
    let (a, b) = (Node::new("a", false, vec![]), Node::new("b", false, vec![]));
    let (outcome, _, said) = run(false, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Completed, "{said:?}");
    assert_eq!((a.heard("start fetch"), b.heard("start fetch")), (1, 1));
    assert_eq!(a.heard("copy serve"), 0);
    let (alone, linked) = (step(false).plan(), step(true).plan());
    assert!(!alone.will.contains("private link") && alone.exactly.len() == 1);
    assert!(
        linked.will.contains("once over your line"),
        "{}",
        linked.will
    );
    assert!(
        linked.exactly[1].contains("--listen 192.168.100.10"),
        "{:?}",
        linked.exactly
    );
}

/// The step for a plan with one quant of a repository, a draft, a tokenizer and a donor.
fn of_several(linked: bool) -> FetchWeights {
    let mut step = step(linked);
    let launch = Arc::make_mut(&mut step.launch);
    let artifact = |role, repo: &str, include: &[&str]| Artifact {
        role,
        repo: repo.into(),
        revision: "v1".into(),
        files: Selection {
            include: include.iter().map(|p| (*p).to_owned()).collect(),
            exclude: Vec::new(),
        },
    };
    launch.artifacts = vec![
        artifact(ArtifactRole::Donor, "o/donor", &[]),
        artifact(ArtifactRole::Draft, "o/draft", &[]),
        artifact(ArtifactRole::Served, "o/quants", &["*Q4*"]),
        artifact(ArtifactRole::Tokenizer, "o/draft", &["tokenizer*"]),
    ];
    step
}

#[test]
fn every_artifact_but_a_donor_goes_into_one_request_the_served_one_first() {
    let repositories = of_several(false).fetch().repositories;
    let names: Vec<&str> = repositories.iter().map(|r| r.repo.as_str()).collect();
    assert_eq!(names, ["o/quants", "o/draft", "o/draft"]);
    assert_eq!(repositories.first.files.include, ["*Q4*"]);
    let plan = of_several(true).plan();
    assert!(
        plan.will
            .starts_with("Fetches `o/quants` and `o/draft` once"),
        "{}",
        plan.will
    );
    assert!(
        plan.exactly[0].ends_with("o/quants at v1: `*Q4*`"),
        "{:?}",
        plan.exactly
    );
    let serve = of_several(true).serve_words(0, None).join(" ");
    assert!(serve.ends_with("--repo o/draft --repo o/quants"), "{serve}");
}

#[tokio::test]
async fn several_repositories_are_one_job_and_every_one_of_them_is_verified() {
    let a = Node::new("a", false, vec![]);
    let docker = Arc::new(Server(AtomicBool::new(false)));
    let run = TestRun::default();
    let machines = vec![machine("spark-a", a.clone(), &docker)];
    let driver = run.driver(vec![Arc::new(of_several(false))], machines);
    assert_eq!(finished(driver.go().await), RunOutcome::Completed);
    assert_eq!(a.heard("start fetch"), 1);
    assert_eq!(a.heard("run check"), 6, "three before and three after");
    let asked = a.asked.lock().unwrap()[0].clone();
    assert_eq!(asked["files"], json!({"include": ["*Q4*"]}));
    assert_eq!(
        asked["others"][1]["files"],
        json!({"include": ["tokenizer*"]})
    );
}

#[test]
fn what_the_download_is_held_to_goes_with_it() {
    let mut step = step(true);
    Arc::make_mut(&mut step.launch).download.bytes_per_second = Some(5_000_000);
    assert_eq!(step.fetch().limits, step.launch.download);
    let slow = FetchLimits {
        bytes_per_second: Some(1),
        ..FetchLimits::default()
    };
    let against = slow.check().unwrap_err();
    assert!(against.message.contains("limits"), "{against}");
}
